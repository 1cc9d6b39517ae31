"""Tasks that wait at a worker for a slot go back when another worker has one free: nobody idles beside a queue.

Level-triggered, after assigning: by then nothing of these batches waits here. They are asked for and not taken: the
worker may have begun one in the moment before it hears of it, and two would run it. Not asked are workers that are done
with their executions in no time: what they hold has begun before a message could reach them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Final

from scitq.domain.execution import WAITING, Execution
from scitq.domain.state import State
from scitq.domain.worker import Worker

REASON: Final = "another worker has a slot free for it"


def to_ask_for(
    state: State, changed: Iterable[str], is_quick: Callable[[int], bool] = lambda worker: False
) -> Iterator[Execution]:
    """What is to be asked for, so that assigning finds it a slot when it comes."""
    serving = {worker: None for batch in sorted(changed) for worker in state.serving.get(batch, ())}
    there = [state.workers[id] for id in serving]
    free = {one.id: one.concurrency - state.load(one) for one in there if one.takes_work and one.concurrency}
    idle = [one for one in there if free.get(one.id, 0) > 0]
    if not idle:
        return
    for holder in there:
        if free.get(holder.id, 0) >= 0 or is_quick(holder.id):
            continue
        for execution, task in _waiting(state, holder):
            batch = state.tasks[task].batch
            unable = state.tasks[task].unable
            able = (one for one in idle if free[one.id] > 0 and batch in one.batches and one.id not in unable)
            taker = next(able, None)
            if taker is not None and not state.batch(batch).stopped:
                free[taker.id] -= 1
                yield state.executions[execution]


def _waiting(state: State, holder: Worker) -> list[tuple[int, int]]:
    """What it holds beyond its slots, the last given first; those of which it has fetched least before the others."""
    held = state.active[holder.id]
    beyond = state.load(holder) - holder.concurrency
    waiting = [(id, task) for id, task in reversed(held.items()) if state.executions[id].waits]
    waiting.sort(key=lambda one: WAITING.index(state.executions[one[0]].status))
    return waiting[: max(beyond, 0)]
