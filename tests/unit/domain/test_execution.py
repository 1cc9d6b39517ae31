"""An attempt's life: what a worker says counts only while it is current."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings

from scitq.domain import execution as ex
from scitq.domain.execution import (
    Accepted,
    CancelExecution,
    Execution,
    ExecutionAccepted,
    ExecutionAssigned,
    ExecutionCancelled,
    ExecutionFailed,
    ExecutionLost,
    ExecutionRecovered,
    ExecutionRefused,
    ExecutionSignalled,
    ExecutionStarted,
    ExecutionSucceeded,
    Failed,
    LoseExecution,
    RecoverExecution,
    Refused,
    SignalExecution,
    Started,
    Succeeded,
    TimeOutExecution,
)
from tests.unit.domain.given import EXECUTION, EXECUTION_OF_A_FREE_TASK, Choices, choices

PENDING = (ExecutionAssigned(1, 5, 2),)
ACCEPTED = (*PENDING, ExecutionAccepted(1, 5))
RUNNING = (*ACCEPTED, ExecutionStarted(1, 5))
LOST = (*RUNNING, ExecutionLost(1, 5, "silent"))
ENDS = (
    ExecutionSucceeded(1, 5),
    ExecutionFailed(1, 5, 1),
    ExecutionCancelled(1, 5, "so"),
    ExecutionRefused(1, 5, "no"),
)
REPORTS = (Accepted(5), Started(5, 77), Succeeded(5, 3, 4), Failed(5, 1, "bad", 3, 4), Refused(5, "no"))
ORDERS = (CancelExecution("so"), LoseExecution("silent"), TimeOutExecution("running", "late"), SignalExecution(9))


def test_a_worker_accepts_starts_and_succeeds() -> None:
    story = EXECUTION.given(*PENDING).when(Accepted(5)).then(ExecutionAccepted(1, 5))
    story = story.when(Started(5, 77)).then(ExecutionStarted(1, 5, 77))
    story = story.when(Succeeded(5, 3, 4)).then(ExecutionSucceeded(1, 5, 0, 3, 4))
    assert story.state == Execution(5, 1, 2, "succeeded")


def test_a_failure_keeps_its_code_its_reason_and_how_much_was_said() -> None:
    EXECUTION.given(*RUNNING).when(Failed(5, 1, "bad", 3, 4)).then(ExecutionFailed(1, 5, 1, "bad", 3, 4))


@pytest.mark.parametrize("events", [PENDING, ACCEPTED, RUNNING])
def test_a_worker_may_leave_steps_out(events: Any) -> None:
    EXECUTION.given(*events).when(Succeeded(5)).then(ExecutionSucceeded(1, 5))
    EXECUTION.given(*events).when(Failed(5, 1)).then(ExecutionFailed(1, 5, 1))
    EXECUTION.given(*events).when(Refused(5, "no")).then(ExecutionRefused(1, 5, "no"))


def test_a_step_back_changes_nothing() -> None:
    EXECUTION.given(*RUNNING).when(Accepted(5)).then_nothing()
    EXECUTION.given(*RUNNING).when(Started(5)).then_nothing()
    EXECUTION.given(*ACCEPTED).when(Accepted(5)).then_nothing()


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("command", (*REPORTS, *ORDERS, RecoverExecution("running")))
def test_whatever_is_said_about_an_attempt_that_ended_is_history(end: Any, command: Any) -> None:
    EXECUTION.given(*RUNNING, end).when(command).then_nothing()
    EXECUTION_OF_A_FREE_TASK.given(*RUNNING, end).when(command).then_nothing()


@pytest.mark.parametrize("command", (*REPORTS, *ORDERS, RecoverExecution("running")))
def test_whatever_is_said_about_an_attempt_that_nobody_knows_is_history(command: Any) -> None:
    EXECUTION_OF_A_FREE_TASK.given().when(command).then_nothing()


@pytest.mark.parametrize("events", [PENDING, ACCEPTED, RUNNING])
def test_a_live_attempt_is_taken_back_or_given_up_at_any_stage(events: Any) -> None:
    EXECUTION.given(*events).when(CancelExecution("so")).then(ExecutionCancelled(1, 5, "so"))
    EXECUTION.given(*events).when(LoseExecution("silent")).then(ExecutionLost(1, 5, "silent"))


def test_a_timeout_ends_only_the_step_it_was_set_for() -> None:
    late = ExecutionFailed(1, 5, None, "late", failure="run_timeout")
    EXECUTION.given(*RUNNING).when(TimeOutExecution("running", "late")).then(late)
    EXECUTION.given(*RUNNING).when(TimeOutExecution("accepted", "late")).then_nothing()
    EXECUTION.given(*PENDING).when(TimeOutExecution("running", "late")).then_nothing()


def test_only_what_runs_is_signalled() -> None:
    EXECUTION.given(*RUNNING).when(SignalExecution(9)).then(ExecutionSignalled(1, 5, 9))
    EXECUTION.given(*ACCEPTED).when(SignalExecution(9)).then_nothing()


@pytest.mark.parametrize("command", (*REPORTS, *ORDERS, RecoverExecution("running")))
def test_a_lost_attempt_whose_task_was_given_away_is_history(command: Any) -> None:
    EXECUTION.given(*LOST).when(command).then_nothing()


@pytest.mark.parametrize("status", ["pending", "accepted", "running"])
def test_a_lost_attempt_comes_back_as_its_worker_has_it(status: Any) -> None:
    story = EXECUTION_OF_A_FREE_TASK.given(*LOST).when(RecoverExecution(status))
    after = story.then(ExecutionRecovered(1, 5, status)).state
    assert after is not None and after.status == status and after.live


def test_what_a_worker_did_while_it_was_thought_lost_counts_when_nobody_else_has_the_task() -> None:
    lost = EXECUTION_OF_A_FREE_TASK.given(*LOST)
    lost.when(Accepted(5)).then(ExecutionRecovered(1, 5, "accepted"))
    lost.when(Started(5)).then(ExecutionRecovered(1, 5, "running"))
    lost.when(Succeeded(5)).then(ExecutionRecovered(1, 5, "running"), ExecutionSucceeded(1, 5))
    lost.when(Failed(5, 1)).then(ExecutionRecovered(1, 5, "running"), ExecutionFailed(1, 5, 1))


@pytest.mark.parametrize("command", ORDERS)
def test_the_engines_own_orders_bring_no_lost_attempt_back(command: Any) -> None:
    EXECUTION_OF_A_FREE_TASK.given(*LOST).when(command).then_nothing()


def any_command(drawn: Choices) -> Any:
    status = drawn.of(("pending", "accepted", "running"))
    late: Any = drawn.of(("accepted", "running"))
    orders = (CancelExecution("so"), LoseExecution("silent"), TimeOutExecution(late, "late"), SignalExecution(9))
    return drawn.of((*REPORTS, *orders, LoseExecution("silent"), RecoverExecution(status), Started(5), Accepted(5)))


@settings(max_examples=1_500, deadline=None)
@given(choices(20, 60))
def test_any_history_folds_and_no_command_does_anything_a_second_time(drawn: Choices) -> None:
    """A signal is exempt: it may be sent twice. Nothing is ever refused here: agents cannot be argued with."""
    attempt = ex.evolve(None, ExecutionAssigned(1, 5, 2))
    while drawn.left:
        command, free = any_command(drawn), bool(drawn.number(2))
        before = attempt
        for event in ex.decide(attempt, command, task_is_free=free):
            attempt = ex.evolve(attempt, event)
            assert attempt is not None and (attempt.id, attempt.task, attempt.worker) == (5, 1, 2)
        assert before is not None and attempt is not None
        if not before.live and attempt != before:
            assert before.status == "lost" and free, "only a lost attempt of a free task comes back"
        if not isinstance(command, SignalExecution):
            assert ex.decide(attempt, command, task_is_free=free) == []
