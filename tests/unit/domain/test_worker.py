"""A worker's life: what people set stays set, and nobody is two."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings

from scitq.domain import worker as workers
from scitq.domain.worker import (
    DeleteWorker,
    EditWorker,
    Hello,
    NoteContact,
    NoteSilence,
    PauseWorker,
    ResumeWorker,
    Worker,
    WorkerDeclared,
    WorkerDeleted,
    WorkerEdited,
    WorkerLost,
    WorkerPaused,
    WorkerReincarnated,
    WorkerResumed,
    WorkerReturned,
    WorkerWentOffline,
)
from scitq.errors import Rejected
from tests.unit.domain.given import WORKER, Choices, choices

DECLARED = WorkerDeclared(1, "w", "spool", 2, 1, ("Default",))
OFFLINE = (DECLARED, WorkerWentOffline(1))
LOST = (*OFFLINE, WorkerLost(1))
DELETED = (DECLARED, WorkerDeleted(1))


def hello(incarnation: str = "spool", **proposed: Any) -> Hello:
    return Hello("w", incarnation, worker=1, **proposed)


def test_an_agent_with_a_new_name_is_declared_as_it_proposes() -> None:
    proposed = Hello("w", "spool", 2, 1, ("a", "b"), "host", paused=True, worker=1)
    WORKER.given().when(proposed).then(WorkerDeclared(1, "w", "spool", 2, 1, ("a", "b"), "host", True))


def test_an_agent_that_says_hello_again_changes_nothing() -> None:
    edited = WorkerEdited(1, {"concurrency": 9})
    WORKER.given(DECLARED, edited, WorkerPaused(1)).when(hello(concurrency=1, batches=("x",))).then_nothing()


@pytest.mark.parametrize("silent", [OFFLINE, LOST])
def test_a_silent_worker_that_says_hello_has_returned(silent: Any) -> None:
    WORKER.given(*silent).when(hello()).then(WorkerReturned(1))
    WORKER.given(*silent).when(NoteContact()).then(WorkerReturned(1))


def test_another_agent_of_a_name_that_is_connected_is_refused() -> None:
    WORKER.given(DECLARED).when(hello("other")).refused("another agent is connected as 'w'")


@pytest.mark.parametrize("silent", [OFFLINE, LOST])
def test_another_agent_takes_the_place_of_one_that_is_silent_and_keeps_what_people_set(silent: Any) -> None:
    after = WORKER.given(*silent).when(hello("other", concurrency=7)).then(WorkerReincarnated(1, "other")).state
    assert after is not None and (after.incarnation, after.concurrency, after.contact) == ("other", 2, "online")


def test_silence_is_noted_in_two_steps() -> None:
    story = WORKER.given(DECLARED).when(NoteSilence(lost=False)).then(WorkerWentOffline(1))
    story.when(NoteSilence(lost=False)).then_nothing()
    story = story.when(NoteSilence(lost=True)).then(WorkerLost(1))
    story.when(NoteSilence(lost=True)).then_nothing()
    story.when(NoteSilence(lost=False)).then_nothing()


def test_a_worker_is_paused_and_resumed_whether_it_is_heard_or_not() -> None:
    for events in ((DECLARED,), OFFLINE, LOST):
        story = WORKER.given(*events).when(PauseWorker()).then(WorkerPaused(1))
        story.when(PauseWorker()).then_nothing()
        story.when(ResumeWorker()).then(WorkerResumed(1)).when(ResumeWorker()).then_nothing()


@pytest.mark.parametrize(
    ("events", "capacity"),
    [
        ((DECLARED,), 3),
        ((DECLARED, WorkerEdited(1, {"concurrency": 0})), 0),
        ((DECLARED, WorkerPaused(1)), 0),
        (OFFLINE, 0),
        (LOST, 0),
        ((*LOST, WorkerReturned(1)), 3),
        (DELETED, 0),
    ],
)
def test_how_much_a_worker_may_hold(events: Any, capacity: int) -> None:
    state = WORKER.given(*events).state
    assert state is not None and state.capacity == capacity


def test_an_edit_says_only_what_is_new() -> None:
    WORKER.given(DECLARED).when(EditWorker({"concurrency": 2, "prefetch": 5})).then(WorkerEdited(1, {"prefetch": 5}))
    WORKER.given(DECLARED).when(EditWorker({"batches": ["Default"]})).then_nothing()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"name": "x"}, "'name'"),
        ({"concurrency": -1}, "0 or more"),
        ({"prefetch": -1}, "0 or more"),
        ({"batches": ()}, "at least one batch"),
        ({"lost_after_s": 30}, "more than 30 s"),
        ({"lost_after_s": 86_401}, "at most 86400 s"),
    ],
)
def test_what_makes_no_sense_is_refused(changes: Any, words: str) -> None:
    WORKER.given(DECLARED).when(EditWorker(changes)).refused(words)


@pytest.mark.parametrize("seconds", [31, 86_400])
def test_the_patience_with_a_worker_has_its_bounds_included(seconds: int) -> None:
    WORKER.given(DECLARED).when(EditWorker({"lost_after_s": seconds})).then(WorkerEdited(1, {"lost_after_s": seconds}))


@pytest.mark.parametrize("command", [EditWorker({}), PauseWorker(), NoteContact(), NoteSilence(lost=True)])
def test_a_worker_that_is_gone_is_not_steered(command: Any) -> None:
    WORKER.given(*DELETED).when(command).refused("there is no such worker")
    WORKER.given().when(command).refused("there is no such worker")


def test_a_worker_is_deleted_once() -> None:
    WORKER.given(DECLARED).when(DeleteWorker()).then(WorkerDeleted(1)).when(DeleteWorker()).then_nothing()


def any_command(drawn: Choices) -> Any:
    number = drawn.number(4)
    return drawn.of(
        (
            hello(),
            hello("other", concurrency=number),
            EditWorker({"concurrency": number - 1}),
            EditWorker({"prefetch": number, "batches": drawn.some(("a", "b"))}),
            EditWorker({"lost_after_s": 30 * number}),
            EditWorker({"nonsense": 1}),
            PauseWorker(),
            ResumeWorker(),
            NoteSilence(lost=False),
            NoteSilence(lost=True),
            NoteContact(),
            NoteSilence(lost=False) if number else DeleteWorker(),
        )
    )


@settings(max_examples=1_500, deadline=None)
@given(choices(30, 90))
def test_any_history_folds_and_no_command_does_anything_a_second_time(drawn: Choices) -> None:
    worker: Worker | None = None
    while drawn.left:
        command = any_command(drawn)
        try:
            events = workers.decide(worker, command)
        except Rejected as refusal:
            assert len(str(refusal)) > 10
            continue
        for event in events:
            version = worker.version if worker is not None else 0
            worker = workers.evolve(worker, event)
            assert worker is not None
            assert worker.version == (1 if isinstance(event, WorkerDeclared) else version + 1)
        assert workers.decide(worker, command) == []
        if worker is not None:
            assert worker.batches and worker.concurrency >= 0 and worker.prefetch >= 0
            if worker.contact == "deleted":
                worker = None  # whoever says hello now gets an id, and a stream, of his own
