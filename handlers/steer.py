"""What users do to what is there already: tasks, workers, batches, executions."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, assert_never

from scitq.domain import batch as batches
from scitq.domain.commands import (
    EraseTask,
    RequireTasks,
    SignalExecutions,
    SteerBatch,
    SteerTasks,
    SteerWorkers,
)
from scitq.domain.engine_log import PayloadErased
from scitq.domain.envelope import Erasure
from scitq.domain.execution import SignalExecution
from scitq.domain.task import ChangeRequirements
from scitq.errors import Rejected
from scitq.handlers.actions import Action, OnExecution, OnTask, OnWorker
from scitq.handlers.overlay import Overlay

Steering = SteerTasks | RequireTasks | SteerWorkers | SteerBatch | SignalExecutions | EraseTask


def steer(turn: Overlay, command: Steering) -> dict[str, Any]:
    """Decide the command; what its answer says."""
    match command:
        case SteerTasks():
            return _each(turn, "tasks", [(id, OnTask(id, command.do)) for id in command.tasks])
        case RequireTasks():
            _require(turn, command)
            return {"tasks": [command.task]}
        case SteerWorkers():
            return _each(turn, "workers", [(id, OnWorker(id, command.do)) for id in command.workers])
        case SteerBatch():
            return _steer_batch(turn, command)
        case SignalExecutions():
            return _signal(turn, command)
        case EraseTask():
            return {"erased": _erase(turn, command)}
        case _:
            assert_never(command)


def _each(turn: Overlay, kind: str, actions: list[tuple[int, Action]]) -> dict[str, Any]:
    """Do each; those that cannot be are named with the reason. When none can, all is refused."""
    done: list[int] = []
    refused: dict[str, str] = {}
    for id, action in actions:
        try:
            turn.whole(turn.do, action)
            done.append(id)
        except Rejected as refusal:
            refused[str(id)] = str(refusal)
    if refused and not done:
        first = next(iter(refused.values()))
        raise Rejected(first if len(refused) == 1 else f"{first} (and {len(refused) - 1} more were refused)")
    return {kind: done, "refused": refused} if refused else {kind: done}


def standing(turn: Overlay, requires: Iterable[int]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Of the required tasks: those that have not succeeded, and of these, those that have failed."""
    waits_for: list[int] = []
    failed: list[int] = []
    for other in requires:
        task = turn.task(other)
        if task is None:
            raise Rejected(f"task {other}, which is required, does not exist")
        if task.stage == "deleted":
            raise Rejected(f"task {other}, which is required, was deleted")
        if task.stage != "succeeded":
            waits_for.append(other)
        if task.stage == "failed":
            failed.append(other)
    return tuple(waits_for), tuple(failed)


def _require(turn: Overlay, command: RequireTasks) -> None:
    requires = tuple(dict.fromkeys(command.requires))
    waits_for, failed = standing(turn, requires)
    seen: set[int] = set()
    ahead = list(waits_for)
    while ahead:
        other = ahead.pop()
        if other == command.task:
            raise Rejected(f"task {command.task} would wait for itself: one that it requires waits for it")
        if other not in seen:
            seen.add(other)
            task = turn.task(other)
            ahead.extend(task.waits_for if task is not None else ())
    turn.do(OnTask(command.task, ChangeRequirements(requires, waits_for, failed)))


def _erase(turn: Overlay, command: EraseTask) -> list[int]:
    task = turn.task(command.task)
    positions = turn.loaded.texts.get(command.task)
    if task is None or positions is None:
        gone = command.task in turn.loaded.erased
        raise Rejected(f"task {command.task} was erased before" if gone else f"there is no task {command.task}")
    if not task.ended and task.stage != "deleted":
        raise Rejected(f"task {command.task} is {task.status}: only one that has ended or was deleted can be erased")
    if task.id in turn.state.needed:
        raise Rejected(f"task {command.task} is required by tasks that still wait")
    turn.record(PayloadErased(command.task, positions, command.reason))
    turn.outcome.erasures.extend(Erasure(position, turn.state.position) for position in positions)
    for known in (turn.loaded.tasks, turn.state.just_ended):
        turn.state.drop(known, command.task)
    turn.state.put(turn.loaded.erased, command.task, None)
    return list(positions)


def _steer_batch(turn: Overlay, command: SteerBatch) -> dict[str, Any]:
    state = turn.state
    for event in batches.decide(state.batch(command.batch), command.do):
        turn.record(event)
    signalled: list[int] = []
    if command.do.signal:
        for execution in list(state.executions.values()):
            if execution.status == "running" and state.tasks[execution.task].batch == command.batch:
                turn.do(OnExecution(execution.id, SignalExecution(command.do.signal)))
                signalled.append(execution.id)
    return {"batch": command.batch, "signalled": signalled}


def _signal(turn: Overlay, command: SignalExecutions) -> dict[str, Any]:
    for id in command.executions:
        execution = turn.state.executions.get(id)
        if execution is None or execution.status != "running":
            raise Rejected(f"execution {id} is not running")
    signal = SignalExecution(command.signal)
    return _each(turn, "executions", [(id, OnExecution(id, signal)) for id in command.executions])
