"""The server in one process: engine, projections and recorder in threads, the web in the main one."""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, Protocol

import uvicorn
import uvloop

import scitq
from scitq import tokens
from scitq.bootstrap import logs
from scitq.bootstrap.claiming import claimed
from scitq.bootstrap.connections import Http, Sweep, WebSocket
from scitq.bootstrap.engine import EngineHost
from scitq.bootstrap.projecting import ProjectionHost
from scitq.bootstrap.recording import RecorderHost
from scitq.bootstrap.threads import Host
from scitq.bus import Inbox, Message
from scitq.bus.local import LocalBus
from scitq.config import Settings
from scitq.config.values import Token
from scitq.errors import Rejected, ScitqError, StoreError
from scitq.projections import database
from scitq.store.health import exists
from scitq.store.journal import open_journal
from scitq.store.output import open_output
from scitq.store.upgrade import upgrade
from scitq.store.urls import shown, store_urls
from scitq.web.access import Access
from scitq.web.app import create_app
from scitq.web.services import Services

log = logging.getLogger(__name__)

OPEN_S: Final = 5.0
STOP_S: Final = 8.0
GOODBYE_S: Final = 1.5
"""For so long an answer may still go on when the server stops."""
SWITCH_S: Final = 0.001
"""How long a thread may keep the interpreter while others want it: five milliseconds, the default, can be felt."""


def run(settings: Settings) -> int:
    """Serve until somebody says stop; the process' exit code."""
    logs.set_up(settings, of="scitq.server")
    with claimed(settings) as sock:
        return serve(settings, sock)


def serve(settings: Settings, sock: socket.socket, beside: Beside | None = None) -> int:
    """Serve on a socket that listens already."""
    _prepare(settings.store)
    token = settings.token or tokens.server_token(settings.data)
    with _published(token, settings.host, sock.getsockname()[1]):
        return Server(settings, token, sock, beside).serve()


def _prepare(store: str | None) -> None:
    """Make the store where there is none. What is wrong with it is said here, once, and not by each of the parts."""
    urls = store_urls(store)
    if not exists(store):
        if _is_there(urls.output):  # or it would be shown as that of the new log's executions, which count from 1 too
            raise Rejected(
                f"the log {shown(urls.events)} is gone, and what it is the log of is still there: bring it back from "
                f"a copy, or move {shown(urls.output)} away too, to begin anew"
            )
        upgrade(store)
    open_journal(urls.events).close()
    open_output(urls.output).close()


def _is_there(output: str) -> bool:
    try:
        open_output(output).close()
    except StoreError:
        return False
    return True


class Beside(Protocol):
    """What runs in the server's loop as long as the server does: `scitq up` looks after its agent."""

    async def run(self, server: Server) -> None: ...

    async def before_stop(self, number: int) -> None:
        """A signal asks the server to stop: what has to be done while it still serves."""


class Server:
    """All parts of a server, and their end."""

    def __init__(self, settings: Settings, token: Token, sock: socket.socket, beside: Beside | None) -> None:
        self.settings, self.token, self._sock, self._beside = settings, token, sock, beside
        self.port: int = sock.getsockname()[1]
        self.code = 0
        self._ending: asyncio.Future[None] | None = None
        self.bus = LocalBus()
        store = store_urls(settings.store)
        self._views = database.reader(store.views)
        self._projections = projections = ProjectionHost(store.events, store.views, self.bus, self._on_failure)
        self._hosts: list[Host] = [
            projections,
            RecorderHost(store.output, store.views, self.bus, self._on_failure),
            EngineHost(store.events, self.bus, self._on_failure),
        ]
        services = Services(
            bus=self.bus,
            views=self._views,
            store=store,
            access=Access(token, auth=settings.auth, trusted=settings.trusted, names=[settings.host]),
            version=scitq.__version__,
            rebuild=lambda name: asyncio.wrap_future(projections.rebuild(name)),
        )
        config = uvicorn.Config(
            create_app(services), log_config=None, access_log=False, server_header=False, date_header=False,
            http=Http, ws=WebSocket, ws_max_size=8 * 1024 * 1024, ws_per_message_deflate=False, ws_ping_interval=10.0,
            ws_ping_timeout=20.0, proxy_headers=False, timeout_graceful_shutdown=3,
        )  # fmt: skip
        self._web = _Web(config, services)

    def serve(self) -> int:
        """Until SIGTERM or SIGINT, or until a part of it fails."""
        sys.setswitchinterval(SWITCH_S)
        try:
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                runner.run(self._main())
        finally:
            self._end()
        return self.code

    def stop(self) -> None:
        """Let it end; from any thread."""
        self._web.should_exit = True

    async def until_ready(self) -> None:
        """Until an engine leads: from then on commands are answered."""
        await self._ready.wait()

    async def _main(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._on_signal, number)
        self._ready = asyncio.Event()
        tasks = [
            asyncio.ensure_future(self._announce(self.bus.follow("engine"))),
            asyncio.ensure_future(Sweep(self._web.server_state).run()),
        ]
        if self._beside is not None:
            tasks.append(asyncio.ensure_future(self._beside.run(self)))
        try:
            self._projections.start()
            await asyncio.to_thread(self._projections.opened.wait, OPEN_S)  # or the first question finds no tables
            if self._web.should_exit:
                return
            for host in self._hosts[1:]:
                host.start()
            await self._web.serve([self._sock])
        finally:
            for task in tasks:
                task.cancel()
            for error in await asyncio.gather(*tasks, return_exceptions=True):
                if isinstance(error, Exception):
                    self._on_failure("beside", error)

    async def _announce(self, beats: Inbox[Message]) -> None:
        with beats:
            await beats.receive(1)
        log.info("the server is ready", extra={"host": self.settings.host, "port": self.port})
        self._ready.set()

    def _on_signal(self, number: int) -> None:
        """The first one lets it end in order; a second one does not wait for that."""
        if self._beside is None or self._ending is not None:
            self.stop()
        else:
            self._ending = asyncio.ensure_future(self._end_in_order(self._beside, number))

    async def _end_in_order(self, beside: Beside, number: int) -> None:
        try:
            await beside.before_stop(number)
        finally:
            self.stop()

    def _on_failure(self, name: str, error: BaseException) -> None:
        """A part of the server cannot go on. The rest would only look as if it worked."""
        told = isinstance(error, ScitqError)  # a sentence that says all; else it says where it was
        log.error(
            "a part of the server has failed: it ends",
            extra={"part": name, "error": str(error) if told else repr(error)},
            exc_info=None if told else error,
        )
        self.code = 1
        self.stop()

    def _end(self) -> None:
        """The engine first, so that what it says is still heard."""
        deadline = time.monotonic() + STOP_S
        for host in reversed(self._hosts):
            if not host.started:
                continue
            host.stop()
            if not host.join(max(deadline - time.monotonic(), 0.1)):
                log.warning("a part of the server did not end in time", extra={"part": host.name})
        self.bus.close()
        self._views.dispose()
        log.info("the server has stopped")


class _Web(uvicorn.Server):
    """Signals are ours: uvicorn would raise them again after it has ended, over the heads of the other threads."""

    def __init__(self, config: uvicorn.Config, services: Services) -> None:
        super().__init__(config)
        self._services = services

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


@contextmanager
def _published(token: Token, host: str, port: int) -> Iterator[None]:
    """Clients of this user find the token while the server is there."""
    try:
        tokens.publish(token, host, port)
    except Rejected as reason:
        log.warning("local clients will not find the token by themselves", extra={"reason": str(reason)})
    try:
        yield
    finally:
        try:
            tokens.withdraw(token, host, port)
        except Rejected as reason:
            log.warning("the token could not be taken back", extra={"reason": str(reason)})
