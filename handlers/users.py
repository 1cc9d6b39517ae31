"""Requests of users: each is decided as a whole, answered, and its answer kept with the append."""

from __future__ import annotations

from dataclasses import fields
from typing import Final

import orjson

from scitq.domain.commands import CreateTasks, Request, TaskSpec
from scitq.domain.engine_log import CommandFailed
from scitq.domain.envelope import Answer
from scitq.domain.task import CreateTask
from scitq.errors import Rejected
from scitq.handlers.actions import OnTask
from scitq.handlers.overlay import Overlay, Reply, Stumbled
from scitq.handlers.steer import standing, steer

_PROPERTIES: Final = [(f.name, f.default) for f in fields(TaskSpec) if f.name != "requires"]


def take_request(turn: Overlay, request: Request) -> None:
    """Decide a request that may have been decided before."""
    known = turn.loaded.answers.get(request.id)
    if known is not None:
        turn.outcome.replies.append(Reply(request.id, known.answer))
        return
    if request.deadline < turn.at.calendar:
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
    command = request.command
    content = {"tasks": _create(turn, command)} if isinstance(command, CreateTasks) else steer(turn, command)
    after = turn.state.position
    first, last = (before + 1, after) if after > before else (0, 0)
    answer = Answer(request.id, first, last, orjson.dumps({"first": first, "last": last, **content}))
    turn.outcome.answers.append(answer)
    turn.outcome.replies.append(Reply(request.id, answer.answer))
    turn.state.put(turn.loaded.answers, request.id, answer)


def _create(turn: Overlay, command: CreateTasks) -> list[int]:
    first = turn.state.last_task + 1
    for number, spec in enumerate(command.tasks):
        requires = tuple(dict.fromkeys(_referred(turn, first, number, other) for other in spec.requires))
        waits_for, failed = standing(turn, requires)
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
