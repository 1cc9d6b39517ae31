"""How the server is: alive, ready, and how far each projection has come."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable
from typing import Final

from pydantic import BaseModel
from starlette.responses import Response

from scitq.errors import StoreError
from scitq.projections import catalog, runner
from scitq.web import forms, shapes, views
from scitq.web.errors import not_found
from scitq.web.routing import Answer, Call, Route, json
from scitq.web.services import Services

log = logging.getLogger(__name__)

MOMENT_S: Final = 2.0


class Health(BaseModel):
    status: str
    version: str


class Ready(BaseModel):
    """`engine`: one leads. `lag`: by how many events the views are behind. `stopped`: the projections that failed."""

    ready: bool
    engine: bool
    position: int
    lag: int
    stopped: list[str]
    message: str


class Projection(BaseModel):
    name: str
    version: int
    position: int
    lag: int
    stopped: str | None


async def health(call: Call) -> Response:
    """Asks nobody: a store that is away is no reason to kill a web process."""
    return json({"status": "ok", "version": call.services.version})


async def ready(call: Call) -> Response:
    """For load balancers: it has an answer whatever is broken."""
    freshness = call.services.freshness
    position, stopped, troubles = 0, list[str](), list[str]()
    try:
        async with asyncio.timeout(MOMENT_S):
            position, stopped = await call.services.run(_standing, call)
    except (StoreError, TimeoutError):
        troubles.append("the store cannot be read")
    if call.services.bus.trouble is not None:
        troubles.append(f"the broker cannot be used: {call.services.bus.trouble}")
    if not freshness.led:
        troubles.append("no engine leads")
    if stopped:
        troubles.append(f"stopped: {', '.join(stopped)}")
    content = {
        "ready": not troubles,
        "engine": freshness.led,
        "position": position,
        "lag": max(freshness.engine - position, 0),
        "stopped": stopped,
        "message": "; ".join(troubles) or "ready",
    }
    return json(content, 503 if troubles else 200)


def _standing(call: Call) -> tuple[int, list[str]]:
    with views.looking(call.services.views) as view:
        found = runner.positions(view.connection)
        return view.position, sorted(name for name, one in found.items() if one.stopped)


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
        "GET", "/projections", "read", projections, "How far each projection has come",
        form=forms.Nothing, answers={200: Answer("The projections", list[Projection])},
        doc="`lag` is in events; `stopped` says why one cannot go on.",
    ),
    Route(
        "POST", "/projections/{name}/rebuild", "admin", rebuild, "Fold a projection anew from the log",
        form=forms.Nothing,
        answers={
            200: Answer("It was done", shapes.Done),
            202: Answer("It goes on: GET /projections tells how far it is", shapes.Done),
        },
    ),
]  # fmt: skip
