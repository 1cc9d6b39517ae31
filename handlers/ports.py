"""What the engine needs from the world. `bootstrap` fills these in with the store, the bus and the clock."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from scitq.domain.envelope import Answer, Append, Envelope, Lease
from scitq.domain.messages import ToAgent
from scitq.handlers.overlay import Reply
from scitq.handlers.turn import Input


class Delivery(NamedTuple):
    """An input with what the bus needs to be told that it is done with."""

    input: Input
    token: int


class Post(NamedTuple):
    """All that one turn says to one agent, in order. Agents ignore an older epoch than the latest they have seen."""

    worker: int
    incarnation: str
    address: str
    epoch: int
    messages: list[ToAgent]


class Journal(Protocol):
    """The append-only store (`store/`), one call at a time."""

    async def acquire(self, holder: str, ttl_s: float) -> Lease | None: ...
    async def renew(self, epoch: int) -> None: ...
    async def append(self, append: Append) -> None: ...
    async def read(self, after: int, limit: int) -> list[Envelope]: ...
    async def read_streams(self, streams: Sequence[str], types: Sequence[str] | None = None) -> list[Envelope]: ...
    async def answers(self, ids: Sequence[str]) -> dict[str, Answer]: ...
    async def save_snapshot(self, position: int, fingerprint: str, data: bytes) -> None: ...
    async def load_snapshot(self, fingerprint: str) -> tuple[int, bytes] | None: ...


class Bus(Protocol):
    """The way in and out. Whatever is sent may be lost: nothing is, that could not be sent again."""

    async def subscribe(self, epoch: int) -> None:
        """Take what comes. Of several that do, that of the latest epoch gets it: an earlier one may be frozen."""

    async def take(self, most: int, wait_s: float) -> list[Delivery]: ...
    async def done(self, deliveries: Sequence[Delivery]) -> None: ...
    async def publish(self, events: Sequence[Envelope]) -> None: ...
    async def tell(self, posts: Sequence[Post]) -> None: ...
    async def reply(self, replies: Sequence[Reply]) -> None: ...


class Clock(Protocol):
    """Time, in microseconds: by the calendar, and by a clock that never jumps."""

    def now(self) -> int: ...
    def steady(self) -> int: ...
    async def sleep(self, seconds: float) -> None: ...
