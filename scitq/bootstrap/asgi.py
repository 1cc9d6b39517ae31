"""The role web as an ASGI application, for those who run it under an ASGI server of their own."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack
from typing import Final

from starlette.applications import Starlette
from starlette.types import Receive, Scope, Send

from scitq.bootstrap import logs
from scitq.bootstrap.claiming import refuse_what_cannot_be_shared
from scitq.bootstrap.preparing import prepare
from scitq.bootstrap.presence import Presence
from scitq.bootstrap.roles import Role
from scitq.bootstrap.server import open_bus, shared_token
from scitq.bootstrap.web import services
from scitq.config import Settings
from scitq.errors import ScitqError
from scitq.projections import database
from scitq.store.urls import store_urls
from scitq.web.app import create_app

ROLES: Final[tuple[Role, ...]] = ("web",)


class WebRole:
    """Connects to broker and store when the ASGI server starts it, and lets go of them when it is stopped."""

    def __init__(self, settings: Settings) -> None:
        refuse_what_cannot_be_shared(settings, ROLES)
        self._settings = settings
        self._app: Starlette | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._live(scope, receive, send)
        elif self._app is None:
            raise RuntimeError("scitq.server:app was not started: let the ASGI server speak lifespan (--lifespan on)")
        else:
            await self._app(scope, receive, send)

    async def _live(self, scope: Scope, receive: Receive, send: Send) -> None:
        settings = self._settings
        logs.set_up(settings, of="scitq.server")
        try:
            await asyncio.to_thread(prepare, settings.store)
            token = shared_token(settings, ROLES)
        except ScitqError as error:
            await receive()
            await send({"type": "lifespan.startup.failed", "message": str(error)})
            return
        with ExitStack() as stack:
            bus = open_bus(settings)
            stack.callback(bus.close)
            views = database.reader(store_urls(settings.store).views)
            stack.callback(views.dispose)
            present = asyncio.ensure_future(Presence(bus, ROLES).run())
            stack.callback(present.cancel)
            self._app = create_app(services(settings, token, bus, views))
            await self._app(scope, receive, send)
