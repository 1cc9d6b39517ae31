"""Tasks over HTTP: looked at, submitted one by one or ten thousand at a time, and steered."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from annotated_types import MaxLen, MinLen
from pydantic import BaseModel
from starlette.responses import Response

from scitq.domain.query import Query, parse
from scitq.domain.requests import MOST_TASKS
from scitq.errors import StoreUnavailable
from scitq.projections import searching, tasks
from scitq.web import editing, forms, lists, shapes, task_forms, views
from scitq.web.commands import answered_about
from scitq.web.errors import Refusal, not_found
from scitq.web.lists import Rows, Wanted
from scitq.web.routing import Answer, Call, Route, json
from scitq.web.services import Services

Status = Literal[
    "paused", "waiting", "pending", "assigned", "accepted", "running", "failed", "succeeded", "debug",
    "deleted", "erased",
]  # fmt: skip


class Filter(forms.Page):
    """Which tasks: those that match everything given."""

    task_id: forms.Ids | None = None
    status: Annotated[list[Status], forms.SEVERAL, MaxLen(100)] | None = None
    batch: forms.Words | None = None
    name: forms.Words | None = None
    q: forms.Word | None = None


class Statuses(forms.Form):
    """Of which tasks."""

    task_id: forms.Ids


class Action(forms.Form):
    """What is to be done, to which tasks."""

    action: Literal["pause", "resume", "release", "relaunch", "delete"]
    task_ids: Annotated[list[forms.Id], MinLen(1), MaxLen(MOST_TASKS)]


class Created(BaseModel):
    task_ids: list[int]
    position: int


class Done(BaseModel):
    done: list[int]
    refused: dict[str, str]
    position: int


async def every(call: Call) -> Response:
    form: Filter = call.form
    statuses = _statuses(form)
    query = _query(form)

    def fetch(wanted: Wanted) -> Rows:
        with views.looking(call.services.views) as view:
            rows = searching.page(view.connection, query, _within(form), _page(wanted)) if query else tasks.page(
                view.connection, ids=wanted.ids, statuses=statuses, batches=form.batch, names=form.name,
                after=wanted.after, limit=wanted.limit, newest_first=wanted.reverse,
            )  # fmt: skip
        return Rows(view.position, [shapes.task(row) for row in rows])

    return await lists.answer(call, form, form.task_id, "task_id", fetch)


def _statuses(form: Filter) -> list[Any] | None:
    return None if form.status is None else [one for one in dict.fromkeys(form.status) if one != "debug"]


def _query(form: Filter) -> Query | None:
    return None if form.q is None else parse(form.q, datetime.now(UTC))


def _within(form: Filter) -> searching.Within:
    return searching.Within(_statuses(form), form.batch, form.name)


def _page(wanted: Wanted) -> searching.Wanted:
    return searching.Wanted(wanted.ids, wanted.after, wanted.limit, wanted.reverse)


def only_ids(call: Call) -> Response:
    form: Filter = call.form
    wanted = searching.Wanted(form.task_id, form.after, form.limit or MOST_TASKS, form.reverse)
    with views.looking(call.services.views) as view:
        found = searching.ids(view.connection, _query(form) or Query(), _within(form), wanted)
    if len(found) < wanted.limit:
        return json(found, position=view.position)
    return json(found, position=view.position, X_Next_After=str(found[-1]))


async def create(call: Call) -> Response:
    spec = task_forms.spec(call.form)
    command = {"type": "create-tasks", "tasks": [spec]}
    answer = await call.services.commands.send(command, id=call.command_id, actor=call.actor)
    id = answered_about(answer, "tasks")[0]
    return await _shown(call, id, answer["last"], 201, task_forms.row(id, spec))


async def create_many(call: Call) -> Response:
    form: task_forms.Bulk = call.form
    command = {"type": "create-tasks", "tasks": [task_forms.spec(task) for task in form.tasks]}
    answer = await call.services.commands.send(command, id=call.command_id, actor=call.actor)
    ids, last = answered_about(answer, "tasks"), answer["last"]
    return json({"task_ids": ids, "position": last}, 201, position=last)


def status(call: Call) -> Response:
    form: Statuses = call.form
    with views.looking(call.services.views) as view:
        found = tasks.statuses(view.connection, list(set(form.task_id)))
    for id in form.task_id:
        if found.get(id) not in shapes.CODES:
            raise not_found(f"task {id} was {found[id]}" if id in found else f"there is no task {id}")
    return json([shapes.CODES[found[id]] for id in form.task_id], position=view.position)


def one(call: Call) -> Response:
    return _of(call.services, call.path["task_id"], 200)


async def edit(call: Call) -> Response:
    last = await editing.edit(call)
    return await _shown(call, call.path["task_id"], last, 200)


async def delete(call: Call) -> Response:
    id = call.path["task_id"]
    answer = await _steer(call, "delete", [id])
    return await _shown(call, id, answer["last"], 200)


async def act(call: Call) -> Response:
    form: Action = call.form
    answer = await _steer(call, form.action, list(dict.fromkeys(form.task_ids)))
    position = answer["last"] or call.services.freshness.views
    content = {"done": answered_about(answer, "tasks"), "refused": answer.get("refused", {}), "position": position}
    return json(content, position=position)


async def _steer(call: Call, action: str, ids: list[int]) -> dict[str, Any]:
    command = {"type": f"{action}-tasks", "tasks": ids}
    try:
        return await call.services.commands.send(command, id=call.command_id, actor=call.actor)
    except Refusal as refusal:
        if refusal.status == 404 and len(ids) == 1:
            raise not_found(f"there is no task {ids[0]}") from refusal
        raise


async def _shown(call: Call, id: int, position: int, http_status: int, otherwise: tasks.Task | None = None) -> Response:
    """The task as it is now that this was done to it: old clients read what they wrote."""
    await call.services.until(position)
    try:
        return await call.services.run(_of, call.services, id, http_status, position, otherwise)
    except StoreUnavailable:
        if otherwise is None:
            raise
        return json(
            shapes.task(otherwise), http_status, position=position
        )  # it is created: 503 would say it may not be


def _of(
    services: Services, id: int, http_status: int, position: int = 0, otherwise: tasks.Task | None = None
) -> Response:
    """`otherwise`: what is shown where the views are so far behind that they do not know the task yet."""
    with views.looking(services.views) as view:
        found = tasks.by_id(view.connection, [id]).get(id) or otherwise
    if found is None:
        raise not_found(f"there is no task {id}")
    return json(shapes.task(found), http_status, position=position or view.position)


_TASK = Answer("The task", shapes.Task)

ROUTES = [
    Route(
        "GET", "/tasks/", "read", every, "List tasks by id",
        form=Filter, answers={200: Answer("The tasks", list[shapes.Task])},
        doc="Deleted and erased tasks are listed only when their status is asked for.",
        example={"batch": ["samples"], "status": ["running", "paused"]},
    ),
    Route(
        "POST", "/tasks/", "write", create, "Submit a task",
        form=task_forms.NewTask, answers={201: _TASK},
        example={"command": "gzip -9 s1.fastq", "batch": "samples", "name": "s1", "retry": 1},
    ),
    Route(
        "POST", "/tasks/bulk", "write", create_many, "Submit up to 10,000 tasks, all or none",
        form=task_forms.Bulk, answers={201: Answer("Their ids, in order", Created)},
        doc="`required_task_ids` may hold -1, -2, …: the first, second, … task of the same request.",
        example={"tasks": [{"command": "echo one"}, {"command": "echo two", "required_task_ids": [-1]}]},
    ),
    Route(
        "GET", "/tasks/ids", "read", only_ids, "The ids alone, at most 10,000 at a time",
        form=Filter, answers={200: Answer("Ids", list[int])},
        doc="The same filters. Where there are more, `X-Next-After` says behind which id to ask for the next.",
        example={"q": "status:failed batch:x*", "limit": 10_000},
    ),
    Route(
        "GET", "/tasks/status", "read", status, "The statuses of some tasks, as numbers",
        form=Statuses, answers={200: Answer("A number for each id, in the order asked", list[int])},
        doc=", ".join(f"{word} {code}" for word, code in shapes.CODES.items()), example={"task_id": [1, 2]},
    ),
    Route(
        "POST", "/tasks/actions", "write", act, "Do the same to many tasks",
        form=Action, answers={200: Answer("Which were done, and which refused, and why", Done)},
        doc="When all are refused, so is the request.", example={"action": "resume", "task_ids": [1, 2]},
    ),
    Route("GET", "/tasks/{task_id}", "read", one, "One task", form=forms.Nothing, answers={200: _TASK}),
    Route(
        "PUT", "/tasks/{task_id}", "write", edit, "Change a task",
        form=task_forms.Changes, answers={200: _TASK},
        doc="`status`: pending relaunches what ended, resumes a paused one, releases one that waits; paused holds it.",
        example={"status": "pending", "retry": 2},
    ),
    Route(
        "DELETE", "/tasks/{task_id}", "write", delete, "Delete a task, whatever it is doing",
        form=forms.Nothing, answers={200: _TASK},
    ),
]  # fmt: skip
