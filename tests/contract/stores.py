"""The stores that the suites run on, and what writes to them as an engine would."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field

import orjson
import sqlalchemy as sa

from scitq.domain.envelope import Answer, Append, Envelope, Erasure, Head, Lease, seal
from scitq.store.chain import ERASES
from scitq.store.journal import Journal, open_journal
from tests.simulation.memory_journal import MemoryJournal

AnyJournal = Journal | MemoryJournal
TTL_S = 60.0
START = 1_700_000_000_000_000


@dataclass
class Store:
    """One empty store. `open` gives another engine's view of it; `url` is None in memory."""

    kind: str
    open: Callable[[], AnyJournal]
    url: str | None = None
    opened: list[AnyJournal] = field(default_factory=list)

    def journal(self) -> Journal:
        """A journal on a real database."""
        assert self.url is not None
        journal = open_journal(self.url)
        self.opened.append(journal)
        return journal

    def raw(self) -> AbstractContextManager[sa.Connection]:
        """Whoever has the password, or the file."""
        assert self.url is not None
        return sa.create_engine(self.url, poolclass=sa.NullPool).begin()


class Engine:
    """Holds the lease and seals events behind the head it knows; nothing is its own until `write` returns."""

    def __init__(self, journal: AnyJournal, holder: str = "engine") -> None:
        lease = journal.acquire(holder, TTL_S)
        assert lease is not None
        self.journal = journal
        self.lease: Lease = lease
        self.head: Head = lease.head
        self.versions: dict[str, int] = {}

    def turn(
        self, *streams: str, answers: Sequence[str] = (), type: str = "task-created", payload: bytes = b"{}"
    ) -> Append:
        """One event for each stream named, behind the head."""
        versions, link, events = dict(self.versions), self.head.hash, []
        for position, stream in enumerate(streams, self.head.position + 1):
            versions[stream] = versions.get(stream, 0) + 1
            event = sealed(link, position, stream, versions[stream], type=type, payload=payload, epoch=self.lease.epoch)
            events.append(event)
            link = event.hash
        last = self.head.position + len(events)
        told = [Answer(id_, self.head.position + 1 if events else 0, last if events else 0, b"done") for id_ in answers]
        return Append(self.lease.epoch, events, told, [])

    def erasing(self, *positions: int) -> Append:
        """The turn that empties the payloads at these positions."""
        turn = self.turn("audit", type=ERASES, payload=orjson.dumps({"positions": positions}))
        return turn._replace(erasures=[Erasure(position, turn.events[0].position) for position in positions])

    def write(self, turn: Append) -> Append:
        self.journal.append(turn)
        self.wrote(turn)
        return turn

    def wrote(self, turn: Append) -> None:
        for event in turn.events:
            self.versions[event.stream] = event.version
            self.head = Head(event.position, event.hash)


def sealed(
    link: bytes,
    position: int,
    stream: str,
    version: int,
    *,
    type: str = "task-created",
    payload: bytes = b"{}",
    epoch: int = 1,
) -> Envelope:
    return seal(
        link, position=position, stream=stream, version=version, type=type, schema=1, time=START + position,
        actor="alice", command=position, cause=0, epoch=epoch, mark=None, payload=payload,
    )  # fmt: skip
