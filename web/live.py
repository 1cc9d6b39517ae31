"""An execution at this moment: how far its transfers are, and what its command uses; of one that is over, its curve.

Whoever asks is looking: the agent is asked to tell it each second, until nobody has asked for some seconds. So
following it means to ask again and again, of whichever web process.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Final, Literal

from starlette.responses import Response
from typing_extensions import TypedDict

from scitq.domain import execution as ex
from scitq.domain.agent_wire import encode_post
from scitq.domain.messages import Look
from scitq.domain.telemetry import Live
from scitq.domain.telemetry import Point as CurvePoint
from scitq.projections import executions, workers
from scitq.projections.executions import Attempt, Phase
from scitq.store.curves import read_curve
from scitq.web import forms, views
from scitq.web.errors import not_found
from scitq.web.routing import Answer, Call, Route, json
from scitq.web.services import Services

LOOKS_S: Final = 10.0
"""For so long an agent tells, once it was asked to."""
ASK_EVERY_S: Final = 3.0
WAIT_S: Final = 1.5
"""For the first word of an agent; what takes longer is for the next time."""


class MovingFile(TypedDict):
    name: str
    done_bytes: int
    total_bytes: int | None


class ShownTransfer(TypedDict):
    """`part`: which of several URIs; `rate`: bytes a second."""

    what: Literal["downloading", "uploading", "pulling"]
    done_bytes: int
    total_bytes: int | None
    done_files: int
    total_files: int | None
    rate: float | None
    part: int
    parts: int
    files: list[MovingFile]


class Point(TypedDict):
    """`at_s` after its start: CPU and bytes by then, and the most memory since the point before."""

    at_s: float
    cpu_s: float
    memory_bytes: int
    read_bytes: int
    written_bytes: int


class LiveExecution(TypedDict):
    """`age_s`: for so long nothing newer was told; null when the worker has said nothing of it yet."""

    execution_id: int
    task_id: int
    worker_id: int
    status: ex.Status
    phase: Phase
    age_s: float | None
    transfer: ShownTransfer | None
    curve: list[Point]


async def live(call: Call) -> Response:
    id, services = call.path["execution_id"], call.services
    attempt, position = await services.run(_attempt, services, id)
    row = attempt.execution
    told = services.telemetry.live(row.worker, id)
    if row.ended_at is not None:
        kept: Sequence[CurvePoint] = await services.run(lambda: read_curve(services.output(), id))
        if not kept and told is not None:
            kept = told.live.curve
        return json(_shape(attempt, None, None, kept), position=position)
    asked = await _ask(services, row.worker, id)
    if told is None and asked:
        deadline = time.monotonic() + WAIT_S
        while told is None and (left_s := deadline - time.monotonic()) > 0:
            await services.telemetry.news(left_s)
            told = services.telemetry.live(row.worker, id)
    if told is None:
        return json(_shape(attempt, None, None, ()), position=position)
    return json(_shape(attempt, told.live, time.monotonic() - told.at, told.live.curve), position=position)


def _attempt(services: Services, id: int) -> tuple[Attempt, int]:
    with views.looking(services.views) as view:
        found = executions.page(view.connection, ids=[id], deleted=True, limit=1)
    if not found:
        raise not_found(f"there is no execution {id}")
    return found[0], view.position


async def _ask(services: Services, worker: int, id: int) -> bool:
    """The agent, to tell of it; not more often than is needed. Whether it was asked now."""
    if not services.telemetry.may_ask(id, ASK_EVERY_S):
        return False
    for address, incarnation in await services.run(_addresses, services, worker):
        post = encode_post(0, worker, incarnation, [Look(id, LOOKS_S)])
        services.bus.post(address, post, {"worker": str(worker), "incarnation": incarnation})
    return True


def _addresses(services: Services, worker: int) -> list[tuple[str, str]]:
    """Where its agent listens: at a gateway, or at the broker, which only it knows."""
    with views.looking(services.views) as view:
        found = workers.every(view.connection, ids=[worker])
    if not found:
        return []
    name, incarnation = found[0].worker.name, found[0].worker.incarnation
    addresses = [f"worker.{worker}.{incarnation}"]
    if services.broker is not None:
        addresses.append(services.broker.user_of(name))
    return [(address, incarnation) for address in addresses]


def _shape(attempt: Attempt, told: Live | None, age_s: float | None, curve: Sequence[CurvePoint]) -> LiveExecution:
    row = attempt.execution
    transfer = None if told is None or told.transfer is None else told.transfer
    return {
        "execution_id": row.id,
        "task_id": row.task,
        "worker_id": row.worker,
        "status": row.status,
        "phase": row.phase,
        "age_s": None if age_s is None else round(age_s, 3),
        "transfer": None if transfer is None else transfer.model_dump(),  # type: ignore[typeddict-item]
        "curve": [
            {"at_s": at_s, "cpu_s": cpu_s, "memory_bytes": memory, "read_bytes": read, "written_bytes": written}
            for at_s, cpu_s, memory, read, written in curve
        ],
    }


ROUTES = [
    Route(
        "GET",
        "/executions/{execution_id}/live",
        "read",
        live,
        "How far its transfers are, and what it uses",
        form=forms.Nothing,
        answers={200: Answer("As its worker told last", LiveExecution)},
        doc="Its worker tells of it each second while it is asked for, and for ten seconds after that. Of an execution "
        "that is over, `curve` is what it used, where that was kept: 120 points at most, sparser the longer it ran.",
    ),
]
