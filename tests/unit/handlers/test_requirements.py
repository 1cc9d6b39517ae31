"""Tasks that wait for others."""

from __future__ import annotations

import pytest

from scitq.domain import execution as ex
from scitq.domain import task as tasks
from scitq.domain.commands import (
    CreateTasks,
    RequireTasks,
    TaskSpec,
)
from tests.unit.handlers.server import Server, ended, started


def test_a_task_is_created_together_with_all_it_requires(server: Server) -> None:
    first, second, third = server.submit(TaskSpec("a"), TaskSpec("b"), TaskSpec("c", requires=(-1, -2)))
    created = server.all(tasks.TaskCreated)[-1]
    assert (created.task, created.requires, created.waits_for) == (third, (first, second), (first, second))
    assert server.status(third) == "waiting"


def test_a_task_starts_when_the_last_of_its_requirements_has_succeeded(server: Server) -> None:
    worker = server.hello(concurrency=2)
    *required, task = server.submit(TaskSpec("a"), TaskSpec("b"), TaskSpec("c", requires=(-1, -2)))
    server.report(worker, *(ex.Started(server.execution(id)) for id in required))
    server.report(worker, ex.Succeeded(server.execution(required[0])))
    assert server.status(task) == "waiting"
    assert server.report(worker, ex.Succeeded(server.execution(required[1])))[1:] == [
        tasks.TaskReleased(task),
        ex.ExecutionAssigned(task, 3, worker),
    ]


def test_a_request_with_one_impossible_task_creates_none(server: Server) -> None:
    server.refused(CreateTasks((TaskSpec("a"), TaskSpec("b", requires=(99,)))), "task 99")
    assert server.submit() == [1]


@pytest.mark.parametrize("reference", [-1, -2, 0])
def test_a_reference_leads_to_an_earlier_task_of_the_same_request(server: Server, reference: int) -> None:
    server.refused(CreateTasks((TaskSpec("a", requires=(reference,)), TaskSpec("b"))), "does not come before it")


def test_a_requirement_named_twice_counts_once(server: Server) -> None:
    worker = server.hello()
    first, second = server.submit(TaskSpec("a"), TaskSpec("b", requires=(-1, 1, -1)))
    server.report(worker, ex.Succeeded(server.execution(first)))
    assert server.status(second) == "assigned"


def test_a_requirement_that_has_succeeded_long_ago_is_met(server: Server) -> None:
    required = ended(server)
    assert required not in server.state.tasks
    (task,) = server.submit(TaskSpec("b", requires=(required,)))
    assert server.status(task) == "pending"
    assert server.all(tasks.TaskCreated)[-1].requires == (required,)


def test_a_requirement_that_has_failed_long_ago_is_said_at_once(server: Server) -> None:
    required = ended(server, well=False)
    (task,) = server.submit(TaskSpec("b", requires=(required,)))
    assert server.status(task) == "waiting"
    assert server.events()[-1] == tasks.TaskBlocked(task, required, "failed")


def test_a_failed_requirement_is_said_and_its_dependant_can_be_released_by_hand(server: Server) -> None:
    required, execution = started(server)
    (task,) = server.submit(TaskSpec("b", requires=(required,)))
    assert tasks.TaskBlocked(task, required, "failed") in server.report(1, ex.Failed(execution, 1))
    assert server.status(task) == "waiting"
    assert server.steer(task, tasks.ReleaseTask())[0] == tasks.TaskReleased(task, by_hand=True)
    assert server.status(task) == "assigned"


def test_a_requirement_that_is_retried_has_not_failed_for_those_who_wait(server: Server) -> None:
    required, execution = started(server, retry=1)
    (task,) = server.submit(TaskSpec("b", requires=(required,)))
    assert not {tasks.TaskBlocked} & {type(event) for event in server.report(1, ex.Failed(execution, 1))}
    server.report(1, ex.Started(server.execution(required)), ex.Succeeded(server.execution(required)))
    assert server.status(task) == "assigned"


def test_a_deleted_requirement_is_said(server: Server) -> None:
    required, task = server.submit(TaskSpec("a"), TaskSpec("b", requires=(-1,)))
    assert tasks.TaskBlocked(task, required, "deleted") in server.steer(required, tasks.DeleteTask())
    assert server.status(task) == "waiting"


def test_deleting_a_requirement_that_has_succeeded_takes_nothing_from_its_dependants(server: Server) -> None:
    worker = server.hello(concurrency=2)
    first, second, task = server.submit(TaskSpec("a"), TaskSpec("b"), TaskSpec("c", requires=(-1, -2)))
    server.report(worker, ex.Succeeded(server.execution(first)))
    assert server.steer(first, tasks.DeleteTask()) == [tasks.TaskDeleted(first, "succeeded")]
    server.report(worker, ex.Succeeded(server.execution(second)))
    assert server.status(task) == "assigned"


def test_a_blocked_task_goes_when_its_requirement_is_relaunched_and_succeeds(server: Server) -> None:
    required, execution = started(server)
    (task,) = server.submit(TaskSpec("b", requires=(required,)))
    server.report(1, ex.Failed(execution, 1))
    assert tasks.TaskUnblocked(task, required) in server.steer(required, tasks.RelaunchTask())
    server.report(1, ex.Started(server.execution(required)), ex.Succeeded(server.execution(required)))
    assert server.status(task) == "assigned"


def test_a_requirement_that_had_succeeded_and_is_run_again_is_waited_for_again(server: Server) -> None:
    worker = server.hello(concurrency=1)
    first, second, task = server.submit(TaskSpec("a"), TaskSpec("b"), TaskSpec("c", requires=(-1, -2)))
    server.report(worker, ex.Succeeded(server.execution(first)))
    server.steer(first, tasks.RelaunchTask())
    server.report(worker, ex.Succeeded(server.execution(second)))
    assert server.status(task) == "waiting"
    server.report(worker, ex.Succeeded(server.execution(first)))
    assert server.status(task) == "assigned"


def test_a_paused_task_whose_requirements_succeed_is_released_and_stays_held(server: Server) -> None:
    required, execution = started(server)
    (task,) = server.submit(TaskSpec("b", requires=(required,), paused=True))
    server.report(1, ex.Succeeded(execution))
    assert server.state.tasks[task].stage == "pending" and server.status(task) == "paused"
    server.steer(task, tasks.ResumeTask())
    assert server.status(task) == "assigned"


def test_a_circle_of_requirements_is_refused(server: Server) -> None:
    a, b, c = server.submit(TaskSpec("a"), TaskSpec("b", requires=(-1,)), TaskSpec("c", requires=(-2,)))
    server.refused(RequireTasks(a, (c,)), "would wait for itself")
    server.refused(RequireTasks(b, (b,)), "wait")
    assert server.status(a) == "pending"


def test_no_requirements_at_all_is_something_that_can_be_set(server: Server) -> None:
    server.hello()
    _, task = server.submit(TaskSpec("a", "elsewhere"), TaskSpec("b", requires=(-1,)))
    server.done(RequireTasks(task, ()))
    assert server.events()[0] == tasks.TaskRequirementsChanged(task, (), ())
    assert server.status(task) == "assigned"


def test_requirements_that_are_already_met_are_kept_too(server: Server) -> None:
    required = ended(server)
    (task,) = server.submit(TaskSpec("b", "nobody"))
    server.done(RequireTasks(task, (required,)))
    assert server.events() == [tasks.TaskRequirementsChanged(task, (required,), ())]


def test_requirements_cannot_change_once_the_task_is_given_to_a_worker(server: Server) -> None:
    task, _ = started(server)
    (other,) = server.submit(TaskSpec("b"))
    server.refused(RequireTasks(task, (other,)), "only before a task is assigned")
