"""The web server: uvicorn around the application, with our own ideas of how it ends."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import uvicorn
from sqlalchemy import Engine

import scitq
from scitq.bootstrap.connections import Http, Sweep, WebSocket
from scitq.bootstrap.effects import broker_users
from scitq.bootstrap.projecting import rebuild
from scitq.bus import Bus
from scitq.config import Settings
from scitq.config.values import Token
from scitq.store.urls import store_urls
from scitq.web.access import Access
from scitq.web.app import create_app
from scitq.web.services import Services

MOST_BYTES: Final = 8 * 1024 * 1024
GOODBYE_S: Final = 1.5
"""For so long an answer may still go on when the server stops."""


def services(settings: Settings, token: Token, bus: Bus, views: Engine) -> Services:
    """What the application is given."""
    return Services(
        bus=bus,
        views=views,
        store=store_urls(settings.store),
        access=Access(token, auth=settings.auth, trusted=settings.trusted, names=[settings.host]),
        version=scitq.__version__,
        rebuild=lambda name: rebuild(bus, name),
        broker=broker_users(settings, token),
    )


class Web(uvicorn.Server):
    """Signals are ours: uvicorn would raise them again after it has ended, over the heads of the other threads."""

    def __init__(self, settings: Settings, token: Token, bus: Bus, views: Engine) -> None:
        self._services = services(settings, token, bus, views)
        super().__init__(
            uvicorn.Config(
                create_app(self._services), log_config=None, access_log=False, server_header=False, date_header=False,
                http=Http, ws=WebSocket, ws_max_size=MOST_BYTES, ws_per_message_deflate=False, ws_ping_interval=10.0,
                ws_ping_timeout=20.0, proxy_headers=False, timeout_graceful_shutdown=3,
            )
        )  # fmt: skip

    async def serve_on(self, sock: socket.socket) -> None:
        """Until `should_exit` is set."""
        sweeping = asyncio.ensure_future(Sweep(self.server_state).run())
        try:
            await self.serve([sock])
        finally:
            sweeping.cancel()
            await asyncio.gather(sweeping, return_exceptions=True)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        await self._services.end_streams()
        asyncio.get_running_loop().call_later(GOODBYE_S, self._leave)
        await super().shutdown(sockets)

    def _leave(self) -> None:
        """Those who are still there read nothing, or have not said what they want: they are not waited for."""
        for connection in list(self.server_state.connections):
            connection.transport.abort()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield
