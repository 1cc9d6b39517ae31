"""Followers and mailboxes on a broker: one channel for all of them, on the connection on which nothing is sent.

A follower has a queue of its own. All mailboxes of a process share one, and are told apart by the address here: a
server has one for each agent that is connected, and makes and removes them with a binding.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from functools import partial
from threading import Lock
from typing import Any, Final

from pika import BasicProperties
from pika.channel import Channel
from pika.frame import Method
from pika.spec import Basic

from scitq.bus.bus import Channel as Topic
from scitq.bus.bus import Mailbox, Message
from scitq.bus.inbox import Inbox
from scitq.bus.rabbit_lanes import Fence, Outgoing, check_name
from scitq.bus.rabbit_link import Link, guarded
from scitq.bus.rabbit_publisher import Publisher, headers_of
from scitq.bus.rabbit_topology import Names, declare

MOST_FOLLOWED: Final = 1_000
MOST_POSTED: Final = 10_000
MOST_QUEUED_BYTES: Final = 64 * 1024 * 1024
SING_EVERY_S: Final = 5.0
DEAF_S: Final = 15.0


class Follower(Inbox[Message]):
    def __init__(self, topic: Topic, forget: Callable[[Follower], object]) -> None:
        super().__init__(MOST_FOLLOWED)
        self.topic, self._forget = topic, forget
        self.name = ""  # of its queue, and of its subscription

    def close(self) -> None:
        super().close()
        self._forget(self)


class RabbitMailbox(Mailbox):
    def __init__(self, inboxes: Inboxes) -> None:
        super().__init__(MOST_POSTED)
        self.address, self._inboxes = f"box.{secrets.token_hex(8)}", inboxes
        self.addresses: list[str] = []
        self.bind(self.address)

    def bind(self, address: str) -> None:
        check_name(address)
        self._inboxes.bind(address, self)

    def close(self) -> None:
        super().close()
        self._inboxes.unbind(self)


class Inboxes:
    """Everything that is followed and bound in this process, made anew with each connection.

    A canary is sent through both exchanges to the queue of the mailboxes: as long as it comes, they are all connected.
    """

    def __init__(self, link: Link, names: Names, publisher: Publisher, fence: Fence) -> None:
        self._link, self._names, self._publisher, self._fence = link, names, publisher, fence
        self._lock = Lock()
        self._followers: list[Follower] = []
        self._boxes: dict[str, list[RabbitMailbox]] = {}
        self._news: list[Callable[[Channel], object]] = []
        self._channel: Channel | None = None
        self._queue = ""
        self._canary = ""
        self._sung = 0.0
        self._unheard: dict[str, float] = {}  # since when the broker has a canary that has not come

    def follow(self, topic: Topic) -> Inbox[Message]:
        follower = Follower(topic, self._forget)
        with self._lock:
            self._followers.append(follower)
            self._tell(lambda channel: self._subscribe(channel, follower))
        return follower

    def bind(self, address: str, box: RabbitMailbox) -> None:
        with self._lock:
            if box.closed or address in box.addresses:
                return
            self._boxes.setdefault(address, []).append(box)
            box.addresses.append(address)
            self._tell(partial(self._match, address))

    def unbind(self, box: RabbitMailbox) -> None:
        with self._lock:
            for address in box.addresses:
                self._boxes[address].remove(box)
                if not self._boxes[address]:
                    del self._boxes[address]
                self._tell(partial(self._match, address))
            box.addresses.clear()

    def close(self) -> None:
        with self._lock:
            inboxes = [*self._followers, *(box for boxes in self._boxes.values() for box in boxes)]
        for inbox in inboxes:
            inbox.close()

    @guarded
    def open(self, channel: Channel, then: Callable[[], object]) -> None:
        channel.add_on_close_callback(lambda _, reason: self._link.fail(reason, channel.connection))
        channel.add_on_cancel_callback(self._cancelled)

        def declared() -> None:
            if channel.connection is not self._link.connection:
                return
            self._channel = channel
            self._queue = f"{self._names.posts}.{secrets.token_hex(8)}"
            self._canary = f"canary.{secrets.token_hex(8)}"
            self._sung = 0.0
            self._unheard.clear()
            channel.queue_declare(self._queue, exclusive=True, auto_delete=True, arguments=bounds(MOST_POSTED))
            for exchange in (self._names.posts, self._names.channels):
                channel.queue_bind(self._queue, exchange, self._canary)
            channel.basic_consume(self._queue, guarded(self._posted), auto_ack=True)
            with self._lock:
                self._news.clear()
                asked, followers, addresses = self._fence.asked, list(self._followers), list(self._boxes)
            for follower in followers:
                self._subscribe(channel, follower)
            for address in addresses:
                channel.queue_bind(self._queue, self._names.posts, address)
            self._when_all_is_done(channel, asked, then)

        declare(channel, self._names, guarded(declared))

    def lost(self) -> None:
        self._channel = None

    def tick(self, now: float) -> None:
        """Sing, and listen."""
        if self._channel is None:
            return
        if not self._publisher.usable:
            self._unheard.clear()
        elif any(now - since > DEAF_S for since in self._unheard.values()):
            self._link.fail("it does not deliver any more")
        elif now - self._sung > SING_EVERY_S:
            self._sung = now
            for exchange in (self._names.posts, self._names.channels):
                arrived = partial(self._taken, exchange, self._canary)
                self._publisher.tell(Outgoing(exchange, self._canary, b"", settled=arrived))

    def _taken(self, exchange: str, canary: str) -> None:
        """In the publisher's thread: the broker has it."""
        self._link.call(lambda: canary == self._canary and self._unheard.setdefault(exchange, time.monotonic()))

    def _tell(self, do: Callable[[Channel], object]) -> None:
        """Under the lock: something to be done on the channel. What is sent from now on waits for it."""
        self._fence.ask()
        self._news.append(do)
        if len(self._news) == 1:
            self._link.call(self._do)

    @guarded
    def _do(self) -> None:
        with self._lock:
            news, self._news, asked = self._news, [], self._fence.asked
        if self._channel is not None and news:
            for do in news:
                do(self._channel)
            self._when_all_is_done(self._channel, asked, lambda: None)

    def _when_all_is_done(self, channel: Channel, asked: int, then: Callable[[], object]) -> None:
        """The requests before it have no answers of their own, so that thousands take one round trip."""

        def done(_: Method[Basic.QosOk]) -> None:
            if channel is not self._channel:
                return
            self._fence.reached = max(self._fence.reached, asked)
            self._publisher.poke()
            then()

        channel.basic_qos(prefetch_count=0, callback=guarded(done))

    def _subscribe(self, channel: Channel, follower: Follower) -> None:
        if follower.closed:
            return
        follower.name = name = f"{self._names.channels}.{follower.topic}.{secrets.token_hex(8)}"
        channel.queue_declare(name, exclusive=True, auto_delete=True, arguments=bounds(MOST_FOLLOWED))
        channel.queue_bind(name, self._names.channels, follower.topic)

        @guarded
        def published(_: Channel, __: Basic.Deliver, properties: BasicProperties, body: bytes) -> None:
            if channel is self._channel:
                self._unheard.pop(self._names.channels, None)
                follower.put(Message(body, headers_of(properties)))

        channel.basic_consume(name, published, auto_ack=True, consumer_tag=name)

    def _forget(self, follower: Follower) -> None:
        with self._lock:
            if follower in self._followers:
                self._followers.remove(follower)
                self._tell(lambda channel: channel.basic_cancel(follower.name) if follower.name else None)

    def _match(self, address: str, channel: Channel) -> None:
        """The binding is there if somebody is bound to the address now."""
        if address in self._boxes:
            channel.queue_bind(self._queue, self._names.posts, address)
        else:
            channel.queue_unbind(self._queue, self._names.posts, address)

    def _posted(self, channel: Channel, method: Basic.Deliver, properties: BasicProperties, body: bytes) -> None:
        if channel is not self._channel:
            return
        self._unheard.pop(method.exchange or "", None)
        if method.routing_key == self._canary:
            return
        with self._lock:
            boxes = list(self._boxes.get(method.routing_key or "", ()))
        for box in boxes:
            box.put(Message(body, headers_of(properties)))

    def _cancelled(self, _: Method[Basic.Cancel]) -> None:
        self._link.fail("a queue of ours was deleted there")


def bounds(most: int = MOST_POSTED) -> dict[str, Any]:
    return {"x-max-length": most, "x-max-length-bytes": MOST_QUEUED_BYTES, "x-overflow": "drop-head"}
