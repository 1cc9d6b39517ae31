"""Workers that fall silent, come back, start anew or are taken off; and what becomes of what they hold."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from scitq.domain.execution import CancelExecution, Execution, LoseExecution, RecoverExecution, Step
from scitq.domain.messages import Assign, Cancel, GiveBack, HeldStatus, SendOutputs, Signal, ToAgent
from scitq.domain.state import State
from scitq.domain.worker import (
    NoteSilence,
    Worker,
    WorkerDeleted,
    WorkerLost,
    WorkerReincarnated,
)
from scitq.handlers.actions import Action, OnExecution, OnWorker
from scitq.handlers.asking_back import misplaced
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


def compare(state: State, worker: Worker, held: Mapping[int, HeldStatus]) -> tuple[list[Action], list[ToAgent]]:
    """Bring what an agent holds and what the log says it holds together: what to decide, and what to tell the agent."""
    actions: list[Action] = []
    messages: list[ToAgent] = []
    for id, status in held.items():
        execution = state.executions.get(id)
        if status == "ended":
            continue
        if execution is None or execution.worker != worker.id:
            messages.append(Cancel(id))
        elif execution.live:
            messages.extend(_hold_or_go_on(state, execution, status))
        elif state.may_return(execution):
            actions.append(OnExecution(id, RecoverExecution(_STEP[status])))
        else:
            messages.append(Cancel(id))
    active = state.active.get(worker.id, {})
    messages.extend(Assign(id, task) for id, task in active.items() if id not in held)
    for wanted in misplaced(state, active):
        if wanted.execution in held:
            actions.append(wanted)
        else:  # in one breath with its offer, which it may have missed: so it never begins
            messages.append(GiveBack(wanted.execution, wanted.reason))
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


def all_taken_back(state: State, worker: int, reason: str) -> list[OnExecution]:
    """Also what runs, for those who know that it does not."""
    return [OnExecution(id, CancelExecution(reason)) for id in list(state.active.get(worker, {}))]


def _lose_all(state: State, worker: int, reason: str) -> list[Action]:
    return [OnExecution(id, _loss(state, task, reason)) for id, task in list(state.active.get(worker, {}).items())]


def _loss(state: State, task: int, reason: str) -> LoseExecution:
    if state.tasks[task].losses + 1 < MOST_LOSSES:
        return LoseExecution(reason)
    return LoseExecution(f"its worker was lost {MOST_LOSSES} times; at last: {reason}", for_good=True)
