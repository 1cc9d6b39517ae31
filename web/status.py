"""How the server is: alive, ready, and how far each projection has come."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable
from typing import Final, NamedTuple

from pydantic import BaseModel
from starlette.responses import Response

from scitq.errors import StoreError
from scitq.projections import catalog, runner
from scitq.web import forms, shapes, views
from scitq.web.errors import not_found
from scitq.web.processes import EngineProcess
from scitq.web.routing import Answer, Call, Route, json
from scitq.web.services import Services

log = logging.getLogger(__name__)

MOMENT_S: Final = 2.0
LATE_S: Final = 60.0
"""From then on it is an alert."""


class Health(BaseModel):
    """`time`: by the clock of the server, in seconds since 1970."""

    status: str
    version: str
    time: float


class Following(BaseModel):
    """How far a projection is behind the log: in events, and for how long the next one has waited for it."""

    name: str
    position: int
    lag: int
    behind_s: float
    stopped: str | None


class Waiting(BaseModel):
    """A queue: how many messages wait, and for how long it was not seen empty, which none of them waits longer."""

    name: str
    waiting: int
    busy_s: float


class Ready(BaseModel):
    """`engine`: one leads. `lag`: by how many events the views are behind. `stopped`: the projections that failed.

    `parked`: messages put aside. `alerts`: what somebody should look at, though the server works. What is not known is
    null, or an empty list.
    """

    ready: bool
    engine: bool
    epoch: int | None
    standbys: int
    position: int
    lag: int
    stopped: list[str]
    projections: list[Following]
    queues: list[Waiting]
    parked: int | None
    alerts: list[str]
    message: str


class Leader(BaseModel):
    leads: bool
    epoch: int | None
    holder: str | None


class ShownProcess(BaseModel):
    host: str
    pid: int
    roles: list[str]
    version: str
    started_date: shapes.Date | None
    engine: EngineProcess | None


class Status(BaseModel):
    """`bus`: why nothing goes over it, if so. `head`: where the log ends."""

    ready: bool
    message: str
    alerts: list[str]
    engine: Leader
    standbys: int
    head: int
    bus: str | None
    projections: list[Following]
    queues: list[Waiting]
    parked: int | None
    processes: list[ShownProcess]


class Projection(BaseModel):
    name: str
    version: int
    position: int
    lag: int
    stopped: str | None


async def health(call: Call) -> Response:
    """Asks nobody: a store that is away is no reason to kill a web process."""
    return json({"status": "ok", "version": call.services.version, "time": time.time()})


class Look(NamedTuple):
    """How the server stands: what both answers are made of."""

    troubles: list[str]
    head: int
    following: list[Following]
    queues: list[Waiting]
    parked: int | None
    alerts: list[str]

    @property
    def message(self) -> str:
        return "; ".join(self.troubles) or "ready"


async def ready(call: Call) -> Response:
    """For load balancers: it has an answer whatever is broken. Without names, as anybody may ask."""
    look, processes = await _look(call), call.services.processes
    leader = processes.leader()
    position = min((one.position for one in look.following), default=0)
    content = Ready(
        ready=not look.troubles,
        engine=call.services.freshness.led,
        epoch=leader.engine.epoch if leader is not None and leader.engine is not None else None,
        standbys=processes.standbys(),
        position=position,
        lag=max(look.head - position, 0),
        stopped=sorted(one.name for one in look.following if one.stopped),
        projections=[one.model_copy(update={"stopped": one.stopped and "stopped"}) for one in look.following],
        queues=look.queues,
        parked=look.parked,
        alerts=look.alerts,
        message=look.message,
    )
    return json(content.model_dump(), 503 if look.troubles else 200)


async def status(call: Call) -> Response:
    """For people, and what watches for them."""
    look, processes, led = await _look(call), call.services.processes, call.services.freshness.led
    leader = processes.leader() if led else None
    content = Status(
        ready=not look.troubles,
        message=look.message,
        alerts=look.alerts,
        engine=Leader(
            leads=led,
            epoch=leader.engine.epoch if leader is not None and leader.engine is not None else None,
            holder=None if leader is None else leader.name,
        ),
        standbys=processes.standbys(),
        head=look.head,
        bus=call.services.bus.trouble,
        projections=look.following,
        queues=look.queues,
        parked=look.parked,
        processes=[
            ShownProcess(**one.model_dump(exclude={"id", "started", "ended"}), started_date=shapes.date(one.started))
            for one in processes.alive()
        ],
    )
    return json(content.model_dump())


async def _look(call: Call) -> Look:
    services = call.services
    troubles, head, following = list[str](), services.freshness.engine, list[Following]()
    try:
        async with asyncio.timeout(MOMENT_S):
            head, following = await services.run(_standing, call)
    except (StoreError, TimeoutError):
        troubles.append("the store cannot be read")
    if services.bus.trouble is not None:
        troubles.append(f"the broker cannot be used: {services.bus.trouble}")
    if not services.freshness.led:
        troubles.append("no engine leads")
    if stopped := sorted(one.name for one in following if one.stopped):
        troubles.append(f"stopped: {', '.join(stopped)}")
    depths = dict(services.bus.depths())
    aside = depths.pop("parked", None)
    queues = [Waiting(name=name, waiting=one.waiting, busy_s=round(one.busy_s, 1)) for name, one in depths.items()]
    alerts = [f"the projection {one.name} is {one.behind_s:.0f} s behind" for one in following if one.behind_s > LATE_S]
    alerts += [
        f"the queue of {one.name} has not been empty for {one.busy_s:.0f} s: {one.waiting} messages wait"
        for one in queues if one.busy_s > LATE_S
    ]  # fmt: skip
    if aside is not None and aside.waiting:
        alerts.append(f"messages are put aside ({aside.waiting}): scitq-manage bus parked list")
    return Look(troubles, head, following, queues, None if aside is None else aside.waiting, alerts)


def _standing(call: Call) -> tuple[int, list[Following]]:
    with views.looking(call.services.views) as view:
        found = runner.positions(view.connection)
    journal, waits_since = call.services.journal(), dict[int, int]()
    head, now = journal.head().position, time.time_ns() // 1000
    following = []
    for projection in catalog.ALL:
        one = found.get(projection.name)
        known = one is not None and one.version == projection.version
        position = one.position if one is not None and known else 0
        if position < head and position not in waits_since:
            events = journal.read(position, 1)
            waits_since[position] = events[0].time if events else now
        behind = max(now - waits_since[position], 0) / 1_000_000 if position < head else 0.0
        stopped = one.stopped if one is not None and known else None
        lag = max(head - position, 0)
        following.append(
            Following(name=projection.name, position=position, lag=lag, behind_s=round(behind, 1), stopped=stopped)
        )
    return head, following


def projections(call: Call) -> Response:
    head = call.services.journal().head().position
    with views.looking(call.services.views) as view:
        found = runner.positions(view.connection)
    content = []
    for projection in catalog.ALL:
        one = found.get(projection.name)
        known = one is not None and one.version == projection.version
        position = one.position if one is not None and known else 0
        content.append(
            {
                "name": projection.name,
                "version": projection.version,
                "position": position,
                "lag": max(head - position, 0),
                "stopped": one.stopped if one is not None and known else None,
            }
        )
    return json(content, position=view.position)


class Rebuilds:
    """Those that are going on: they do not end with the request that asked for them."""

    def __init__(self, services: Services) -> None:
        self._going: set[asyncio.Future[None]] = set()

    async def begin(self, rebuilding: Awaitable[None]) -> bool:
        """Whether it ended within a moment."""
        future = asyncio.ensure_future(rebuilding)
        self._going.add(future)
        future.add_done_callback(self._ended)
        await asyncio.wait([future], timeout=MOMENT_S)
        if future.done():
            future.result()
        return future.done()

    def _ended(self, future: asyncio.Future[None]) -> None:
        self._going.discard(future)
        if not future.cancelled() and future.exception() is not None:
            log.error("a projection could not be rebuilt", exc_info=future.exception())

    async def close(self) -> None:
        for future in list(self._going):
            future.cancel()


async def rebuild(call: Call) -> Response:
    name, names = call.path["name"], [projection.name for projection in catalog.ALL]
    if name not in names:
        raise not_found(f"there is no projection {name[:100]!r}; there are {', '.join(names)}")
    ended = await call.services.part(Rebuilds).begin(call.services.rebuild(name))
    return json(shapes.DONE, 200 if ended else 202)


ROUTES = [
    Route("GET", "/health", "open", health, "The web process answers", answers={200: Answer("It does", Health)}),
    Route(
        "GET", "/ready", "open", ready, "The server can take work: an engine leads, and the views follow",
        answers={200: Answer("It can", Ready), 503: Answer("It cannot, and why", Ready)},
    ),
    Route(
        "GET", "/status", "read", status, "How the server stands: who leads, what is behind, of what it consists",
        form=forms.Nothing, answers={200: Answer("It answers, ready or not", Status)},
    ),
    Route(
        "GET", "/projections", "read", projections, "How far each projection has come",
        form=forms.Nothing, answers={200: Answer("The projections", list[Projection])},
        doc="`lag` is in events; `stopped` says why one cannot go on.",
    ),
    Route(
        "POST", "/projections/{name}/rebuild", "admin", rebuild, "Fold a projection anew from the log",
        form=forms.Nothing, named="tasks",
        answers={
            200: Answer("It was done", shapes.Done),
            202: Answer("It goes on: GET /projections tells how far it is", shapes.Done),
        },
    ),
]  # fmt: skip
