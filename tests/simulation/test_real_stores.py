"""The same runs with a real store beside the one in memory: whatever one answers, the other must answer as well.

So what thousands of seeds prove on the journal in memory is true of SQLite and PostgreSQL.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

import pytest

from scitq.domain.envelope import Answer, Append, Envelope, Lease
from scitq.errors import StoreError
from scitq.store.chain import verify
from scitq.store.journal import Journal, open_journal
from scitq.store.upgrade import upgrade
from tests.services.postgres import PrivatePostgres
from tests.simulation.memory_journal import MemoryJournal
from tests.simulation.run import Run

SEEDS = range(40, 52)
T = TypeVar("T")


class Shadowed(MemoryJournal):
    """Does everything twice, in memory and in a real store, and compares."""

    def __init__(self, clock: Callable[[], int], real: Journal, *, own_clock: bool) -> None:
        super().__init__(clock)
        self.real, self._own_clock = real, own_clock

    def _both(self, here: Callable[[], T], there: Callable[[], T]) -> T:
        found: list[T | StoreError] = []
        for ask in (here, there):
            try:
                found.append(ask())
            except StoreError as error:
                found.append(error)
        mine, real = found
        if isinstance(mine, StoreError):
            assert type(real) is type(mine), f"in memory {mine!r}, in the store {real!r}"
            raise mine
        assert real == mine
        return mine

    def acquire(self, holder: str, ttl_s: float) -> Lease | None:
        if not self._own_clock:
            return self._both(
                lambda: super(Shadowed, self).acquire(holder, ttl_s), lambda: self.real.acquire(holder, ttl_s)
            )
        mine = super().acquire(holder, ttl_s)
        if mine is not None:  # PostgreSQL goes by its own clock: there the lease has long expired
            assert self.real.acquire(holder, -1.0) == mine
        return mine

    def renew(self, epoch: int) -> None:
        self._both(lambda: super(Shadowed, self).renew(epoch), lambda: self.real.renew(epoch))

    def append(self, a: Append) -> None:
        self._both(lambda: super(Shadowed, self).append(a), lambda: self.real.append(a))

    def read(self, after: int, limit: int) -> list[Envelope]:
        return self._both(lambda: super(Shadowed, self).read(after, limit), lambda: self.real.read(after, limit))

    def read_streams(self, streams: Sequence[str], types: Sequence[str] | None = None) -> list[Envelope]:
        return self._both(
            lambda: super(Shadowed, self).read_streams(streams, types), lambda: self.real.read_streams(streams, types)
        )

    def answers(self, ids: Iterable[str]) -> dict[str, Answer]:
        wanted = list(ids)
        return self._both(lambda: super(Shadowed, self).answers(wanted), lambda: self.real.answers(wanted))

    def save_snapshot(self, position: int, fingerprint: str, data: bytes) -> None:
        self._both(
            lambda: super(Shadowed, self).save_snapshot(position, fingerprint, data),
            lambda: self.real.save_snapshot(position, fingerprint, data),
        )

    def load_snapshot(self, fingerprint: str) -> tuple[int, bytes] | None:
        return self._both(
            lambda: super(Shadowed, self).load_snapshot(fingerprint), lambda: self.real.load_snapshot(fingerprint)
        )


@pytest.fixture(params=["sqlite", "postgres"])
def addresses(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[[int], str]]:
    """Where each seed finds an empty store."""
    if request.param == "sqlite":
        yield lambda seed: f"sqlite:///{tmp_path / f'{seed}.db'}"
    else:
        postgres: PrivatePostgres = request.getfixturevalue("postgres")
        yield lambda seed: postgres.create_database()


def test_a_real_store_answers_whatever_the_one_in_memory_answers(addresses: Callable[[int], str]) -> None:
    for seed in SEEDS:
        url = addresses(seed)
        upgrade(url)
        run = Run(seed)
        clock = run.world.journal.clock
        real = open_journal(url, clock=clock)
        run.world.journal = Shadowed(clock, real, own_clock=url.startswith("postgresql"))
        assert run.play() == [], f"seed {seed}"
        assert verify(real.stream()) == run.world.journal.head()
        real.close()
