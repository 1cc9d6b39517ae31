"""What any bus does: durable queues into the server, channels that fan out, and mailboxes with an address.

Nothing here waits and nothing is sure to arrive: whatever is sent can be sent again by whoever sent it, because
confirmed means appended. Every method may be called from any thread.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Final, Literal, NamedTuple, Protocol

from scitq.bus.inbox import Inbox
from scitq.bus.parked import Shelf

Queue = Literal["reports", "commands", "output"]
Channel = Literal["events", "views", "engine", "output", "processes", "web", "telemetry"]
NO_HEADERS: Final[Mapping[str, str]] = MappingProxyType({})


class Message(NamedTuple):
    body: bytes
    headers: Mapping[str, str] = NO_HEADERS


class Depth(NamedTuple):
    """How full a queue is: how many wait in it, and for how long it was not seen empty, which no one waits longer."""

    waiting: int
    busy_s: float


class Delivery(NamedTuple):
    """A message of a queue. Until `done` is told its token, it belongs to the queue and comes again."""

    token: int
    queue: Queue
    message: Message


class Consumer(Inbox[Delivery]):
    """Takes from queues, the first-named first. What is not done when it is closed, or when the broker is lost, goes
    back to its queue, and what is said of it afterwards is void."""

    def done(self, tokens: Iterable[int]) -> None:
        raise NotImplementedError

    def park(self, token: int, reason: str) -> None:
        """It cannot be understood: put it aside for people to see, and do not bring it again."""
        raise NotImplementedError


class Mailbox(Inbox[Message]):
    """Receives what is posted to its own address, and to those it was bound to."""

    address: str

    def bind(self, address: str) -> None:
        raise NotImplementedError


class Bus(Protocol):
    def send(self, queue: Queue, body: bytes, headers: Mapping[str, str] = NO_HEADERS) -> None:
        """Into a queue; BusUnavailable when it is full or out of reach, and then nothing was sent. Names of headers do
        not begin with `x-`: those are the broker's."""

    def consume(self, *queues: Queue, priority: int = 0) -> Consumer:
        """Of several consumers of a queue, the one of the highest priority gets what comes, as long as it has room."""
        ...

    def publish(self, channel: Channel, body: bytes, headers: Mapping[str, str] = NO_HEADERS) -> None:
        """To everybody who follows the channel now; while the bus is out of reach, nobody does."""

    def follow(self, channel: Channel) -> Inbox[Message]:
        """What is published from now on. It is bounded: when it overflows, the oldest messages are missing."""

    def mailbox(self) -> Mailbox: ...

    def post(self, address: str, body: bytes, headers: Mapping[str, str] = NO_HEADERS) -> None:
        """To the mailboxes bound to the address; when there is none, it is gone."""

    @property
    def trouble(self) -> str | None:
        """Why nothing goes at present, in words; None when all is well."""

    def depths(self) -> Mapping[str, Depth]:
        """Of each queue, and of `parked`, as it was a few seconds ago at most; empty when that is not known."""

    def parked(self) -> Shelf:
        """What was put aside."""

    def close(self) -> None: ...
