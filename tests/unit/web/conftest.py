"""A whole server for each test, and one for those tests of a file that change nothing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.web.whole import Whole, whole


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Whole]:
    with whole(tmp_path / "store") as started:
        yield started


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Whole]:
    """One for a whole file."""
    with whole(tmp_path_factory.mktemp("store")) as started:
        yield started
