"""Pausing and stopping: what is held, and what goes on."""

from __future__ import annotations

from typing import Any

import pytest

from scitq.domain import batch as batches
from scitq.domain import execution as ex
from scitq.domain import task as tasks
from scitq.domain import worker as workers
from scitq.domain.commands import (
    SteerBatch,
    SteerTasks,
    TaskSpec,
)
from scitq.domain.messages import GiveBack, Signal
from scitq.handlers.asking_back import HELD, STOPPED
from tests.unit.handlers.server import Server, ended, started


def test_a_task_that_is_paused_while_it_waits_at_a_worker_is_given_back(server: Server) -> None:
    worker = server.hello()
    (task,) = server.submit()
    server.report(worker, ex.Accepted(1))
    assert server.steer(task, tasks.PauseTask()) == [tasks.TaskPaused(task)]
    assert server.said(worker) == [GiveBack(1, HELD)] and server.status(task) == "paused"
    assert server.report(worker, ex.Refused(1, HELD)) == [ex.ExecutionRefused(task, 1, HELD)]
    assert server.status(task) == "paused"
    assert server.steer(task, tasks.ResumeTask()) == [
        tasks.TaskResumed(task),
        ex.ExecutionAssigned(task, 2, worker),
    ]
    assert server.status(task) == "assigned"


def test_a_task_that_begins_in_the_moment_in_which_it_is_paused_is_held_in_its_tracks(server: Server) -> None:
    worker = server.hello()
    (task,) = server.submit()
    server.steer(task, tasks.PauseTask())
    assert server.report(worker, ex.Started(1)) == [ex.ExecutionStarted(task, 1)]
    assert server.said(worker)[0] == Signal(1, "pause") and server.status(task) == "paused"
    server.steer(task, tasks.ResumeTask())
    assert server.said(1) == [Signal(1, "resume")] and server.status(task) == "running"


def test_a_task_that_is_resumed_before_its_worker_answers_goes_on(server: Server) -> None:
    worker = server.hello()
    (task,) = server.submit()
    server.steer(task, tasks.PauseTask())
    server.steer(task, tasks.ResumeTask())
    assert server.report(worker, ex.Refused(1, HELD)) == [
        ex.ExecutionRefused(task, 1, HELD),
        ex.ExecutionAssigned(task, 2, worker),
    ]


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


def test_a_stopped_batch_lets_what_runs_come_to_its_end(server: Server) -> None:
    worker = server.hello(concurrency=1, prefetch=1)
    running, waiting = server.submit(TaskSpec("a"), TaskSpec("b"))
    server.report(worker, ex.Started(server.execution(running)))
    server.done(SteerBatch("Default", batches.StopBatch()))
    assert server.events() == [batches.BatchStopped("Default")]
    assert server.report(worker, ex.Refused(2, STOPPED)) == [ex.ExecutionRefused(waiting, 2, STOPPED)]
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
