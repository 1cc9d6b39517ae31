"""Nobody idles beside a queue: what waits at one worker for a slot goes to another that has one."""

from __future__ import annotations

from scitq.domain import execution as ex
from scitq.domain.commands import TaskSpec
from scitq.domain.messages import Cancel
from tests.unit.handlers.server import SECOND, Server


def test_what_waits_at_one_worker_goes_to_another_that_has_a_slot(server: Server) -> None:
    busy = server.hello("busy", concurrency=1, prefetch=2)
    first, second, third = server.submit(TaskSpec("a"), TaskSpec("b"), TaskSpec("c"))
    server.report(busy, ex.Started(server.execution(first)))
    idle = server.hello("idle", concurrency=1)
    assert sorted(server.state.active[idle].values()) == [third], "the last given goes, and no more than fits"
    assert sorted(server.state.active[busy].values()) == [first, second]
    cancelled = server.all(ex.ExecutionCancelled)
    assert [(one.task, one.reason) for one in cancelled] == [(third, "another worker has a slot free for it")]
    assert Cancel(cancelled[0].execution) in server.said(busy)


def test_what_was_fetched_already_goes_last(server: Server) -> None:
    busy = server.hello("busy", concurrency=1, prefetch=2)
    first, second, third = server.submit(TaskSpec("a"), TaskSpec("b"), TaskSpec("c"))
    third_is = server.execution(third)
    server.report(busy, ex.Started(server.execution(first)), ex.Accepted(third_is), ex.Ready(third_is))
    idle = server.hello("idle", concurrency=1)
    assert sorted(server.state.active[idle].values()) == [second]


def test_what_runs_stays(server: Server) -> None:
    busy = server.hello("busy", concurrency=2)
    tasks = server.submit(TaskSpec("a"), TaskSpec("b"))
    server.report(busy, *(ex.Started(server.execution(task)) for task in tasks))
    server.hello("idle", concurrency=4)
    assert not server.all(ex.ExecutionCancelled)


def test_a_worker_that_serves_other_batches_gets_nothing(server: Server) -> None:
    server.hello("busy", concurrency=1, prefetch=2)
    server.submit(TaskSpec("a"), TaskSpec("b"))
    server.hello("idle", concurrency=1, batches=("other",))
    assert not server.all(ex.ExecutionCancelled)


def test_a_worker_that_is_done_in_no_time_keeps_what_it_holds(server: Server) -> None:
    quick = server.hello("quick", concurrency=1, prefetch=2)
    server.submit(*(TaskSpec("a") for _ in range(600)))
    for _ in range(12):
        done = [report for id in list(server.state.active[quick]) for report in (ex.Started(id), ex.Succeeded(id))]
        server.report(quick, *done)
    assert len(server.state.active[quick]) > 3, "it holds more than slots and prefetch"
    server.hello("idle", concurrency=1)
    assert not server.all(ex.ExecutionCancelled)


def test_two_workers_do_not_pass_a_task_to_and_fro(server: Server) -> None:
    server.hello("one", concurrency=1, prefetch=1)
    server.hello("two", concurrency=1, prefetch=1)
    server.submit(TaskSpec("a"), TaskSpec("b"), TaskSpec("c"))
    for _ in range(10):
        server.passes(SECOND, but_heard=(1, 2))
    assert not server.all(ex.ExecutionCancelled)
