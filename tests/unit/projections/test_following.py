from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scitq.domain import task as tk
from scitq.domain.wire import Recorded
from scitq.errors import StoreError
from scitq.projections import following as fo
from scitq.projections.memory import MemoryProjector
from scitq.projections.projection import table_of
from scitq.projections.tasks import PROJECTION, Rows
from tests.unit.projections.given import at
from tests.unit.projections.world import World

LOG = [at(position, tk.TaskCreated(position, "echo")) for position in range(1, 21)]


class Reader:
    """A journal that says how often it was read."""

    def __init__(self, log: Sequence[Recorded]) -> None:
        self.log, self.readings = log, 0

    def __call__(self, after: int, limit: int) -> Sequence[Recorded]:
        self.readings += 1
        return self.log[after : after + limit]


def test_what_comes_next_is_taken_without_a_look_into_the_journal() -> None:
    reader = Reader(LOG)
    projector = MemoryProjector(PROJECTION, reader)
    projector.receive(LOG[:5])
    projector.receive(LOG[5:6])
    assert (projector.position, len(projector.rows.tasks), reader.readings) == (6, 6, 0)


def test_what_is_repeated_is_dropped() -> None:
    projector = MemoryProjector(PROJECTION, Reader(LOG))
    projector.receive(LOG[:5])
    before = dict(projector.rows.tasks)
    projector.receive(LOG[:5])
    projector.receive([])
    assert (projector.position, projector.rows.tasks) == (5, before)


def test_a_gap_is_read_from_the_journal() -> None:
    reader = Reader(LOG)
    projector = MemoryProjector(PROJECTION, reader)
    projector.receive(LOG[9:10])
    assert projector.position == len(projector.rows.tasks) == len(LOG)
    assert reader.readings == 2


def test_what_was_published_but_is_not_in_the_journal_is_refused() -> None:
    projector = MemoryProjector(PROJECTION, Reader(LOG[:3]))
    with pytest.raises(StoreError, match="event 10 was published, but the journal ends at 3"):
        projector.receive(LOG[9:10])


def test_a_journal_that_leaves_something_out_is_refused() -> None:
    projector = MemoryProjector(PROJECTION, lambda after, limit: LOG[after + 1 : after + 3])
    with pytest.raises(StoreError, match="gave something else"):
        projector.catch_up()
    assert projector.position == 0


@given(st.lists(st.integers(1, 20)), st.integers(0, 20))
def test_what_follows_is_in_order_without_repeats_and_without_gaps(positions: list[int], position: int) -> None:
    run = fo.following(position, [LOG[found - 1] for found in positions])
    expected = position + 1
    for event in run:
        assert event.position == expected
        expected += 1
    assert expected not in positions


def test_an_event_that_cannot_be_folded_stops_a_projection_before_it_and_undoes_what_it_began() -> None:
    poison = at(21, tk.TaskEdited(3, {"no such property": 1}))
    more = [at(22, tk.TaskPaused(5)), at(23, tk.TaskPaused(6))]
    projector = MemoryProjector(PROJECTION, Reader(LOG))
    projector.receive(LOG[:18])
    with pytest.raises(fo.ProjectionStopped, match="'tasks' has stopped before event 21: ValueError") as stopped:
        projector.receive([*LOG[18:], poison, *more])
    assert (stopped.value.position, projector.position) == (21, 20)
    assert all(task.status == "pending" for task in projector.rows.tasks.values())
    assert len(projector.rows.tasks) == 20


def test_what_a_failed_fold_had_changed_is_undone() -> None:
    def fold(rows: Rows, events: Sequence[Recorded]) -> None:
        PROJECTION.fold(rows, events)
        if any(isinstance(recorded.event, tk.TaskPaused) for recorded in events):
            raise ValueError("at the very end")

    projector = MemoryProjector(replace(PROJECTION, fold=fold), Reader(LOG))
    projector.receive(LOG)
    before = dict(projector.rows.tasks)
    with pytest.raises(fo.ProjectionStopped, match="before event 21"):
        projector.receive([at(21, tk.TaskPaused(1))])
    assert (projector.position, projector.rows.tasks) == (20, before)


def test_a_rebuild_begins_with_nothing() -> None:
    world = World(4).live_through(120)
    projector = MemoryProjector(PROJECTION, world.read_recorded)
    projector.receive(world.log)
    before = projector.rows
    projector.rebuild()
    assert projector.rows == before
    assert projector.rows.tasks is not before.tasks


def test_a_field_that_no_column_can_hold_is_refused() -> None:
    class Row(NamedTuple):
        id: int
        what: int | Literal["none"]

    with pytest.raises(TypeError, match="column 'what' cannot hold"):
        table_of("rows", Row)
