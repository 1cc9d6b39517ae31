"""What the application is given, and what it makes of it: everything a route may need stands here.

call.services.commands.send({...})        a command to the engine, and its answer
await call.services.run(function, *args)  something that reads a store, in a thread
call.services.part(EventFeed)             one object for the whole application, made when first asked for
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import Any, Protocol, TypeVar, cast

from sqlalchemy import Engine

from scitq.bus import Bus
from scitq.bus.rabbit_admin import BrokerUsers
from scitq.errors import StoreUnavailable
from scitq.store.journal import Journal
from scitq.store.output import OutputLog
from scitq.store.urls import StoreUrls
from scitq.web import views
from scitq.web.access import Access
from scitq.web.commands import Commands
from scitq.web.freshness import Freshness
from scitq.web.heard import Heard
from scitq.web.processes import Processes
from scitq.web.siblings import Siblings
from scitq.web.telemetry import Telemetries
from scitq.web.threads import Threads

T = TypeVar("T")


class Part(Protocol):
    """Something of which the application has one: a follower of a channel, say."""

    async def close(self) -> None:
        """The application ends."""


P = TypeVar("P", bound=Part)


class Services:
    """`views` is `projections.database.reader(store.views)`; `rebuild(name)` asks the projections to fold one anew;
    `broker` makes users for agents, where there is a broker that may be asked to."""

    def __init__(
        self,
        *,
        bus: Bus,
        views: Engine,
        store: StoreUrls,
        access: Access,
        version: str,
        rebuild: Callable[[str], Awaitable[None]],
        broker: BrokerUsers | None = None,
    ) -> None:
        self.bus, self.views, self.store, self.access, self.version, self.rebuild = (
            bus, views, store, access, version, rebuild
        )  # fmt: skip
        self.broker = broker
        self.started = time.time_ns() // 1000
        self.heard = Heard()
        self.commands = Commands(bus)
        self.freshness = Freshness(bus)
        self._siblings = Siblings(bus, self.heard, access.token_mark)
        self.processes = Processes(bus)
        self.telemetry = Telemetries(bus, self.heard)
        self._threads = Threads(store)
        self._parts: dict[type[Any], Part] = {}

    async def run(self, function: Callable[..., T], *args: Any) -> T:
        """What the function answers, from a thread that may read the stores."""
        return await self._threads.run(function, *args)

    def journal(self) -> Journal:
        """The log, for the thread that `run` gave; there only."""
        return self._threads.journal()

    def output(self) -> OutputLog:
        """The output store, for the thread that `run` gave; there only."""
        return self._threads.output()

    def part(self, kind: Callable[[Services], P]) -> P:
        """The application's one object of this class, made with these services when first asked for (in the loop)."""
        key = cast(type[Any], kind)
        if key not in self._parts:
            self._parts[key] = kind(self)
        return cast(P, self._parts[key])

    async def until(self, position: int) -> None:
        """Wait a moment for the views to be there. If they are not in time, whoever reads is told where they are."""
        if position and self.freshness.views < position and await self._shown() < position:
            await self.freshness.reach(position)

    async def _shown(self) -> int:
        try:
            return await self.run(views.position, self.views)
        except StoreUnavailable:  # what was just done is done; whoever then reads is told so by the reading
            return 0

    async def catch_up(self) -> None:
        """Wait a moment for the views to show all that has happened: before something is decided by what they show."""
        await self.until(await self.run(lambda: self.journal().head().position))

    async def start(self) -> None:
        """The application begins, in the event loop it will run in."""
        await self.commands.start()
        await self.freshness.start()
        await self._siblings.start()
        await self.processes.start()
        await self.telemetry.start()

    async def end_streams(self) -> None:
        """The server is about to stop: answers that go on and on come to their end, or it would wait for them."""
        for part in reversed(self._parts.values()):
            await part.close()
        self._parts.clear()

    async def close(self) -> None:
        """The application ends: nobody is waited for any more."""
        await self.end_streams()
        await self._siblings.close()
        await self.telemetry.close()
        await self.processes.close()
        await self.freshness.close()
        await self.commands.close()
        self._threads.close()
        if self.broker is not None:
            self.broker.close()
