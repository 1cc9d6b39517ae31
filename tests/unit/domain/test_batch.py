"""A batch goes or is stopped."""

from __future__ import annotations

import pytest
from hypothesis import given, settings

from scitq.domain import batch as batches
from scitq.domain.batch import Batch, BatchStarted, BatchStopped, StartBatch, StopBatch
from scitq.errors import Rejected
from tests.unit.domain.given import BATCH, Choices, choices


def test_a_batch_that_nobody_stopped_goes() -> None:
    assert not Batch("b").stopped
    BATCH.given().when(StartBatch()).then_nothing()


def test_a_batch_is_stopped_once_and_started_once() -> None:
    story = BATCH.given().when(StopBatch()).then(BatchStopped("b"))
    story.when(StopBatch(9)).then_nothing()
    assert story.state.stopped
    story = story.when(StartBatch()).then(BatchStarted("b"))
    story.when(StartBatch(18)).then_nothing()
    assert not story.state.stopped


@pytest.mark.parametrize("name", ["b", "Default", "my batch", "größe", "a" * 200, "x.y-z_1:2"])
def test_a_batch_may_be_called_nearly_anything(name: str) -> None:
    assert batches.check_name(name) == name


@pytest.mark.parametrize("name", ["", "a/b", "a,b", "a\nb", "a\x00b", "\x1b[31m", "a" * 201, "\u202eb"])
def test_a_name_that_breaks_addresses_or_lists_is_refused(name: str) -> None:
    with pytest.raises(Rejected, match="cannot name a batch"):
        batches.check_name(name)


@settings(max_examples=1_500, deadline=None)
@given(choices(5, 30))
def test_any_history_folds_and_no_command_does_anything_a_second_time(drawn: Choices) -> None:
    """Nothing is refused here: either word is possible at any time."""
    batch = Batch("b")
    while drawn.left:
        command = drawn.of((StopBatch(), StartBatch(), StopBatch(9), StartBatch(18)))
        before = batch
        for event in batches.decide(batch, command):
            batch = batches.evolve(batch, event)
        assert batch.stopped == isinstance(command, StopBatch)
        assert batch.version - before.version == (batch.stopped != before.stopped)
        assert batches.decide(batch, command) == []
