"""Workers over HTTP: who they are, what they hold, and how people set them."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal, get_args

from annotated_types import Ge, Le, MaxLen, MinLen
from pydantic import BeforeValidator
from starlette.responses import Response

from scitq.domain import execution as ex
from scitq.domain import requests
from scitq.domain.worker import Order
from scitq.projections import executions, loads, workers
from scitq.web import forms, lists, shapes, views
from scitq.web.editing import derived
from scitq.web.errors import bad_request, conflict, not_found
from scitq.web.executions import send_signal
from scitq.web.lists import Rows, Wanted
from scitq.web.routing import Answer, Call, Route, json
from scitq.web.services import Services


class Filter(forms.Form):
    """Which workers: those that match everything given."""

    worker_id: forms.Ids | None = None
    name: forms.Words | None = None
    status: Annotated[list[workers.Status], forms.SEVERAL, MaxLen(100)] | None = None
    batch: forms.Word | None = None


Count = Annotated[requests.Count, BeforeValidator(forms.whole)]


class Changes(forms.Form):
    """What is to be changed of a worker. `batch` is one name, or several with commas; or `batches`, a list."""

    concurrency: Count | None = None
    prefetch: Count | None = None
    batch: forms.Word | None = None
    batches: Annotated[list[requests.BatchName], MinLen(1), MaxLen(1_000)] | None = None
    status: Literal["running", "paused"] | None = None


ORDERS: Final[dict[int, Order]] = {-1: "clean", -2: "restart", -3: "forget"}
"""The numbers that scitq 1 gave them."""


class Signal(forms.Form):
    """A Unix signal, and for which execution. Without one, an order for the worker itself."""

    execution_id: forms.Id | None = None
    signal: Annotated[int, BeforeValidator(forms.whole), Ge(-3), Le(64)]


def every(call: Call) -> Response:
    form: Filter = call.form
    with views.looking(call.services.views) as view:
        found = workers.every(
            view.connection, ids=form.worker_id, names=form.name, statuses=form.status, batch=form.batch
        )
    return json([_shape(call.services, loaded) for loaded in found], position=view.position)


def _shape(services: Services, loaded: workers.Loaded) -> shapes.Worker:
    return shapes.worker(loaded, services.heard(loaded.worker.id), services.telemetry.machine(loaded.worker.id))


def counts(call: Call) -> Response:
    with views.looking(call.services.views) as view:
        found = workers.every(view.connection)
    content = [
        {"worker_id": loaded.worker.id, "status": status, "count": count}
        for loaded in found
        for status, count in zip(loads.Load._fields[1:], loaded.load[1:], strict=True)
        if count
    ]
    return json(content, position=view.position)


def one(call: Call) -> Response:
    return _of(call.services, call.path["worker_id"])


def _of(services: Services, id: int, position: int = 0) -> Response:
    with views.looking(services.views) as view:
        found = workers.every(view.connection, ids=[id])
    if not found:
        raise not_found(f"there is no worker {id}")
    return json(_shape(services, found[0]), position=position or view.position)


async def edit(call: Call) -> Response:
    form: Changes = call.form
    commands = _commands(call.path["worker_id"], form)
    await call.services.catch_up()
    status = await call.services.run(_status, call)
    if commands and status == "deleted" and not await call.services.run(_is_known, call):
        raise conflict(f"worker {call.path['worker_id']} was deleted")
    last = 0
    for number, command in enumerate(commands):
        key = derived(call.command_id, number) if number else call.command_id
        answer = await call.services.commands.send(command, id=key, actor=call.actor)
        last = max(last, int(answer["last"]))
    return await _shown(call, last)


def _commands(id: int, form: Changes) -> list[dict[str, Any]]:
    changes: dict[str, Any] = {
        name: value for name in ("concurrency", "prefetch", "batches") if (value := getattr(form, name)) is not None
    }
    if form.batch is not None:
        if form.batches is not None:
            raise bad_request("batch and batches say the same: send one of them")
        named = forms.read(Changes, {"batches": [name.strip() for name in form.batch.split(",")]})
        changes["batches"] = named.batches
    if "batches" in changes:
        changes["batches"] = list(dict.fromkeys(changes["batches"]))
    commands: list[dict[str, Any]] = []
    if changes:
        commands.append({"type": "edit-workers", "workers": [id], "changes": changes})
    if form.status is not None:
        commands.append({"type": "pause-workers" if form.status == "paused" else "resume-workers", "workers": [id]})
    return commands


def _status(call: Call) -> workers.Status:
    """As it is before anything is done."""
    id = call.path["worker_id"]
    with views.looking(call.services.views) as view:
        found = workers.every(view.connection, ids=[id])
    if not found:
        raise not_found(f"there is no worker {id}")
    return found[0].worker.status


def _is_known(call: Call) -> bool:
    """This very request was done before: then it is just said again."""
    return bool(call.services.journal().answers([call.command_id]))


async def delete(call: Call) -> Response:
    await call.services.catch_up()
    if await call.services.run(_status, call) == "deleted":  # the engine has forgotten it
        return await _shown(call, 0)
    command = {"type": "delete-workers", "workers": [call.path["worker_id"]]}
    answer = await call.services.commands.send(command, id=call.command_id, actor=call.actor)
    return await _shown(call, answer["last"])


async def _shown(call: Call, position: int) -> Response:
    await call.services.until(position)
    return await call.services.run(_of, call.services, call.path["worker_id"], position)


async def held(call: Call) -> Response:
    return await _executions(call, ["pending", "accepted", "running"])


async def held_with(call: Call) -> Response:
    status = call.path["status"]
    if status not in get_args(ex.Status):
        raise not_found(f"{status[:100]!r} is no status of an execution; there are {', '.join(get_args(ex.Status))}")
    return await _executions(call, [status])


async def _executions(call: Call, statuses: list[ex.Status]) -> Response:
    id = call.path["worker_id"]

    def fetch(wanted: Wanted) -> Rows:
        with views.looking(call.services.views) as view:
            if not workers.every(view.connection, ids=[id]):
                raise not_found(f"there is no worker {id}")
            found = executions.page(
                view.connection, workers=[id], statuses=statuses, after=wanted.after, limit=wanted.limit,
                newest_first=wanted.reverse,
            )  # fmt: skip
        return Rows(view.position, [shapes.held(attempt) for attempt in found])

    return await lists.answer(call, call.form, None, "execution_id", fetch)


async def signal(call: Call) -> Response:
    form: Signal = call.form
    if form.execution_id is None:
        answer = await _order(call, form.signal)
    elif form.signal < 1:
        raise bad_request("an execution gets a signal from 1 to 64: orders, below 0, are for a worker")
    else:
        answer = await send_signal(call, form.execution_id, form.signal, call.path["worker_id"])
    return json(None, position=answer["last"] or None)


async def _order(call: Call, number: int) -> dict[str, Any]:
    order = ORDERS.get(number)
    if order is None:
        known = ", ".join(f"{number} ({order})" for number, order in ORDERS.items())
        raise bad_request(f"without an execution it is an order for the worker: {known}")
    command = {"type": "order-workers", "workers": [call.path["worker_id"]], "order": order}
    return await call.services.commands.send(command, id=call.command_id, actor=call.actor)


_WORKER = Answer("The worker", shapes.Worker)
_HELD = Answer("The executions", list[shapes.HeldExecution])

ROUTES = [
    Route(
        "GET", "/workers/", "read", every, "List workers by id",
        form=Filter, answers={200: Answer("The workers", list[shapes.Worker])},
        doc="Deleted workers are listed only when their status or id is asked for.", example={"batch": "samples"},
    ),
    Route(
        "GET", "/workers/tasks", "read", counts, "How many executions of each status every worker has",
        form=forms.Nothing, answers={200: Answer("The counts that are not zero", list[shapes.Count])},
        doc="Of every task only the latest execution is counted.",
    ),
    Route("GET", "/workers/{worker_id}", "read", one, "One worker", form=forms.Nothing, answers={200: _WORKER}),
    Route(
        "PUT", "/workers/{worker_id}", "write", edit, "Set a worker's concurrency, prefetch, batches; pause, resume it",
        form=Changes, answers={200: _WORKER}, example={"concurrency": 8, "batch": "samples"},
    ),
    Route(
        "DELETE", "/workers/{worker_id}", "write", delete, "Take a worker off the list; what it holds goes back",
        form=forms.Nothing, answers={200: _WORKER},
    ),
    Route(
        "GET", "/workers/{worker_id}/executions", "read", held, "What a worker holds: pending, accepted or running",
        form=forms.Page, answers={200: _HELD}, example={"limit": 100},
    ),
    Route(
        "GET", "/workers/{worker_id}/executions/{status}", "read", held_with, "A worker's executions of one status",
        form=forms.Page, answers={200: _HELD}, example={"limit": 100},
    ),
    Route(
        "POST", "/workers/{worker_id}/signals", "write", signal, "Signal an execution of a worker, or give it an order",
        form=Signal, answers={200: Answer("It was sent")}, example={"execution_id": 1, "signal": 15},
        doc="Without `execution_id` it is an order for the worker: -1 removes what failed tasks have left, -2 starts "
        "its agent anew (commands run on), -3 has resources fetched anew. One that is away obeys when it is back.",
    ),
]  # fmt: skip
