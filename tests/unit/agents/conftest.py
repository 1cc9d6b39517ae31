"""What several tests of the agent begin with."""

from __future__ import annotations

import pytest

from tests.unit.agents.machine import Machine


@pytest.fixture
def machine() -> Machine:
    return Machine()
