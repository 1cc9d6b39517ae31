"""What several end-to-end tests start alike."""

from __future__ import annotations

import secrets
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser

from scitq.bus.rabbitmq import RabbitBus
from tests.conftest import miss
from tests.services.buses import opened
from tests.services.chromium import ChromiumMissing, chromium
from tests.services.rabbitmq import PrivateRabbit


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    try:
        with chromium() as browser:
            yield browser
    except ChromiumMissing as missing:
        miss(str(missing))


@pytest.fixture
def prefix() -> str:
    return f"test.{secrets.token_hex(4)}"


@pytest.fixture
def bus(rabbitmq: PrivateRabbit, prefix: str) -> Iterator[RabbitBus]:
    """On the broker of the session, which is not killed."""
    with opened(rabbitmq.url, prefix=prefix) as bus:
        yield bus
