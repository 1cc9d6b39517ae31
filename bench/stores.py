"""Empty stores to measure, and events like those of a busy server."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

from scitq.domain.envelope import Append, Envelope, Head, Lease, seal
from scitq.store.journal import Journal, open_journal
from scitq.store.upgrade import upgrade
from tests.services.postgres import PrivatePostgres


@contextmanager
def stores() -> Iterator[list[tuple[str, str]]]:
    """Name and address of an empty store of each kind."""
    with tempfile.TemporaryDirectory() as folder, PrivatePostgres() as server:
        made = [("SQLite", f"sqlite:///{folder}/events.db"), ("PostgreSQL", server.create_database())]
        for _, url in made:
            upgrade(url)
        yield made


class Writer:
    """Appends turns of four events a task, about 280 bytes an event."""

    def __init__(self, url: str) -> None:
        self.journal: Journal = open_journal(url)
        lease = self.journal.acquire("bench", 60.0)
        assert lease is not None
        self.lease: Lease = lease
        self.head: Head = lease.head

    def turn(self, events: int) -> Append:
        sealed: list[Envelope] = []
        head = self.head
        for _ in range(events):
            number = head.position
            event = seal(
                head.hash, position=number + 1, stream=f"task-{number // 4}", version=number % 4 + 1,
                type="task-created", schema=1, time=1_700_000_000_000_000 + number, actor="alice",
                command=number + 1, cause=number, epoch=self.lease.epoch, mark=None,
                payload=b'{"command":"sh run.sh %d","batch":"default","container":null,"prefetch":0}' % number,
            )  # fmt: skip
            head = Head(event.position, event.hash)
            sealed.append(event)
        return Append(self.lease.epoch, sealed, [], [])

    def write(self, turn: Append) -> None:
        self.journal.append(turn)
        self.head = Head(turn.events[-1].position, turn.events[-1].hash)
