"""A snapshot is the state, or nothing."""

from __future__ import annotations

import zlib
from copy import deepcopy
from typing import Any

import orjson
import pytest
from hypothesis import given, settings

from scitq.domain.snapshot import dump, load
from scitq.domain.state import State
from scitq.domain.task import TaskCreated
from scitq.errors import Malformed
from tests.unit.domain.given import Choices, Log, choices
from tests.unit.domain.test_state import any_event, queue


def told(drawn: Choices, folded: State, made: Log, events: int) -> None:
    for _ in range(events):
        event = any_event(folded, drawn)
        if event is not None:
            folded.apply(made.add(event))


@settings(max_examples=300, deadline=None)
@given(choices(120, 300))
def test_a_loaded_snapshot_has_the_same_facts_and_goes_on_the_same_way(drawn: Choices) -> None:
    folded, made = State(), Log()
    told(drawn, folded, made, drawn.number(30))
    loaded = load(dump(folded))
    assert loaded.facts() == folded.facts()
    assert dump(loaded) == dump(folded)
    before = len(made.recorded)
    while drawn.left:
        told(drawn, folded, made, 5)
    loaded.fold(made.recorded[before:])
    assert loaded.facts() == folded.facts()
    assert loaded.engine_version == folded.engine_version
    assert [e.id for e in loaded.overdue(2**60)] == [e.id for e in folded.overdue(2**60)]
    for batch in "ab":
        assert queue(loaded, batch) == queue(folded, batch)


def test_an_empty_state_is_a_snapshot_too() -> None:
    assert load(dump(State())).facts() == State().facts()


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"{}", b"null", b"7", b"\xff", b'{"counters":[]}'])
def test_what_is_no_snapshot_is_malformed(data: bytes) -> None:
    for whole in (data, zlib.compress(data), zlib.compress(data)[:-3]):
        with pytest.raises(Malformed, match="not a snapshot"):
            load(whole)


def test_columns_of_one_value_and_of_many_come_back_as_they_were() -> None:
    for tasks in (1, 2, 5):
        folded, made = State(), Log()
        for id in range(1, tasks + 1):
            needs = (id - 1,) if id > 1 else ()
            timeout = None if id % 2 else 7
            created = TaskCreated(id, "x", requires=needs, waits_for=needs, run_timeout_s=timeout, paused=id == 3)
            folded.apply(made.add(created))
        loaded = load(dump(folded))
        assert loaded.facts() == folded.facts()
        assert [type(task.paused) for task in loaded.tasks.values()] == [bool] * tasks
        assert all(task.requires is task.waits_for for task in loaded.tasks.values() if task.requires)


def damaged(content: Any, drawn: Choices) -> Any:
    """The content with one thing in it replaced, left out or doubled."""
    content = deepcopy(content)
    at = content
    for _ in range(6):
        places = list(at) if isinstance(at, dict) else list(range(len(at)))
        if not places:
            return content
        place = drawn.of(places)
        if isinstance(at[place], list | dict) and at[place] and drawn.number(4):
            at = at[place]
            continue
        match drawn.number(4):
            case 0:
                del at[place]
            case 1 if isinstance(at, list):
                at.append(at[place])
            case _:
                at[place] = drawn.of((None, 0, -1, "x", [], {}, [[]], [[[]]], 1.5, [1, 2], {"a": 1}))
        return content
    return content


def a_rich_state() -> State:
    folded, made = State(), Log()
    told(Choices(bytes((37 * n * n + 11 * n) % 256 for n in range(400))), folded, made, 80)
    assert folded.tasks and folded.executions and folded.workers and folded.batches and folded.unmet
    return folded


RICH = orjson.loads(zlib.decompress(dump(a_rich_state())))


@settings(max_examples=1_500, deadline=None)
@given(choices(8, 16))
def test_a_damaged_snapshot_is_malformed_or_loads_but_never_raises_anything_else(drawn: Choices) -> None:
    try:
        assert isinstance(load(zlib.compress(orjson.dumps(damaged(RICH, drawn)))), State)
    except Malformed as error:
        assert "not a snapshot" in str(error)
