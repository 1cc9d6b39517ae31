"""The state at one position as bytes: a cache that spares folding the log from its start, never a source of truth.

The fingerprint changes with the shape of any object in it; a snapshot of another shape is as if there were none.
"""

from __future__ import annotations

from dataclasses import fields
from hashlib import sha256
from typing import Any, Final

import orjson

from scitq.domain.batch import Batch
from scitq.domain.envelope import Mark
from scitq.domain.execution import Execution
from scitq.domain.state import State
from scitq.domain.task import Task
from scitq.domain.worker import Worker
from scitq.errors import Malformed

LAYOUT: Final = 1
"""Raised by hand when the meaning changes and no field does."""

_NAMES: Final = {cls: [f.name for f in fields(cls)] for cls in (Task, Execution, Worker, Batch)}
FINGERPRINT: Final = sha256(
    repr((LAYOUT, [(cls.__name__, [(f.name, str(f.type)) for f in fields(cls)]) for cls in _NAMES])).encode()
).hexdigest()
COUNTERS: Final = ("position", "time", "last_task", "last_execution", "last_worker", "engine_version")


def dump(state: State) -> bytes:
    """Everything that cannot be derived from something else in it."""
    return orjson.dumps(
        {
            "counters": [getattr(state, name) for name in COUNTERS],
            "tasks": _rows(Task, state.tasks.values()),
            "executions": _rows(Execution, state.executions.values()),
            "workers": _rows(Worker, state.workers.values()),
            "batches": _rows(Batch, state.batches.values()),
            "marks": [list(mark) for mark in state.marks.values()],
            "failing": [[reactor, subject, error] for (reactor, subject), error in state.failing.items()],
            "deadlines": list(state.deadlines.items()),
            "served": state.served,
            "met": list(state.met),
            "erased": list(state.erased),
        }
    )


def load(data: bytes) -> State:
    """The state of a snapshot; Malformed when it is none."""
    try:
        content = orjson.loads(data)
        state = State()
        for name, value in zip(COUNTERS, content["counters"], strict=True):
            setattr(state, name, value)
        for row in content["workers"]:
            state.restore_worker(Worker(*_tuples(row)))
        state.met = dict.fromkeys(content["met"])
        state.erased = dict.fromkeys(content["erased"])
        for row in content["tasks"]:
            state.restore_task(Task(*_tuples(row)))
        for row in content["executions"]:
            state.restore_execution(Execution(*row))
        state.batches = {row[0]: Batch(*row) for row in content["batches"]}
        state.marks = {row[0]: Mark(*row) for row in content["marks"]}
        state.failing = {(reactor, subject): error for reactor, subject, error in content["failing"]}
        state.restore_deadlines(content["deadlines"])
        state.served = content["served"]
        return state
    except (orjson.JSONDecodeError, LookupError, TypeError, ValueError, AttributeError) as error:
        raise Malformed(f"this is not a snapshot: {error}") from error


def _rows(cls: type[Any], objects: Any) -> list[list[Any]]:
    names = _NAMES[cls]
    return [[getattr(one, name) for name in names] for one in objects]


def _tuples(row: list[Any]) -> list[Any]:
    return [tuple(value) if isinstance(value, list) else value for value in row]
