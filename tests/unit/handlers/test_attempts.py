"""Attempts at a task: one at a time, again when it failed, not longer than allowed."""

from __future__ import annotations

import pytest

from scitq.domain import execution as ex
from scitq.domain import task as tasks
from scitq.domain.commands import (
    SteerTasks,
    TaskSpec,
)
from scitq.domain.messages import (
    Applied,
    Cancel,
    Unknown,
)
from tests.unit.handlers.server import MINUTE, SECOND, Server, started


def test_a_report_that_only_a_newer_agent_knows_has_its_number_and_changes_nothing(server: Server) -> None:
    task, execution = started(server)
    events = server.report(1, Unknown("moved"), ex.Succeeded(execution))
    assert [type(event) for event in events] == [ex.ExecutionSucceeded]
    assert server.said(1)[0] == Applied(4), "accepted, started, moved, succeeded"
    assert server.status(task) == "succeeded"


# One current execution -----------------------------------------------------------------------------------------


def test_relaunching_a_running_task_cancels_what_runs_first(server: Server) -> None:
    task, execution = started(server)
    events = server.steer(task, tasks.RelaunchTask())
    assert [type(event) for event in events] == [ex.ExecutionCancelled, tasks.TaskRelaunched, ex.ExecutionAssigned]
    assert server.said(1)[0] == Cancel(execution)
    assert server.report(1, ex.Succeeded(execution)) == [], "the old attempt is history"
    assert server.status(task) == "assigned"


@pytest.mark.parametrize("stage", ["assigned", "accepted", "running"])
def test_deleting_a_live_task_cancels_it_first(server: Server, stage: str) -> None:
    worker = server.hello()
    (task,) = server.submit()
    reports: dict[str, tuple[ex.Report, ...]] = {
        "assigned": (),
        "accepted": (ex.Accepted(1),),
        "running": (ex.Started(1),),
    }
    server.report(worker, *reports[stage])
    assert server.status(task) == stage
    assert server.steer(task, tasks.DeleteTask()) == [
        ex.ExecutionCancelled(task, 1, "task deleted"),
        tasks.TaskDeleted(task, "pending"),
    ]
    assert server.said(worker) == [Cancel(1)]
    assert server.status(task) == "deleted"


def test_what_a_live_task_runs_is_not_edited_under_it_but_relaunched_with_the_change(server: Server) -> None:
    task, execution = started(server)
    server.refused(SteerTasks((task,), tasks.EditTask({"command": "other"})), "cannot change under it")
    events = server.steer(task, tasks.EditTask({"command": "other"}, relaunch=True))
    assert [type(event) for event in events] == [
        ex.ExecutionCancelled,
        tasks.TaskEdited,
        tasks.TaskRelaunched,
        ex.ExecutionAssigned,
    ]
    assert server.said(1)[0] == Cancel(execution)


def test_an_agent_that_reports_everything_again_changes_nothing(server: Server) -> None:
    worker = server.hello()
    (task,) = server.submit()
    reports = server.reports(worker, ex.Accepted(1), ex.Started(1), ex.Succeeded(1))
    server.turn(reports)
    assert server.status(task) == "succeeded"
    server.submit()
    assert server.events(server.turn(reports)) == []
    server.restart()
    assert server.events(server.turn(reports)) == []
    assert server.said(worker) == [Applied(3)]


def test_a_task_that_has_succeeded_does_not_run_again_when_its_worker_says_that_it_starts(server: Server) -> None:
    task, execution = started(server)
    server.report(1, ex.Succeeded(execution))
    assert server.report(1, ex.Accepted(execution), ex.Started(execution), ex.Failed(execution, 1)) == []
    assert server.status(task) == "succeeded"


@pytest.mark.parametrize("stage", ["pending", "accepted", "running"])
def test_a_task_that_its_worker_refuses_is_queued_again_at_any_stage_and_no_retry_is_spent(
    server: Server, stage: str
) -> None:
    worker = server.hello()
    (task,) = server.submit(TaskSpec("work", retry=1))
    reports: dict[str, tuple[ex.Report, ...]] = {
        "pending": (),
        "accepted": (ex.Accepted(1),),
        "running": (ex.Started(1),),
    }
    server.report(worker, *reports[stage])
    assert server.report(worker, ex.Refused(1, "no room")) == [
        ex.ExecutionRefused(task, 1, "no room"),
        ex.ExecutionAssigned(task, 2, worker),
    ]
    assert server.state.tasks[task].retry == 1


def test_a_worker_reports_only_about_what_is_its_own(server: Server) -> None:
    task, execution = started(server)
    other = server.hello("other")
    assert server.report(other, ex.Failed(execution, 1)) == []
    assert server.status(task) == "running"


# Retries -------------------------------------------------------------------------------------------------------


def test_a_failed_task_is_run_as_often_as_it_has_retries_and_once_more(server: Server) -> None:
    worker = server.hello()
    (task,) = server.submit(TaskSpec("work", retry=2))
    for _ in range(3):
        server.report(worker, ex.Started(server.execution(task)), ex.Failed(server.execution(task), 1))
    assert server.status(task) == "failed"
    assert [event.retry for event in server.all(tasks.TaskRetried)] == [1, 0]


def test_a_task_whose_inputs_cannot_be_fetched_is_retried_like_any_other(server: Server) -> None:
    worker = server.hello()
    (task,) = server.submit(TaskSpec("work", retry=1))
    events = server.report(worker, ex.Accepted(1), ex.Failed(1, None, "no such file"))
    assert events[-2:] == [tasks.TaskRetried(task, 0), ex.ExecutionAssigned(task, 2, worker)]


def test_a_relaunched_task_has_all_its_retries_again(server: Server) -> None:
    task, execution = started(server, retry=1)
    server.report(1, ex.Failed(execution, 1))
    server.report(1, ex.Started(server.execution(task)), ex.Failed(server.execution(task), 1))
    assert server.status(task) == "failed"
    server.steer(task, tasks.RelaunchTask())
    assert server.state.tasks[task].retry == 1


def test_no_retry_is_spent_when_the_worker_is_lost(server: Server) -> None:
    task, _ = started(server, retry=1)
    server.passes(16 * MINUTE)
    assert server.status(task) == "pending" and server.state.tasks[task].retry == 1


# Timeouts ------------------------------------------------------------------------------------------------------


def test_a_task_that_runs_too_long_fails_and_its_worker_is_told(server: Server) -> None:
    task, execution = started(server, run_timeout_s=60)
    assert server.passes(60 * SECOND, but_heard=(1,)) == []
    assert server.passes(20 * SECOND, but_heard=(1,)) == [
        ex.ExecutionFailed(task, execution, None, "ran for more than 60 s", failure="run_timeout")
    ]
    assert server.passes(60 * MINUTE, but_heard=(1,)) == [], "it is said once"


def test_a_worker_whose_task_ran_too_long_is_told_to_end_it(server: Server) -> None:
    _, execution = started(server, run_timeout_s=1)
    server.steady += 20 * SECOND
    server.turn()
    assert server.said(1) == [Cancel(execution)]


def test_a_task_that_ran_too_long_is_retried(server: Server) -> None:
    task, _ = started(server, run_timeout_s=60, retry=1)
    server.passes(2 * MINUTE, but_heard=(1,))
    assert server.execution(task) == 2 and server.state.tasks[task].retry == 0


def test_a_download_that_takes_too_long_fails(server: Server) -> None:
    worker = server.hello()
    (task,) = server.submit(TaskSpec("work", download_timeout_s=60))
    server.report(worker, ex.Accepted(1))
    assert server.passes(2 * MINUTE, but_heard=(worker,)) == [
        ex.ExecutionFailed(task, 1, None, "its inputs took more than 60 s", failure="download_timeout")
    ]


def test_the_time_in_which_a_task_waits_for_its_turn_counts_for_no_timeout(server: Server) -> None:
    worker = server.hello()
    (task,) = server.submit(TaskSpec("work", download_timeout_s=60, run_timeout_s=60))
    assert server.passes(60 * MINUTE, but_heard=(worker,)) == []
    server.report(worker, ex.Accepted(1))
    server.passes(50 * SECOND, but_heard=(worker,))
    server.report(worker, ex.Started(1))
    assert server.passes(60 * SECOND, but_heard=(worker,)) == []
    assert server.status(task) == "running"


def test_a_timeout_outlives_the_engine(server: Server) -> None:
    task, _ = started(server, run_timeout_s=60)
    server.restart()
    server.passes(2 * MINUTE, but_heard=(1,))
    assert server.status(task) == "failed"
