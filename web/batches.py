"""Batches over HTTP: how many tasks of each status, who serves them; stopped, started and emptied."""

from __future__ import annotations

from typing import Annotated, Final

from annotated_types import Ge, Le
from pydantic import BeforeValidator
from starlette.responses import Response

from scitq.domain.batch import check_name
from scitq.errors import Rejected
from scitq.projections import batches, tasks
from scitq.web import forms, shapes, views
from scitq.web.editing import derived
from scitq.web.errors import Refusal, bad_request
from scitq.web.routing import Answer, Call, Route, json
from scitq.web.services import Services

PORTION: Final = 10_000


class Signal(forms.Form):
    """A Unix signal for everything of the batch that runs; 0 is none."""

    signal: Annotated[int, BeforeValidator(forms.whole), Ge(0), Le(64)] | None = None


def every(call: Call) -> Response:
    with views.looking(call.services.views) as view:
        found = batches.every(view.connection)
    return json([shapes.batch(served) for served in found], position=view.position)


async def stop(call: Call) -> Response:
    return await _steer(call, "stop-batch")


async def go(call: Call) -> Response:
    return await _steer(call, "start-batch")


async def _steer(call: Call, type: str) -> Response:
    form: Signal = call.form
    command = {"type": type, "batch": _name(call), "signal": form.signal or 0}
    answer = await call.services.commands.send(command, id=call.command_id, actor=call.actor)
    await call.services.until(answer["last"])
    return json(shapes.DONE, position=answer["last"] or None)


def _name(call: Call) -> str:
    try:
        return check_name(call.path["name"])
    except Rejected as error:
        raise bad_request(str(error)) from error


async def delete(call: Call) -> Response:
    """Portion by portion: each is one command, and a new attempt goes on where the last one was cut off."""
    name, after, last = _name(call), 0, 0
    await call.services.catch_up()  # or it would not find what was submitted a moment ago
    while ids := await call.services.run(_tasks_of, call.services, name, after):
        after = ids[-1]
        command = {"type": "delete-tasks", "tasks": ids}
        try:
            key = derived(call.command_id, ids[0])
            answer = await call.services.commands.send(command, id=key, actor=call.actor)
        except Refusal as refusal:
            if refusal.status not in (404, 409):
                raise
            continue  # they were erased meanwhile: the views will say so
        last = max(last, int(answer["last"]))
    await call.services.until(last)
    return json(shapes.DONE, position=last or None)


def _tasks_of(services: Services, name: str, after: int) -> list[int]:
    with views.looking(services.views) as view:
        return [task.id for task in tasks.page(view.connection, batches=[name], after=after, limit=PORTION)]


_DONE = Answer("It was done", shapes.Done)

ROUTES = [
    Route(
        "GET", "/batch/", "read", every, "List batches by name, with the counts of their tasks",
        form=forms.Nothing, answers={200: Answer("The batches", list[shapes.Batch])},
        doc="A count of zero is null.",
    ),
    Route(
        "PUT", "/batch/{name}/stop", "write", stop, "Start nothing more of a batch",
        form=Signal, answers={200: _DONE}, example={"signal": 15}, named="samples",
        doc="With `signal`, everything of it that runs gets that. A batch need not have tasks yet.",
    ),
    Route(
        "PUT", "/batch/{name}/go", "write", go, "Let a stopped batch go on", form=Signal, answers={200: _DONE},
        example={"signal": 18}, named="samples",
    ),
    Route(
        "DELETE", "/batch/{name}", "write", delete, "Delete all tasks of a batch", form=forms.Nothing,
        answers={200: _DONE}, named="samples",
    ),
]  # fmt: skip
