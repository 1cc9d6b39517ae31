from __future__ import annotations

import pytest

from scitq.domain import batch as bt
from scitq.domain import execution as ex
from scitq.domain import task as tk
from scitq.domain import worker as wk
from scitq.domain.engine_log import PayloadErased
from scitq.domain.wire import Erased, Event
from scitq.errors import Malformed
from scitq.projections.batches import PROJECTION, Batch, Member
from tests.unit.projections.given import shown

CREATED = tk.TaskCreated(1, "echo", "a")
DECLARED = wk.WorkerDeclared(3, "node3", "spool", 8, 2, ("a", "b"))


def the_batches(*events: Event | Erased) -> dict[str, Batch]:
    return shown(PROJECTION, *events).batches


def test_every_event_moves_one_count() -> None:
    assert the_batches(CREATED) == {"a": Batch("a", pending=1)}
    running = (CREATED, ex.ExecutionAssigned(1, 5, 3), ex.ExecutionStarted(1, 5))
    assert the_batches(*running) == {"a": Batch("a", running=1)}
    assert the_batches(*running, tk.TaskPaused(1)) == {"a": Batch("a", paused=1)}
    assert the_batches(*running, tk.TaskPaused(1), ex.ExecutionFailed(1, 5, 1)) == {"a": Batch("a", failed=1)}
    assert the_batches(CREATED, tk.TaskCreated(2, "echo", "a"), tk.TaskPaused(2))["a"].tasks == 2


def test_a_task_that_moves_to_another_batch_is_counted_there() -> None:
    assert the_batches(CREATED, tk.TaskEdited(1, {"batch": "b"})) == {"b": Batch("b", pending=1)}
    assert the_batches(CREATED, tk.TaskRelaunched(1, 2, "b", 0, 0)) == {"b": Batch("b", pending=1)}


def test_a_batch_that_nobody_names_any_more_has_no_row() -> None:
    assert the_batches(CREATED, tk.TaskDeleted(1)) == {}
    assert the_batches(bt.BatchStopped("a"), bt.BatchStarted("a")) == {}
    assert the_batches(DECLARED, wk.WorkerDeleted(3)) == {}


def test_a_stopped_batch_stays_stopped_while_nothing_is_in_it() -> None:
    assert the_batches(bt.BatchStopped("a"), CREATED, tk.TaskDeleted(1)) == {"a": Batch("a", stopped=True)}


def test_a_batch_counts_the_workers_that_serve_it() -> None:
    assert the_batches(DECLARED) == {"a": Batch("a", workers=1), "b": Batch("b", workers=1)}
    moved = wk.WorkerEdited(3, {"batches": ["b", "c"]})
    assert the_batches(DECLARED, moved) == {"b": Batch("b", workers=1), "c": Batch("c", workers=1)}
    assert the_batches(DECLARED, wk.WorkerEdited(3, {"concurrency": 1})) == the_batches(DECLARED)


def test_a_batch_that_a_worker_names_twice_counts_it_once() -> None:
    assert the_batches(wk.WorkerDeclared(3, "node3", "spool", 8, 2, ("a", "a"))) == {"a": Batch("a", workers=1)}


def test_an_erased_task_is_not_counted_before_or_after() -> None:
    live = shown(PROJECTION, CREATED, tk.TaskPaused(1), PayloadErased(1, (1,), "asked to"))
    rebuilt = shown(PROJECTION, Erased("task-created"), tk.TaskPaused(1), tk.TaskDeleted(1))
    assert live.batches == rebuilt.batches == {}
    assert live.members == rebuilt.members == {1: Member(1, "", "erased", False)}


def test_what_happens_to_a_task_or_a_worker_that_never_was_is_a_damaged_log() -> None:
    for event in (tk.TaskPaused(1), wk.WorkerEdited(3, {"concurrency": 1})):
        with pytest.raises(Malformed, match="never said had begun"):
            shown(PROJECTION, event)
