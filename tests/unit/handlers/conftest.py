"""What the stories of the engine begin with."""

from __future__ import annotations

import pytest

from tests.unit.handlers.server import Server


@pytest.fixture
def server() -> Server:
    return Server()
