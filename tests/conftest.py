"""Fixtures for every test: the real services, started only when a test asks for them."""

import itertools
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import NoReturn

import pytest

from tests.services import disks
from tests.services.docker import DockerMissing, PrivateDocker, PrivateRegistry
from tests.services.postgres import PostgresMissing, PrivatePostgres
from tests.services.rabbit_programs import RabbitMissing
from tests.services.rabbitmq import PrivateRabbit


def pytest_configure() -> None:
    """A shell without job control has what it starts in the background ignore Ctrl-C, and so all that tests start."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


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


@pytest.fixture(scope="session")
def rabbitmq() -> Iterator[PrivateRabbit]:
    """A private RabbitMQ for the whole session; each test takes names with a prefix of its own."""
    with _start_rabbitmq(strict=True) as broker:
        yield broker


@pytest.fixture
def doomed_rabbitmq() -> Iterator[PrivateRabbit]:
    """A private RabbitMQ for one test, which may kill it."""
    with _start_rabbitmq() as broker:
        yield broker


@pytest.fixture(scope="module")
def managed_rabbitmq() -> Iterator[PrivateRabbit]:
    """A private RabbitMQ with its management API; each test takes names with a prefix of its own."""
    with _start_rabbitmq(management=True) as broker:
        yield broker


def _start_rabbitmq(*, management: bool = False, strict: bool = False) -> PrivateRabbit:
    try:
        return PrivateRabbit(management=management, strict=strict)
    except RabbitMissing as missing:
        miss(str(missing))


@pytest.fixture(scope="session")
def docker_engine() -> Iterator[PrivateDocker]:
    """A private dockerd for the whole session; each test tells its containers by labels of its own."""
    with _start_docker() as engine:
        yield engine


@pytest.fixture
def doomed_docker() -> Iterator[PrivateDocker]:
    """A private dockerd for one test, which may kill it: its containers live on."""
    with _start_docker("--live-restore") as engine:
        yield engine


@pytest.fixture(scope="session")
def registry() -> Iterator[PrivateRegistry]:
    """A private registry of images that wants a password."""
    try:
        service = PrivateRegistry()
    except DockerMissing as missing:
        miss(str(missing))
    with service:
        yield service


def _start_docker(*settings: str) -> PrivateDocker:
    try:
        return PrivateDocker(*settings)
    except DockerMissing as missing:
        miss(str(missing))


SmallDisk = Callable[..., Path]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[SmallDisk]:
    """Each call mounts one more: `small_disk("size=2m,ro")`. Where nobody may mount, the test is missed."""
    with ExitStack() as stack:
        numbers = itertools.count()

        def new(options: str = "size=2m") -> Path:
            try:
                return stack.enter_context(disks.small_disk(tmp_path / f"small-disk-{next(numbers)}", options))
            except disks.DisksMissing as missing:
                miss(str(missing))

        yield new


def miss(reason: str) -> NoReturn:
    """A missing service skips on a laptop and fails where everything is promised."""
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)
