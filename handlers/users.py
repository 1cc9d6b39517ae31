"""Requests of users: each is decided as a whole, answered, and its answer kept with the append."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import fields
from typing import Any, Final, assert_never

import orjson

from scitq.domain import batch as batches
from scitq.domain.commands import (
    Command,
    CreateTasks,
    EraseTask,
    Request,
    RequireTasks,
    SignalExecutions,
    SteerBatch,
    SteerTasks,
    SteerWorkers,
    TaskSpec,
)
from scitq.domain.engine_log import CommandFailed, PayloadErased
from scitq.domain.envelope import Answer, Erasure
from scitq.domain.execution import SignalExecution
from scitq.domain.task import ChangeRequirements, CreateTask
from scitq.errors import Rejected
from scitq.handlers.actions import Action, OnExecution, OnTask, OnWorker
from scitq.handlers.overlay import Overlay, Reply, Stumbled

_PROPERTIES: Final = [(f.name, f.default) for f in fields(TaskSpec) if f.name != "requires"]


def take_request(turn: Overlay, request: Request) -> None:
    """Decide a request that may have been decided before."""
    known = turn.loaded.answers.get(request.id)
    if known is not None:
        turn.outcome.replies.append(Reply(request.id, known.answer))
        return
    if request.deadline < turn.at.now:
        turn.outcome.replies.append(Reply(request.id, None, "it came after its deadline: nothing was done"))
        return
    turn.on_behalf(request.actor, command=0)
    try:
        turn.whole(_decide, turn, request)
    except Rejected as refusal:
        turn.outcome.replies.append(Reply(request.id, None, str(refusal)))
    except Stumbled as error:
        turn.record(CommandFailed(request.id, type(request.command).__name__, str(error)))
        text = f"the engine stumbled over it, and recorded that as event {turn.state.position}: {error}"
        turn.outcome.replies.append(Reply(request.id, None, text))


def _decide(turn: Overlay, request: Request) -> None:
    before = turn.state.position
    content = _do(turn, request.command)
    after = turn.state.position
    first, last = (before + 1, after) if after > before else (0, 0)
    answer = Answer(request.id, first, last, orjson.dumps({"first": first, "last": last, **content}))
    turn.outcome.answers.append(answer)
    turn.outcome.replies.append(Reply(request.id, answer.answer))
    turn.state.put(turn.loaded.answers, request.id, answer)


def _do(turn: Overlay, command: Command) -> dict[str, Any]:
    match command:
        case CreateTasks():
            return {"tasks": _create(turn, command)}
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
            for id in command.executions:
                execution = turn.state.executions.get(id)
                if execution is None or execution.status != "running":
                    raise Rejected(f"execution {id} is not running")
            signal = SignalExecution(command.signal)
            return _each(turn, "executions", [(id, OnExecution(id, signal)) for id in command.executions])
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


# Tasks --------------------------------------------------------------------------------------------------------


def _create(turn: Overlay, command: CreateTasks) -> list[int]:
    first = turn.state.last_task + 1
    for number, spec in enumerate(command.tasks):
        requires = tuple(dict.fromkeys(_referred(turn, first, number, other) for other in spec.requires))
        waits_for, failed = _standing(turn, requires)
        properties = {name: value for name, default in _PROPERTIES if (value := getattr(spec, name)) != default}
        turn.do(OnTask(first + number, CreateTask(first + number, properties, requires, waits_for, failed)))
    return list(range(first, first + len(command.tasks)))


def _referred(turn: Overlay, first: int, number: int, other: int) -> int:
    if other > 0:
        return other
    if not 0 < -other <= number:
        raise Rejected(
            f"task {number + 1} of the request requires number {-other} of it, which does not come before it"
        )
    return first - other - 1


def _standing(turn: Overlay, requires: Iterable[int]) -> tuple[tuple[int, ...], tuple[int, ...]]:
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
    waits_for, failed = _standing(turn, requires)
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
    turn.state.drop(turn.loaded.tasks, command.task)
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


def tasks_named(command: Command, cold: set[int], erase: set[int]) -> None:
    """Add the tasks that deciding the command looks at."""
    match command:
        case CreateTasks():
            for spec in command.tasks:
                cold.update(other for other in spec.requires if other > 0)
        case SteerTasks():
            cold.update(command.tasks)
        case RequireTasks():
            cold.add(command.task)
            cold.update(command.requires)
        case EraseTask():
            cold.add(command.task)
            erase.add(command.task)
        case _:
            pass
