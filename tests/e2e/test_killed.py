"""Killing the server and the worker loses nothing, doubles nothing, and leaves nothing unexplained."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.e2e import kills

EACH = int(os.environ.get("SCITQ_CAMPAIGN", "5"))


@pytest.mark.parametrize("seed", [1])
def test_killing_server_and_worker_again_and_again_costs_nothing(tmp_path: Path, seed: int) -> None:
    story = kills.run(tmp_path, seed, each=EACH)
    assert story.wrong == []
