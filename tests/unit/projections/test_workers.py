from __future__ import annotations

import pytest

from scitq.domain import execution as ex
from scitq.domain import task as tk
from scitq.domain import worker as wk
from scitq.domain.engine_log import PayloadErased
from scitq.domain.wire import Erased, Event
from scitq.errors import Malformed
from scitq.projections.loads import Held, Load
from scitq.projections.workers import PROJECTION, Worker
from tests.unit.projections.given import SECOND, shown

DECLARED = wk.WorkerDeclared(3, "node3", "spool", 8, 2, ("Default",), "node3.lan")
ASSIGNED = ex.ExecutionAssigned(1, 5, 3)


def the_worker(*events: Event) -> Worker:
    return shown(PROJECTION, DECLARED, *events).workers[3]


def the_loads(*events: Event | Erased) -> dict[int, Load]:
    return shown(PROJECTION, *events).loads


def test_a_new_worker_runs() -> None:
    worker = the_worker()
    assert (worker.status, worker.concurrency, worker.prefetch, worker.batches) == ("running", 8, 2, ("Default",))


@pytest.mark.parametrize(
    ("events", "status"),
    [
        ((wk.WorkerPaused(3),), "paused"),
        ((wk.WorkerPaused(3), wk.WorkerResumed(3)), "running"),
        ((wk.WorkerWentOffline(3),), "offline"),
        ((wk.WorkerWentOffline(3), wk.WorkerLost(3)), "lost"),
        ((wk.WorkerPaused(3), wk.WorkerLost(3)), "lost"),
        ((wk.WorkerPaused(3), wk.WorkerLost(3), wk.WorkerReturned(3)), "paused"),
        ((wk.WorkerLost(3), wk.WorkerReincarnated(3, "new spool")), "running"),
        ((wk.WorkerDeleted(3),), "deleted"),
    ],
)
def test_one_word_says_whether_a_worker_works(events: tuple[Event, ...], status: str) -> None:
    worker = the_worker(*events)
    assert (worker.status, worker.modified_at) == (status, (1 + len(events)) * SECOND)


def test_what_people_set_is_shown_and_moves_no_status_time() -> None:
    worker = the_worker(wk.WorkerEdited(3, {"concurrency": 1, "batches": ["a", "b"]}))
    assert (worker.concurrency, worker.batches, worker.status_at) == (1, ("a", "b"), SECOND)


def test_an_attempt_is_counted_where_it_is_and_as_it_stands() -> None:
    assert the_loads(ASSIGNED) == {3: Load(3, pending=1)}
    assert the_loads(ASSIGNED, ex.ExecutionStarted(1, 5)) == {3: Load(3, running=1)}
    lost = (ASSIGNED, ex.ExecutionLost(1, 5, "silent"))
    assert the_loads(*lost) == {3: Load(3, lost=1)}
    assert the_loads(*lost, ex.ExecutionRecovered(1, 5, "accepted")) == {3: Load(3, accepted=1)}


def test_only_the_latest_attempt_at_a_task_is_counted() -> None:
    failed = (ASSIGNED, ex.ExecutionFailed(1, 5, 1))
    assert the_loads(*failed, ex.ExecutionAssigned(1, 6, 4)) == {4: Load(4, pending=1)}


def test_a_deleted_task_is_no_longer_counted() -> None:
    assert the_loads(ASSIGNED, ex.ExecutionCancelled(1, 5, "task deleted"), tk.TaskDeleted(1)) == {}
    assert the_loads(tk.TaskDeleted(1)) == {}


def test_an_erased_task_is_not_counted_before_or_after() -> None:
    live = shown(PROJECTION, ASSIGNED, PayloadErased(1, (1,), "asked to"))
    rebuilt = shown(PROJECTION, Erased("task-created"), ASSIGNED, ex.ExecutionStarted(1, 5), tk.TaskDeleted(1))
    assert live.loads == rebuilt.loads == {}
    assert live.held == rebuilt.held == {1: Held(1, 0, 0, "erased")}


def test_what_happens_to_a_worker_or_an_attempt_that_never_was_is_a_damaged_log() -> None:
    for event in (wk.WorkerPaused(3), ex.ExecutionStarted(1, 5)):
        with pytest.raises(Malformed, match="never said had begun"):
            shown(PROJECTION, event)
