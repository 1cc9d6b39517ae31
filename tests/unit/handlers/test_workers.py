"""Workers that come, fall silent, return and leave, and the messages that get lost meanwhile."""

from __future__ import annotations

from typing import Any

import pytest

from scitq.domain import batch as batches
from scitq.domain import execution as ex
from scitq.domain import task as tasks
from scitq.domain import worker as workers
from scitq.domain.commands import (
    SignalExecutions,
    SteerBatch,
    SteerTasks,
    SteerWorkers,
    TaskSpec,
)
from scitq.domain.envelope import Mark
from scitq.domain.messages import (
    AgentHello,
    Applied,
    Assign,
    Cancel,
    GiveBack,
    Goodbye,
    Heartbeat,
    Obey,
    Resend,
    SayHello,
    Settings,
    Signal,
    Unwelcome,
    Welcome,
)
from scitq.domain.worker import Hello
from scitq.handlers.asking_back import HELD, PAUSED, STOPPED
from tests.unit.handlers.server import MINUTE, SECOND, Server, started

# Workers that fall silent --------------------------------------------------------------------------------------


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
@pytest.mark.parametrize(
    ("order", "reason"),
    [
        (SteerBatch("Default", batches.StopBatch()), STOPPED),
        (SteerTasks((1,), tasks.PauseTask()), HELD),
        (SteerWorkers((1,), workers.PauseWorker()), PAUSED),
    ],
)
def test_what_returns_and_should_not_begin_any_more_is_asked_back(
    server: Server, held: Any, order: Any, reason: str
) -> None:
    worker = server.hello()
    (task,) = server.submit()
    server.passes(16 * MINUTE)
    server.done(order)
    assert server.beat(worker, {1: held}) == [
        workers.WorkerReturned(worker),
        ex.ExecutionRecovered(task, 1, held),
    ]
    assert server.said(worker)[0] == GiveBack(1, reason) and Cancel(1) not in server.said(worker)


def test_a_running_attempt_that_returns_to_a_task_paused_meanwhile_is_held(server: Server) -> None:
    task, execution = started(server)
    server.passes(16 * MINUTE)
    server.steer(task, tasks.PauseTask())
    server.beat(1, {execution: "running"})
    assert server.state.tasks[task].stage == "running"
    assert Signal(execution, "pause") in server.said(1)


# Who is who ----------------------------------------------------------------------------------------------------


def test_an_agent_says_hello_and_is_told_who_it_is(server: Server) -> None:
    worker = server.hello(concurrency=3, prefetch=1)
    (welcome, settings) = server.outcome.messages
    assert welcome.message == Welcome(worker, "w-spool", 0, gives_leave=True) and welcome.address == "address"
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


def test_an_agent_whose_place_was_taken_hears_what_others_have_by_now(server: Server) -> None:
    """So no command goes on beside its second attempt; what nobody else has yet may still come back."""
    kept = server.hello("w", "one", concurrency=2)
    first, second = (started(server, kept, priority=priority) for priority in (1, 0))
    server.steer_worker(kept, workers.EditWorker({"concurrency": 1}))
    server.steady += 31 * SECOND
    assert server.hello("w", "two") == kept
    assert server.execution(first[0]) > first[1] and server.execution(second[0]) == second[1]
    server.turn(AgentHello(Hello("w", "one", 2), "there", held=(first[1], second[1], 10**6)))
    said = [(answer.address, answer.incarnation, answer.message) for answer in server.outcome.messages]
    unwelcome, *rest = said
    assert isinstance(unwelcome[2], Unwelcome)
    assert rest == [("there", "one", Cancel(first[1])), ("there", "one", Cancel(10**6))]


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
    assert server.said(1) == [Cancel(execution)], "at once: somebody else begins it now"
    server.turn(beat)
    assert [to.message for to in server.outcome.messages] == [SayHello()]
    new = server.hello()
    assert server.beat(new, {execution: "running"}) == [] and Cancel(execution) in server.said(new)


def test_a_heartbeat_that_holds_nothing_changes_nothing_that_is_known(server: Server) -> None:
    worker = server.hello(concurrency=3, prefetch=2, batches=("b",))
    before = server.worker(worker)
    assert server.beat(worker, {}) == []
    assert server.worker(worker) == before


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


def test_a_heartbeat_of_a_stranger_is_answered_with_a_request_for_a_hello(server: Server) -> None:
    server.turn(Heartbeat(5, "who", {1: "running"}))
    assert [(to.worker, to.incarnation, to.message) for to in server.outcome.messages] == [(5, "who", SayHello())]


# Messages that get lost ----------------------------------------------------------------------------------------


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


# Orders ---------------------------------------------------------------------------------------------------------


def test_an_order_goes_to_the_agent_and_is_said_again_until_it_is_obeyed(server: Server) -> None:
    worker = server.hello()
    server.steer_worker(worker, workers.OrderWorker("clean"))
    number = server.worker(worker).version
    assert server.said(worker) == [Obey(number, "clean")]
    server.beat(worker)
    assert server.said(worker) == [Obey(number, "clean")], "the first one may have been lost"
    obeyed = Heartbeat(worker, "w-spool", {}, number, number)
    server.turn(obeyed)
    assert server.events() == [workers.WorkerObeyed(worker, number)] and server.worker(worker).orders == ()
    server.turn(obeyed)
    assert server.events() == []


def test_the_same_order_again_is_one_while_it_is_not_obeyed(server: Server) -> None:
    worker = server.hello()
    server.steer_worker(worker, workers.OrderWorker("clean"))
    assert server.steer_worker(worker, workers.OrderWorker("clean")) == []
    assert server.steer_worker(worker, workers.OrderWorker("forget")) != []


def test_a_worker_that_is_away_hears_its_orders_when_it_is_back(server: Server) -> None:
    worker = server.hello()
    server.passes(2 * MINUTE)
    server.steer_worker(worker, workers.OrderWorker("restart"))
    server.hello(incarnation="after a wipe")
    server.turn(Heartbeat(worker, "after a wipe"))
    assert any(isinstance(one, Obey) and one.order == "restart" for one in server.said(worker))
