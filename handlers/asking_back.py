"""What waits where it should not goes back to the queue: its worker is asked for it.

Asked, and never taken: the worker may have begun it in the moment before it hears of it, and two would run it. A worker
that does not answer keeps what it has until it is heard again, when it is asked once more, or is taken for lost.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Final

from scitq.domain.batch import BatchStopped
from scitq.domain.execution import WAITING, ExecutionRecovered
from scitq.domain.state import State
from scitq.domain.steering import TaskEdited, TaskPaused
from scitq.domain.task import Task
from scitq.domain.worker import Worker, WorkerEdited, WorkerPaused
from scitq.handlers.actions import AskBack

HELD: Final = "it was paused"
PAUSED: Final = "its worker was paused"
NO_SLOTS: Final = "its worker has no slots any more"
NOT_SERVED: Final = "its worker does not serve its batch"
STOPPED: Final = "its batch was stopped"
SLOT_ELSEWHERE: Final = "another worker has a slot free for it"
REASONS: Final = frozenset({HELD, PAUSED, NO_SLOTS, NOT_SERVED, STOPPED, SLOT_ELSEWHERE})


def misplaced(state: State, executions: Iterable[int]) -> Iterator[AskBack]:
    """Those that wait at a worker which would not be given them now."""
    for id in executions:
        execution = state.executions[id]
        worker = state.workers.get(execution.worker)
        if execution.waits and worker and (reason := _why_not(state, worker, state.tasks[execution.task])):
            yield AskBack(id, reason)


def _why_not(state: State, worker: Worker, task: Task) -> str | None:
    if task.paused:
        return HELD
    if worker.paused:
        return PAUSED
    if not worker.concurrency:
        return NO_SLOTS
    if task.batch not in worker.batches:
        return NOT_SERVED
    return STOPPED if state.batch(task.batch).stopped else None


def on_worker_changed(event: WorkerPaused | WorkerEdited, state: State) -> Iterable[AskBack]:
    return misplaced(state, state.active.get(event.worker, {}))


def on_batch_stopped(event: BatchStopped, state: State) -> Iterable[AskBack]:
    held = ((id, task) for active in state.active.values() for id, task in active.items())
    return misplaced(state, (id for id, task in held if state.tasks[task].batch == event.batch))


def on_task_changed(event: TaskPaused | TaskEdited, state: State) -> Iterable[AskBack]:
    """Perhaps it is in another batch now."""
    task = state.tasks.get(event.task)
    return misplaced(state, [task.execution] if task is not None and task.live else [])


def on_execution_recovered(event: ExecutionRecovered, state: State) -> Iterable[AskBack]:
    return misplaced(state, [event.execution])


def for_free_slots(
    state: State, changed: Iterable[str], is_quick: Callable[[int], bool] = lambda worker: False
) -> Iterator[AskBack]:
    """What waits for a slot at one worker while another has one free: nobody idles beside a queue.

    Level-triggered, after assigning: by then nothing of these batches waits here. Not asked are workers that are done
    with their executions in no time: what they hold has begun before a message could reach them.
    """
    serving = {worker: None for batch in sorted(changed) for worker in state.serving.get(batch, ())}
    there = [state.workers[id] for id in serving]
    free = {one.id: one.concurrency - state.load(one) for one in there if one.takes_work and one.concurrency}
    idle = [one for one in there if free.get(one.id, 0) > 0]
    if not idle:
        return
    for holder in there:
        if free.get(holder.id, 0) >= 0 or is_quick(holder.id):
            continue
        for execution, task in _beyond_its_slots(state, holder):
            batch = state.tasks[task].batch
            unable = state.tasks[task].unable
            able = (one for one in idle if free[one.id] > 0 and batch in one.batches and one.id not in unable)
            taker = next(able, None)
            if taker is not None and not state.batch(batch).stopped:
                free[taker.id] -= 1
                yield AskBack(execution, SLOT_ELSEWHERE)


def _beyond_its_slots(state: State, holder: Worker) -> list[tuple[int, int]]:
    """What waits there for a slot, the last given first; those of which it has fetched least before the others."""
    held = state.active[holder.id]
    beyond = state.load(holder) - holder.concurrency
    waiting = [(id, task) for id, task in reversed(held.items()) if state.executions[id].waits]
    waiting.sort(key=lambda one: WAITING.index(state.executions[one[0]].status))
    return waiting[: max(beyond, 0)]
