"""How much each worker holds: its attempts by status, counting the latest of every task. Part of `workers.py`.

`worker_held` remembers, for each task, where its latest attempt is counted: an event moves one count from there, and
counts cannot drift. A row of `worker_loads` that would say nothing but zeros is not kept.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any, Literal, NamedTuple

from scitq.domain import execution as ex
from scitq.domain import task as tk
from scitq.domain.wire import Recorded
from scitq.projections import standing
from scitq.projections.projection import table_of


class Load(NamedTuple):
    """How many attempts of a worker have each status; of every task only the latest attempt counts."""

    worker: int
    pending: int = 0
    accepted: int = 0
    running: int = 0
    succeeded: int = 0
    failed: int = 0
    cancelled: int = 0
    refused: int = 0
    lost: int = 0


class Held(NamedTuple):
    """Where the latest attempt at a task is counted."""

    task: int
    execution: int
    worker: int
    status: ex.Status | Literal["erased"]


LOADS = table_of("worker_loads", Load)
HELD = table_of("worker_held", Held)

Moves = defaultdict[tuple[int, str], int]
COUNTED = standing.ATTEMPT_EVENTS - {ex.ExecutionGone} | {tk.TaskDeleted}
"""An attempt that is gone was counted as cancelled when it was taken back; its task may have been deleted since."""


def touched_held(events: Sequence[Recorded], rows: Any) -> Iterable[int]:
    """The tasks whose latest attempt may be counted elsewhere."""
    keys: set[int] = set()
    for recorded in events:
        event = recorded.event
        if type(event) in COUNTED:
            keys.add(event.task)  # type: ignore[union-attr]
        elif (erased := standing.erased_task(recorded)) is not None:
            keys.add(erased)
    return keys


def touched_loads(events: Sequence[Recorded], rows: Any) -> Iterable[int]:
    """The workers whose counts may change."""
    assigned = {recorded.event.worker for recorded in events if isinstance(recorded.event, ex.ExecutionAssigned)}
    return assigned | {held.worker for held in rows.held.values()}


def move(held: dict[int, Held], moves: Moves, recorded: Recorded, event: Any) -> None:
    """Note what one of `COUNTED` moves."""
    before = held.get(event.task)
    if before is not None and before.status == "erased":
        return
    if isinstance(event, tk.TaskDeleted):
        _take(held.pop(event.task, None), moves)
    elif isinstance(event, ex.ExecutionAssigned):
        _take(before, moves)
        held[event.task] = Held(event.task, event.execution, event.worker, "pending")
        moves[event.worker, "pending"] += 1
    elif before is None:
        raise standing.never_created(recorded)
    elif before.execution == event.execution:  # an earlier attempt is no longer counted
        status = standing.attempt_after(before.status, event)  # type: ignore[arg-type]
        if status != before.status:
            _take(before, moves)
            held[event.task] = before._replace(status=status)
            moves[before.worker, status] += 1


def erase(held: dict[int, Held], moves: Moves, task: int) -> None:
    """Count nothing of this task, now or later."""
    _take(held.get(task), moves)
    held[task] = Held(task, 0, 0, "erased")


def _take(held: Held | None, moves: Moves) -> None:
    if held is not None and held.status != "erased":
        moves[held.worker, held.status] -= 1


def settle(loads: dict[int, Load], moves: Moves) -> None:
    """Add up what the events moved."""
    by_worker: dict[int, dict[str, int]] = {}
    for (worker, status), moved in moves.items():
        if moved:
            by_worker.setdefault(worker, {})[status] = moved
    for worker, moved_by in by_worker.items():
        load = loads.get(worker) or Load(worker)
        load = load._replace(**{status: getattr(load, status) + moved for status, moved in moved_by.items()})
        if any(load[1:]):
            loads[worker] = load
        else:
            loads.pop(worker, None)
