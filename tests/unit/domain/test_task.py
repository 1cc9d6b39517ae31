"""A task's life, command by command."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings

from scitq.domain import execution as ex
from scitq.domain import task as tasks
from scitq.domain.execution import ExecutionAccepted, ExecutionAssigned, ExecutionCancelled, ExecutionStarted
from scitq.domain.task import (
    AssignTask,
    BlockTask,
    ChangeRequirements,
    CreateTask,
    DeleteTask,
    EditTask,
    PauseTask,
    RelaunchTask,
    ReleaseTask,
    ResumeTask,
    RetryTask,
    Task,
    TaskBlocked,
    TaskCreated,
    TaskDeleted,
    TaskEdited,
    TaskPaused,
    TaskRelaunched,
    TaskReleased,
    TaskRequirementsChanged,
    TaskResumed,
    TaskRetried,
    TaskUnblocked,
    UnblockTask,
)
from scitq.errors import Rejected
from tests.unit.domain.given import TASK, Choices, choices

CREATED = TaskCreated(1, "work", retry=1)
WAITING = TaskCreated(1, "work", requires=(8, 9), waits_for=(8, 9))
ASSIGNED = (CREATED, ExecutionAssigned(1, 5, 2))
ACCEPTED = (*ASSIGNED, ExecutionAccepted(1, 5))
RUNNING = (*ACCEPTED, ExecutionStarted(1, 5))
SUCCEEDED = (*RUNNING, ex.ExecutionSucceeded(1, 5))
FAILED = (*RUNNING, ex.ExecutionFailed(1, 5, 1))
DELETED = (CREATED, TaskDeleted(1))
STAGES = {
    "waiting": (WAITING,),
    "pending": (CREATED,),
    "assigned": ASSIGNED,
    "accepted": ACCEPTED,
    "running": RUNNING,
    "succeeded": SUCCEEDED,
    "failed": FAILED,
    "deleted": DELETED,
}


def reached(stage: str) -> Task:
    state = TASK.given(*STAGES[stage]).state
    assert state is not None and state.stage == stage
    return state


@pytest.mark.parametrize("stage", STAGES)
def test_each_stage_is_reached_by_its_events(stage: str) -> None:
    assert reached(stage).version == len(STAGES[stage])


# Creating -----------------------------------------------------------------------------------------------------


def test_a_task_is_created_with_what_it_requires_and_what_has_failed_of_that() -> None:
    TASK.given().when(CreateTask(1, {"command": "work", "batch": "b"}, (7, 8, 9), (8, 9), (9,))).then(
        TaskCreated(1, "work", "b", requires=(7, 8, 9), waits_for=(8, 9)), TaskBlocked(1, 9, "failed")
    )


def test_a_task_is_created_once() -> None:
    TASK.given(CREATED).when(CreateTask(1, {"command": "other"})).then_nothing()


@pytest.mark.parametrize(
    "command", [PauseTask(), DeleteTask(), RelaunchTask(), EditTask({"priority": 1}), AssignTask(1, 1), RetryTask()]
)
def test_what_was_never_created_cannot_be_steered(command: Any) -> None:
    TASK.given().when(command).refused("there is no such task")


@pytest.mark.parametrize(
    "command", [PauseTask(), ResumeTask(), RelaunchTask(), EditTask({"priority": 1}), AssignTask(1, 1), ReleaseTask()]
)
def test_a_deleted_task_stays_deleted(command: Any) -> None:
    TASK.given(*DELETED).when(command).refused("task 1 was deleted")


# Waiting ------------------------------------------------------------------------------------------------------


def test_a_waiting_task_is_released() -> None:
    after = TASK.given(WAITING).when(ReleaseTask(by_hand=False)).then(TaskReleased(1)).state
    assert after is not None and after.ready and after.waits_for == ()


def test_releasing_what_does_not_wait_changes_nothing() -> None:
    for events in ((CREATED,), ASSIGNED, RUNNING):
        TASK.given(*events).when(ReleaseTask()).then_nothing()


def test_a_requirement_that_will_not_succeed_is_said_once_and_only_if_it_is_one() -> None:
    story = TASK.given(WAITING).when(BlockTask(9, "failed")).then(TaskBlocked(1, 9, "failed"))
    story.when(BlockTask(9, "deleted")).then_nothing()
    story.when(BlockTask(7, "failed")).then_nothing()
    story.when(UnblockTask(9)).then(TaskUnblocked(1, 9)).when(UnblockTask(9)).then_nothing()


def test_releasing_by_hand_forgets_what_blocked() -> None:
    after = TASK.given(WAITING, TaskBlocked(1, 9, "failed")).when(ReleaseTask()).then(TaskReleased(1, True)).state
    assert after is not None and after.blocked_by == ()


def test_other_requirements_are_set_before_a_task_is_assigned() -> None:
    story = TASK.given(CREATED).when(ChangeRequirements((7, 8), (8,), (8,)))
    after = story.then(TaskRequirementsChanged(1, (7, 8), (8,)), TaskBlocked(1, 8, "failed")).state
    assert after is not None and after.stage == "waiting" and after.blocked_by == (8,)
    TASK.given(WAITING).when(ChangeRequirements((), ())).then(TaskRequirementsChanged(1, (), ()))


def test_a_task_cannot_require_itself() -> None:
    TASK.given(CREATED).when(ChangeRequirements((1,), (1,))).refused("cannot require itself")


@pytest.mark.parametrize("stage", ["assigned", "accepted", "running", "succeeded", "failed"])
def test_requirements_of_a_task_that_went_on_are_refused(stage: str) -> None:
    TASK.given(*STAGES[stage]).when(ChangeRequirements((7,), (7,))).refused("only before a task is assigned")


# Assigning ----------------------------------------------------------------------------------------------------


def test_a_pending_task_is_assigned_as_one_of_its_batch() -> None:
    TASK.given(TaskCreated(1, "work", "b")).when(AssignTask(5, 2)).then(ExecutionAssigned(1, 5, 2, "b"))


@pytest.mark.parametrize("stage", ["waiting", "assigned", "running", "succeeded", "failed"])
def test_only_a_pending_task_is_assigned(stage: str) -> None:
    TASK.given(*STAGES[stage]).when(AssignTask(6, 2)).refused(f"task 1 is {stage}, not pending")


def test_a_paused_task_is_not_assigned() -> None:
    TASK.given(CREATED, TaskPaused(1)).when(AssignTask(6, 2)).refused("task 1 is paused")


@pytest.mark.parametrize(
    "end", [ex.ExecutionLost(1, 5, "silent"), ex.ExecutionRefused(1, 5, "no"), ex.ExecutionCancelled(1, 5, "so")]
)
def test_an_attempt_that_came_to_nothing_leaves_the_task_pending_with_its_retries(end: Any) -> None:
    after = TASK.given(*RUNNING, end).state
    assert after is not None and after.ready and after.retry == 1


def test_only_a_lost_attempt_is_remembered_as_one_that_could_come_back() -> None:
    lost = TASK.given(*RUNNING, ex.ExecutionLost(1, 5, "silent")).state
    refused = TASK.given(*RUNNING, ex.ExecutionRefused(1, 5, "no")).state
    assert lost is not None and refused is not None
    assert (lost.execution, refused.execution) == (5, 0)


# Retrying -----------------------------------------------------------------------------------------------------


def test_a_failed_task_with_retries_left_is_retried() -> None:
    story = TASK.given(*FAILED).when(RetryTask()).then(TaskRetried(1, 0))
    story.when(RetryTask()).then_nothing()
    assert story.state is not None and story.state.ready


def test_a_failed_task_without_retries_is_over() -> None:
    state = TASK.given(CREATED, TaskRetried(1, 0), *RUNNING[1:], ex.ExecutionFailed(1, 5)).state
    assert state is not None and state.over
    TASK.given(TaskCreated(1, "work"), *FAILED[1:]).when(RetryTask()).then_nothing()


# Pausing ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stage", ["assigned", "accepted"])
@pytest.mark.parametrize(
    ("command", "change"),
    [
        (EditTask({"command": "other"}), TaskEdited(1, {"command": "other"})),
        (ChangeRequirements((7,), (7,)), TaskRequirementsChanged(1, (7,), (7,))),
    ],
)
def test_what_was_paused_before_it_began_can_change_and_is_taken_back_for_that(
    stage: str, command: Any, change: Any
) -> None:
    held_back = TASK.given(*STAGES[stage], TaskPaused(1))
    held_back.when(command).then(ExecutionCancelled(1, 5, "task changed"), change)
    held_back.when(EditTask({"priority": 3})).then(TaskEdited(1, {"priority": 3}))
    TASK.given(*STAGES["running"], TaskPaused(1)).when(command).refused("task 1 is paused: ")


@pytest.mark.parametrize("stage", ["waiting", "pending", "assigned", "accepted", "running"])
def test_pausing_holds_a_task_where_it_stands(stage: str) -> None:
    story = TASK.given(*STAGES[stage]).when(PauseTask()).then(TaskPaused(1))
    assert story.state is not None and (story.state.status, story.state.stage) == ("paused", stage)
    resumed = story.when(ResumeTask()).then(TaskResumed(1)).state
    assert resumed is not None and resumed.status == stage


@pytest.mark.parametrize("stage", ["succeeded", "failed"])
@pytest.mark.parametrize("command", [PauseTask(), ResumeTask(), ReleaseTask()])
def test_an_ended_task_is_not_paused_resumed_or_released(stage: str, command: Any) -> None:
    TASK.given(*STAGES[stage]).when(command).refused(f"task 1 has already {stage}")


def test_a_paused_task_that_ends_has_ended() -> None:
    state = TASK.given(*RUNNING, TaskPaused(1), ex.ExecutionSucceeded(1, 5)).state
    assert state is not None and state.status == "succeeded"


# Relaunching and deleting -------------------------------------------------------------------------------------


@pytest.mark.parametrize("stage", ["assigned", "accepted", "running"])
def test_relaunching_a_live_task_cancels_it_first(stage: str) -> None:
    version = len(STAGES[stage]) + 2
    TASK.given(*STAGES[stage]).when(RelaunchTask()).then(
        ExecutionCancelled(1, 5, "task relaunched"), TaskRelaunched(1, version, "Default", 0, 1)
    )


@pytest.mark.parametrize("stage", ["succeeded", "failed"])
def test_an_ended_task_is_relaunched_with_all_its_retries(stage: str) -> None:
    TASK.given(*STAGES[stage]).when(RelaunchTask()).then(TaskRelaunched(1, 6, "Default", 0, 1))


@pytest.mark.parametrize("stage", ["waiting", "pending"])
def test_relaunching_what_is_queued_changes_nothing(stage: str) -> None:
    TASK.given(*STAGES[stage]).when(RelaunchTask()).then_nothing()


def test_relaunching_a_paused_task_lets_it_go() -> None:
    after = TASK.given(CREATED, TaskPaused(1)).when(RelaunchTask()).then(TaskRelaunched(1, 3, "Default", 0, 1)).state
    assert after is not None and after.ready


def test_a_relaunch_tells_all_that_deciding_needs() -> None:
    """An ended task has been forgotten: what follows from the event alone is what follows from all of its history."""
    history = (TaskCreated(1, "work", "b", priority=3, retry=2, run_timeout_s=60), *FAILED[1:])
    remembered = TASK.given(*history).state
    (relaunched,) = tasks.decide(remembered, RelaunchTask())
    assert tasks.evolve(None, relaunched) == tasks.evolve(remembered, relaunched)


@pytest.mark.parametrize("stage", ["assigned", "accepted", "running"])
def test_deleting_a_live_task_cancels_it_first(stage: str) -> None:
    TASK.given(*STAGES[stage]).when(DeleteTask()).then(
        ExecutionCancelled(1, 5, "task deleted"), TaskDeleted(1, "pending")
    )


@pytest.mark.parametrize("stage", ["waiting", "pending", "succeeded", "failed"])
def test_a_deletion_says_where_the_task_stood(stage: str) -> None:
    TASK.given(*STAGES[stage]).when(DeleteTask()).then(TaskDeleted(1, stage)).when(DeleteTask()).then_nothing()


# Editing ------------------------------------------------------------------------------------------------------


def test_an_edit_that_changes_nothing_says_nothing() -> None:
    TASK.given(CREATED).when(EditTask({"priority": 0, "batch": "Default"})).then_nothing()


def test_what_a_task_runs_is_edited_while_nobody_has_it() -> None:
    TASK.given(CREATED).when(EditTask({"command": "other"})).then(TaskEdited(1, {"command": "other"}))


@pytest.mark.parametrize("stage", ["assigned", "accepted", "running"])
def test_what_a_live_task_runs_is_edited_only_with_a_relaunch(stage: str) -> None:
    TASK.given(*STAGES[stage]).when(EditTask({"command": "other"})).refused("cannot change under it")
    TASK.given(*STAGES[stage]).when(EditTask({"command": "other"}, relaunch=True)).then(
        ExecutionCancelled(1, 5, "task relaunched"),
        TaskEdited(1, {"command": "other"}),
        TaskRelaunched(1, len(STAGES[stage]) + 3, "Default", 0, 1),
    )


def test_how_a_live_task_is_queued_is_edited_at_once() -> None:
    TASK.given(*RUNNING).when(EditTask({"priority": 7})).then(TaskEdited(1, {"priority": 7}))


def test_an_unknown_property_is_refused_by_name() -> None:
    TASK.given(CREATED).when(EditTask({"stage": "running"})).refused("'stage'")


def test_an_attempt_that_ran_what_the_task_no_longer_is_cannot_come_back() -> None:
    lost = TASK.given(*RUNNING, ex.ExecutionLost(1, 5, "silent"))
    after = lost.when(EditTask({"command": "other"})).then(TaskEdited(1, {"command": "other"})).state
    assert after is not None and after.execution == 0


def test_retries_that_are_edited_are_those_a_relaunch_gives_back() -> None:
    story = TASK.given(*FAILED).when(EditTask({"retry": 7})).then(TaskEdited(1, {"retry": 7}))
    (relaunched,) = tasks.decide(story.state, RelaunchTask())
    assert isinstance(relaunched, TaskRelaunched) and relaunched.retry == 7


# Any history --------------------------------------------------------------------------------------------------


def any_command(drawn: Choices) -> Any:
    """A command a task may meet, or one that its current execution may: its ids are the ones in use, or others."""
    some = drawn.number(3)
    requires = drawn.some((7, 8, 9))
    waits_for = tuple(other for other in requires if other != 7 or some)
    return drawn.of(
        (
            AssignTask(5 + drawn.number(3), 2),
            ex.Accepted(0),
            ex.Started(0),
            drawn.of((ex.Succeeded(0), ex.Failed(0, 1), ex.Refused(0, "no"), ex.LoseExecution("silent"))),
            ex.RecoverExecution("running"),
            ex.SignalExecution(9),
            CreateTask(1, {"command": "work", "retry": some, "paused": some == 2}, requires, waits_for, waits_for[:1]),
            EditTask({"priority": some, "batch": "ab"[some % 2], "retry": some}, relaunch=some == 2),
            EditTask({"command": "other"}, relaunch=some == 2),
            EditTask({"nonsense": 1}),
            ChangeRequirements(requires, waits_for, waits_for[:1] if some else ()),
            ChangeRequirements((1,), (1,)),
            PauseTask(),
            ResumeTask(),
            ReleaseTask(by_hand=some == 1),
            RelaunchTask(),
            RetryTask(),
            BlockTask(7 + some, "failed"),
            UnblockTask(7 + some),
            DeleteTask(),
        )
    )


def is_exempt(command: Any) -> bool:
    """A task's texts are in the log only, so an edit of them is said each time. A signal may be sent twice."""
    return isinstance(command, ex.SignalExecution) or (isinstance(command, EditTask) and "command" in command.changes)


@settings(max_examples=1_500, deadline=None)
@given(choices(60, 160))
def test_any_history_folds_and_no_command_does_anything_a_second_time(drawn: Choices) -> None:
    task: Task | None = None
    attempt: ex.Execution | None = None

    def decided(command: Any) -> list[Any]:
        if isinstance(command, ex.ExecutionCommand):
            current = attempt if task is not None and attempt is not None and attempt.id == task.execution else None
            return list(ex.decide(current, command, task_is_free=task is not None and task.stage == "pending"))
        return list(tasks.decide(task, command))

    while drawn.left:
        command = any_command(drawn)
        try:
            events = decided(command)
        except Rejected as refusal:
            assert len(str(refusal)) > 10 and str(refusal) == str(refusal).strip()
            continue
        for event in events:
            version = task.version if task is not None else 0
            task = tasks.evolve(task, event)
            assert task is not None and task.version == version + 1
            if isinstance(event, ex.ExecutionEvent):
                attempt = ex.evolve(attempt, event)
        assert task is None or task.live == (attempt is not None and attempt.live and attempt.id == task.execution)
        if not is_exempt(command):
            assert decided(command) == []
