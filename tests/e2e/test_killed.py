"""Killing the server and the worker loses nothing, doubles nothing, and leaves nothing unexplained."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e import kills


@pytest.mark.parametrize("seed", [1])
def test_killing_server_and_worker_five_times_each_costs_nothing(tmp_path: Path, seed: int) -> None:
    story = kills.run(tmp_path, seed, each=5)
    assert story.wrong == []
