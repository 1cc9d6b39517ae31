"""The bus over RabbitMQ: two connections, each with a thread, that come back by themselves; see `bus.py`.

Nothing here waits for the broker. What is sent while it is away is refused in words, what was sent and not confirmed is
sent again, what is published and posted meanwhile is gone, and everything that was declared, followed and bound is made
anew with each connection. docs/decisions/0010-rabbitmq.md says why it is like that.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from threading import Lock
from typing import Final

from pika import SelectConnection
from pika.channel import Channel as PikaChannel

from scitq.bus.bus import NO_HEADERS, Channel, Consumer, Depth, Mailbox, Message, Queue
from scitq.bus.inbox import Inbox
from scitq.bus.rabbit_address import Address
from scitq.bus.rabbit_consumer import RabbitConsumer
from scitq.bus.rabbit_depths import Depths
from scitq.bus.rabbit_inboxes import Inboxes, RabbitMailbox
from scitq.bus.rabbit_lanes import Fence, Outgoing
from scitq.bus.rabbit_link import Link, guarded
from scitq.bus.rabbit_publisher import Publisher
from scitq.bus.rabbit_shelf import RabbitShelf
from scitq.bus.rabbit_standing import Standing
from scitq.bus.rabbit_topology import Names
from scitq.errors import BusUnavailable, Malformed

SETTLE_S: Final = 0.7
END_S: Final = 1.0
OPEN_S: Final = 15.0


class RabbitBus:
    """`urls`: one broker, or those of a cluster. `prefix`: what all names on it begin with."""

    def __init__(self, urls: Sequence[str], *, prefix: str = "scitq") -> None:
        if not urls:
            raise Malformed("the bus has no address of a broker")
        # pika reports every failure by itself, with tracebacks; what there is to say is said by our own loggers.
        logging.getLogger("pika").setLevel(logging.CRITICAL)
        self._addresses = addresses = [Address(url) for url in urls]
        self._names, self._standing, fence = Names(prefix), Standing({"publish", "consume"}), Fence()
        self._out, self._in = (Link(name, addresses, self._standing) for name in ("publish", "consume"))
        self._publisher = Publisher(self._out, self._names, self._standing, fence, self._in.fail_soon)
        self._inboxes = Inboxes(self._in, self._names, self._publisher, fence)
        self._receiver = _Receiver(self._in, self._inboxes)
        self._depths = Depths(self._in, self._names)
        self._closed = False
        self._out.start(self._publisher)
        self._in.start(self._receiver)

    @property
    def trouble(self) -> str | None:
        """Why nothing goes at present, in words; None when all is well."""
        return self._standing.trouble

    def until_ready(self, timeout_s: float) -> bool:
        """Wait for the broker: what is sent before that is refused."""
        return self._standing.wait(timeout_s)

    def flush(self, timeout_s: float) -> bool:
        """Wait until the broker has confirmed everything."""
        return self._publisher.flush(timeout_s)

    def send(self, queue: Queue, body: bytes, headers: Mapping[str, str] = NO_HEADERS) -> None:
        if self._closed:
            raise BusUnavailable("the server is stopping")
        self._publisher.put(queue, Outgoing(self._names.inbound, queue, body, headers))

    def consume(self, *queues: Queue, priority: int = 0) -> Consumer:
        consumer = RabbitConsumer(queues, priority, self._in, self._names, self._publisher, self._receiver.remove)
        self._receiver.add(consumer)
        return consumer

    def publish(self, channel: Channel, body: bytes, headers: Mapping[str, str] = NO_HEADERS) -> None:
        self._publisher.tell(Outgoing(self._names.channels, channel, body, headers))

    def follow(self, channel: Channel) -> Inbox[Message]:
        return self._inboxes.follow(channel)

    def mailbox(self) -> Mailbox:
        return RabbitMailbox(self._inboxes)

    def post(self, address: str, body: bytes, headers: Mapping[str, str] = NO_HEADERS) -> None:
        self._publisher.tell(Outgoing(self._names.posts, address, body, headers))

    def depths(self) -> Mapping[str, Depth]:
        return self._depths.now()

    def parked(self) -> RabbitShelf:
        return RabbitShelf(self._addresses, self._names, self._publisher.put)

    def close(self) -> None:
        """Within two seconds. What the broker has not confirmed by then may be lost, as when a process is killed."""
        if self._closed:
            return
        self._closed = True
        self._inboxes.close()
        self._receiver.close()
        if self._publisher.usable:
            self.flush(SETTLE_S)
        for link in (self._out, self._in):
            link.stop()
        deadline = time.monotonic() + END_S
        for link in (self._out, self._in):
            link.join(max(deadline - time.monotonic(), 0.05))


class _Receiver:
    """See `rabbit_link.Side`: the inboxes first, then the consumers."""

    def __init__(self, link: Link, inboxes: Inboxes) -> None:
        self._link, self._inboxes = link, inboxes
        self._lock = Lock()
        self._consumers: list[RabbitConsumer] = []
        self._since: float | None = None

    def add(self, consumer: RabbitConsumer) -> None:
        with self._lock:
            self._consumers.append(consumer)
        self._link.call(lambda: self._open(consumer))

    def remove(self, consumer: RabbitConsumer) -> None:
        with self._lock:
            if consumer in self._consumers:
                self._consumers.remove(consumer)

    def close(self) -> None:
        for consumer in self._each():
            consumer.close()

    def opened(self, connection: SelectConnection) -> None:
        self._since = time.monotonic()

        def ready() -> None:
            self._since = None
            self._link.ready()
            for consumer in self._each():
                self._open(consumer)

        def prepare(channel: PikaChannel) -> None:
            self._inboxes.open(channel, ready)

        connection.channel(on_open_callback=guarded(prepare))

    def lost(self) -> None:
        self._since = None
        self._inboxes.lost()
        for consumer in self._each():
            consumer.lost()

    def tick(self, now: float) -> None:
        if self._since is not None:
            if now - self._since > OPEN_S:
                self._link.fail("it does not answer")
            return
        self._inboxes.tick(now)
        for consumer in self._each():
            consumer.tick(now)

    def _open(self, consumer: RabbitConsumer) -> None:
        """Once: one that was added while the connection was made is opened with all the others."""
        connection = self._link.connection
        if connection is not None and self._since is None:
            consumer.open(connection)

    def _each(self) -> list[RabbitConsumer]:
        with self._lock:
            return list(self._consumers)
