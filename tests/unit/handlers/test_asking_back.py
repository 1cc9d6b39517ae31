"""What waits where it should not is asked for: nobody idles beside a queue, and nothing waits where it cannot run."""

from __future__ import annotations

import pytest

from scitq.domain import batch as batches
from scitq.domain import execution as ex
from scitq.domain import task as tasks
from scitq.domain import worker as workers
from scitq.domain.commands import SteerBatch, TaskSpec, WorkerSteering
from scitq.domain.messages import Assign, GiveBack
from scitq.handlers.asking_back import NO_SLOTS, NOT_SERVED, PAUSED, SLOT_ELSEWHERE, STOPPED
from tests.unit.handlers.server import SECOND, Server


def asked(server: Server, worker: int) -> list[GiveBack]:
    return [message for message in server.said(worker) if isinstance(message, GiveBack)]


# A slot elsewhere ---------------------------------------------------------------------------------------------------


def test_what_waits_at_one_worker_goes_to_another_that_has_a_slot(server: Server) -> None:
    busy = server.hello("busy", concurrency=1, prefetch=2)
    first, second, third = server.submit(TaskSpec("a"), TaskSpec("b"), TaskSpec("c"))
    server.report(busy, ex.Started(server.execution(first)))
    idle = server.hello("idle", concurrency=1)
    wanted = GiveBack(server.execution(third), SLOT_ELSEWHERE)
    assert asked(server, busy) == [wanted], "the last given goes, and no more than fits"
    server.report(busy, ex.Refused(wanted.execution, SLOT_ELSEWHERE))
    assert sorted(server.state.active[idle].values()) == [third]
    assert sorted(server.state.active[busy].values()) == [first, second]


def test_what_has_begun_when_it_is_asked_for_stays_and_is_not_run_twice(server: Server) -> None:
    busy = server.hello("busy", concurrency=1, prefetch=1)
    first, second = server.submit(TaskSpec("a"), TaskSpec("b"))
    server.report(busy, ex.Started(server.execution(first)))
    idle = server.hello("idle", concurrency=1)
    server.report(busy, ex.Succeeded(server.execution(first)), ex.Started(server.execution(second)))
    assert not server.state.active.get(idle)
    assert not server.all(ex.ExecutionCancelled)


def test_a_question_that_was_lost_is_asked_again(server: Server) -> None:
    busy = server.hello("busy", concurrency=1, prefetch=1)
    first, second = server.submit(TaskSpec("a"), TaskSpec("b"))
    server.report(busy, ex.Started(server.execution(first)))
    idle = server.hello("idle", concurrency=1)
    question = GiveBack(server.execution(second), SLOT_ELSEWHERE)
    assert asked(server, busy) == [question]
    server.passes(SECOND, but_heard=(busy, idle))
    assert asked(server, busy) == []
    server.passes(5 * SECOND, but_heard=(busy, idle))
    assert asked(server, busy) == [question]


def test_what_was_fetched_already_goes_last(server: Server) -> None:
    busy = server.hello("busy", concurrency=1, prefetch=2)
    first, second, third = server.submit(TaskSpec("a"), TaskSpec("b"), TaskSpec("c"))
    third_is = server.execution(third)
    server.report(busy, ex.Started(server.execution(first)), ex.Accepted(third_is), ex.Ready(third_is))
    server.hello("idle", concurrency=1)
    assert asked(server, busy) == [GiveBack(server.execution(second), SLOT_ELSEWHERE)]


def test_what_runs_stays(server: Server) -> None:
    busy = server.hello("busy", concurrency=2)
    both = server.submit(TaskSpec("a"), TaskSpec("b"))
    server.report(busy, *(ex.Started(server.execution(task)) for task in both))
    server.hello("idle", concurrency=4)
    assert not server.all(ex.ExecutionCancelled) and not any(asked(server, id) for id in server.state.workers)


def test_a_worker_that_serves_other_batches_gets_nothing(server: Server) -> None:
    server.hello("busy", concurrency=1, prefetch=2)
    server.submit(TaskSpec("a"), TaskSpec("b"))
    server.hello("idle", concurrency=1, batches=("other",))
    assert not server.all(ex.ExecutionCancelled) and not any(asked(server, id) for id in server.state.workers)


def test_a_worker_that_is_done_in_no_time_keeps_what_it_holds(server: Server) -> None:
    quick = server.hello("quick", concurrency=1, prefetch=2)
    server.submit(*(TaskSpec("a") for _ in range(600)))
    for _ in range(12):
        done = [report for id in list(server.state.active[quick]) for report in (ex.Started(id), ex.Succeeded(id))]
        server.report(quick, *done)
    assert len(server.state.active[quick]) > 3, "it holds more than slots and prefetch"
    server.hello("idle", concurrency=1)
    assert not server.all(ex.ExecutionCancelled) and not any(asked(server, id) for id in server.state.workers)


def test_two_workers_do_not_pass_a_task_to_and_fro(server: Server) -> None:
    server.hello("one", concurrency=1, prefetch=1)
    server.hello("two", concurrency=1, prefetch=1)
    server.submit(TaskSpec("a"), TaskSpec("b"), TaskSpec("c"))
    for _ in range(10):
        server.passes(SECOND, but_heard=(1, 2))
        assert not any(asked(server, id) for id in server.state.workers)
    assert not server.all(ex.ExecutionCancelled)


# A place where it would not be given out now ---------------------------------------------------------------------


def waiting(server: Server) -> tuple[int, int]:
    """A worker that runs one task and holds the next; the execution that waits."""
    worker = server.hello("busy", concurrency=1, prefetch=1)
    first, second = server.submit(TaskSpec("a"), TaskSpec("b"))
    server.report(worker, ex.Started(server.execution(first)))
    return worker, server.execution(second)


EDITED: list[tuple[str, WorkerSteering]] = [
    (PAUSED, workers.PauseWorker()),
    (NO_SLOTS, workers.EditWorker({"concurrency": 0})),
    (NOT_SERVED, workers.EditWorker({"batches": ("other",)})),
]


@pytest.mark.parametrize(("reason", "order"), EDITED)
def test_a_worker_that_would_not_be_given_it_now_is_asked_for_what_waits(
    server: Server, reason: str, order: WorkerSteering
) -> None:
    worker, execution = waiting(server)
    assert len(server.steer_worker(worker, order)) == 1
    assert asked(server, worker) == [GiveBack(execution, reason)]
    assert server.report(worker, ex.Refused(execution, reason)) == [ex.ExecutionRefused(2, execution, reason)]
    assert server.status(2) == "pending" and server.status(1) == "running"
    server.hello("other")
    assert server.status(2) == "assigned", "no retry is spent, and it goes on elsewhere"


def test_what_waits_in_a_batch_that_is_stopped_is_asked_for(server: Server) -> None:
    worker, execution = waiting(server)
    server.done(SteerBatch("Default", batches.StopBatch()))
    assert asked(server, worker) == [GiveBack(execution, STOPPED)]


def test_a_task_that_is_moved_to_a_batch_its_worker_does_not_serve_is_asked_for(server: Server) -> None:
    worker, execution = waiting(server)
    server.steer(2, tasks.EditTask({"batch": "other"}))
    assert asked(server, worker) == [GiveBack(execution, NOT_SERVED)]
    server.steer(2, tasks.EditTask({"batch": "Default", "priority": 3}))
    server.steady += 6 * SECOND
    server.beat(worker)
    assert asked(server, worker) == [], "it is where it should be again"


def test_what_has_begun_meanwhile_stays_whoever_asked(server: Server) -> None:
    worker, execution = waiting(server)
    server.steer_worker(worker, workers.PauseWorker())
    server.report(worker, ex.Succeeded(1), ex.Started(execution))
    server.hello("other")
    assert server.state.executions[execution].status == "running" and len(server.all(ex.ExecutionAssigned)) == 2


@pytest.mark.parametrize("from_snapshot", [None, True, False])
def test_a_worker_that_does_not_answer_is_asked_again_when_it_is_heard(
    server: Server, from_snapshot: bool | None
) -> None:
    worker, execution = waiting(server)
    server.steer_worker(worker, workers.PauseWorker())
    if from_snapshot is None:
        server.passes(6 * SECOND)
        assert asked(server, worker) == []
    else:
        server.restart(from_snapshot=from_snapshot)  # who leads now knows nothing of the question
    server.beat(worker)
    assert asked(server, worker) == [GiveBack(execution, PAUSED)]
    server.beat(worker)
    assert asked(server, worker) == [], "not with every heartbeat"
    server.steer_worker(worker, workers.ResumeWorker())
    server.steady += 6 * SECOND
    server.beat(worker)
    assert asked(server, worker) == []


def test_what_a_worker_never_heard_of_is_offered_and_asked_back_in_one_breath(server: Server) -> None:
    worker, execution = waiting(server)
    server.done(SteerBatch("Default", batches.StopBatch()))
    server.beat(worker, {server.execution(1): "running"})
    assert server.said(worker) == [Assign(execution, 2), GiveBack(execution, STOPPED)]


def test_a_worker_with_fewer_slots_keeps_what_waits_until_another_has_one_free(server: Server) -> None:
    worker = server.hello("busy", concurrency=3)
    server.submit(TaskSpec("a"), TaskSpec("b"), TaskSpec("c"))
    server.report(worker, ex.Started(2))
    assert len(server.steer_worker(worker, workers.EditWorker({"concurrency": 1}))) == 1
    assert asked(server, worker) == []
    server.hello("idle", concurrency=2)
    assert asked(server, worker) == [GiveBack(3, SLOT_ELSEWHERE), GiveBack(1, SLOT_ELSEWHERE)]
