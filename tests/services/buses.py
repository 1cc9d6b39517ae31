"""A bus that carries messages while a test harms its broker."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Final

import pytest

from scitq.bus.rabbitmq import RabbitBus
from scitq.errors import BusUnavailable
from tests.services.waiting import SOON_S, eventually

AMONG: Final = 200
"""So many messages are under way around a fault."""
AWAY: Final = "the broker is away; trying again"
BACK: Final = "the broker is back"


def until_accepted(do: Callable[[], None]) -> None:
    """Try again for as long as it is refused."""

    def accepted() -> bool:
        try:
            do()
        except BusUnavailable:
            return False
        return True

    eventually(accepted, "it is accepted")


class opened:
    """A bus that is ready, and closed in the end."""

    def __init__(self, *urls: str, prefix: str = "scitq") -> None:
        self.bus = RabbitBus(urls, prefix=prefix)

    def __enter__(self) -> RabbitBus:
        if not self.bus.until_ready(SOON_S):
            self.bus.close()
            raise AssertionError(self.bus.trouble)
        return self.bus

    def __exit__(self, *_: object) -> None:
        self.bus.close()


class Traffic:
    """Sends numbers and takes them, in threads of their own, until it is told to stop."""

    def __init__(self, bus: RabbitBus) -> None:
        self._bus = bus
        self._consumer = bus.consume("reports", "commands")
        self._stop = threading.Event()
        self.sent = 0
        self.seen: set[bytes] = set()
        self.times = 0
        self.failure: BaseException | None = None
        self._threads = [threading.Thread(target=self._guard, args=(do,)) for do in (self._send, self._take)]
        for thread in self._threads:
            thread.start()

    def __enter__(self) -> Traffic:
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._consumer.close()
        for thread in self._threads:
            thread.join(SOON_S)

    def go_on_for(self, messages: int) -> None:
        """Until so many more have arrived."""
        goal = len(self.seen) + messages
        eventually(lambda: self.failure or len(self.seen) >= goal, f"{messages} more messages")
        assert self.failure is None

    def end(self) -> None:
        """Nothing more is sent; and all that was accepted is there."""
        self._stop.set()
        self._threads[0].join(SOON_S)
        expected = {b"%d" % number for number in range(self.sent)}
        eventually(lambda: self.seen >= expected, "all that was accepted")
        assert self.seen == expected

    def _guard(self, do: Callable[[], None]) -> None:
        try:
            do()
        except BaseException as failure:
            self.failure = failure
            raise

    def _send(self) -> None:
        while not self._stop.wait(0.0005):
            body = b"%d" % self.sent
            try:
                self._bus.send("reports" if self.sent % 3 else "commands", body)
            except BusUnavailable:
                continue
            self.sent += 1

    def _take(self) -> None:
        while not self._consumer.closed:
            found = self._consumer.take(100, 1.0)
            self.seen.update(one.message.body for one in found)
            self.times += len(found)
            self._consumer.done(one.token for one in found)


def said(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What the bus has logged; there is never a traceback among it."""
    records = [record for record in caplog.records if record.name.startswith(("scitq.bus", "pika"))]
    assert not [record for record in records if record.exc_info]
    return [record.getMessage() for record in records if record.levelno >= logging.INFO]
