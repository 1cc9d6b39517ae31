"""Who gets what, in which order."""

from __future__ import annotations

from typing import Any

from scitq.domain import batch as batches
from scitq.domain import execution as ex
from scitq.domain import task as tasks
from scitq.domain import worker as workers
from scitq.domain.commands import SteerBatch, TaskSpec
from scitq.handlers.assign import assign
from scitq.handlers.contacts import MOST_HELD_AHEAD
from tests.unit.handlers.server import SECOND, Server


def given_out(server: Server) -> list[tuple[int, int]]:
    """(task, worker) of every assignment, in order."""
    return [(event.task, event.worker) for event in server.all(ex.ExecutionAssigned)]


def submit_many(server: Server, count: int, **properties: Any) -> list[int]:
    return server.submit(*(TaskSpec("work", **properties) for _ in range(count)))


def test_the_least_loaded_worker_is_served_first(server: Server) -> None:
    server.hello("small", concurrency=2)
    server.hello("large", concurrency=4)
    submit_many(server, 6)
    assert [worker for _, worker in given_out(server)] == [1, 2, 2, 1, 2, 2]


def test_free_slots_are_filled_before_anybody_prefetches(server: Server) -> None:
    server.hello("eager", concurrency=1, prefetch=9)
    server.hello("slow", concurrency=3)
    submit_many(server, 6)
    workers_ = [worker for _, worker in given_out(server)]
    assert sorted(workers_[:4]) == [1, 2, 2, 2], "as many as there are slots"
    assert workers_[4:] == [1, 1], "then the prefetch"


def test_nobody_holds_more_than_concurrency_and_prefetch(server: Server) -> None:
    server.hello(concurrency=2, prefetch=1)
    submit_many(server, 9)
    assert len(given_out(server)) == 3


def test_a_worker_without_concurrency_prefetches_nothing(server: Server) -> None:
    server.hello(concurrency=0, prefetch=5)
    submit_many(server, 2)
    assert given_out(server) == []


def test_higher_priority_goes_first_and_among_equals_the_older_task(server: Server) -> None:
    specs = [TaskSpec("work", priority=priority) for priority in (0, 5, -1, 5, 0)]
    server.submit(*specs)
    server.hello(concurrency=9)
    assert [task for task, _ in given_out(server)] == [2, 4, 1, 5, 3]


def test_a_task_whose_priority_is_raised_overtakes(server: Server) -> None:
    first, second = submit_many(server, 2)
    server.steer(second, tasks.EditTask({"priority": 1}))
    server.hello(concurrency=1)
    assert given_out(server) == [(second, 1)]
    server.report(1, ex.Succeeded(1))
    assert given_out(server)[-1] == (first, 1)


def test_a_task_that_comes_back_keeps_its_place_by_age(server: Server) -> None:
    worker = server.hello(concurrency=1)
    first, _ = submit_many(server, 2)
    server.report(worker, ex.Refused(1, "no room"))
    assert given_out(server) == [(first, worker), (first, worker)]


def test_two_batches_on_one_worker_take_turns(server: Server) -> None:
    submit_many(server, 4, batch="a")
    submit_many(server, 4, batch="b")
    worker = server.hello(concurrency=1, batches=("a", "b"))
    for _ in range(7):
        server.report(worker, ex.Succeeded(server.state.last_execution))
    served = [event.batch for event in server.all(ex.ExecutionAssigned)]
    assert served == ["a", "b"] * 4


def test_two_batches_share_the_slots_of_one_worker_evenly(server: Server) -> None:
    submit_many(server, 10, batch="a", priority=9)
    submit_many(server, 2, batch="b")
    server.hello(concurrency=4, batches=("a", "b"))
    served = [event.batch for event in server.all(ex.ExecutionAssigned)]
    assert sorted(served) == ["a", "a", "b", "b"]


def test_a_batch_alone_on_a_worker_has_all_of_it(server: Server) -> None:
    submit_many(server, 4, batch="a")
    server.hello(concurrency=4, batches=("a", "b"))
    assert len(given_out(server)) == 4


def test_a_task_goes_only_to_workers_that_serve_its_batch(server: Server) -> None:
    server.hello("other", concurrency=5, batches=("a",))
    (task,) = server.submit(TaskSpec("work", "b"))
    assert given_out(server) == []
    server.steer_worker(1, workers.EditWorker({"batches": ("a", "b")}))
    assert given_out(server) == [(task, 1)]


def test_a_paused_an_offline_and_a_full_worker_get_nothing(server: Server) -> None:
    server.hello("offline", concurrency=5)
    server.passes(40 * SECOND)
    server.hello("paused", concurrency=5, paused=True)
    server.hello("full", concurrency=1)
    first, second = submit_many(server, 2)
    assert given_out(server) == [(first, 3)]
    server.steer_worker(2, workers.ResumeWorker())
    assert given_out(server)[-1] == (second, 2)


def test_a_stopped_batch_gets_nothing_while_others_go_on(server: Server) -> None:
    server.done(SteerBatch("a", batches.StopBatch()))
    server.hello(concurrency=5, batches=("a", "b"))
    server.submit(TaskSpec("work", "a"), TaskSpec("work", "b"))
    assert given_out(server) == [(2, 1)]


def test_a_paused_task_and_one_that_waits_are_passed_over(server: Server) -> None:
    server.submit(TaskSpec("a", paused=True, priority=9), TaskSpec("b", requires=(-1,), priority=9), TaskSpec("c"))
    server.hello(concurrency=5)
    assert given_out(server) == [(3, 1)]


def test_raised_concurrency_is_used_at_once(server: Server) -> None:
    worker = server.hello(concurrency=1)
    submit_many(server, 3)
    server.steer_worker(worker, workers.EditWorker({"concurrency": 3}))
    assert len(given_out(server)) == 3


def test_batches_that_did_not_change_are_not_looked_at(server: Server) -> None:
    server.hello(concurrency=1)
    submit_many(server, 2)
    assert server.state.dirty == set()
    server.state.begin()
    assert list(assign(server.state, [])) == []
    server.state.merge()


def ended(server: Server, worker: int, executions: int, every: int) -> None:
    """The worker ends so many of what it holds, one every so many microseconds."""
    for _ in range(executions):
        server.steady += every
        server.report(worker, ex.Started(min(server.state.active[worker])))
        server.report(worker, ex.Succeeded(min(server.state.active[worker])))


def test_a_worker_whose_executions_take_no_time_holds_the_next_ones_already(server: Server) -> None:
    worker = server.hello(concurrency=2)
    submit_many(server, 500)
    ended(server, worker, 400, every=2_000)  # 500 a second
    assert 2 + 15 <= len(server.state.active[worker]) <= 2 + 20, "about 40 ms of work ahead"


def test_a_worker_whose_executions_take_long_holds_no_more_than_it_runs(server: Server) -> None:
    worker = server.hello(concurrency=4)
    submit_many(server, 100)
    ended(server, worker, 40, every=50_000)
    assert len(server.state.active[worker]) == 4


def test_what_was_quick_once_counts_no_more_a_second_later(server: Server) -> None:
    worker = server.hello(concurrency=2)
    submit_many(server, 300)
    ended(server, worker, 100, every=1_000)
    assert len(server.state.active[worker]) > 10
    ended(server, worker, 30, every=SECOND)
    assert len(server.state.active[worker]) == 2


def test_no_worker_holds_very_much_ahead_however_quick_it_is(server: Server) -> None:
    worker = server.hello(concurrency=1)
    submit_many(server, 2_000)
    ended(server, worker, 500, every=10)
    assert len(server.state.active[worker]) == 1 + MOST_HELD_AHEAD
