"""Give ready tasks to workers with room. Level-triggered: looks at what is, once per turn, for batches that changed.

The least loaded worker first (its slots before what it holds ahead); for it, among the batches it serves, the one that
has least on it, then the one served longest ago; of that batch the task of highest priority, then the oldest. A task
that a worker cannot run goes to another one at once, and to that one again after a pause.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from heapq import heapify, heappop, heapreplace
from typing import NamedTuple

from scitq.domain.state import State
from scitq.domain.task import Task
from scitq.domain.worker import Worker
from scitq.handlers.rests import Shy, order_of


class Placement(NamedTuple):
    task: Task
    worker: int


def assign(
    state: State,
    changed: Iterable[str],
    may_hold_ahead: Callable[[int], int] = lambda worker: 0,
    has_rested: Callable[[Task], bool] = lambda task: False,
) -> Iterator[Placement]:
    """Each next placement, on the state that the one before has left.

    `may_hold_ahead`: what a worker may hold beyond its capacity, because it is done with its executions in no time.
    `has_rested`: whether workers that could not run the task may be asked again.
    """
    shy = Shy(state, has_rested)
    candidates = {worker: None for batch in sorted(changed) for worker in state.serving.get(batch, ())}
    most = {id: capacity + may_hold_ahead(id) for id in candidates if (capacity := state.workers[id].capacity)}
    rooms = [(_load(state, state.workers[id]), id) for id in most if state.load(state.workers[id]) < most[id]]
    heapify(rooms)
    shares: dict[int, Counter[str]] = {}  # of the workers that serve several batches: what they have of each
    while rooms:
        worker = state.workers[rooms[0][1]]
        batch = _batch_for(state, worker, shares, shy)
        task = _take(state, worker.id, batch, shy) if batch is not None else None
        if task is None:
            heappop(rooms)
            continue
        yield Placement(task, worker.id)
        if worker.id in shares:
            shares[worker.id][task.batch] += 1
        if state.load(worker) < most[worker.id]:
            heapreplace(rooms, (_load(state, worker), worker.id))
        else:
            heappop(rooms)


def _load(state: State, worker: Worker) -> float:
    return state.load(worker) / worker.concurrency


def _take(state: State, worker: int, batch: str, shy: Shy) -> Task | None:
    """The first task of the batch that the worker may have."""
    other, task = shy.first(batch, worker), state.first_ready(batch)
    if other is not None and (task is None or order_of(other) < order_of(task)):
        shy.take(other)
        return other
    return state.pop_ready(batch)


def _batch_for(state: State, worker: Worker, shares: dict[int, Counter[str]], shy: Shy) -> str | None:
    waiting = [
        name
        for name in worker.batches
        if not state.batch(name).stopped and (state.has_ready(name) or shy.first(name, worker.id) is not None)
    ]
    if len(waiting) < 2:
        return waiting[0] if waiting else None
    share = shares.get(worker.id)
    if share is None:
        share = shares[worker.id] = Counter(state.tasks[task].batch for task in state.active[worker.id].values())
    return min(waiting, key=lambda name: (share[name], state.served.get(name, 0), name))
