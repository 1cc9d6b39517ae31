"""A server, or some of its roles, in one process: the web in the main thread, each other part in one of its own."""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
import sys
import time
from collections.abc import Collection, Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Final, Protocol

import uvloop

from scitq import tokens
from scitq.bootstrap import logs, service
from scitq.bootstrap.claiming import IN_PROCESS, claimed, told_to_leave
from scitq.bootstrap.effects import EffectsHost, broker_users
from scitq.bootstrap.engine import EngineHost
from scitq.bootstrap.preparing import prepare_patiently
from scitq.bootstrap.presence import Presence
from scitq.bootstrap.projecting import ProjectionHost
from scitq.bootstrap.recording import RecorderHost
from scitq.bootstrap.roles import ROLES, Role
from scitq.bootstrap.snapshotting import SnapshotHost
from scitq.bootstrap.threads import Host
from scitq.bootstrap.web import Web
from scitq.bus import Bus, Inbox, Message
from scitq.bus.local import LocalBus
from scitq.bus.rabbitmq import RabbitBus
from scitq.config import Settings
from scitq.config.values import Token
from scitq.errors import Rejected, ScitqError
from scitq.projections import database
from scitq.store.urls import store_urls

log = logging.getLogger(__name__)

OPEN_S: Final = 5.0
STOP_S: Final = 8.0
SWITCH_S: Final = 0.001
"""How long a thread may keep the interpreter while others want it: five milliseconds, the default, can be felt."""


def run(settings: Settings, roles: Collection[Role] = ROLES) -> int:
    """Serve until somebody says stop; the process' exit code."""
    logs.set_up(settings, of="scitq.server")
    with claimed(settings, roles) as sock:
        return serve(settings, sock, roles=roles)


def serve(
    settings: Settings, sock: socket.socket | None, beside: Beside | None = None, roles: Collection[Role] = ROLES
) -> int:
    """Serve on a socket that listens already."""
    prepare_patiently(settings.store)
    token = shared_token(settings, roles)
    with ExitStack() as stack:
        if sock is not None:
            stack.enter_context(_published(token, settings.host, sock.getsockname()[1]))
        return Server(settings, token, sock, beside, roles).serve()


def open_bus(settings: Settings) -> Bus:
    return LocalBus() if settings.bus == IN_PROCESS else RabbitBus(settings.bus, prefix=settings.bus_prefix)


def shared_token(settings: Settings, roles: Collection[Role]) -> Token:
    """All processes of a server have the same: that of the settings, or of a folder that they share."""
    if settings.token is not None:
        return settings.token
    if "web" in roles and set(roles) != set(ROLES):
        log.info(
            "the token is that of this machine's folder; web processes elsewhere need the same one as SCITQ_TOKEN",
            extra={"folder": settings.data},
        )
    return tokens.server_token(settings.data)


class Beside(Protocol):
    """What runs in the server's loop as long as the server does: `scitq up` looks after its agent."""

    async def run(self, server: Server) -> None: ...

    async def before_stop(self, number: int) -> None:
        """A signal asks the server to stop: what has to be done while it still serves."""


class Server:
    """Those parts of a server that its roles name, and their end. Without the role web there is no socket."""

    def __init__(
        self,
        settings: Settings,
        token: Token,
        sock: socket.socket | None,
        beside: Beside | None,
        roles: Collection[Role],
    ) -> None:
        self.settings, self.token, self._sock, self._beside = settings, token, sock, beside
        self.port = settings.port if sock is None else sock.getsockname()[1]
        self.code = 0
        self._roles = roles
        self._ending: asyncio.Future[None] | None = None
        self._stopped = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopping, self._ready = asyncio.Event(), asyncio.Event()
        self.bus = open_bus(settings)
        store = store_urls(settings.store)
        self._views = database.reader(store.views)
        self._hosts: list[Host] = []
        if "projections" in roles:
            self._hosts += [
                ProjectionHost(store.events, store.views, self.bus, self._on_failure),
                RecorderHost(store.output, store.views, self.bus, self._on_failure),
                SnapshotHost(store.events, self._on_failure),
            ]
        known = token if settings.token is not None or "web" in roles else None  # else it is this folder's alone
        if "effects" in roles and (users := broker_users(settings, known)) is not None:
            self._hosts.append(EffectsHost(users, store.views, self.bus, self._on_failure))
        elif set(roles) == {"effects"}:
            log.warning("this process has nothing to do: SCITQ_BUS_ADMIN is not set")
        if "engine" in roles:
            self._hosts.append(EngineHost(store.events, self.bus, self._on_failure))
        self._web = None if sock is None else Web(settings, token, self.bus, self._views)

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
        self._stopped = True
        if self._web is not None:
            self._web.should_exit = True
        if self._loop is not None:
            with suppress(RuntimeError):  # it has ended
                self._loop.call_soon_threadsafe(self._stopping.set)

    async def until_ready(self) -> None:
        """Until an engine leads: from then on commands are answered."""
        await self._ready.wait()

    async def _main(self) -> None:
        self._loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            self._loop.add_signal_handler(number, self._on_signal, number)
        if told_to_leave():
            return
        tasks = [asyncio.ensure_future(self._announce(self.bus.follow("engine")))]
        tasks.append(asyncio.ensure_future(Presence(self.bus, self._roles, self._hosts).run()))
        if self._beside is not None:
            tasks.append(asyncio.ensure_future(self._beside.run(self)))
        try:
            await self._start_hosts()
            if self._stopped:
                return
            service.tell(service.READY, service.doing("waits for an engine that leads"))
            if self._web is not None and self._sock is not None:
                await self._web.serve_on(self._sock)
            else:
                await self._stopping.wait()
        finally:
            for task in tasks:
                task.cancel()
            for error in await asyncio.gather(*tasks, return_exceptions=True):
                if isinstance(error, Exception):
                    self._on_failure("beside", error)

    async def _start_hosts(self) -> None:
        for host in self._hosts:
            if self._stopped:
                return
            host.start()
            if isinstance(host, ProjectionHost):
                await asyncio.to_thread(host.opened.wait, OPEN_S)  # or the first question finds no tables

    async def _announce(self, beats: Inbox[Message]) -> None:
        with beats:
            await beats.receive(1)
        log.info("the server is ready", extra={"host": self.settings.host, "port": self.port})
        service.tell(service.doing("serves"))
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
        service.tell(service.STOPPING)
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
