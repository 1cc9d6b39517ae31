"""Nobody idles beside a queue: what waits at one worker for a slot goes to another that has one."""

from __future__ import annotations

from scitq.domain import execution as ex
from scitq.domain.commands import TaskSpec
from scitq.domain.messages import GiveBack
from scitq.handlers.rebalance import REASON
from tests.unit.handlers.server import SECOND, Server


def test_what_waits_at_one_worker_goes_to_another_that_has_a_slot(server: Server) -> None:
    busy = server.hello("busy", concurrency=1, prefetch=2)
    first, second, third = server.submit(TaskSpec("a"), TaskSpec("b"), TaskSpec("c"))
    server.report(busy, ex.Started(server.execution(first)))
    idle = server.hello("idle", concurrency=1)
    wanted = GiveBack(server.execution(third), REASON)
    assert asked(server, busy) == [wanted], "the last given goes, and no more than fits"
    server.report(busy, ex.Refused(wanted.execution, REASON))
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
    question = GiveBack(server.execution(second), REASON)
    assert asked(server, busy) == [question]
    server.passes(SECOND, but_heard=(busy, idle))
    assert asked(server, busy) == []
    server.passes(5 * SECOND, but_heard=(busy, idle))
    assert asked(server, busy) == [question]


def asked(server: Server, worker: int) -> list[GiveBack]:
    return [message for message in server.said(worker) if isinstance(message, GiveBack)]


def test_what_was_fetched_already_goes_last(server: Server) -> None:
    busy = server.hello("busy", concurrency=1, prefetch=2)
    first, second, third = server.submit(TaskSpec("a"), TaskSpec("b"), TaskSpec("c"))
    third_is = server.execution(third)
    server.report(busy, ex.Started(server.execution(first)), ex.Accepted(third_is), ex.Ready(third_is))
    server.hello("idle", concurrency=1)
    assert asked(server, busy) == [GiveBack(server.execution(second), REASON)]


def test_what_runs_stays(server: Server) -> None:
    busy = server.hello("busy", concurrency=2)
    tasks = server.submit(TaskSpec("a"), TaskSpec("b"))
    server.report(busy, *(ex.Started(server.execution(task)) for task in tasks))
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
