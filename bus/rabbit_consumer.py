"""Takes from queues on a broker: a channel of its own for each consumer, opened anew whenever it is closed."""

from __future__ import annotations

import logging
import secrets
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from typing import Final

from pika import BasicProperties, SelectConnection
from pika.channel import Channel
from pika.exceptions import ChannelClosed, ChannelClosedByBroker
from pika.spec import Basic

from scitq.bus.bus import Consumer, Delivery, Message, Queue
from scitq.bus.parked import AT, FROM, MOST_PARKED_REASON, REASON
from scitq.bus.rabbit_lanes import Outgoing
from scitq.bus.rabbit_link import Link, guarded
from scitq.bus.rabbit_publisher import Publisher, headers_of
from scitq.bus.rabbit_topology import Names, declare
from scitq.bus.rabbit_users import USER, speaker
from scitq.errors import BusUnavailable

log = logging.getLogger(__name__)

PREFETCH: Final[Mapping[Queue, int]] = {"reports": 1_000, "commands": 64, "output": 500}
"""A command may have 8 MiB, a chunk of output 64 KB."""
TAG_BITS: Final = 40
CANARY: Final = "canary"
SING_EVERY_S: Final = 10.0
MOST_UNHEARD: Final = 3
REOPEN_S: Final = 0.2
PARK_S: Final = 1.0


class RabbitConsumer(Consumer):
    """A token holds the number of the channel on which its message came: those of an earlier one are void."""

    def __init__(
        self, queues: Iterable[Queue], priority: int, link: Link, names: Names, publisher: Publisher,
        forget: Callable[[RabbitConsumer], object],
    ) -> None:  # fmt: skip
        super().__init__(0)
        self._priority = priority
        self._link, self._names, self._publisher, self._forget = link, names, publisher, forget
        self._arrived: dict[Queue, deque[Delivery]] = {queue: deque() for queue in queues}
        self._settled: list[tuple[int, str | None]] = []  # tokens; with a reason: to be parked
        self._channel: Channel | None = None  # this and what follows: in the link's thread only
        self._opening = False
        self._number = 0
        self._open: dict[int, Delivery] = {}  # by delivery tag, in their order
        self._counts: dict[Queue, int] = {}
        self._parking = 0
        self._due: dict[Queue, float] = {}  # when the next canary is
        self._unheard: dict[Queue, int] = {}

    @property
    def waiting(self) -> int:
        return sum(len(arrived) for arrived in self._arrived.values())

    def done(self, tokens: Iterable[int]) -> None:
        self._settle([(token, None) for token in tokens])

    def park(self, token: int, reason: str) -> None:
        self._settle([(token, reason)])

    def close(self) -> None:
        with self._changed:
            if self.closed:
                return
            super().close()
            for arrived in self._arrived.values():
                arrived.clear()
        self._link.call(lambda: self._leave(time.monotonic() + PARK_S))

    def open(self, connection: SelectConnection) -> None:
        """With the connection, and whenever the channel was closed."""
        if not self.closed and not self._opening and self._channel is None:
            self._opening = True
            connection.channel(on_open_callback=guarded(self._prepare))

    def lost(self) -> None:
        """What was not done belongs to its queue again, whoever holds it."""
        self._channel, self._opening = None, False
        self._number += 1
        self._open.clear()
        self._counts.clear()
        self._parking = 0
        with self._changed:
            for arrived in self._arrived.values():
                arrived.clear()

    def tick(self, now: float) -> None:
        """A message through each queue that is silent: it has happened that a broker forgets a subscription."""
        if self._channel is None:
            return
        for queue in self._arrived:
            full = self._counts.get(queue, 0) >= PREFETCH[queue]
            if full or not self._publisher.usable:
                self._hear(queue, now)
            elif self._unheard.get(queue, 0) >= MOST_UNHEARD:
                self._reopen(f"nothing comes from the queue {queue} any more")
                return
            elif now > self._due.setdefault(queue, now + SING_EVERY_S):
                self._due[queue] = now + SING_EVERY_S
                self._sing(queue)

    def _settle(self, settled: list[tuple[int, str | None]]) -> None:
        with self._changed:
            if self.closed or not settled:
                return
            self._settled.extend(settled)
            first = len(self._settled) == len(settled)
        if first:
            self._link.call(self._acknowledge)

    @guarded
    def _acknowledge(self) -> None:
        with self._changed:
            settled, self._settled = self._settled, []
        if self._channel is None:
            return
        tags: set[int] = set()
        for token, reason in settled:
            number, tag = token >> TAG_BITS, token & ((1 << TAG_BITS) - 1)
            if number != self._number or tag not in self._open:
                continue
            if reason is None:
                tags.add(tag)
            else:
                self._park(tag, reason)
        together: list[int] = []
        for tag in self._open:
            if tag not in tags:
                break
            together.append(tag)
        if together:
            self._channel.basic_ack(together[-1], multiple=True)
        for tag in sorted(tags.difference(together)):
            self._channel.basic_ack(tag)
        for tag in tags:
            self._close_one(tag)

    def _park(self, tag: int, reason: str, *, vouched: bool = True) -> None:
        """A copy with the reason; the original is done when the broker has that. Where nobody vouches for who sent it,
        it has no queue to be put back into: put back by us, it would pass for our own."""
        delivery, number = self._open[tag], self._number
        log.warning("a message was put aside", extra={"queue": delivery.queue, "reason": reason})
        told = {
            REASON: reason[:MOST_PARKED_REASON],
            FROM: delivery.queue if vouched else "",
            AT: str(time.time_ns() // 1000),
        }
        headers = {**delivery.message.headers, **told}

        def settled() -> None:
            self._link.call(lambda: self._parked(number, tag, True))

        try:
            copy = Outgoing(self._names.parked, delivery.queue, delivery.message.body, headers, settled=settled)
            self._publisher.put("parked", copy)
            self._parking += 1
        except BusUnavailable:
            self._parking += 1
            self._parked(number, tag, False)

    @guarded
    def _parked(self, number: int, tag: int, taken: bool) -> None:
        if number != self._number or self._channel is None or tag not in self._open:
            return
        self._parking -= 1
        self._close_one(tag)
        if taken:
            self._channel.basic_ack(tag)
        else:  # then the broker puts it aside itself, without the reason
            self._channel.basic_reject(tag, requeue=False)

    def _close_one(self, tag: int) -> None:
        delivery = self._open.pop(tag)
        self._counts[delivery.queue] -= 1

    def _prepare(self, channel: Channel) -> None:
        channel.add_on_close_callback(self._closed)
        channel.add_on_cancel_callback(lambda _: self._reopen("a queue was deleted"))
        declare(channel, self._names, guarded(lambda: self._subscribe(channel)))

    def _subscribe(self, channel: Channel) -> None:
        if self.closed or channel.connection is not self._link.connection:
            channel.close()
            return
        self.lost()
        self._channel = channel
        self._due.clear()
        self._unheard.clear()
        for queue in self._arrived:
            channel.basic_qos(prefetch_count=PREFETCH[queue])
            tag = (
                f"{queue}.{secrets.token_hex(8)}"  # a tag that is used again can strand messages: rabbitmq-server 9158
            )
            channel.basic_consume(
                self._names.queue(queue), self._receiver(queue), consumer_tag=tag,
                arguments={"x-priority": self._priority},
            )  # fmt: skip

    def _receiver(self, queue: Queue) -> Callable[[Channel, Basic.Deliver, BasicProperties, bytes], None]:
        @guarded
        def arrived(channel: Channel, method: Basic.Deliver, properties: BasicProperties, body: bytes) -> None:
            if channel is not self._channel:
                return
            tag = method.delivery_tag or 0
            headers = headers_of(properties)
            try:
                user = speaker(queue, method.routing_key or "", properties.user_id)
            except ValueError as error:
                self._take(tag, queue, Message(body, headers))
                self._park(tag, str(error), vouched=False)
                return
            if user is not None:
                headers = {USER: user}  # whatever else it says of itself is its own invention
            self._hear(queue, time.monotonic())
            if user is None and properties.type == CANARY:
                channel.basic_ack(tag)
                return
            delivery = self._take(tag, queue, Message(body, headers))
            with self._changed:
                if not self.closed:
                    self._arrived[queue].append(delivery)
                    self._rouse()

        return arrived

    def _take(self, tag: int, queue: Queue, message: Message) -> Delivery:
        self._open[tag] = delivery = Delivery(self._number << TAG_BITS | tag, queue, message)
        self._counts[queue] = self._counts.get(queue, 0) + 1
        return delivery

    def _hear(self, queue: Queue, now: float) -> None:
        self._due[queue] = now + SING_EVERY_S
        self._unheard[queue] = 0

    def _sing(self, queue: Queue) -> None:
        def settled() -> None:
            self._unheard[queue] = self._unheard.get(queue, 0) + 1

        try:
            canary = Outgoing(self._names.inbound, queue, b"", kind=CANARY, settled=settled)
            self._publisher.put(queue, canary)
        except BusUnavailable:
            self._hear(queue, time.monotonic())

    def _reopen(self, why: str) -> None:
        log.warning("a subscription has ended; it begins anew", extra={"reason": why})
        channel = self._channel
        self.lost()
        if channel is not None and channel.is_open:
            channel.close()
        self._link.later(REOPEN_S, self._open_again)

    def _open_again(self) -> None:
        connection = self._link.connection
        if connection is not None:
            self.open(connection)

    def _closed(self, channel: Channel, reason: Exception) -> None:
        if not channel.connection.is_open:
            return  # the connection goes, and everything with it
        if channel is self._channel:
            self._reopen(reason.reply_text if isinstance(reason, ChannelClosed) else str(reason))
        elif self._channel is None and isinstance(reason, ChannelClosedByBroker):
            self._link.fail(reason, channel.connection)  # while it was prepared

    def _leave(self, deadline: float) -> None:
        self._acknowledge()
        if self._parking and time.monotonic() < deadline:
            self._link.later(REOPEN_S / 10, lambda: self._leave(deadline))
            return
        channel, self._channel = self._channel, None
        self._forget(self)
        if channel is not None and channel.is_open:
            channel.close()

    def _is_ready(self) -> bool:
        return self.closed or any(self._arrived.values())

    def _pop(self, most: int) -> list[Delivery]:
        found: list[Delivery] = []
        for arrived in self._arrived.values():
            while arrived and len(found) < most:
                found.append(arrived.popleft())
        return found
