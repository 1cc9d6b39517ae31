"""Workers that fall silent, come back, start anew or are taken off; and what becomes of what they hold."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from scitq.domain.batch import BatchStopped
from scitq.domain.execution import CancelExecution, Execution, LoseExecution, RecoverExecution, Step
from scitq.domain.messages import Assign, Cancel, HeldStatus, SendOutputs, Signal, ToAgent
from scitq.domain.state import State
from scitq.domain.steering import TaskEdited
from scitq.domain.worker import (
    NoteSilence,
    Worker,
    WorkerDeleted,
    WorkerEdited,
    WorkerLost,
    WorkerPaused,
    WorkerReincarnated,
)
from scitq.handlers.actions import Action, OnExecution, OnWorker
from scitq.handlers.contacts import Contacts

OFFLINE_AFTER_S: Final = 30
WATCH_EVERY_S: Final = 1
MOST_LOSSES: Final = 10
"""A task whose worker is lost so often has failed: perhaps it is what brings them down."""
_STEP: Final[dict[HeldStatus, Step]] = {
    "pending": "pending",
    "accepted": "accepted",
    "ready": "ready",
    "running": "running",
    "paused": "running",
    "exited": "uploading",
    "uploading": "uploading",
}


def watch(state: State, contacts: Contacts, at: int) -> Iterator[OnWorker]:
    """Note who has been silent for too long. Looks once a second, however often it is called."""
    if at < contacts.next_watch:
        return
    contacts.next_watch = at + WATCH_EVERY_S * 1_000_000
    for worker in list(state.workers.values()):
        silent_s = contacts.silent_for(worker.id, at) / 1_000_000
        if silent_s > worker.lost_after_s and worker.contact != "lost":
            yield OnWorker(worker.id, NoteSilence(lost=True))
        elif silent_s > OFFLINE_AFTER_S and worker.contact == "online":
            yield OnWorker(worker.id, NoteSilence(lost=False))


def compare(state: State, worker: Worker, held: Mapping[int, HeldStatus]) -> tuple[list[OnExecution], list[ToAgent]]:
    """Bring what an agent holds and what the log says it holds together: what to decide, and what to tell the agent."""
    actions: list[OnExecution] = []
    messages: list[ToAgent] = []
    for id, status in held.items():
        execution = state.executions.get(id)
        if status == "ended":
            continue
        if execution is None or execution.worker != worker.id:
            messages.append(Cancel(id))
        elif execution.live:
            messages.extend(_hold_or_go_on(state, execution, status))
        elif state.may_return(execution, _STEP[status]):
            actions.append(OnExecution(id, RecoverExecution(_STEP[status])))
        else:
            messages.append(Cancel(id))
    messages.extend(Assign(id, task) for id, task in state.active.get(worker.id, {}).items() if id not in held)
    return actions, messages


def _hold_or_go_on(state: State, execution: Execution, status: HeldStatus) -> list[ToAgent]:
    """A command is held exactly while its task is paused, and outputs are sent once we know of them: tell the agent
    again, if it missed it."""
    if execution.status == "uploading":
        return [SendOutputs(execution.id)] if status == "exited" else []
    paused = state.tasks[execution.task].paused
    if execution.status != "running" or status not in ("running", "paused") or paused == (status == "paused"):
        return []
    return [Signal(execution.id, "pause" if paused else "resume")]


def on_worker_lost(event: WorkerLost, state: State) -> Iterable[Action]:
    return _lose_all(state, event.worker, "the worker is silent")


def on_worker_reincarnated(event: WorkerReincarnated, state: State) -> Iterable[Action]:
    return _lose_all(state, event.worker, "the worker started anew with an empty spool")


def on_worker_deleted(event: WorkerDeleted, state: State) -> Iterable[Action]:
    return _lose_all(state, event.worker, "the worker was deleted")


def on_worker_paused(event: WorkerPaused, state: State) -> Iterable[Action]:
    return _take_back(state, state.active.get(event.worker, {}), "worker paused")


def on_batch_stopped(event: BatchStopped, state: State) -> Iterable[Action]:
    in_batch = [
        id for held in state.active.values() for id, task in held.items() if state.tasks[task].batch == event.batch
    ]
    return _take_back(state, in_batch, "batch stopped")


def on_task_edited(event: TaskEdited, state: State) -> Iterable[Action]:
    """Moved to a batch that is stopped, or that its worker does not serve: what has not started is taken back."""
    task = state.tasks.get(event.task)
    if task is None or not task.live:
        return []
    worker = state.workers.get(state.executions[task.execution].worker)
    if state.batch(task.batch).stopped or worker is None or task.batch not in worker.batches:
        return _take_back(state, [task.execution], "task moved to another batch")
    return []


def on_worker_edited(event: WorkerEdited, state: State) -> Iterable[Action]:
    """What has not started is taken back from a worker that no longer serves its batch, or has no room for it."""
    worker = state.workers[event.worker]
    held = state.active.get(event.worker, {})
    strays = [id for id, task in held.items() if state.tasks[task].batch not in worker.batches]
    back = _take_back(state, strays, "worker serves other batches now")
    room = worker.concurrency + worker.prefetch if worker.concurrency else 0
    excess = state.load(worker) - len(back) - room
    rest = [id for id in reversed(held) if id not in strays]
    return [*back, *_take_back(state, rest, "worker has less room now")[: max(excess, 0)]]


def all_taken_back(state: State, worker: int, reason: str) -> list[OnExecution]:
    """Also what runs, for those who know that it does not."""
    return [OnExecution(id, CancelExecution(reason)) for id in list(state.active.get(worker, {}))]


def _lose_all(state: State, worker: int, reason: str) -> list[Action]:
    return [OnExecution(id, _loss(state, task, reason)) for id, task in list(state.active.get(worker, {}).items())]


def _loss(state: State, task: int, reason: str) -> LoseExecution:
    if state.tasks[task].losses + 1 < MOST_LOSSES:
        return LoseExecution(reason)
    return LoseExecution(f"its worker was lost {MOST_LOSSES} times; at last: {reason}", for_good=True)


def _take_back(state: State, executions: Iterable[int], reason: str) -> list[Action]:
    """Give back to the queue what has not started."""
    return [OnExecution(id, CancelExecution(reason)) for id in list(executions) if state.executions[id].waits]
