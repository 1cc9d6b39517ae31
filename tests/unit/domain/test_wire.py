"""Events on the wire: what is written is what is read, and what cannot be read is never guessed."""

from __future__ import annotations

from typing import Any, get_args

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scitq.domain import batch, engine_log, task, wire, worker
from scitq.domain.envelope import GENESIS, Mark, seal
from scitq.domain.state import State
from scitq.domain.wire import Erased, Recorded
from scitq.errors import Malformed, UnknownEvent
from tests.unit.domain.given import stream_of
from tests.unit.domain.samples import bare, full

EVERY = sorted(wire.CURRENT)


def classes(union: Any) -> set[type[Any]]:
    return {cls for part in get_args(union) or (union,) for cls in (classes(part) if get_args(part) else {part})}


def test_every_event_there_is_has_a_name_of_its_own() -> None:
    named = [cls for _, cls in wire.CURRENT.values()]
    every = classes(task.TaskEvent) | classes(worker.WorkerEvent) | classes(batch.BatchEvent)
    assert set(named) == every | classes(engine_log.EngineEvent)
    assert len(named) == len(set(named))


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize("make", [full, bare])
def test_an_event_is_read_as_it_was_written(name: str, make: Any) -> None:
    event = make(name)
    assert wire.name_of(event) == (name, wire.CURRENT[name][0])
    read = wire.decode(*wire.name_of(event), wire.encode(event))
    assert read == event and type(read) is type(event)


@pytest.mark.parametrize("name", EVERY)
def test_what_is_at_its_default_is_left_out(name: str) -> None:
    required = set(orjson.loads(wire.encode(bare(name))))
    event = bare(name)
    for field in event.__dataclass_fields__.values():
        at_default = getattr(event, field.name) == field.default
        assert (field.name in required) != at_default


@pytest.mark.parametrize("name", EVERY)
def test_an_event_is_written_the_same_every_time(name: str) -> None:
    assert wire.encode(full(name)) == wire.encode(full(name))


@pytest.mark.parametrize("name", EVERY)
def test_every_event_can_be_folded(name: str) -> None:
    """In an empty state: as when the record of all before was erased."""
    event = full(name)
    if name != "task-relaunched":
        State().apply(Recorded(1, stream_of(event), 1, 1, "a", 0, 0, None, event))


def test_an_unknown_event_is_refused_and_never_skipped() -> None:
    with pytest.raises(UnknownEvent, match="'task-teleported' version 1 at position 9"):
        wire.decode("task-teleported", 1, b"{}", 9)
    with pytest.raises(UnknownEvent):
        wire.decode("task-teleported", 1, None)


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize("payload", [b"{}", None])
def test_a_version_that_is_newer_than_this_release_is_refused(name: str, payload: bytes | None) -> None:
    with pytest.raises(UnknownEvent, match="written by a newer one"):
        wire.decode(name, wire.CURRENT[name][0] + 1, payload)


def test_a_version_older_than_any_upcaster_is_refused() -> None:
    with pytest.raises(Malformed):
        wire.decode("task-paused", 0, b'{"task":1}')


def test_an_older_version_is_brought_up_step_by_step(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(wire.CURRENT, "task-paused", (3, task.TaskPaused))
    monkeypatch.setitem(wire.UPCASTERS, ("task-paused", 1), lambda old: {"id": old["number"]})
    monkeypatch.setitem(wire.UPCASTERS, ("task-paused", 2), lambda old: {"task": old["id"]})
    assert wire.decode("task-paused", 1, b'{"number":7}') == task.TaskPaused(7)
    assert wire.decode("task-paused", 2, b'{"id":7}') == task.TaskPaused(7)
    assert wire.decode("task-paused", 3, b'{"task":7}') == task.TaskPaused(7)


def test_an_erased_event_keeps_its_name() -> None:
    assert wire.decode("task-created", 1, None) == Erased("task-created")


@pytest.mark.parametrize(
    "payload", [b"", b"{", b"[]", b"1", b"null", b'"task"', b'["requires"]', b"{}", b'{"task":1,"extra":2}', b"\xff"]
)
def test_a_content_that_is_none_is_malformed(payload: bytes) -> None:
    with pytest.raises(Malformed, match="'task-created' version 1 cannot be read"):
        wire.decode("task-created", 1, payload)


def test_a_list_that_is_none_is_malformed() -> None:
    with pytest.raises(Malformed):
        wire.decode("task-created", 1, b'{"task":1,"command":"a","requires":7}')


@settings(max_examples=500, deadline=None)
@given(st.sampled_from(EVERY), st.one_of(st.binary(max_size=40), st.from_regex(rb'[\[{"a-z:,0-9}\]]{1,20}')))
def test_any_bytes_are_an_event_or_malformed(name: str, payload: bytes) -> None:
    try:
        event = wire.decode(name, 1, payload)
    except Malformed:
        return
    assert isinstance(event, wire.CURRENT[name][1])


@pytest.mark.parametrize("mark", [None, Mark(2, "spool", 9)])
@pytest.mark.parametrize("erased", [False, True])
def test_what_a_stored_event_says_is_all_that_was_recorded(mark: Mark | None, erased: bool) -> None:
    event = task.TaskPaused(3)
    envelope = seal(
        GENESIS, position=7, stream="task-3", version=2, type="task-paused", schema=1, time=5, actor="a,null]",
        command=6, cause=4, epoch=1, mark=mark, payload=wire.encode(event),
    )  # fmt: skip
    envelope = envelope._replace(payload=None) if erased else envelope
    expected = Erased("task-paused") if erased else event
    assert wire.recorded(envelope) == Recorded(7, "task-3", 2, 5, "a,null]", 6, 4, mark, expected)
