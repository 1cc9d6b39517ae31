from __future__ import annotations

import pytest

from scitq.domain import execution as ex
from scitq.domain import task as tk
from scitq.domain.engine_log import PayloadErased
from scitq.domain.wire import Erased, Event
from scitq.errors import Malformed
from scitq.projections.tasks import PROJECTION, Task, command_at
from tests.unit.projections.given import SECOND, at, shown

CREATED = tk.TaskCreated(1, "echo", name="first", requires=(7, 8), waits_for=(8,), retry=2)
ASSIGNED = ex.ExecutionAssigned(1, 5, 3)


def the_task(*events: Event | Erased) -> Task:
    return shown(PROJECTION, *events).tasks[1]


def test_a_new_task_shows_all_it_was_given_and_waits_for_what_has_not_succeeded() -> None:
    task = the_task(CREATED)
    assert (task.status, task.command, task.name, task.requires, task.retry) == ("waiting", "echo", "first", (7, 8), 2)
    assert task.created_at == task.modified_at == task.status_at == SECOND


def test_a_task_names_its_latest_attempt_and_counts_them() -> None:
    task = the_task(
        CREATED, tk.TaskReleased(1), ASSIGNED, ex.ExecutionLost(1, 5, "silent"), ex.ExecutionAssigned(1, 6, 4)
    )
    assert (task.status, task.execution, task.worker, task.attempts) == ("assigned", 6, 4, 2)


def test_the_time_of_the_status_moves_only_with_the_status() -> None:
    task = the_task(CREATED, tk.TaskPaused(1), tk.TaskEdited(1, {"priority": 4}), ex.ExecutionSignalled(1, 5, 9))
    assert (task.priority, task.status_at, task.modified_at) == (4, 2 * SECOND, 4 * SECOND)


def test_a_pause_is_shown_over_the_stage_until_the_task_has_ended() -> None:
    running = (CREATED, tk.TaskReleased(1), ASSIGNED, ex.ExecutionStarted(1, 5), tk.TaskPaused(1))
    assert (the_task(*running).status, the_task(*running).stage) == ("paused", "running")
    assert the_task(*running, ex.ExecutionSucceeded(1, 5)).status == "succeeded"
    assert the_task(*running, tk.TaskResumed(1)).status == "running"


def test_a_blocked_task_says_by_what_and_why() -> None:
    blocked = (CREATED, tk.TaskBlocked(1, 8, "failed"), tk.TaskBlocked(1, 7, "deleted"))
    assert the_task(*blocked).blocked_by == ((8, "failed"), (7, "deleted"))
    assert the_task(*blocked, tk.TaskUnblocked(1, 8)).blocked_by == ((7, "deleted"),)
    assert the_task(*blocked, tk.TaskReleased(1, by_hand=True)).blocked_by == ()
    changed = the_task(*blocked, tk.TaskRequirementsChanged(1, (9,), ()))
    assert (changed.blocked_by, changed.requires, changed.status) == ((), (9,), "pending")


def test_retries_are_spent_and_given_back() -> None:
    failed = (CREATED, tk.TaskReleased(1), ASSIGNED, ex.ExecutionFailed(1, 5, 1), tk.TaskRetried(1, 1))
    assert (the_task(*failed).status, the_task(*failed).retry) == ("pending", 1)
    relaunched = the_task(*failed, tk.TaskRelaunched(1, 6, "Default", 0, 2))
    assert (relaunched.status, relaunched.retry) == ("pending", 2)


def test_an_attempt_ran_the_command_that_the_task_had_then() -> None:
    task = the_task(
        CREATED,
        tk.TaskEdited(1, {"command": "never run"}),
        tk.TaskEdited(1, {"command": "first"}),
        tk.TaskReleased(1),
        ASSIGNED,  # at position 5
        ex.ExecutionFailed(1, 5, 1),
        tk.TaskEdited(1, {"command": "second"}),
        tk.TaskRelaunched(1, 7, "Default", 0, 2),
        ex.ExecutionAssigned(1, 6, 3),  # at position 9
        ex.ExecutionFailed(1, 6, 1),
        tk.TaskEdited(1, {"command": "third"}),
    )
    assert task.former_commands == ((7, "first"), (11, "second"))
    ran = [command_at(position, task.former_commands, task.command) for position in (5, 9, 12)]
    assert ran == ["first", "second", "third"]


def test_a_deleted_task_keeps_its_row() -> None:
    task = the_task(CREATED, tk.TaskDeleted(1))
    assert (task.status, task.command) == ("deleted", "echo")


def test_an_erased_task_keeps_its_id_and_nothing_else_whatever_happens_to_it_later() -> None:
    erased = PayloadErased(1, (1,), "asked to")
    nothing = Task(1, "erased", "erased")
    assert the_task(CREATED, tk.TaskReleased(1), ASSIGNED, erased) == nothing
    assert the_task(CREATED, erased, tk.TaskReleased(1), ASSIGNED, tk.TaskEdited(1, {"command": "x"})) == nothing
    assert the_task(CREATED, tk.TaskDeleted(1), erased) == nothing


def test_a_rebuild_that_meets_the_gap_first_comes_to_the_same_row() -> None:
    nothing = Task(1, "erased", "erased")
    assert the_task(Erased("task-created"), tk.TaskReleased(1), ASSIGNED) == nothing
    assert the_task(CREATED, Erased("task-edited"), tk.TaskReleased(1)) == nothing


def test_what_happens_to_a_task_that_never_was_is_a_damaged_log() -> None:
    with pytest.raises(Malformed, match="event 1 is about something that 'task-1'"):
        shown(PROJECTION, tk.TaskPaused(1))


def test_an_erased_event_that_nothing_names_a_task_for_is_a_damaged_log() -> None:
    rows = PROJECTION.empty()
    with pytest.raises(Malformed, match="was erased, and is needed"):
        PROJECTION.fold(rows, [at(1, Erased("worker-declared"), "worker-1")])
