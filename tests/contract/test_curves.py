"""What an execution used over time is kept beside its output, is no output, and goes with it: on both databases."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from scitq.store.curves import keep_curves, read_curve
from scitq.store.output import OutputLog, open_output
from scitq.store.tally import Chunk, Stream
from scitq.store.urls import store_urls
from tests.contract.stores import Store

CURVE = [(1.0, 0.9, 2**40, 0, 5), (2.5, 1.25, 7, 2**40, 6)]


@pytest.fixture
def log(database: Store) -> Iterator[OutputLog]:
    log = open_output(store_urls(database.url).output)
    yield log
    log.close()


def test_a_curve_is_kept_once_and_goes_with_the_output(log: OutputLog) -> None:
    log.append([Chunk(1, Stream.stdout, 0, 0, b"hello")])
    keep_curves(log, {})
    keep_curves(log, {1: CURVE, 2: CURVE[:1]})
    keep_curves(log, {1: CURVE[1:]})
    assert read_curve(log, 1) == CURVE and read_curve(log, 2) == CURVE[:1] and read_curve(log, 3) == []
    assert log.ends([1, 2], 100) == {(1, Stream.stdout): b"hello"}
    assert log.read(1, Stream.stdout, 0, 100) == b"hello" and log.read(1, Stream.stderr, 0, 100) == b""
    log.delete([1])
    assert read_curve(log, 1) == [] and read_curve(log, 2) == CURVE[:1]
