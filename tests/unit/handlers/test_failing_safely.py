"""One bad object never stops the rest, and one turn holds together what happens in it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import pytest

from scitq.domain import batch as batches
from scitq.domain import execution as ex
from scitq.domain import task as tasks
from scitq.domain.commands import (
    CreateTasks,
    EraseTask,
    Request,
    SteerBatch,
    SteerTasks,
    TaskSpec,
)
from scitq.domain.engine_log import CommandFailed, ReactorFailed, ReactorRecovered, ReportFailed
from scitq.domain.messages import (
    Applied,
)
from scitq.domain.state import State
from scitq.handlers import overlay, requirements
from scitq.handlers.actions import Action
from scitq.handlers.overlay import Overlay
from tests.unit.handlers.server import SECOND, Server

# One bad object never stops the rest ---------------------------------------------------------------------------


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


# What one turn holds together ----------------------------------------------------------------------------------


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
