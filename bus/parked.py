"""Messages that were put aside: what people are shown of one, and by which id they name it.

The id follows from what the message is, so that it holds for every process, after a restart and on every bus.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple, Protocol, Self

ID_DIGITS: Final = 16
MOST_PARKED: Final = 100_000
MOST_PARKED_REASON: Final = 1_000
REASON: Final = "parked-reason"
FROM: Final = "parked-from"
AT: Final = "parked-at"


class Parked(NamedTuple):
    id: str
    queue: str  # from which it was taken
    reason: str
    at: int  # microseconds since 1970
    body: bytes
    headers: Mapping[str, str]  # as it was sent


def parked(queue: str, reason: str, at: int, body: bytes, headers: Mapping[str, str]) -> Parked:
    """Two that are alike in everything, to the microsecond, have one id, and are treated alike."""
    digest = hashlib.sha256()
    for part in (queue, reason, str(at), *(f"{name}={headers[name]}" for name in sorted(headers))):
        digest.update(b"%d:" % len(part.encode()) + part.encode())
    digest.update(body)
    return Parked(digest.hexdigest()[:ID_DIGITS], queue, reason, at, body, headers)


class Shelf(Protocol):
    """All that is put aside, for one reader at a time; whatever he leaves alone stays.

    Unlike everything else on a bus this waits: it is for threads that have nothing else to do. BusUnavailable when
    another one reads, or the broker is away; nothing is lost then, nor when this process dies in the middle.
    """

    count: int
    """How many there were in the beginning. Only those are gone through: what is put aside meanwhile is for later."""
    left: int
    """Of those that were put back, so many were not confirmed to be in their queues when it was closed: they stay."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...

    def __iter__(self) -> Iterator[Parked]:
        """In about the order in which they were put aside."""

    def requeue(self, message: Parked) -> None:
        """The one that came last: back into the queue it is from. It leaves the shelf when it is there."""

    def discard(self, message: Parked) -> None:
        """The one that came last: for ever."""
