"""The bus inside one process, for the embedded server: the same contract as a broker, without one.

Its queues last as long as the process, which is all that is needed: who sent something sends it again until it was
applied. They are bounded in bytes, so that a sender that is too fast is told to wait.
"""

from __future__ import annotations

import itertools
import logging
from collections import deque
from collections.abc import Iterable, Mapping
from threading import Condition, RLock
from typing import Any, Final, TypeVar

from scitq.bus.bus import NO_HEADERS, Channel, Consumer, Delivery, Mailbox, Message, Queue
from scitq.bus.inbox import Inbox
from scitq.errors import BusUnavailable

log = logging.getLogger(__name__)

K = TypeVar("K")
Lock = Any  # threading.RLock is a function, and no type
Parked = deque[tuple[Queue, Message, str]]

MOST_BYTES: Final = 128 * 1024 * 1024
MOST_MESSAGES: Final = 100_000
MOST_FOLLOWED: Final = 1_000
MOST_POSTED: Final = 10_000
MOST_PARKED: Final = 1_000


class LocalBus:
    """See `bus.py`."""

    def __init__(self, *, most_bytes: int = MOST_BYTES) -> None:
        self._lock = RLock()
        self._queues: dict[Queue, _Queue] = {name: _Queue(most_bytes) for name in ("reports", "commands", "output")}
        self._followers: dict[Channel, list[Inbox[Message]]] = {}
        self._boxes: dict[str, list[Inbox[Message]]] = {}
        self._names = itertools.count(1)
        self.parked: Parked = deque(maxlen=MOST_PARKED)
        self._closed = False

    trouble: Final = None

    def send(self, queue: Queue, body: bytes, headers: Mapping[str, str] = NO_HEADERS) -> None:
        with self._lock:
            if self._closed:
                raise BusUnavailable("the server is stopping")
            self._queues[queue].add(queue, Message(body, headers))

    def consume(self, *queues: Queue) -> Consumer:
        with self._lock:
            return _LocalConsumer(self._lock, {name: self._queues[name] for name in queues}, self.parked)

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

    def add(self, name: Queue, message: Message) -> None:
        if self.count and (self.bytes + len(message.body) > self._most_bytes or self.count >= MOST_MESSAGES):
            raise BusUnavailable(f"the queue of {name} is full: try again in a moment")
        self.bytes += len(message.body)
        self.count += 1
        self.messages.append(message)
        for consumer in self.consumers:
            consumer.look()

    def remove(self, message: Message) -> None:
        self.bytes -= len(message.body)
        self.count -= 1


class _LocalConsumer(Consumer):
    def __init__(self, lock: Lock, queues: dict[Queue, _Queue], parked: Parked) -> None:
        super().__init__(0)
        self._changed = Condition(lock)  # one lock for all of it: an order of two could not be kept
        self._lock, self._queues, self._parked = lock, queues, parked
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
            self._parked.append((delivery.queue, delivery.message, reason))
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
