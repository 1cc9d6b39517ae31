"""How far the views are, and whether an engine leads: both are told on the bus, and nobody asks again and again."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from scitq.bus import Bus, Inbox, Message

log = logging.getLogger(__name__)

WAIT_S: Final = 2.0
BEAT_S: Final = 5.0
"""An engine that has said nothing for so long does not lead: it says something every second."""


class Freshness:
    """Everything here happens in one event loop."""

    def __init__(self, bus: Bus, wait_s: float = WAIT_S) -> None:
        self._bus, self.wait_s = bus, wait_s
        self.views = 0
        self.engine = 0  # where the log ends, as the engine last said
        self._beat: float | None = None
        self._waiting: set[tuple[int, asyncio.Future[None]]] = set()
        self._inboxes: list[Inbox[Message]] = []
        self._following: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        for inbox, told in ((self._bus.follow("views"), self.note), (self._bus.follow("engine"), self._heard)):
            self._inboxes.append(inbox)
            self._following.append(asyncio.create_task(_follow(inbox, told)))

    async def close(self) -> None:
        for inbox in self._inboxes:
            inbox.close()
        await asyncio.gather(*self._following)
        for _, arrived in self._waiting:
            arrived.cancel()

    @property
    def led(self) -> bool:
        """An engine was heard a moment ago."""
        return self._beat is not None and time.monotonic() - self._beat < BEAT_S

    def note(self, position: int) -> None:
        """The views are there. They can go back too, when one is folded anew."""
        self.views = position
        for wanted, arrived in self._waiting:
            if wanted <= position and not arrived.done():
                arrived.set_result(None)

    async def reach(self, position: int, wait_s: float | None = None) -> bool:
        """Wait until the views are there; False when they were not in time."""
        if self.views >= position:
            return True
        waiting = position, asyncio.get_running_loop().create_future()
        self._waiting.add(waiting)
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(self.wait_s if wait_s is None else wait_s):
                    await waiting[1]
        finally:
            self._waiting.discard(waiting)
        return self.views >= position

    def _heard(self, position: int) -> None:
        self.engine, self._beat = position, time.monotonic()


async def _follow(inbox: Inbox[Message], told: Callable[[int], None]) -> None:
    """Only the last message counts: each says all."""
    while not inbox.closed:
        for message in (await inbox.receive(1_000))[-1:]:
            text = message.headers.get("position", "")
            if text.isdecimal():
                told(int(text))
            else:
                log.error("a position cannot be read", extra={"position": text[:100]})
