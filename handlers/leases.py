"""Workers that fall silent, come back, start anew or are taken off; and what becomes of what they hold."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from scitq.domain.batch import BatchStopped
from scitq.domain.execution import CancelExecution, LoseExecution, RecoverExecution
from scitq.domain.messages import Assign, Cancel, HeldStatus, ToAgent
from scitq.domain.state import State
from scitq.domain.steering import TaskEdited
from scitq.domain.worker import NoteSilence, Worker, WorkerDeleted, WorkerLost, WorkerPaused, WorkerReincarnated
from scitq.handlers.actions import Action, OnExecution, OnWorker
from scitq.handlers.contacts import Contacts

OFFLINE_AFTER_S: Final = 30
WATCH_EVERY_S: Final = 1


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
        mine = execution is not None and execution.worker == worker.id
        if status == "ended" or (mine and execution is not None and execution.live):
            continue
        if mine and execution is not None and state.may_return(execution, status):
            actions.append(OnExecution(id, RecoverExecution(status)))
        else:
            messages.append(Cancel(id))
    messages.extend(Assign(id, task) for id, task in state.active.get(worker.id, {}).items() if id not in held)
    return actions, messages


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
    """Moved into a stopped batch: what has not started does not start."""
    task = state.tasks.get(event.task)
    if task is None or not task.live or not state.batch(task.batch).stopped:
        return []
    return _take_back(state, [task.execution], "batch stopped")


def _lose_all(state: State, worker: int, reason: str) -> list[Action]:
    return [OnExecution(id, LoseExecution(reason)) for id in list(state.active.get(worker, {}))]


def _take_back(state: State, executions: Iterable[int], reason: str) -> list[Action]:
    """Give back to the queue what has not started."""
    return [
        OnExecution(id, CancelExecution(reason))
        for id in list(executions)
        if state.executions[id].status in ("pending", "accepted")
    ]
