"""One PUT about a task may ask for several things: they are planned, checked, and sent as commands one after the other.

    paused       first, so that what has not begun can change; then what it requires, then its properties
    pending      last: a task that ended is relaunched (in one command with its new properties), a paused one resumed,
                 a waiting one released; one that is on its way already is left alone

The ids of the commands follow from that of the request, so that the same request again finds what was done of it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any, NamedTuple

from scitq.domain.steering import NOT_BEGUN, RUN_FIELDS
from scitq.domain.task import ENDED, LIVE
from scitq.projections import tasks
from scitq.projections.tasks import Task
from scitq.web import task_forms, views
from scitq.web.errors import Refusal, bad_request, conflict, not_found
from scitq.web.routing import Call
from scitq.web.services import Services

Command = dict[str, Any]


class Step(NamedTuple):
    number: int  # of the command in this request
    command: Command


def derived(id: str, part: object) -> str:
    """The id of one more command of the request that has this id."""
    whole = f"{id}.{part}"
    return whole if len(whole) <= 64 else hashlib.sha256(whole.encode()).hexdigest()


async def edit(call: Call) -> int:
    """Do all of it; the position of the last event that came of it."""
    id, form = call.path["task_id"], call.form
    status = form.get("status")
    if status not in (None, "pending", "paused"):
        raise bad_request(_why_not(status), {"status": _why_not(status)})
    await call.services.catch_up()
    steps = await call.services.run(_plan, call.services, id, form, call.command_id)
    last = 0
    for number, command in steps:
        key = derived(call.command_id, number) if number else call.command_id
        answer = await call.services.commands.send(command, id=key, actor=call.actor)
        last = max(last, int(answer["last"]))
    return last


def _why_not(status: str) -> str:
    if status == "waiting":
        return "a task waits by itself, when it is given required_task_ids that have not succeeded"
    if status in ("succeeded", "failed", "assigned", "accepted", "running", "debug"):
        return f"a task becomes {status} by what happens to it: it can be set to pending or paused"
    return f"{status[:100]!r} is no status: a task can be set to pending or paused"


def _plan(services: Services, id: int, form: Mapping[str, Any], key: str) -> list[Step]:
    with views.looking(services.views) as view:
        task = tasks.by_id(view.connection, [id]).get(id)
        required = form.get("required_task_ids")
        others = tasks.by_id(view.connection, required) if required else {}
    if task is None:
        raise not_found(f"there is no task {id}")
    wanted = task_forms.changes(form)
    try:
        _check(task, form.get("status"), wanted, required, others)
    except Refusal:
        if key not in services.journal().answers([key]):  # else it was done, and it is just said again
            raise
    return _steps(task, form.get("status"), wanted, required)


def _check(
    task: Task, status: str | None, wanted: Command, required: list[int] | None, others: dict[int, Task]
) -> None:
    """What the engine would refuse, as far as it can be seen beforehand: then nothing is done at all."""
    for other in required or ():
        if other == task.id:
            raise conflict(f"task {task.id} cannot require itself")
        if other not in others or others[other].stage in ("deleted", "erased"):
            why = "does not exist" if other not in others else "was deleted"
            raise conflict(f"task {other}, which is required, {why}")
    if task.stage in ("deleted", "erased"):
        raise conflict(f"task {task.id} was {task.stage}")
    if status == "paused" and task.stage in ENDED:
        raise conflict(f"task {task.id} has already {task.stage}: only a task that has not ended can be paused")
    held_back = (status == "paused" or task.paused) and task.stage in NOT_BEGUN
    relaunched = status == "pending" and task.stage in LIVE
    if required is not None and task.stage in LIVE | ENDED and not held_back:
        raise conflict(f"task {task.id} is {task.status}: requirements can change only before a task is assigned")
    if RUN_FIELDS & set(wanted) and task.stage in LIVE and not held_back and not relaunched:
        raise conflict(
            f"task {task.id} is {task.status}: what it runs cannot change under it; set it to pending with the change"
        )


def _steps(task: Task, status: str | None, wanted: Command, required: list[int] | None) -> list[Step]:
    """Numbered by what was asked for, whatever the task is doing: the same request again has the same numbers."""
    one: Command = {"tasks": [task.id]}
    relaunches = status == "pending" and task.stage in LIVE | ENDED
    commands: list[Command] = []
    if status == "paused":
        commands.append({"type": "pause-tasks", **one})
    if required is not None:
        commands.append({"type": "require-tasks", "task": task.id, "requires": required})
    if wanted:
        commands.append({"type": "edit-tasks", **one, "changes": wanted, "relaunch": relaunches})
    if status == "pending" and not (wanted and relaunches):
        releases = task.stage == "waiting" and not task.paused
        how = "relaunch-tasks" if task.stage in ENDED else "release-tasks" if releases else "resume-tasks"
        commands.append({"type": how, **one})
    return [Step(number, command) for number, command in enumerate(commands)]
