"""Fixtures for every test: the real services, started only when a test asks for them."""

import os
from collections.abc import Iterator
from typing import NoReturn

import pytest

from tests.services.postgres import PostgresMissing, PrivatePostgres


@pytest.fixture(scope="session")
def postgres() -> Iterator[PrivatePostgres]:
    """A private PostgreSQL for the whole session; `postgres.create_database()` gives each test its own database."""
    with _start_postgres() as server:
        yield server


@pytest.fixture
def doomed_postgres() -> Iterator[PrivatePostgres]:
    """A private PostgreSQL for one test, which may kill it."""
    with _start_postgres() as server:
        yield server


def _start_postgres() -> PrivatePostgres:
    try:
        return PrivatePostgres()
    except PostgresMissing as missing:
        miss(str(missing))


def miss(reason: str) -> NoReturn:
    """A missing service skips on a laptop and fails where everything is promised."""
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)
