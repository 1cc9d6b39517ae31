"""What a broker has put aside, read and settled over a connection of its own.

Reading takes every message and gives it back in the end: a queue has no other way of showing what is in it. An
exclusive queue beside it is the lock: two readers would each see a part, and take it for the whole.
"""

from __future__ import annotations

import copy
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from queue import Empty, SimpleQueue
from typing import Any, Final, NoReturn, Self

import pika
from pika import BasicProperties
from pika.exceptions import AMQPError, ChannelClosedByBroker
from pika.spec import Basic

from scitq.bus.parked import AT, FROM, REASON, Parked, parked
from scitq.bus.rabbit_address import Address
from scitq.bus.rabbit_lanes import Outgoing
from scitq.bus.rabbit_publisher import headers_of
from scitq.bus.rabbit_standing import sentence
from scitq.bus.rabbit_topology import QUEUES, Names
from scitq.bus.rabbit_users import USER, speaker
from scitq.bus.rabbit_wire import Connection
from scitq.errors import BusUnavailable, Rejected

HEARTBEAT_S: Final = 180
"""Longer than anybody is waited for who reads slowly: between two messages nothing is said to the broker."""
QUIET_S: Final = 5.0
CONFIRM_S: Final = 20.0
PAUSE_S: Final = 0.05
_READER: Final[Any] = Connection
"""Its class, which is what pika takes, and not an instance, as its annotation has it."""
LOCKED: Final = 405
PORTION: Final = 500
ENOUGH: Final = 500
"""So many may be on their way back before their confirms are waited for."""


class RabbitShelf:
    """See `parked.Shelf`. `put` is the publisher's: it confirms, and only then a message leaves the shelf."""

    def __init__(self, addresses: Sequence[Address], names: Names, put: Callable[[str, Outgoing], None]) -> None:
        self._addresses, self._names, self._put = addresses, names, put
        self._confirmed: SimpleQueue[int] = SimpleQueue()
        self._pending: set[int] = set()
        self._arrived: deque[tuple[Basic.Deliver, BasicProperties, bytes]] = deque()
        self._tag = self._held = self._subscriptions = 0
        self.count = self.left = 0

    def __enter__(self) -> Self:
        try:
            addresses = [_patient(address) for address in self._addresses]
            self._connection = pika.BlockingConnection(addresses, _impl_class=_READER)
        except AMQPError as error:
            self._lost(error)
        try:
            self._channel = self._connection.channel()
            self._channel.queue_declare(f"{self._names.parked}.reader", exclusive=True)
            self.count = self._channel.queue_declare(self._names.parked, passive=True).method.message_count or 0
        except AMQPError as error:
            self._leave()
            self._lost(error)
        return self

    def __iter__(self) -> Iterator[Parked]:
        """A quorum queue hands one subscription a limited number. When it holds as many, another one begins."""
        seen, heard = 0, time.monotonic()
        try:
            while seen < self.count:
                if not self._arrived and self._held >= PORTION * self._subscriptions:
                    self._channel.basic_qos(prefetch_count=PORTION)
                    self._channel.basic_consume(self._names.parked, self._take)
                    self._subscriptions += 1
                if not self._arrived:
                    self._wait()
                if not self._arrived and time.monotonic() - heard > QUIET_S:
                    return  # fewer than there were: the oldest made room for newer ones
                while self._arrived and seen < self.count:
                    method, properties, body = self._arrived.popleft()
                    self._tag = method.delivery_tag or 0
                    seen, heard = seen + 1, time.monotonic()
                    self._settle()
                    yield _read(method, properties, body, self._names)
        except AMQPError as error:
            self._lost(error)

    def _take(self, _: object, method: Basic.Deliver, properties: BasicProperties, body: bytes) -> None:
        self._held += 1
        self._arrived.append((method, properties, body))

    def requeue(self, message: Parked) -> None:
        if message.queue not in QUEUES:
            raise Rejected(f"nobody vouches for whoever sent the message {message.id}: it can only be discarded")
        tag = self._tag
        deadline = time.monotonic() + CONFIRM_S
        back = Outgoing(
            self._names.inbound, message.queue, message.body, message.headers,
            settled=lambda: self._confirmed.put(tag),
        )  # fmt: skip
        try:
            while True:
                try:
                    self._put(message.queue, back)
                    break
                except BusUnavailable:
                    if time.monotonic() > deadline:
                        raise
                    self._wait()
            self._pending.add(tag)
            while len(self._pending) >= ENOUGH and time.monotonic() < deadline:
                self._wait()
        except AMQPError as error:
            self._lost(error)

    def discard(self, message: Parked) -> None:
        try:
            self._acknowledge(self._tag)
        except AMQPError as error:
            self._lost(error)

    def __exit__(self, *_: object) -> None:
        deadline = time.monotonic() + CONFIRM_S
        with suppress(AMQPError):  # what was not done is on the shelf again
            while self._pending and time.monotonic() < deadline:
                self._wait()
        self.left = len(self._pending)
        self._leave()

    def _settle(self) -> None:
        """What is in its queue again leaves the shelf."""
        with suppress(Empty):
            while True:
                tag = self._confirmed.get_nowait()
                if tag in self._pending:
                    self._acknowledge(tag)
                    self._pending.discard(tag)

    def _acknowledge(self, tag: int) -> None:
        self._channel.basic_ack(tag)
        self._held -= 1

    def _wait(self) -> None:
        self._connection.process_data_events(PAUSE_S)
        self._settle()

    def _leave(self) -> None:
        with suppress(AMQPError):
            self._connection.close()

    def _lost(self, error: AMQPError) -> NoReturn:
        if isinstance(error, ChannelClosedByBroker) and error.reply_code == LOCKED:
            raise BusUnavailable("somebody else looks at what is parked: try again in a moment") from error
        one = self._addresses[0]
        said, _ = sentence(error, one.user, one.vhost, secure=one.secure)
        raise BusUnavailable(f"the broker cannot be asked what is parked: {said}") from error


def _patient(address: Address) -> pika.ConnectionParameters:
    parameters = copy.copy(address.parameters)
    parameters.heartbeat = HEARTBEAT_S
    return parameters


def _read(method: Basic.Deliver, properties: BasicProperties, body: bytes, names: Names) -> Parked:
    """One that the broker put aside is as its sender made it, and may claim anything of itself; one of ours is not."""
    told = headers_of(properties)
    deaths: Any = (properties.headers or {}).get("x-death")
    if isinstance(deaths, list) and deaths and isinstance(deaths[0], dict):
        return _by_the_broker(deaths[0], method.routing_key or "", properties.user_id, body, told, names)
    headers = {name: text for name, text in told.items() if name not in (REASON, FROM, AT)}
    at = told.get(AT, "")
    reason = told.get(REASON, "nobody said why")
    return parked(told.get(FROM, ""), reason, int(at) if at.isdecimal() else 0, body, headers)


def _by_the_broker(
    death: Mapping[str, Any], key: str, user_id: str | None, body: bytes, told: Mapping[str, str], names: Names
) -> Parked:
    queue = str(death.get("queue", "")).removeprefix(f"{names.prefix}.")
    reason = f"the broker put it aside: {death.get('reason')}"
    if death.get("reason") == "delivery_limit":
        reason = "it came back too often: whoever took it was lost, or never said that it was done"
    when = death.get("time")
    at = int(when.replace(tzinfo=UTC).timestamp()) * 1_000_000 if isinstance(when, datetime) else 0
    try:
        user = speaker(queue, key, user_id)
    except ValueError as error:
        return parked("", f"{reason}; {error}", at, body, told)
    return parked(queue, reason, at, body, told if user is None else {USER: user})
