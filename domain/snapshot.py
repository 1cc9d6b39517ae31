"""The state at one position as bytes: a cache that spares folding the log from its start, never a source of truth.

Objects are kept as columns, and a column that has the same value throughout as that value: a million waiting tasks are
read back in seconds. The fingerprint changes with the shape of any object; a snapshot of another shape is as if there
were none.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import fields
from hashlib import sha256
from itertools import repeat
from typing import Any, Final

import orjson

from scitq.domain.batch import Batch
from scitq.domain.envelope import Mark
from scitq.domain.execution import Execution
from scitq.domain.state import State
from scitq.domain.task import Task
from scitq.domain.worker import Worker
from scitq.errors import Malformed

LAYOUT: Final = 4
"""Raised by hand when the meaning changes and no field does."""

_NAMES: Final = {cls: [f.name for f in fields(cls)] for cls in (Task, Execution, Worker, Batch)}
FINGERPRINT: Final = sha256(
    repr((LAYOUT, [(cls.__name__, [(f.name, str(f.type)) for f in fields(cls)]) for cls in _NAMES])).encode()
).hexdigest()
COUNTERS: Final = ("position", "time", "last_task", "last_execution", "last_worker", "engine_version")


def dump(state: State) -> bytes:
    """Everything that cannot be derived from something else in it."""
    content = orjson.dumps(
        {
            "counters": [getattr(state, name) for name in COUNTERS],
            "tasks": _columns(Task, state.tasks.values()),
            "executions": _columns(Execution, state.executions.values()),
            "workers": _columns(Worker, state.workers.values()),
            "batches": _columns(Batch, state.batches.values()),
            "marks": [list(mark) for mark in state.marks.values()],
            "failing": [[reactor, subject, error] for (reactor, subject), error in state.failing.items()],
            "deadlines": list(state.deadlines.items()),
            "served": state.served,
            "met": list(state.met),
            "erased": list(state.erased),
        }
    )
    return zlib.compress(content, 1)


def load(data: bytes) -> State:
    """The state of a snapshot; Malformed when it is none."""
    try:
        content = orjson.loads(zlib.decompress(data))
        state = State()
        for name, value in zip(COUNTERS, content["counters"], strict=True):
            setattr(state, name, value)
        for worker in _objects(Worker, content["workers"]):
            state.restore_worker(worker)
        state.met = dict.fromkeys(content["met"])
        state.erased = dict.fromkeys(content["erased"])
        state.restore_tasks(_objects(Task, content["tasks"]))
        for execution in _objects(Execution, content["executions"]):
            state.restore_execution(execution)
        state.batches = {batch.name: batch for batch in _objects(Batch, content["batches"])}
        state.marks = {row[0]: Mark(*row) for row in content["marks"]}
        state.failing = {(reactor, subject): error for reactor, subject, error in content["failing"]}
        state.restore_deadlines(content["deadlines"])
        state.served = content["served"]
        return state
    except (zlib.error, orjson.JSONDecodeError, LookupError, TypeError, ValueError, AttributeError) as error:
        raise Malformed(f"this is not a snapshot: {error}") from error


def _columns(cls: type[Any], objects: Collection[Any]) -> list[list[Any]]:
    """The values of each field, or the only one that it has."""
    columns = ([getattr(one, name) for one in objects] for name in _NAMES[cls])
    return [column[:1] if column.count(column[0]) == len(column) else column for column in columns] if objects else []


def _objects(cls: Callable[..., Any], columns: list[list[Any]]) -> Iterator[Any]:
    if not columns:
        return iter(())
    count = max(map(len, columns))
    shared: dict[Any, Any] = {}  # a text or a tuple that many have is kept once
    return map(cls, *(_values(column, count, shared) for column in columns))


def _values(column: list[Any], count: int, shared: dict[Any, Any]) -> Iterable[Any]:
    if len(column) == 1:
        return repeat(_value(column[0]), count)
    if len(column) != count:
        raise ValueError("its columns are not of one length")
    if not isinstance(column[0], str | list):
        return column
    return [shared.setdefault(value, value) for value in map(_value, column)]


def _value(value: Any) -> Any:
    if not isinstance(value, list):
        return value
    return tuple(map(_value, value)) if value and isinstance(value[0], list) else tuple(value)
