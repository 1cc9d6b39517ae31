"""One AMQP connection of an agent: it writes under its own keys, and reads its own queue, alone.

What the broker does not take (a queue is full, or being made anew) is written again after a while, and nothing more
until then. What waited in the queue from before is thrown away: it was for an agent that may have had less or more.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from contextlib import suppress
from typing import Final, NamedTuple

from pika import BasicProperties, DeliveryMode
from pika.adapters.asyncio_connection import AsyncioConnection
from pika.channel import Channel
from pika.exceptions import AMQPError
from pika.frame import Method
from pika.spec import Basic

from scitq.agents.link import Disconnected, End, Heard
from scitq.bus.rabbit_address import Address
from scitq.bus.rabbit_standing import sentence

MOST_UNCONFIRMED: Final = 100
SOON_S, LATER_S = 0.05, 1.0
CLOSE_S: Final = 1.0
REPORTS, OUTPUT = "reports", "output"


class Written(NamedTuple):
    key: str
    body: bytes


class BrokerConnection:
    """See `link.Connection`. To be used when `opened` is done; else that has the reason."""

    def __init__(self, address: Address, user: str, exchange: str, queue: str, keys: Mapping[str, str]) -> None:
        # pika reports every failure by itself, with tracebacks; what there is to say is said by our own loggers.
        logging.getLogger("pika").setLevel(logging.CRITICAL)
        self._address, self._user, self._exchange, self._queue, self._keys = address, user, exchange, queue, keys
        self._loop = asyncio.get_running_loop()
        self.opened: asyncio.Future[None] = self._loop.create_future()
        self._over: asyncio.Future[BaseException] = self._loop.create_future()
        self._heard: asyncio.Queue[Heard | None] = asyncio.Queue()
        self._room = asyncio.Event()
        self._channel: Channel | None = None
        self._tag = 0
        self._unconfirmed: dict[int, Written] = {}
        self._returned: set[int] = set()
        self._refused = 0  # to be written again
        self._pause_s = SOON_S
        self._connection = AsyncioConnection(
            address.parameters, self._on_open, self._lost, self._lost, custom_ioloop=self._loop
        )

    async def say(self, message: bytes) -> None:
        await self._write(Written(self._keys[REPORTS], message))

    async def carry(self, chunk: bytes) -> None:
        await self._write(Written(self._keys[OUTPUT], chunk))

    async def hear(self) -> Heard:
        heard = await self._heard.get()
        if heard is None:
            self._heard.put_nowait(None)  # for whoever asks again
            raise Disconnected
        return heard

    async def close(self) -> None:
        """In order if the broker answers soon: what was said before arrives."""
        if not self._over.done():
            with suppress(AMQPError):
                self._connection.close()
            await asyncio.wait([self._over], timeout=CLOSE_S)
        if self.opened.done() and not self.opened.cancelled():
            self.opened.exception()  # somebody has looked at it
        else:
            self.opened.cancel()

    def end(self) -> End:
        if not self._over.done():
            return End("it was left")
        reason, _ = sentence(self._over.result(), self._address.user, self._address.vhost)
        return End(f"the broker at {self._address.shown}: {reason}")

    # Opening -------------------------------------------------------------------------------------------------------

    def _on_open(self, connection: AsyncioConnection) -> None:
        connection.channel(on_open_callback=self._on_channel)

    def _on_channel(self, channel: Channel) -> None:
        self._channel = channel
        channel.add_on_close_callback(self._lost)
        channel.add_on_cancel_callback(lambda _: self._connection.close(reply_text="the queue was deleted"))
        channel.add_on_return_callback(
            lambda _, __, properties, ___: self._returned.add(int(properties.message_id or 0))
        )
        channel.confirm_delivery(self._confirmed)
        channel.queue_purge(self._queue, callback=lambda _: self._consume(channel))

    def _consume(self, channel: Channel) -> None:
        channel.basic_consume(self._queue, self._posted, auto_ack=True, exclusive=True, callback=self._ready)

    def _ready(self, _: Method[Basic.ConsumeOk]) -> None:
        self._room.set()
        if not self.opened.done():
            self.opened.set_result(None)

    def _lost(self, of: object, reason: BaseException) -> None:
        """The channel or the connection; or it never came about. Both mean the end of both."""
        if self._over.done():
            return
        self._over.set_result(reason)
        if not self.opened.done():
            self.opened.set_exception(reason)
        self._heard.put_nowait(None)
        self._room.set()
        with suppress(AMQPError):
            self._connection.close()

    # Speaking and hearing ------------------------------------------------------------------------------------------

    async def _write(self, written: Written) -> None:
        while not self._over.done() and (self._refused or len(self._unconfirmed) >= MOST_UNCONFIRMED):
            self._room.clear()
            await self._room.wait()
        self._publish(written)

    def _publish(self, written: Written) -> None:
        if self._over.done():
            raise Disconnected
        assert self._channel is not None
        tag = self._tag + 1
        properties = BasicProperties(
            delivery_mode=DeliveryMode.Persistent.value, user_id=self._user, message_id=str(tag)
        )
        try:
            self._channel.basic_publish(self._exchange, written.key, written.body, properties, mandatory=True)
        except AMQPError as error:  # it is being closed
            raise Disconnected from error
        self._tag = tag
        self._unconfirmed[tag] = written

    def _confirmed(self, frame: Method[Basic.Ack | Basic.Nack]) -> None:
        taken, last = isinstance(frame.method, Basic.Ack), frame.method.delivery_tag
        tags = [tag for tag in self._unconfirmed if tag <= last] if frame.method.multiple else [last]
        for tag in tags:
            written = self._unconfirmed.pop(tag, None)
            if written is None:
                continue
            if taken and tag not in self._returned:
                self._pause_s = SOON_S
            else:
                self._returned.discard(tag)
                self._refused += 1
                self._loop.call_later(self._pause_s, self._again, written)
                self._pause_s = min(2 * self._pause_s, LATER_S)
        self._room.set()

    def _again(self, written: Written) -> None:
        self._refused -= 1
        with suppress(Disconnected):  # then all of it is said anew, over the next connection
            self._publish(written)
        self._room.set()

    def _posted(self, _: Channel, __: Basic.Deliver, properties: BasicProperties, body: bytes) -> None:
        kind = (properties.headers or {}).get("kind")
        self._heard.put_nowait(Heard(body, confirms=kind == "confirm"))
