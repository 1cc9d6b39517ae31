"""A connection to a broker that comes back by itself, and the thread it lives in.

All that pika is told, it is told in that thread; other threads leave word with `call`.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import random
import time
from collections.abc import Callable, Sequence
from threading import Thread
from typing import Final, ParamSpec, Protocol, TypeVar

from pika import SelectConnection
from pika.adapters.select_connection import IOLoop
from pika.exceptions import AMQPError

from scitq.bus.rabbit_address import Address
from scitq.bus.rabbit_standing import Standing, sentence
from scitq.bus.rabbit_wire import Connection

log = logging.getLogger(__name__)

P = ParamSpec("P")
T = TypeVar("T")

FIRST_PAUSE_S: Final = 0.2
LONGEST_PAUSE_S: Final = 5.0
STEADY_S: Final = 5.0
"""A connection that lasted as long was a good one: the next attempt follows at once."""
TICK_S: Final = 1.0
ANSWER_S: Final = 2.0
"""So long a broker has to agree that a connection is closed. Then that is left to the heartbeats, and we go on: what
still comes of such a connection is not ours."""


class Side(Protocol):
    """What a connection is for. All of it in the link's thread."""

    def opened(self, connection: SelectConnection) -> None:
        """Prepare, and tell `Link.ready`."""

    def lost(self) -> None: ...

    def tick(self, now: float) -> None:
        """Every second while there is a connection."""


class Link:
    """One connection at a time, to whichever of the brokers answers."""

    def __init__(self, name: str, addresses: Sequence[Address], standing: Standing) -> None:
        self.name, self._addresses, self._standing = name, addresses, standing
        self._next = random.randrange(len(addresses))
        self._address = addresses[self._next]
        self._side: Side | None = None
        self._loop = IOLoop()
        self._connection: SelectConnection | None = None
        self._failed: BaseException | str | None = None
        self._attempts = 0
        self._since = 0.0
        self._ready = self._stopping = False
        self._thread = Thread(target=self._run, name=f"bus-{name}", daemon=True)

    def start(self, side: Side) -> None:
        self._side = side
        self.call(self._connect)
        self.later(TICK_S, self._tick)
        self._thread.start()

    def call(self, do: Callable[[], object]) -> None:
        """From any thread: soon, in this one."""
        self._loop.add_callback_threadsafe(do)

    def later(self, seconds: float, do: Callable[[], object]) -> None:
        self._loop.call_later(seconds, do)

    @property
    def connection(self) -> SelectConnection | None:
        """The present one, when it is open."""
        return self._connection if self._connection is not None and self._connection.is_open else None

    def ready(self) -> None:
        """The side has prepared everything."""
        self._ready = True
        self._standing.back(self.name, self._address.shown)

    def unready(self, reason: str) -> None:
        """It is connected, and of no use for a while."""
        self._ready = False
        self._standing.away(self.name, self._address.shown, reason)

    def fail(self, reason: BaseException | str, of: object = None) -> None:
        """This connection is no good: have another. `of`: what is known of an earlier one is nothing to this one."""
        connection = self._connection
        if self._stopping or connection is None or (of is not None and of is not connection):
            return
        if self._failed is None:
            self._failed = reason
            self._say(reason)
            self.later(ANSWER_S, lambda: self._lost(connection, TimeoutError()))
        self._close()

    def fail_soon(self, reason: str) -> None:
        """From any thread: the same."""
        self.call(lambda: self.fail(reason))

    def stop(self) -> None:
        """From any thread: end the connection in order, and then the thread."""
        self.call(self._stop)

    def join(self, timeout_s: float) -> None:
        self._thread.join(timeout_s)

    def _run(self) -> None:
        while True:
            try:
                self._loop.start()
                break
            except Exception as error:  # a mistake, of ours or of pika's: said, and the connection made anew
                log.exception("the bus has stumbled", extra={"connection": self.name})
                self.fail(str(error))
                self.later(FIRST_PAUSE_S, self._connect)  # unless the connection is still there, or comes
        self._loop.close()

    def _connect(self) -> None:
        if self._stopping or self._connection is not None:
            return
        self._address = self._addresses[self._next]
        self._failed = None
        self._connection = Connection(
            self._address.parameters, self._opened, self._lost, self._lost, custom_ioloop=self._loop
        )

    def _opened(self, connection: SelectConnection) -> None:
        if self._stopping or connection is not self._connection:
            connection.close()
            return
        self._since = time.monotonic()
        assert self._side is not None
        self._side.opened(connection)

    def _lost(self, connection: SelectConnection, error: BaseException) -> None:
        """It was closed, or never came about."""
        if connection is not self._connection:
            return
        self._connection = None
        steady = self._ready and time.monotonic() - self._since > STEADY_S
        self._ready = False
        assert self._side is not None
        self._side.lost()
        if self._stopping:
            self._loop.stop()
            return
        self._say(self._failed or error)
        self._attempts = 0 if steady else self._attempts + 1
        self._next = (self._next + 1) % len(self._addresses)
        rounds = self._attempts // len(self._addresses)  # the other brokers of a cluster are tried without delay
        longest = min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2 ** min(rounds, 10))
        self.later(random.uniform(0.05, longest), self._connect)

    def _say(self, failed: BaseException | str) -> None:
        reason, refused = failed, False
        if isinstance(failed, BaseException):
            reason, refused = sentence(failed, self._address.user, self._address.vhost, secure=self._address.secure)
        self._standing.away(self.name, self._address.shown, str(reason), refused=refused)

    def _close(self) -> None:
        if self._connection is not None and not (self._connection.is_closing or self._connection.is_closed):
            with contextlib.suppress(AMQPError):
                self._connection.close()

    def _stop(self) -> None:
        self._stopping = True
        if self._connection is None:
            self._loop.stop()
        else:
            self._close()

    def _tick(self) -> None:
        if self._stopping:
            return
        self.later(TICK_S, self._tick)
        if self.connection is not None:
            assert self._side is not None
            self._side.tick(time.monotonic())


def guarded(do: Callable[P, T]) -> Callable[P, T | None]:
    """pika may call back about a channel or a connection that is gone meanwhile: then there is nothing to do."""

    @functools.wraps(do)
    def call(*args: P.args, **words: P.kwargs) -> T | None:
        try:
            return do(*args, **words)
        except AMQPError:
            return None

    return call
