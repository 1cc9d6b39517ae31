"""Executions over HTTP: every attempt at every task, with what it printed last, and signals to those that run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

from annotated_types import Ge, Le, MaxLen
from pydantic import BeforeValidator
from starlette.responses import Response

from scitq.domain import execution as ex
from scitq.projections import executions
from scitq.web import forms, lists, outputs, shapes, views
from scitq.web.errors import Refusal, not_found
from scitq.web.lists import Rows, Wanted
from scitq.web.routing import Answer, Call, Route, json
from scitq.web.services import Services

MOST_CHARS = 1024 * 1024


class Filter(forms.Page):
    """Which executions: those that match everything given; and how much of their output."""

    execution_id: forms.Ids | None = None
    task_id: forms.Ids | None = None
    worker_id: forms.Ids | None = None
    status: Annotated[list[ex.Status], forms.SEVERAL, MaxLen(100)] | None = None
    latest: forms.Flag | None = None
    batch: forms.Words | None = None
    task_name: forms.Words | None = None
    no_output: forms.Flag = False
    trunc: Annotated[int, BeforeValidator(forms.whole), Ge(0), Le(MOST_CHARS)] | None = None


class Signal(forms.Form):
    """A Unix signal, by its number."""

    signal: forms.AnySignal


async def every(call: Call) -> Response:
    form: Filter = call.form

    def fetch(wanted: Wanted) -> Rows:
        with views.looking(call.services.views) as view:
            found = executions.page(
                view.connection, ids=wanted.ids, tasks=form.task_id, workers=form.worker_id, statuses=form.status,
                latest=form.latest, batches=form.batch, task_names=form.task_name, after=wanted.after,
                limit=wanted.limit, newest_first=wanted.reverse,
            )  # fmt: skip
        return Rows(view.position, [shapes.execution(attempt) for attempt in found])

    def finish(rows: Sequence[Any]) -> Sequence[Any]:
        return _with_output(call.services, rows, form.trunc)

    if not form.no_output and (form.execution_id or form.task_id):  # whoever waited for these reads what they printed
        await outputs.arrived(call.services, form.execution_id, form.task_id)
    return await lists.answer(call, form, form.execution_id, "execution_id", fetch, None if form.no_output else finish)


def _with_output(services: Services, rows: Sequence[shapes.Execution], chars: int | None) -> Sequence[shapes.Execution]:
    found = outputs.inline(services, [row["execution_id"] for row in rows], chars)
    for row in rows:
        row["output"] = found.get((row["execution_id"], outputs.STDOUT), "")
        row["error"] = found.get((row["execution_id"], outputs.STDERR), "")
    return rows


async def one(call: Call) -> Response:
    await outputs.arrived(call.services, [call.path["execution_id"]])
    return await call.services.run(_one, call)


def _one(call: Call) -> Response:
    id = call.path["execution_id"]
    with views.looking(call.services.views) as view:
        found = executions.page(view.connection, ids=[id], deleted=True, limit=1)
    if not found:
        raise not_found(f"there is no execution {id}")
    (shown,) = _with_output(call.services, [shapes.execution(found[0])], None)
    return json(shown, position=view.position)


async def signal(call: Call) -> Response:
    form: Signal = call.form
    answer = await send_signal(call, call.path["execution_id"], form.signal)
    return json(shapes.DONE, position=answer["last"] or None)


async def send_signal(call: Call, id: int, number: int, worker: int | None = None) -> dict[str, Any]:
    """To one execution that runs; with `worker`, if it is that one's."""

    def check() -> None:
        with views.looking(call.services.views) as view:
            found = executions.page(view.connection, ids=[id], deleted=True, limit=1)
        if not found or (worker is not None and found[0].execution.worker != worker):
            raise not_found(f"there is no execution {id}" + ("" if worker is None else f" of worker {worker}"))

    command = {"type": "signal-executions", "executions": [id], "signal": number}
    if worker is not None:
        await call.services.catch_up()
        await call.services.run(check)
    try:
        return await call.services.commands.send(command, id=call.command_id, actor=call.actor)
    except Refusal as refusal:
        if refusal.status == 409:
            await call.services.catch_up()
            await call.services.run(check)  # to the engine one that never was and one that has ended are the same
        raise


_LIST = Answer("The executions", list[shapes.Execution])

ROUTES = [
    Route(
        "GET", "/executions/", "read", every, "List executions by id",
        form=Filter, answers={200: _LIST},
        doc="`output` and `error` hold the last megabyte of each, or `trunc` characters of it; with `no_output` null.",
        example={"task_id": [1], "latest": True},
    ),
    Route(
        "GET", "/executions/{execution_id}", "read", one, "One execution, with the last megabyte of its output",
        form=forms.Nothing, answers={200: Answer("The execution", shapes.Execution)},
    ),
    Route(
        "POST", "/executions/{execution_id}/signals", "write", signal, "Send a signal to a running execution",
        form=Signal, answers={200: Answer("It was sent", shapes.Done)}, example={"signal": 15},
    ),
]  # fmt: skip
