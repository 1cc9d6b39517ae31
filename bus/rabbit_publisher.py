"""The connection on which everything is sent: one channel, publisher confirms, a window for each lane."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Mapping
from functools import partial
from threading import Condition
from typing import Final

from pika import BasicProperties, DeliveryMode, SelectConnection
from pika.channel import Channel
from pika.exceptions import AMQPError
from pika.frame import Method
from pika.spec import Basic, Connection, Queue

from scitq.bus.rabbit_lanes import Fence, Lane, Outgoing
from scitq.bus.rabbit_link import Link, guarded
from scitq.bus.rabbit_standing import Standing
from scitq.bus.rabbit_topology import QUEUES, Names, declare
from scitq.errors import BusUnavailable, Malformed

log = logging.getLogger(__name__)

PROBE_EVERY_S: Final = 5.0
UNANSWERED_S: Final = 15.0
UNCONFIRMED_S: Final = 10.0
"""The queue itself is broken when it confirms nothing for so long while the broker answers: it is made anew."""
REFUSED_S: Final = 2.0
FEW: Final = 64
"""A queue in which fewer wait has room: it is not its length for which it gives everything back."""
SOON_S: Final = 0.01
REMAKE_S: Final = 20.0
LANES: Final = (*QUEUES, "parked")


class Publisher:
    """See `rabbit_link.Side`. `put` may be called from any thread, and never waits."""

    def __init__(
        self, link: Link, names: Names, standing: Standing, fence: Fence, remade: Callable[[str], object]
    ) -> None:
        self._link, self._names, self._standing, self._fence = link, names, standing, fence
        self._remade = remade
        self._lanes = {name: Lane(name, kept=True) for name in LANES}
        self._rest = Lane("messages", kept=False)
        self._all = [*self._lanes.values(), self._rest]
        self._by_tag: dict[int, Lane | None] = {}  # None: a probe
        self._channel: Channel | None = None
        self._tag = 0
        self._probes: deque[float] = deque()  # when those were written that are not answered
        self._probed = self._proved = self._heard = 0.0  # the last one; the last that was answered; the last confirm
        self._wanted = 0  # answers to probes, before it is of use
        self._opened = 0.0
        self._usable = self._blocked = self._waits = False
        self._poked = Condition()
        self._is_poked = False

    def put(self, queue: str, message: Outgoing) -> None:
        """Into a queue; BusUnavailable when that cannot be now."""
        message.check()
        if not self._usable:
            raise BusUnavailable(
                f"the broker takes nothing ({self._standing.trouble or 'it was lost'}): try again soon"
            )
        message.after = self._fence.asked
        self._lanes[queue].add(message)
        self.poke()

    def tell(self, message: Outgoing) -> None:
        """To whoever listens; nobody does when the broker is away."""
        if self._usable:
            try:
                message.check()
            except Malformed as error:
                log.warning("a message cannot be sent", extra={"reason": str(error)})
                return
            message.after = self._fence.asked
            self._rest.add(message)
            self.poke()

    @property
    def usable(self) -> bool:
        return self._usable

    def flush(self, timeout_s: float) -> bool:
        """Wait until the broker has everything."""
        with self._poked:
            return self._poked.wait_for(lambda: all(lane.empty for lane in self._all), timeout_s)

    def poke(self) -> None:
        with self._poked:
            if self._is_poked:
                return
            self._is_poked = True
        self._link.call(self._flush)

    def opened(self, connection: SelectConnection) -> None:
        connection.add_on_connection_blocked_callback(self._on_blocked)
        connection.add_on_connection_unblocked_callback(self._on_unblocked)
        self._opened = time.monotonic()
        self._wanted = 2  # a broker that is short of memory takes the first message, and reads no second one
        connection.channel(on_open_callback=guarded(self._prepare))

    def lost(self) -> None:
        """The channel is gone, and its delivery tags with it."""
        self._usable = self._blocked = False
        self._channel = None
        self._by_tag.clear()
        self._tag = 0
        self._probes.clear()
        for lane in self._all:
            lane.lost()
        self._tell_flushed()

    def tick(self, now: float) -> None:
        if self._blocked:
            return
        since = max(self._heard, self._probes[0]) if self._probes else now
        if now - (since if self._usable else self._opened) > UNANSWERED_S:
            self._link.fail("it does not answer any more")
            return
        if self._usable and not self._probes and now - self._probed > PROBE_EVERY_S:
            self._probe(now)
        for lane in self._lanes.values():
            oldest = lane.oldest()
            if oldest is not None and now - oldest > UNCONFIRMED_S and self._proved > oldest + UNCONFIRMED_S / 2:
                self._remake(lane)
                return
            if lane.refused is not None and now - lane.refused > REFUSED_S:
                lane.refused = now  # and ask again later
                self._examine(lane)

    def _prepare(self, channel: Channel) -> None:
        channel.add_on_close_callback(self._closed)
        channel.add_on_return_callback(self._returned)

        def declared() -> None:
            if channel.connection is self._link.connection:
                self._channel = channel
                channel.confirm_delivery(confirmed, callback=lambda _: self._probe(time.monotonic()))

        def confirmed(frame: Method[Basic.Ack | Basic.Nack]) -> None:
            if channel is self._channel:
                self._confirmed(frame)

        declare(channel, self._names, guarded(declared))

    def _closed(self, channel: Channel, reason: Exception) -> None:
        """By the broker: it does not say which message it was about, so all of it is made anew."""
        self._link.fail(reason, channel.connection)

    def _probe(self, now: float) -> None:
        """A message for nobody: the broker returns it, and confirms it. So it takes messages, and answers."""
        if self._channel is None:
            return
        self._probed = now
        self._probes.append(now)
        self._write(None, Outgoing(self._names.inbound, "probe", b""), now)

    def _probe_answered(self) -> None:
        self._proved = self._probes.popleft()
        if self._usable or self._link.connection is None:  # it is being closed, and answers late
            return
        self._wanted -= 1
        if self._wanted > 0:
            self._probe(self._heard)
            return
        self._usable, self._blocked = True, False
        self._link.ready()
        self._flush()

    def _on_blocked(self, connection: object, frame: Method[Connection.Blocked]) -> None:
        if connection is not self._link.connection:
            return
        self._usable, self._blocked, self._wanted = False, True, 2
        self._link.unready(f"it is {frame.method.reason}")

    def _on_unblocked(self, connection: object, _: Method[Connection.Unblocked]) -> None:
        if connection is not self._link.connection:
            return
        self._blocked, self._wanted, self._opened = False, 1, time.monotonic()
        if not self._probes:
            self._probe(self._opened)

    def _flush(self) -> None:
        with self._poked:
            self._is_poked = False
        if not self._usable:
            return
        now, going = time.monotonic(), True
        while going and self._usable:  # in turns, so that a flood in one lane delays the others by one message
            going = False
            for lane in self._all:
                message = lane.next(self._fence, now)
                if message is not None:
                    going = self._write(lane, message, now) or going
        if not self._waits and any(lane.held() for lane in self._all):
            self._waits = True
            self._link.later(SOON_S, self._flush_again)

    def _flush_again(self) -> None:
        self._waits = False
        self._flush()

    def _write(self, lane: Lane | None, message: Outgoing, now: float) -> bool:
        """The broker counts what it gets, and so do we: nothing may be counted that was not written."""
        assert self._channel is not None
        tag = self._tag + 1
        kept = lane is not None and lane.kept
        properties = BasicProperties(
            headers=dict(message.headers) if message.headers else None,
            delivery_mode=DeliveryMode.Persistent.value if kept else DeliveryMode.Transient.value,
            message_id=str(tag) if kept else None,
            type=message.kind,
        )
        mandatory = lane is None or lane.kept
        try:
            self._channel.basic_publish(message.exchange, message.key, message.body, properties, mandatory)
        except AMQPError:  # the channel is being closed: it goes over the next connection
            if lane is not None:
                lane.again([message])
            self._usable = False
            return False
        self._tag = tag
        self._by_tag[tag] = lane
        if lane is not None:
            lane.went(tag, message, now)
        return True

    def _returned(self, channel: Channel, _: Basic.Return, properties: BasicProperties, __: bytes) -> None:
        """A queue is gone. The confirm follows, and must not be believed."""
        if properties.message_id and channel is self._channel:
            tag = int(properties.message_id)
            lane = self._by_tag.get(tag)
            if lane is not None:
                lane.sent[tag].returned = True

    def _confirmed(self, frame: Method[Basic.Ack | Basic.Nack]) -> None:
        self._heard = time.monotonic()
        taken, last = isinstance(frame.method, Basic.Ack), frame.method.delivery_tag
        tags = [last]
        if frame.method.multiple:
            tags = []
            for tag in self._by_tag:  # in the order in which they were written
                if tag > last:
                    break
                tags.append(tag)
        again: dict[Lane, list[Outgoing]] = {}
        probes = 0
        for tag in tags:
            if tag not in self._by_tag:
                continue
            lane = self._by_tag.pop(tag)
            if lane is None:
                probes += 1
                continue
            message = lane.taken(tag)
            assert message is not None
            if message.returned or (not taken and lane.kept):
                again.setdefault(lane, []).append(message)
                continue
            lane.refused = None
            if message.settled is not None:
                message.settled()
        returned = False
        for lane, messages in again.items():
            returned = returned or any(message.returned for message in messages)
            lane.again(messages)
            lane.pause()
            lane.refused = lane.refused or self._heard
        for _ in range(probes):
            self._probe_answered()
        if returned:  # somebody has deleted what we had declared: the next connection declares it again
            self._link.fail("something of ours was deleted there")
        self._flush()
        self._tell_flushed()

    def _examine(self, lane: Lane) -> None:
        """A channel that first wrote to a queue of a cluster while that elected a leader may have all of it given back
        for ever, by RabbitMQ 3.10 at least, and another channel none. A queue that is full does so too, rightly."""
        connection = self._link.connection
        if connection is None:
            return

        def counted(channel: Channel, frame: Method[Queue.DeclareOk]) -> None:
            if (frame.method.message_count or 0) < FEW and lane.refused is not None:
                self._link.fail(f"it gives back all that is meant for {lane.name}, which has room", connection)
            else:
                channel.close()

        def ask(channel: Channel) -> None:
            channel.queue_declare(self._queue_of(lane), passive=True, callback=guarded(partial(counted, channel)))

        connection.channel(on_open_callback=guarded(ask))

    def _queue_of(self, lane: Lane) -> str:
        return self._names.parked if lane.name == "parked" else self._names.queue(lane.name)

    def _remake(self, lane: Lane) -> None:
        """RabbitMQ 3.10 can lose a young queue in a crash and not know it: nothing is confirmed, nothing delivered."""
        log.warning("a queue confirms nothing: it is deleted and made anew", extra={"queue": lane.name})
        connection = self._link.connection
        assert connection is not None
        why = "a queue that confirmed nothing is made anew"

        @guarded
        def done(_: Method[Queue.DeleteOk]) -> None:
            self._link.fail(why, connection)
            self._remade(why)

        def delete(channel: Channel) -> None:
            channel.add_on_close_callback(self._closed)
            channel.queue_delete(self._queue_of(lane), callback=done)

        for message in lane.sent.values():
            message.written = time.monotonic() + REMAKE_S  # once is enough
        connection.channel(on_open_callback=guarded(delete))

    def _tell_flushed(self) -> None:
        with self._poked:
            if all(lane.empty for lane in self._all):
                self._poked.notify_all()


def headers_of(properties: BasicProperties) -> Mapping[str, str]:
    """Ours, without what the broker has added."""
    return {
        name: value
        for name, value in (properties.headers or {}).items()
        if isinstance(value, str) and not name.startswith("x-")
    }
