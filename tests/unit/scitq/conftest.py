"""Commands that are typed to a server: one for each test, and one for those tests of a file that change nothing."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.unit.scitq.typed import Typed, typing_to_a_server


@pytest.fixture(scope="module")
def typed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Typed]:
    """One for a whole file."""
    with typing_to_a_server(tmp_path_factory.mktemp("typed")) as commands:
        yield commands
