"""The application: every route there is, over the services it was given."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any

from starlette.applications import Starlette
from starlette.routing import BaseRoute, Match
from starlette.types import Receive, Scope, Send

from scitq.web import (
    batches,
    enrol,
    events,
    executions,
    gateway,
    live,
    openapi,
    outputs,
    parked,
    status,
    tasks,
    ui,
    workers,
)
from scitq.web.dispatch import Dispatch
from scitq.web.routing import AnyRoute, Table
from scitq.web.services import Services

MODULES: tuple[Any, ...] = (
    tasks, workers, enrol, gateway, executions, live, outputs, batches, events, status, parked, openapi, ui,
)  # fmt: skip


def all_routes() -> list[AnyRoute]:
    """In the order in which the documentation shows them."""
    return [route for module in MODULES for route in module.ROUTES]


def create_app(services: Services, routes: Iterable[AnyRoute] | None = None) -> Starlette:
    """Refuses to be built when a route says not who may use it."""
    dispatch = Dispatch(services, Table(all_routes() if routes is None else routes))

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        await services.start()
        try:
            yield
        finally:
            await services.close()

    return Starlette(routes=[_Everything(dispatch)], lifespan=lifespan)


class _Everything(BaseRoute):
    """Starlette's routing is passed by: one table finds the route, and who may use it is asked of what was found."""

    def __init__(self, dispatch: Dispatch) -> None:
        self._dispatch = dispatch

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        return (Match.FULL if scope["type"] in ("http", "websocket") else Match.NONE), {}

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._dispatch(scope, receive, send)
