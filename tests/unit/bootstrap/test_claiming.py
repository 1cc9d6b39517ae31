"""Told to end while it starts, a server ends between two steps: what a signal raises may land where it is lost."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from scitq.bootstrap.claiming import claimed, leave_if_told
from scitq.config import load


@pytest.fixture(autouse=True)
def handler() -> Iterator[None]:
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


class Swallower:
    """What is raised in a finalizer, or in a callback of an import, is printed and gone."""

    def __del__(self) -> None:
        signal.raise_signal(signal.SIGTERM)


def test_a_signal_in_a_finalizer_is_not_lost(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    settings = load({"SCITQ_DATA": str(tmp_path / "data"), "SCITQ_PORT": "0"})
    with pytest.raises(SystemExit) as left, claimed(settings):
        leave_if_told()
        Swallower()
        leave_if_told()
    assert left.value.code == 0
    assert not capsys.readouterr().err
    with claimed(settings):
        leave_if_told()  # the next one was told nothing
