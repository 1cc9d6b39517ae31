"""What the server decides, told as short stories: each is a way in which a task queue has gone wrong before."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import pytest

from scitq.domain import batch as batches
from scitq.domain import execution as ex
from scitq.domain import task as tasks
from scitq.domain import worker as workers
from scitq.domain.commands import (
    CreateTasks,
    EraseTask,
    Request,
    RequireTasks,
    SignalExecutions,
    SteerBatch,
    SteerTasks,
    SteerWorkers,
    TaskSpec,
)
from scitq.domain.engine_log import CommandFailed, ReactorFailed, ReactorRecovered, ReportFailed
from scitq.domain.envelope import Mark
from scitq.domain.messages import (
    AgentHello,
    Applied,
    Assign,
    Cancel,
    Goodbye,
    Heartbeat,
    Resend,
    SayHello,
    Settings,
    Signal,
    Unwelcome,
    Welcome,
)
from scitq.domain.state import State
from scitq.domain.worker import Hello
from scitq.handlers import overlay, requirements
from scitq.handlers.actions import Action
from scitq.handlers.overlay import Overlay
from tests.unit.handlers.server import MINUTE, SECOND, Server


@pytest.fixture
def server() -> Server:
    return Server()


def started(server: Server, worker: int = 0, **properties: Any) -> tuple[int, int]:
    """A task that runs: its id and its execution's."""
    worker = worker or server.hello()
    (task,) = server.submit(TaskSpec("work", **properties))
    execution = server.execution(task)
    server.report(server.state.executions[execution].worker, ex.Accepted(execution), ex.Started(execution))
    assert server.status(task) == "running"
    return task, execution


def ended(server: Server, *, well: bool = True, **properties: Any) -> int:
    """A task that has ended, on a worker that exists for nothing else."""
    worker = server.hello("once", batches=("once",))
    (task,) = server.submit(TaskSpec("work", "once", **properties))
    end = ex.Succeeded if well else ex.Failed
    server.report(worker, ex.Started(server.execution(task)), end(server.execution(task)))
    return task


# Requirements -------------------------------------------------------------------------------------------------


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


# One current execution ----------------------------------------------------------------------------------------


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


# Retries ------------------------------------------------------------------------------------------------------


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


# Workers that fall silent -------------------------------------------------------------------------------------


def test_a_worker_that_is_silent_for_30_seconds_gets_no_new_work(server: Server) -> None:
    worker = server.hello(concurrency=2)
    assert server.passes(30 * SECOND) == []
    assert server.passes(10 * SECOND) == [workers.WorkerWentOffline(worker)]
    server.submit()
    assert server.all(ex.ExecutionAssigned) == []


def test_a_task_whose_worker_dies_is_queued_again(server: Server) -> None:
    task, execution = started(server)
    assert server.passes(15 * MINUTE) == [workers.WorkerWentOffline(1)]
    assert server.passes(10 * SECOND) == [
        workers.WorkerLost(1),
        ex.ExecutionLost(task, execution, "the worker is silent"),
    ]
    other = server.hello("other")
    assert server.execution(task) == 2 and server.state.executions[2].worker == other


def test_a_worker_that_is_heard_keeps_its_work(server: Server) -> None:
    task, execution = started(server)
    assert server.passes(60 * MINUTE, but_heard=(1,)) == []
    assert server.execution(task) == execution


def test_the_patience_with_a_worker_can_be_set(server: Server) -> None:
    task, _ = started(server)
    server.steer_worker(1, workers.EditWorker({"lost_after_s": 3600}))
    server.passes(59 * MINUTE)
    assert server.status(task) == "running"
    server.passes(2 * MINUTE)
    assert server.status(task) == "pending"


def test_a_paused_worker_that_dies_gives_its_work_back_too(server: Server) -> None:
    task, _ = started(server)
    server.steer_worker(1, workers.PauseWorker())
    server.passes(16 * MINUTE)
    assert server.status(task) == "pending"


def test_nobody_is_called_silent_for_the_time_in_which_no_engine_listened(server: Server) -> None:
    task, _ = started(server)
    server.steady += 60 * MINUTE
    server.restart()
    assert server.passes(30 * SECOND) == []
    assert server.status(task) == "running"


def test_a_worker_that_returns_while_its_task_is_unassigned_goes_on_with_it(server: Server) -> None:
    task, execution = started(server)
    server.passes(16 * MINUTE)
    assert server.beat(1, {execution: "running"}) == [
        workers.WorkerReturned(1),
        ex.ExecutionRecovered(task, execution, "running"),
    ]
    assert server.report(1, ex.Succeeded(execution)) == [ex.ExecutionSucceeded(task, execution)]


def test_a_lost_attempt_that_has_ended_counts_when_nobody_else_has_the_task(server: Server) -> None:
    task, execution = started(server)
    server.passes(16 * MINUTE)
    assert server.report(1, ex.Succeeded(execution)) == [
        workers.WorkerReturned(1),
        ex.ExecutionRecovered(task, execution, "running"),
        ex.ExecutionSucceeded(task, execution),
    ]


def test_a_worker_that_returns_after_its_task_was_given_away_is_history(server: Server) -> None:
    task, execution = started(server)
    server.passes(16 * MINUTE)
    server.hello("other")
    assert server.execution(task) != execution
    assert server.beat(1, {execution: "running"}) == [workers.WorkerReturned(1)]
    assert Cancel(execution) in server.said(1)
    assert server.report(1, ex.Succeeded(execution)) == []
    assert server.status(task) == "assigned"


def test_an_attempt_that_a_lost_worker_gave_back_does_not_return_on_the_word_of_a_late_heartbeat(
    server: Server,
) -> None:
    task, execution = started(server)
    late = server.heartbeat_of(1, {execution: "running"})
    server.steer_worker(1, workers.EditWorker({"concurrency": 0}))
    server.passes(16 * MINUTE)
    server.report(1, ex.Refused(execution, "the machine was restarted"))
    server.turn(late)
    assert server.status(task) == "pending"


@pytest.mark.parametrize("held", ["pending", "accepted"])
def test_what_has_not_started_does_not_return_into_a_stopped_batch(server: Server, held: Any) -> None:
    worker = server.hello()
    (task,) = server.submit()
    server.passes(16 * MINUTE)
    server.done(SteerBatch("Default", batches.StopBatch()))
    assert server.beat(worker, {1: held}) == [workers.WorkerReturned(worker)]
    assert Cancel(1) in server.said(worker)
    assert server.status(task) == "pending"


@pytest.mark.parametrize("held", ["pending", "accepted"])
def test_what_has_not_started_does_not_return_to_a_task_that_was_paused_meanwhile(server: Server, held: Any) -> None:
    worker = server.hello()
    (task,) = server.submit()
    server.passes(16 * MINUTE)
    server.steer(task, tasks.PauseTask())
    assert server.beat(worker, {1: held}) == [workers.WorkerReturned(worker)]
    assert Cancel(1) in server.said(worker)


def test_a_running_attempt_that_returns_to_a_task_paused_meanwhile_is_held(server: Server) -> None:
    task, execution = started(server)
    server.passes(16 * MINUTE)
    server.steer(task, tasks.PauseTask())
    server.beat(1, {execution: "running"})
    assert server.state.tasks[task].stage == "running"
    assert Signal(execution, "pause") in server.said(1)


# Who is who ---------------------------------------------------------------------------------------------------


def test_an_agent_says_hello_and_is_told_who_it_is(server: Server) -> None:
    worker = server.hello(concurrency=3, prefetch=1)
    (welcome, settings) = server.outcome.messages
    assert welcome.message == Welcome(worker, "w-spool", 0) and welcome.address == "address"
    assert settings.message == Settings(1, 3, 1, False)


def test_a_worker_that_says_hello_again_keeps_what_people_set(server: Server) -> None:
    worker = server.hello(concurrency=1)
    server.steer_worker(worker, workers.EditWorker({"concurrency": 5, "prefetch": 2, "batches": ("b",)}))
    server.steer_worker(worker, workers.PauseWorker())
    set_ = server.worker(worker)
    assert server.hello(concurrency=1, prefetch=0, batches=("Default",), paused=False) == worker
    assert server.events() == [] and server.worker(worker) == set_
    assert Settings(set_.version, 5, 2, True) in server.said(worker)


def test_a_second_agent_of_the_same_name_is_turned_away(server: Server) -> None:
    worker = server.hello(incarnation="one")
    server.turn(AgentHello(Hello("w", "two"), "there"))
    (answer,) = server.outcome.messages
    assert isinstance(answer.message, Unwelcome) and "another agent is connected as 'w'" in answer.message.reason
    assert (answer.worker, answer.incarnation, answer.address) == (0, "two", "there")
    assert server.worker(worker).incarnation == "one"


def test_an_agent_set_up_anew_takes_its_old_name_once_the_one_before_is_silent(server: Server) -> None:
    task, execution = started(server)
    server.steady += 31 * SECOND
    assert server.hello(incarnation="anew") == 1
    assert server.events() == [
        workers.WorkerWentOffline(1),
        workers.WorkerReincarnated(1, "anew"),
        ex.ExecutionLost(task, execution, "the worker started anew with an empty spool"),
        ex.ExecutionAssigned(task, 2, 1),
    ]


def test_what_the_agent_before_says_is_not_taken_for_that_of_the_new_one(server: Server) -> None:
    task, execution = started(server)
    old = server.reports(1, ex.Failed(execution, 1))
    server.steady += 31 * SECOND
    server.hello(incarnation="anew")
    assert server.events(server.turn(old)) == []
    assert [to.message for to in server.outcome.messages] == [SayHello()]
    assert server.status(task) == "assigned"


def test_the_reports_of_a_new_incarnation_are_counted_from_one(server: Server) -> None:
    task, _ = started(server)
    server.steady += 31 * SECOND
    server.hello(incarnation="anew")
    assert server.report(1, ex.Started(2), ex.Succeeded(2))[-1] == ex.ExecutionSucceeded(task, 2)


def test_ids_of_workers_are_never_given_again(server: Server) -> None:
    assert server.hello("a") == 1
    server.steer_worker(1, workers.DeleteWorker())
    assert server.hello("a") == 2


def test_a_deleted_worker_gives_its_work_back_and_is_a_stranger(server: Server) -> None:
    task, execution = started(server)
    beat = server.heartbeat_of(1)
    assert server.steer_worker(1, workers.DeleteWorker()) == [
        workers.WorkerDeleted(1),
        ex.ExecutionLost(task, execution, "the worker was deleted"),
    ]
    server.turn(beat)
    assert [to.message for to in server.outcome.messages] == [SayHello()]
    new = server.hello()
    assert server.beat(new, {execution: "running"}) == [] and Cancel(execution) in server.said(new)


def test_a_heartbeat_that_holds_nothing_changes_nothing_that_is_known(server: Server) -> None:
    worker = server.hello(concurrency=3, prefetch=2, batches=("b",))
    before = server.worker(worker)
    assert server.beat(worker, {}) == []
    assert server.worker(worker) == before


# Messages that get lost ---------------------------------------------------------------------------------------


def test_an_assignment_that_got_lost_is_said_again_at_the_next_heartbeat(server: Server) -> None:
    worker = server.hello()
    (task,) = server.submit()
    server.beat(worker, {})
    assert server.said(worker) == [Assign(1, task)]


def test_a_cancellation_that_got_lost_is_said_again_at_the_next_heartbeat(server: Server) -> None:
    task, execution = started(server)
    server.steer(task, tasks.DeleteTask())
    server.beat(1, {execution: "running"})
    assert server.said(1) == [Cancel(execution)]


def test_settings_that_got_lost_are_said_again_at_the_next_heartbeat(server: Server) -> None:
    worker = server.hello()
    old = server.heartbeat_of(worker)
    server.steer_worker(worker, workers.EditWorker({"concurrency": 7}))
    server.turn(old)
    assert server.said(worker) == [Settings(2, 7, 0, False)]
    server.beat(worker)
    assert server.said(worker) == []


def test_a_missing_report_is_asked_for_and_what_came_early_waits_for_it(server: Server) -> None:
    worker = server.hello()
    (task,) = server.submit()
    first = server.reports(worker, ex.Started(1))
    second = server.reports(worker, ex.Succeeded(1))
    assert server.events(server.turn(second)) == []
    assert server.said(worker) == [Applied(0), Resend(1)]
    assert server.events(server.turn(first)) == [ex.ExecutionStarted(task, 1), ex.ExecutionSucceeded(task, 1)]
    assert server.said(worker) == [Applied(2)]


def test_what_a_report_made_true_carries_its_number(server: Server) -> None:
    worker = server.hello()
    server.submit()
    server.report(worker, ex.Accepted(1), ex.Started(1))
    assert [one.mark for one in server.outcome.events] == [Mark(worker, "w-spool", 1), Mark(worker, "w-spool", 2)]
    assert server.state.marks[worker].sequence == 2


def test_a_signal_is_a_fact_and_is_told_to_the_worker(server: Server) -> None:
    task, execution = started(server)
    assert server.done(SignalExecutions((execution,), 15))["executions"] == [execution]
    assert server.events() == [ex.ExecutionSignalled(task, execution, 15)]
    assert server.said(1) == [Signal(execution, 15)]


def test_a_signal_to_what_does_not_run_is_refused(server: Server) -> None:
    server.hello()
    server.submit()
    server.refused(SignalExecutions((1,), 15), "execution 1 is not running")
    server.refused(SignalExecutions((2,), 15), "execution 2 is not running")


# Pause and stop -----------------------------------------------------------------------------------------------


def test_a_task_paused_before_it_runs_is_given_back_and_never_seen_running(server: Server) -> None:
    worker = server.hello()
    (task,) = server.submit()
    server.report(worker, ex.Accepted(1))
    assert server.steer(task, tasks.PauseTask()) == [
        ex.ExecutionCancelled(task, 1, "task paused"),
        tasks.TaskPaused(task),
    ]
    assert server.status(task) == "paused"
    assert server.steer(task, tasks.ResumeTask()) == [
        tasks.TaskResumed(task),
        ex.ExecutionAssigned(task, 2, worker),
    ]
    assert server.status(task) == "assigned"


def test_a_running_task_is_held_in_its_tracks_and_goes_on(server: Server) -> None:
    task, execution = started(server)
    server.steer(task, tasks.PauseTask())
    assert server.said(1) == [Signal(execution, "pause")] and server.status(task) == "paused"
    server.steer(task, tasks.ResumeTask())
    assert server.said(1) == [Signal(execution, "resume")] and server.status(task) == "running"


@pytest.mark.parametrize("do", [tasks.PauseTask(), tasks.ResumeTask(), tasks.ReleaseTask()])
@pytest.mark.parametrize("well", [True, False])
def test_an_ended_task_is_not_brought_back_by_pausing_resuming_or_releasing(
    server: Server, do: Any, well: bool
) -> None:
    task = ended(server, well=well)
    server.refused(SteerTasks((task,), do), f"task {task} has already")


def test_a_stopped_batch_gives_back_what_has_not_started_and_lets_the_rest_end(server: Server) -> None:
    worker = server.hello(concurrency=1, prefetch=1)
    running, waiting = server.submit(TaskSpec("a"), TaskSpec("b"))
    server.report(worker, ex.Started(server.execution(running)))
    server.done(SteerBatch("Default", batches.StopBatch()))
    assert server.events() == [
        batches.BatchStopped("Default"),
        ex.ExecutionCancelled(waiting, 2, "batch stopped"),
    ]
    assert server.report(worker, ex.Succeeded(1)) == [ex.ExecutionSucceeded(running, 1)]
    assert server.status(waiting) == "pending"


def test_a_stopped_batch_holds_also_for_workers_that_come_later_or_are_resumed(server: Server) -> None:
    server.submit(TaskSpec("a", "b"))
    server.done(SteerBatch("b", batches.StopBatch()))
    worker = server.hello(batches=("b",))
    server.steer_worker(worker, workers.PauseWorker())
    server.steer_worker(worker, workers.ResumeWorker())
    server.steer_worker(server.hello("mover"), workers.EditWorker({"batches": ("b",)}))
    assert server.all(ex.ExecutionAssigned) == []
    server.done(SteerBatch("b", batches.StartBatch()))
    assert len(server.all(ex.ExecutionAssigned)) == 1


def test_starting_a_batch_does_not_resume_workers_or_tasks_that_were_paused_by_hand(server: Server) -> None:
    worker = server.hello()
    server.steer_worker(worker, workers.PauseWorker())
    (task,) = server.submit()
    server.done(SteerBatch("Default", batches.StopBatch()))
    server.done(SteerBatch("Default", batches.StartBatch()))
    assert server.worker(worker).paused and server.status(task) == "pending"


def test_a_batch_is_stopped_with_a_signal_to_all_that_runs_in_it_and_nothing_else(server: Server) -> None:
    worker = server.hello(concurrency=2, batches=("a", "b"))
    first, _ = server.submit(TaskSpec("x", "a"), TaskSpec("y", "b"))
    server.report(worker, ex.Started(1), ex.Started(2))
    assert server.done(SteerBatch("a", batches.StopBatch(9)))["signalled"] == [server.execution(first)]
    assert server.said(worker) == [Signal(server.execution(first), 9)]


def test_a_paused_worker_gives_back_what_has_not_started(server: Server) -> None:
    worker = server.hello(concurrency=1, prefetch=1)
    server.submit(TaskSpec("a"), TaskSpec("b"))
    server.report(worker, ex.Started(1))
    assert server.steer_worker(worker, workers.PauseWorker()) == [
        workers.WorkerPaused(worker),
        ex.ExecutionCancelled(2, 2, "worker paused"),
    ]


# Timeouts -----------------------------------------------------------------------------------------------------


def test_a_task_that_runs_too_long_fails_and_its_worker_is_told(server: Server) -> None:
    task, execution = started(server, run_timeout_s=60)
    assert server.passes(60 * SECOND, but_heard=(1,)) == []
    assert server.passes(20 * SECOND, but_heard=(1,)) == [
        ex.ExecutionFailed(task, execution, None, "ran for more than 60 s")
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
        ex.ExecutionFailed(task, 1, None, "its inputs took more than 60 s")
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


# One bad object never stops the rest --------------------------------------------------------------------------


def test_a_reactor_that_stumbles_over_one_task_goes_on_with_the_others(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = server.hello(concurrency=9)
    bad, good = server.submit(TaskSpec("a"), TaskSpec("b"))
    (after_bad,) = server.submit(TaskSpec("c", requires=(bad,)))
    (after_good,) = server.submit(TaskSpec("d", requires=(good,)))

    def stumbles(event: ex.ExecutionFailed, state: State) -> Iterable[Action]:
        if event.task == bad:
            raise ZeroDivisionError("tasks_per_worker is 0")
        return requirements.on_execution_failed(event, state)

    stumbles.__module__ = requirements.__name__
    monkeypatch.setitem(overlay.REACTORS, ex.ExecutionFailed, (stumbles,))
    events = server.report(worker, ex.Failed(server.execution(bad), 1), ex.Failed(server.execution(good), 1))
    assert [event for event in events if isinstance(event, ReactorFailed)] == [
        ReactorFailed("requirements.stumbles", f"task-{bad}", "ZeroDivisionError: tasks_per_worker is 0")
    ]
    assert server.status(bad) == "failed", "what it stumbled over is true all the same"
    assert server.state.tasks[after_good].blocked_by == (good,) and server.state.tasks[after_bad].blocked_by == ()


def test_a_stumble_is_said_once_and_so_is_its_end(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    server.hello(concurrency=9)
    decide = tasks.decide

    def stumbles(task: tasks.Task | None, command: tasks.TaskCommand) -> Sequence[tasks.TaskEvent]:
        if isinstance(command, tasks.AssignTask) and task is not None and task.id == 1:
            raise RuntimeError("a bug")
        return decide(task, command)

    with monkeypatch.context() as patched:
        patched.setattr(tasks, "decide", stumbles)
        bad, good = server.submit(TaskSpec("a"), TaskSpec("b"))
        assert ReactorFailed("assign", "task-1", "RuntimeError: a bug") in server.events()
        assert server.status(good) == "assigned" and server.status(bad) == "pending"
        for _ in range(3):
            server.turn()
        server.submit()
    assert len(server.all(ReactorFailed)) == 1
    assert server.events(server.turn()) == [
        ex.ExecutionAssigned(bad, server.execution(bad), 1),
        ReactorRecovered("assign", "task-1"),
    ]
    assert server.state.failing == {}


def test_a_request_over_which_the_engine_stumbles_is_recorded_and_the_rest_goes_on(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stumbles(batch: batches.Batch, command: batches.BatchCommand) -> list[batches.BatchEvent]:
        raise TypeError("poison")

    monkeypatch.setattr(batches, "decide", stumbles)
    poison = server.request(SteerBatch("b", batches.StopBatch()), "poison-1")
    outcome = server.turn(
        server.request(CreateTasks((TaskSpec("a"),))), poison, server.request(CreateTasks((TaskSpec("b"),)))
    )
    assert [type(event) for event in server.events()] == [tasks.TaskCreated, CommandFailed, tasks.TaskCreated]
    assert server.all(CommandFailed) == [CommandFailed("poison-1", "SteerBatch", "TypeError: poison")]
    assert [reply.answer is None for reply in outcome.replies] == [False, True, False]
    assert "stumbled over it" in (outcome.replies[1].refusal or "")


def test_a_request_that_stumbles_half_way_leaves_nothing(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    decide = tasks.decide

    def stumbles(task: tasks.Task | None, command: tasks.TaskCommand) -> Sequence[tasks.TaskEvent]:
        if isinstance(command, tasks.CreateTask) and command.properties.get("command") == "poison":
            raise RuntimeError("a bug")
        return decide(task, command)

    before = State().fold(server.log).facts()["tasks"]
    with monkeypatch.context() as patched:
        patched.setattr(tasks, "decide", stumbles)
        assert server.ask(CreateTasks((TaskSpec("a"), TaskSpec("poison")))).answer is None
    assert [type(event) for event in server.events()] == [CommandFailed]
    assert server.state.tasks == before
    assert server.submit() == [1]


def test_a_report_over_which_the_engine_stumbles_is_put_aside_and_the_rest_goes_on(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = server.hello(concurrency=2)
    bad, good = server.submit(TaskSpec("a"), TaskSpec("b"))
    decide = ex.decide

    def stumbles(execution: ex.Execution | None, command: Any, *, task_is_free: bool) -> list[ex.ExecutionEvent]:
        if isinstance(command, ex.Started) and command.execution == 1:
            raise RuntimeError("a bug")
        return decide(execution, command, task_is_free=task_is_free)

    monkeypatch.setattr(ex, "decide", stumbles)
    events = server.report(worker, ex.Started(1), ex.Started(2))
    assert events[0] == ReportFailed(worker, 1, repr(ex.Started(1)), "RuntimeError: a bug")
    assert server.said(worker) == [Applied(2)], "it will not come again"
    assert (server.status(bad), server.status(good)) == ("assigned", "running")


def test_reports_that_were_taken_back_by_a_stumble_are_applied_when_they_come_again(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = server.hello()
    (task,) = server.submit()
    reports = server.reports(worker, ex.Started(1), ex.Succeeded(1))
    say = Overlay.say

    def stumbles(self: Overlay, worker: int, message: Any) -> None:
        if isinstance(message, Applied):
            raise RuntimeError("a bug")
        say(self, worker, message)

    with monkeypatch.context() as patched:
        patched.setattr(Overlay, "say", stumbles)
        server.turn(reports)
    assert [type(event) for event in server.events()] == [ReactorFailed]
    assert server.status(task) == "assigned", "all of it was taken back"
    server.turn(reports)
    assert server.status(task) == "succeeded"


# Requests -----------------------------------------------------------------------------------------------------


def test_the_same_request_again_has_no_effect_and_the_same_answer(server: Server) -> None:
    first = server.ask(CreateTasks((TaskSpec("a"),)), "request-a")
    server.submit()
    assert server.ask(CreateTasks((TaskSpec("a"),)), "request-a") == first
    assert server.events() == []
    server.restart()
    assert server.ask(CreateTasks((TaskSpec("a"),)), "request-a") == first


def test_the_same_request_twice_in_one_turn_is_one_effect(server: Server) -> None:
    twice = server.request(CreateTasks((TaskSpec("a"),)))
    outcome = server.turn(twice, twice)
    assert len(outcome.events) == 1 and len(outcome.answers) == 1
    assert outcome.replies[0] == outcome.replies[1]


def test_an_answer_says_where_its_effect_stands_in_the_log(server: Server) -> None:
    server.hello()
    assert server.done(CreateTasks((TaskSpec("a"), TaskSpec("b")))) == {"first": 2, "last": 3, "tasks": [1, 2]}
    assert [one.command for one in server.outcome.events] == [2, 2, 0], "the assignment is nobody's command"
    assert server.outcome.events[0].actor == "user:ada" and server.outcome.events[-1].actor == "engine"


def test_what_changes_nothing_is_answered_too(server: Server) -> None:
    (task,) = server.submit()
    assert server.done(SteerTasks((task,), tasks.ResumeTask())) == {"first": 0, "last": 0, "tasks": [task]}


def test_a_request_that_comes_after_its_deadline_does_nothing(server: Server) -> None:
    reply = server.ask(CreateTasks((TaskSpec("a"),)), deadline=server.now - 1)
    assert reply.answer is None and "deadline" in (reply.refusal or "")
    assert server.log == []


def test_a_request_known_from_before_is_answered_even_after_its_deadline(server: Server) -> None:
    deadline = server.now + SECOND
    first = server.ask(CreateTasks((TaskSpec("a"),)), "request-a", deadline)
    server.steady += MINUTE
    assert server.ask(CreateTasks((TaskSpec("a"),)), "request-a", deadline) == first


def test_a_refusal_is_not_remembered(server: Server) -> None:
    assert server.ask(SteerTasks((1,), tasks.PauseTask()), "request-a").answer is None
    server.submit()
    assert server.ask(SteerTasks((1,), tasks.PauseTask()), "request-a").answer is not None


def test_of_several_tasks_those_that_cannot_be_steered_are_named_with_the_reason(server: Server) -> None:
    done = ended(server)
    (task,) = server.submit()
    answer = server.done(SteerTasks((task, done, 99), tasks.PauseTask()))
    assert answer["tasks"] == [task]
    assert set(answer["refused"]) == {str(done), "99"}
    assert answer["refused"]["99"] == "there is no task 99"


def test_a_request_of_which_nothing_can_be_done_is_refused(server: Server) -> None:
    server.refused(SteerTasks((98, 99), tasks.PauseTask()), "there is no task 98 (and 1 more were refused)")
    server.refused(SteerWorkers((7,), workers.PauseWorker()), "there is no such worker")


# Erasure ------------------------------------------------------------------------------------------------------


def test_the_texts_of_an_ended_task_are_erased_once(server: Server) -> None:
    task = ended(server)
    assert server.done(EraseTask(task, "asked to"))["erased"] == [2]
    server.refused(EraseTask(task, "asked to"), "was erased before")
    server.refused(SteerTasks((task,), tasks.RelaunchTask()), "was erased")


def test_a_task_that_has_not_ended_is_not_erased(server: Server) -> None:
    task, _ = started(server)
    server.refused(EraseTask(task, "asked to"), "only one that has ended")


def test_a_task_that_others_wait_for_is_not_erased(server: Server) -> None:
    failed = ended(server, well=False)
    server.submit(TaskSpec("b", requires=(failed,)))
    server.refused(EraseTask(failed, "asked to"), "required by tasks that still wait")


def test_after_an_erasure_the_log_still_folds_to_the_same_state(server: Server) -> None:
    required, execution = started(server)
    (first,) = server.submit(TaskSpec("b", requires=(required,)))
    server.report(1, ex.Failed(execution, 1))
    server.submit(TaskSpec("c", requires=(required,)))
    server.steer(first, tasks.DeleteTask())
    server.done(EraseTask(first, "asked to"))
    assert State().fold(server.log).facts() == server.state.facts()


def test_a_relaunched_task_whose_edited_retries_were_erased_does_not_come_back_to_the_next_engine(
    server: Server,
) -> None:
    task, _ = started(server, retry=1)
    server.steer(task, tasks.RelaunchTask())
    server.steer(task, tasks.EditTask({"retry": 0}))
    server.report(1, ex.Failed(server.execution(task), 1))
    server.done(EraseTask(task, "asked to"))
    assert State().fold(server.log).facts() == server.state.facts()
    server.restart()
    server.refused(SteerTasks((task,), tasks.RelaunchTask()), "was erased")


def test_a_failed_task_whose_retries_are_edited_is_forgotten_when_nobody_waits_for_it_any_more(
    server: Server,
) -> None:
    required, execution = started(server)
    (waiting,) = server.submit(TaskSpec("b", requires=(required,)))
    server.report(1, ex.Failed(execution, 1))
    server.steer(required, tasks.EditTask({"retry": 1}))
    server.steer(waiting, tasks.DeleteTask())
    assert required not in server.state.tasks


def test_a_heartbeat_of_a_stranger_is_answered_with_a_request_for_a_hello(server: Server) -> None:
    server.turn(Heartbeat(5, "who", {1: "running"}))
    assert [(to.worker, to.incarnation, to.message) for to in server.outcome.messages] == [(5, "who", SayHello())]


# What one turn holds together ---------------------------------------------------------------------------------


def test_a_task_that_ended_in_this_very_turn_can_be_required_relaunched_and_deleted_in_it(server: Server) -> None:
    worker = server.hello(concurrency=9)
    for command in (CreateTasks((TaskSpec("next", requires=(1,)),)), SteerTasks((1,), tasks.RelaunchTask())):
        if not server.state.last_task:
            server.submit(TaskSpec("a"))
        ended = server.reports(worker, ex.Succeeded(server.execution(1)))
        server.turn(ended, Request(f"in-the-same-turn-{server.state.position}", "user:ada", 2**62, command))
        assert server.outcome.replies[-1].refusal is None
        assert server.state.facts() == State().fold(server.log).facts()


def test_what_cannot_be_written_down_is_the_fault_of_its_report_alone(server: Server) -> None:
    worker = server.hello(concurrency=2)
    server.submit(TaskSpec("a"), TaskSpec("b"))
    events = server.report(worker, ex.Failed(1, 1, "caf\udce9.txt: not found"), ex.Succeeded(2))
    assert [type(event) for event in events if isinstance(event, ReportFailed | ex.ExecutionSucceeded)] == [
        ReportFailed,
        ex.ExecutionSucceeded,
    ]


def test_an_erasure_finds_what_was_edited_in_the_same_turn(server: Server) -> None:
    worker = server.hello()
    server.submit(TaskSpec("a"))
    server.report(worker, ex.Succeeded(1))
    edit = SteerTasks((1,), tasks.EditTask({"command": "secret"}))
    server.turn(
        Request("edit-in-the-same-turn", "user:ada", 2**62, edit),
        Request("erase-in-the-same-turn", "user:ada", 2**62, EraseTask(1, "asked to")),
    )
    texts = [one.position for one in server.log if isinstance(one.event, tasks.TaskCreated | tasks.TaskEdited)]
    assert {erasure.position for erasure in server.outcome.erasures} >= set(texts[-1:])


def test_a_calendar_that_was_ahead_for_a_while_makes_no_request_late(server: Server) -> None:
    server.skew = 86_400 * SECOND
    server.submit(TaskSpec("stamped tomorrow"))
    server.skew = 0
    in_time = Request("in-time-after-all", "user:ada", server.now + 10 * SECOND, CreateTasks((TaskSpec("b"),)))
    server.turn(in_time)
    assert server.outcome.replies[-1].refusal is None


def test_a_worker_that_says_goodbye_gets_nothing_more_and_what_it_was_given_goes_to_others(server: Server) -> None:
    one = server.hello("one", concurrency=2)
    server.submit(TaskSpec("a"), TaskSpec("b"))
    server.report(one, ex.Started(server.execution(1)))
    other = server.hello("other", concurrency=2)
    server.turn(Goodbye(one, "one-spool"))
    assert server.worker(one).contact == "offline"
    assert [event.worker for event in server.all(ex.ExecutionAssigned)] == [one, one, other, other]
    server.beat(one, {})
    assert server.worker(one).contact == "online"


def test_the_goodbye_of_an_earlier_incarnation_changes_nothing(server: Server) -> None:
    worker = server.hello("one")
    server.turn(Goodbye(worker, "another"))
    assert server.worker(worker).contact == "online"


def test_an_agent_that_holds_what_another_log_gave_it_is_told_to_begin_anew(server: Server) -> None:
    server.contacts.log = "aaaa"
    server.turn(AgentHello(Hello("w", "w-spool"), "address", log="bbbb"))
    assert server.events() == []
    (message,) = server.outcome.messages
    assert isinstance(message.message, Unwelcome) and message.message.begin_anew
    server.turn(AgentHello(Hello("w", "w-spool"), "address", log="aaaa"))
    assert isinstance(server.outcome.messages[0].message, Welcome)
    assert server.outcome.messages[0].message.log == "aaaa"
