"""A worker that cannot run a task at all gives it back: it is not asked again at once, and others may have it."""

from __future__ import annotations

import pytest

from scitq.domain import execution as ex
from scitq.domain import task as tasks
from scitq.domain.commands import TaskSpec
from scitq.domain.worker import EditWorker
from scitq.handlers.rests import FIRST_REST_S, LONGEST_REST_S, MOST_ROUNDS, REST_GROWS
from tests.unit.handlers.server import SECOND, Server


def refuse(server: Server, worker: int, *, unable: bool = True) -> None:
    """The worker gives back all it holds."""
    held = [ex.Refused(id, "no docker here", unable) for id in server.state.active[worker]]
    server.report(worker, *held)


def asked(server: Server, task: int) -> list[int]:
    """The workers who were given the task, in order."""
    return [event.worker for event in server.all(ex.ExecutionAssigned) if event.task == task]


def test_it_goes_to_another_worker_at_once_and_not_back(server: Server) -> None:
    one, other = server.hello("one", concurrency=4), server.hello("other", concurrency=1)
    (first, second) = server.submit(TaskSpec("a"), TaskSpec("b"))
    assert asked(server, first) == [one]
    refuse(server, one)
    assert asked(server, first)[-1] == other or asked(server, second)[-1] == other
    assert asked(server, first).count(one) == 1
    assert server.status(first) in ("pending", "assigned") and not server.all(ex.ExecutionFailed)


def test_what_a_worker_just_gives_back_may_come_to_it_again(server: Server) -> None:
    one = server.hello("one")
    (task,) = server.submit(TaskSpec("a"))
    refuse(server, one, unable=False)
    assert asked(server, task) == [one, one]


def test_whoever_cannot_is_asked_again_after_pauses_that_grow_and_at_last_no_more(server: Server) -> None:
    one = server.hello("one")
    (task,) = server.submit(TaskSpec("a"))
    waited = []
    for round in range(MOST_ROUNDS + 1):
        assert len(asked(server, task)) == round + 1, "each time it is asked once"
        refuse(server, one)
        before = server.steady
        for _ in range(LONGEST_REST_S // 5):
            if len(asked(server, task)) > round + 1:
                break
            server.passes(10 * SECOND, but_heard=[one])
        waited.append((server.steady - before) // SECOND)
    expected = [min(FIRST_REST_S * REST_GROWS**round, LONGEST_REST_S) for round in range(MOST_ROUNDS)]
    assert waited[:-1] == [pytest.approx(pause, abs=10) for pause in expected]
    assert server.status(task) == "pending" and len(asked(server, task)) == MOST_ROUNDS + 1
    server.steer(task, tasks.RelaunchTask())
    assert len(asked(server, task)) == MOST_ROUNDS + 2, "who relaunches it has it asked again at once"


def test_a_worker_that_comes_later_gets_it(server: Server) -> None:
    one = server.hello("one")
    (task,) = server.submit(TaskSpec("a"))
    refuse(server, one)
    assert asked(server, task) == [one]
    later = server.hello("later")
    assert asked(server, task) == [one, later]


@pytest.mark.parametrize("changes", [{"user": "1000"}, {"container": None}, {"batch": "Default", "command": "b"}])
def test_a_task_that_is_changed_is_another_task(server: Server, changes: dict[str, str | None]) -> None:
    one = server.hello("one")
    (task,) = server.submit(TaskSpec("a", container="image"))
    refuse(server, one)
    server.steer(task, tasks.EditTask({"priority": 5}))
    assert asked(server, task) == [one]
    server.steer(task, tasks.EditTask(changes))
    assert asked(server, task) == [one, one] and not server.state.shy


@pytest.mark.parametrize("from_snapshot", [False, True])
def test_the_next_engine_knows_who_cannot(server: Server, from_snapshot: bool) -> None:
    one = server.hello("one")
    (task,) = server.submit(TaskSpec("a"))
    refuse(server, one)
    server.restart(from_snapshot=from_snapshot)
    server.beat(one)
    assert asked(server, task) == [one]
    server.passes(FIRST_REST_S * SECOND, but_heard=[one])
    assert asked(server, task) == [one, one]


def test_others_of_its_batch_are_not_held_up_and_priority_counts_among_all(server: Server) -> None:
    one = server.hello("one", concurrency=1)
    urgent, plain = server.submit(TaskSpec("a", priority=9), TaskSpec("b"))
    assert asked(server, urgent) == [one] and not asked(server, plain)
    refuse(server, one)
    assert asked(server, plain) == [one]
    other = server.hello("other", concurrency=1)
    server.submit(TaskSpec("c"))
    assert asked(server, urgent) == [one, other]


def test_a_free_slot_of_whoever_cannot_run_it_does_not_take_it_from_who_can(server: Server) -> None:
    unable, able = server.hello("unable", concurrency=1), server.hello("able", concurrency=0)
    (task,) = server.submit(TaskSpec("a"))
    refuse(server, unable)
    server.steer_worker(able, EditWorker({"concurrency": 1, "prefetch": 1}))
    first, second = server.submit(TaskSpec("b", batch="Default"), TaskSpec("c", batch="Default"))
    assert asked(server, task) == [unable, able]
    for _ in range(5):
        server.beat(able)
        server.beat(unable)
    assert len(asked(server, task)) == 2 and first and second


def test_thousands_that_nobody_can_run_are_asked_once_each(server: Server) -> None:
    one = server.hello("one", concurrency=500)
    ids = server.submit(*(TaskSpec("a") for _ in range(1_000)))
    for _ in range(10):
        refuse(server, one)
    assert [len(asked(server, id)) for id in (ids[0], ids[500], ids[-1])] == [1, 1, 1]
    assert len(server.all(ex.ExecutionAssigned)) == 1_000
