"""The bus inside one process, for the embedded server: the same contract as a broker, without one.

Its queues last as long as the process, which is all that is needed: who sent something sends it again until it was
applied. They are bounded in bytes, so that a sender that is too fast is told to wait.
"""

from __future__ import annotations

import itertools
import logging
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from threading import Condition, RLock
from typing import Any, Final, Self, TypeVar, cast

from scitq.bus.bus import NO_HEADERS, Channel, Consumer, Delivery, Depth, Mailbox, Message, Queue
from scitq.bus.inbox import Inbox
from scitq.bus.parked import MOST_PARKED, MOST_PARKED_REASON, Parked, parked
from scitq.errors import BusUnavailable

log = logging.getLogger(__name__)

K = TypeVar("K")
Lock = Any  # threading.RLock is a function, and no type

MOST_BYTES: Final = 128 * 1024 * 1024
MOST_MESSAGES: Final = 100_000
MOST_FOLLOWED: Final = 1_000
MOST_POSTED: Final = 10_000
MOST_PARKED_BYTES: Final = 64 * 1024 * 1024


class LocalBus:
    """See `bus.py`."""

    def __init__(self, *, most_bytes: int = MOST_BYTES) -> None:
        self._lock = RLock()
        self._queues: dict[Queue, _Queue] = {name: _Queue(most_bytes) for name in ("reports", "commands", "output")}
        self._followers: dict[Channel, list[Inbox[Message]]] = {}
        self._boxes: dict[str, list[Inbox[Message]]] = {}
        self._names = itertools.count(1)
        self._aside = _Aside()
        self._closed = False

    def send(self, queue: Queue, body: bytes, headers: Mapping[str, str] = NO_HEADERS) -> None:
        with self._lock:
            if self._closed:
                raise BusUnavailable("the server is stopping")
            self._queues[queue].add(queue, Message(body, headers))

    def consume(self, *queues: Queue, priority: int = 0) -> Consumer:
        with self._lock:
            return _LocalConsumer(self._lock, {name: self._queues[name] for name in queues}, self._aside)

    def publish(self, channel: Channel, body: bytes, headers: Mapping[str, str] = NO_HEADERS) -> None:
        with self._lock:
            for inbox in _open(self._followers, channel):
                inbox.put(Message(body, headers))

    def follow(self, channel: Channel) -> Inbox[Message]:
        inbox: Inbox[Message] = Inbox(MOST_FOLLOWED)
        with self._lock:
            self._followers.setdefault(channel, []).append(inbox)
        return inbox

    def mailbox(self) -> Mailbox:
        box = _LocalMailbox(f"local.{next(self._names)}", self)
        box.bind(box.address)
        return box

    def post(self, address: str, body: bytes, headers: Mapping[str, str] = NO_HEADERS) -> None:
        with self._lock:
            for inbox in _open(self._boxes, address):
                inbox.put(Message(body, headers))

    def bind(self, address: str, box: Inbox[Message]) -> None:
        with self._lock:
            bound = self._boxes.setdefault(address, [])
            if box not in bound:
                bound.append(box)

    def unbind(self, addresses: Iterable[str], box: Inbox[Message]) -> None:
        with self._lock:
            for address in addresses:
                bound = self._boxes.get(address, [])
                if box in bound:
                    bound.remove(box)
                if not bound:
                    self._boxes.pop(address, None)

    @property
    def trouble(self) -> str | None:
        return None

    def depths(self) -> Mapping[str, Depth]:
        with self._lock:
            found = {str(name): queue.depth() for name, queue in self._queues.items()}
            return {**found, "parked": self._aside.depth()}

    def parked(self) -> _LocalShelf:
        return _LocalShelf(self._lock, self._aside, self.send)

    def close(self) -> None:
        with self._lock:
            self._closed = True
            for inboxes in (*self._followers.values(), *self._boxes.values()):
                for inbox in list(inboxes):
                    inbox.close()
            for queue in self._queues.values():
                for consumer in list(queue.consumers):
                    consumer.close()


class _Queue:
    def __init__(self, most_bytes: int) -> None:
        self.messages: deque[Message] = deque()
        self.consumers: list[_LocalConsumer] = []
        self._most_bytes = most_bytes
        self.bytes = 0  # of all that is not done, taken or not
        self.count = 0
        self._busy = 0.0  # since when it is not empty

    def add(self, name: Queue, message: Message) -> None:
        if self.count and (self.bytes + len(message.body) > self._most_bytes or self.count >= MOST_MESSAGES):
            raise BusUnavailable(f"the queue of {name} is full: try again in a moment")
        self.bytes += len(message.body)
        self.count += 1
        if not self.messages:
            self._busy = time.monotonic()
        self.messages.append(message)
        for consumer in self.consumers:
            consumer.look()

    def depth(self) -> Depth:
        return Depth(len(self.messages), time.monotonic() - self._busy if self.messages else 0.0)

    def remove(self, message: Message) -> None:
        self.bytes -= len(message.body)
        self.count -= 1


class _Aside:
    """What was put aside; when there is too much, the oldest goes."""

    def __init__(self) -> None:
        self.messages: dict[int, Parked] = {}
        self._numbers = itertools.count(1)
        self._bytes = 0
        self._busy = 0.0

    def add(self, message: Parked) -> None:
        if not self.messages:
            self._busy = time.monotonic()
        self.messages[next(self._numbers)] = message
        self._bytes += len(message.body)
        while len(self.messages) > MOST_PARKED or (self._bytes > MOST_PARKED_BYTES and len(self.messages) > 1):
            self.remove(next(iter(self.messages)))

    def remove(self, number: int) -> None:
        message = self.messages.pop(number, None)
        if message is not None:
            self._bytes -= len(message.body)

    def depth(self) -> Depth:
        return Depth(len(self.messages), time.monotonic() - self._busy if self.messages else 0.0)


class _LocalShelf:
    """See `parked.Shelf`. Several may read: nobody has to take anything away for that."""

    def __init__(self, lock: Lock, aside: _Aside, send: Callable[[Queue, bytes, Mapping[str, str]], None]) -> None:
        self._lock, self._aside, self._send = lock, aside, send
        with lock:
            self._found = list(aside.messages.items())
        self.count, self.left, self._number = len(self._found), 0, 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._found.clear()

    def __iter__(self) -> Iterator[Parked]:
        for number, message in self._found:
            self._number = number
            yield message

    def requeue(self, message: Parked) -> None:
        with self._lock:
            if self._number in self._aside.messages:  # else another one has done so
                self._send(cast(Queue, message.queue), message.body, message.headers)
                self._aside.remove(self._number)

    def discard(self, message: Parked) -> None:
        with self._lock:
            self._aside.remove(self._number)


class _LocalConsumer(Consumer):
    def __init__(self, lock: Lock, queues: dict[Queue, _Queue], aside: _Aside) -> None:
        super().__init__(0)
        self._changed = Condition(lock)  # one lock for all of it: an order of two could not be kept
        self._lock, self._queues, self._aside = lock, queues, aside
        self._tokens = itertools.count(1)
        self._taken: dict[int, Delivery] = {}
        for queue in queues.values():
            queue.consumers.append(self)

    @property
    def waiting(self) -> int:
        with self._lock:
            return 0 if self.closed else sum(len(queue.messages) for queue in self._queues.values())

    def look(self) -> None:
        """A queue has something new."""
        with self._changed:
            self._rouse()

    def done(self, tokens: Iterable[int]) -> None:
        with self._lock:
            if self.closed:  # it all went back
                return
            for token in tokens:
                delivery = self._taken.pop(token)
                self._queues[delivery.queue].remove(delivery.message)

    def park(self, token: int, reason: str) -> None:
        with self._lock:
            if self.closed:
                return
            delivery = self._taken[token]
            at, (body, headers) = time.time_ns() // 1000, delivery.message
            self._aside.add(parked(delivery.queue, reason[:MOST_PARKED_REASON], at, body, headers))
            self.done([token])
        log.warning("a message was put aside", extra={"queue": delivery.queue, "reason": reason})

    def close(self) -> None:
        super().close()
        with self._lock:
            for delivery in reversed(self._taken.values()):
                self._queues[delivery.queue].messages.appendleft(delivery.message)
            self._taken.clear()
            for queue in self._queues.values():
                if self in queue.consumers:
                    queue.consumers.remove(self)

    def _is_ready(self) -> bool:
        return self.closed or any(queue.messages for queue in self._queues.values())

    def _pop(self, most: int) -> list[Delivery]:
        found: list[Delivery] = []
        if self.closed:
            return found
        for name, queue in self._queues.items():
            while queue.messages and len(found) < most:
                delivery = Delivery(next(self._tokens), name, queue.messages.popleft())
                self._taken[delivery.token] = delivery
                found.append(delivery)
        return found


class _LocalMailbox(Mailbox):
    def __init__(self, address: str, bus: LocalBus) -> None:
        super().__init__(MOST_POSTED)
        self.address, self._bus = address, bus
        self._bound: list[str] = []

    def bind(self, address: str) -> None:
        self._bound.append(address)
        self._bus.bind(address, self)

    def close(self) -> None:
        super().close()
        self._bus.unbind(self._bound, self)


def _open(inboxes: dict[K, list[Inbox[Message]]], key: K) -> list[Inbox[Message]]:
    """Those that are still open; the others are forgotten."""
    found = [inbox for inbox in inboxes.get(key, ()) if not inbox.closed]
    if key in inboxes:
        inboxes[key][:] = found
    return found
