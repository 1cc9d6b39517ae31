"""The stores under contract: `store` is each of the three, `database` each of the two that are real."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from scitq.store.journal import wall_clock
from scitq.store.upgrade import upgrade
from tests.contract.stores import Store
from tests.services.postgres import PrivatePostgres
from tests.simulation.memory_journal import MemoryJournal


@pytest.fixture(params=["sqlite", "postgres", "memory"])
def store(request: pytest.FixtureRequest) -> Store:
    found: Store = request.getfixturevalue(f"{request.param}_store")
    return found


@pytest.fixture(params=["sqlite", "postgres"])
def database(request: pytest.FixtureRequest) -> Store:
    found: Store = request.getfixturevalue(f"{request.param}_store")
    return found


@pytest.fixture
def memory_store() -> Store:
    journal = MemoryJournal(wall_clock)
    return Store("memory", lambda: journal)


@pytest.fixture
def sqlite_store(tmp_path: Path) -> Iterator[Store]:
    yield from _real("sqlite", f"sqlite:///{tmp_path / 'events.db'}")


@pytest.fixture
def postgres_store(postgres: PrivatePostgres) -> Iterator[Store]:
    yield from _real("postgres", postgres.create_database())


def _real(kind: str, url: str) -> Iterator[Store]:
    upgrade(url)
    real = Store(kind, lambda: real.journal(), url)
    yield real
    for opened in real.opened:
        opened.close()
