"""A channel of the bus, followed once for the whole process: whoever waits for it is woken, and looks for himself."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Final

from scitq.bus import Message
from scitq.bus.bus import Channel
from scitq.web.services import Services

log = logging.getLogger(__name__)

AT_ONCE: Final = 1_000


class Followed:
    """One object per application (`Services.part`). `ended`: nothing will come any more, the server is stopping."""

    channel: Channel

    def __init__(self, services: Services) -> None:
        self.services = services
        self.ended = False
        self._inbox = services.bus.follow(self.channel)
        self._task = asyncio.create_task(self._follow())

    def take(self, messages: Sequence[Message]) -> None:
        """What has come; wakes those who wait for it."""
        raise NotImplementedError

    def wake_all(self) -> None:
        raise NotImplementedError

    async def close(self) -> None:
        self._inbox.close()
        await self._task

    async def _follow(self) -> None:
        try:
            while not self._inbox.closed:
                messages = await self._inbox.receive(AT_ONCE)
                try:
                    self.take(messages)
                except Exception:  # the outermost loop: those who wait look into the store now and then by themselves
                    log.exception("a message could not be followed", extra={"channel": self.channel})
        finally:
            self.ended = True
            self.wake_all()


class Bell:
    """Rings for everybody who listens. Take `ring` first, then look, then wait for it: no ring is missed."""

    def __init__(self) -> None:
        self.ring = asyncio.Event()
        self.listeners = 0

    def strike(self) -> None:
        self.ring.set()
        self.ring = asyncio.Event()

    @contextmanager
    def listening(self) -> Iterator[None]:
        self.listeners += 1
        try:
            yield
        finally:
            self.listeners -= 1


async def rung(ring: asyncio.Event, within_s: float) -> bool:
    """Whether it rang within that time."""
    with suppress(TimeoutError):
        async with asyncio.timeout(within_s):
            await ring.wait()
    return ring.is_set()
