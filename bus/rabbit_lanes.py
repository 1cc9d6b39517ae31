"""What waits to be sent to a broker, and what it has not confirmed: in lanes, so that none waits for another."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping
from threading import Lock
from typing import Final

from scitq.bus.bus import NO_HEADERS
from scitq.errors import BusUnavailable, Malformed

MOST_WAITING: Final = 20_000
MOST_WAITING_BYTES: Final = 32 * 1024 * 1024
MOST_SENT: Final = 1_000
MOST_SENT_BYTES: Final = 4 * 1024 * 1024
MOST_NAME_BYTES: Final = 255
FULL_S: Final = 0.5
HOLD_S: Final = 1.0


class Outgoing:
    """A message on its way. `settled` is called, in the publisher's thread, when the broker has it."""

    __slots__ = ("after", "asked", "body", "exchange", "headers", "key", "kind", "returned", "settled", "written")

    def __init__(
        self,
        exchange: str,
        key: str,
        body: bytes,
        headers: Mapping[str, str] = NO_HEADERS,
        *,
        kind: str | None = None,
        settled: Callable[[], object] | None = None,
    ) -> None:
        self.exchange, self.key, self.body, self.headers = exchange, key, body, headers
        self.kind, self.settled = kind, settled
        self.after = 0
        self.asked = self.written = 0.0
        self.returned = False

    def check(self) -> None:
        """In the sender's thread: what AMQP cannot carry would be found out too late."""
        check_name(self.key)
        for name, value in self.headers.items():
            check_name(name)
            check_text(value)


def check_name(name: str) -> None:
    """A routing key, or the name of a header."""
    if len(check_text(name)) > MOST_NAME_BYTES:
        raise Malformed(f"longer than {MOST_NAME_BYTES} bytes: {name[:60]!r}…")


def check_text(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise Malformed(f"no text that can be sent: {text[:60]!r}") from error


class Fence:
    """What was followed or bound before a message is sent is in place before it goes: so nobody has to wait for it."""

    def __init__(self) -> None:
        self._lock = Lock()
        self.asked = self.reached = 0

    def ask(self) -> int:
        with self._lock:
            self.asked += 1
            return self.asked

    def holds(self, message: Outgoing, now: float) -> bool:
        """Not for ever: whoever followed may have lost its connection, and will have to follow anew anyway."""
        return message.after > self.reached and now - message.asked < HOLD_S


class Lane:
    """Kept: what is in it is sent again over the next connection. Else it is gone with the connection."""

    def __init__(self, name: str, *, kept: bool) -> None:
        self.name, self.kept = name, kept
        self._lock = Lock()
        self._waiting: deque[Outgoing] = deque()
        self._waiting_bytes = 0
        self._sent_bytes = 0
        self._full_until = 0.0
        self.refused: float | None = None  # since when everything is given back
        self.sent: dict[int, Outgoing] = {}  # by delivery tag; this and what follows: the publisher's thread only
        self.dropped = 0

    def add(self, message: Outgoing) -> None:
        """From any thread."""
        message.asked = now = time.monotonic()
        with self._lock:
            if self.kept:
                if now < self._full_until:
                    raise BusUnavailable(f"the queue of {self.name} is full, or takes nothing: try again in a moment")
                if self._is_full(len(message.body)):
                    raise BusUnavailable(f"the broker is slow to take {self.name}: try again in a moment")
            while not self.kept and self._is_full(len(message.body)):
                self._waiting_bytes -= len(self._waiting.popleft().body)
                self.dropped += 1
            self._waiting.append(message)
            self._waiting_bytes += len(message.body)

    def next(self, fence: Fence, now: float) -> Outgoing | None:
        """What may go now."""
        if self.sent and (len(self.sent) >= MOST_SENT or self._sent_bytes >= MOST_SENT_BYTES):
            return None
        with self._lock:
            if not self._waiting or now < self._full_until or fence.holds(self._waiting[0], now):
                return None
            message = self._waiting.popleft()
            self._waiting_bytes -= len(message.body)
            return message

    def held(self) -> bool:
        """There is something, and it is not a confirm that it waits for."""
        return bool(self._waiting) and len(self.sent) < MOST_SENT and self._sent_bytes < MOST_SENT_BYTES

    def went(self, tag: int, message: Outgoing, now: float) -> None:
        message.written, message.returned = now, False
        self.sent[tag] = message
        self._sent_bytes += len(message.body)

    def taken(self, tag: int) -> Outgoing | None:
        message = self.sent.pop(tag, None)
        if message is not None:
            self._sent_bytes -= len(message.body)
        return message

    def again(self, messages: list[Outgoing]) -> None:
        """Before all others, in their order."""
        with self._lock:
            self._waiting.extendleft(reversed(messages))
            self._waiting_bytes += sum(len(message.body) for message in messages)

    def pause(self) -> None:
        """The broker has given something back: most likely for want of room."""
        with self._lock:
            self._full_until = time.monotonic() + FULL_S

    def lost(self) -> None:
        """The connection is gone, and with it all knowledge of what was sent over it."""
        self.refused = None
        sent, self.sent, self._sent_bytes = list(self.sent.values()), {}, 0
        if self.kept:
            self.again(sent)
        else:
            with self._lock:
                self._waiting.clear()
                self._waiting_bytes = 0

    def oldest(self) -> float | None:
        """When the first of those that are not confirmed was written."""
        return next(iter(self.sent.values())).written if self.sent else None

    @property
    def empty(self) -> bool:
        return not self._waiting and not self.sent

    def _is_full(self, bytes: int) -> bool:
        return bool(self._waiting) and (
            len(self._waiting) >= MOST_WAITING or self._waiting_bytes + bytes > MOST_WAITING_BYTES
        )
