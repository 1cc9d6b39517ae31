"""What is done to a task between its submission and its end: by the people who steer it, and by what it requires.

The other half of `task.py`, which decides on the task's own life and hands everything here that it does not know.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, assert_never

from scitq.domain.execution import ExecutionCancelled
from scitq.errors import Rejected

if TYPE_CHECKING:
    from scitq.domain.task import Task

RUN_FIELDS: Final = frozenset(
    {"command", "container", "container_options", "input", "output", "resource", "silence_timeout_s", "user"}
)
"""What a worker is given: it cannot change under a live execution."""
NOT_BEGUN: Final = frozenset({"assigned", "accepted"})
"""A worker has it, and does not run it yet, for all we know."""
HOT_FIELDS: Final = frozenset({"batch", "priority", "retry", "download_timeout_s", "run_timeout_s"})
"""What deciding needs, and so is kept in memory."""
EDITABLE: Final = RUN_FIELDS | HOT_FIELDS | {"name", "use_cache"}

# Events -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class TaskEdited:
    """Some properties of a task were given new values."""

    task: int
    changes: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class TaskRequirementsChanged:
    """A task was given other requirements; of those, `waits_for` had not succeeded yet."""

    task: int
    requires: tuple[int, ...]
    waits_for: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class TaskPaused:
    """A task is held where it stands until somebody resumes it."""

    task: int


@dataclass(frozen=True, slots=True)
class TaskResumed:
    """A paused task goes on."""

    task: int


@dataclass(frozen=True, slots=True)
class TaskBlocked:
    """A requirement of a waiting task has failed or was deleted: it waits until that one is relaunched, or by hand."""

    task: int
    requirement: int
    reason: str


@dataclass(frozen=True, slots=True)
class TaskUnblocked:
    """The requirement that blocked a waiting task is being run again."""

    task: int
    requirement: int


@dataclass(frozen=True, slots=True)
class TaskRelaunched:
    """A task is queued again by hand. Says all that deciding needs: an ended task had been forgotten."""

    task: int
    version: int
    batch: str
    priority: int
    retry: int
    requires: tuple[int, ...] = ()
    download_timeout_s: int | None = None
    run_timeout_s: int | None = None


@dataclass(frozen=True, slots=True)
class TaskDeleted:
    """A task was deleted, standing at `stage`; what it did stays in the log."""

    task: int
    stage: str = "pending"


SteeringEvent = (
    (TaskEdited | TaskRequirementsChanged | TaskBlocked | TaskUnblocked)
    | (TaskPaused | TaskResumed | TaskRelaunched | TaskDeleted)
)  # fmt: skip


def evolve(task: Task, event: SteeringEvent) -> Task:
    """The task after the event. A relaunched one is made anew, in `task.py`: it may have been forgotten."""
    version = task.version + 1
    match event:
        case TaskEdited():
            hot: dict[str, Any] = {name: value for name, value in event.changes.items() if name in HOT_FIELDS}
            if "retry" in hot:
                hot["retry_limit"] = hot["retry"]
            same = task.live or not RUN_FIELDS & set(event.changes)
            kept = task.execution if same else 0  # a lost execution ran what the task no longer is
            if not same:
                hot.update(unable=(), rounds=0)  # it is another task now: who could not run it perhaps can
            return replace(task, version=version, execution=kept, **hot)
        case TaskRequirementsChanged(_, requires, waits_for):
            stage: Any = "waiting" if waits_for else "pending"
            changed = replace(task, version=version, stage=stage, execution=0)
            return replace(changed, requires=requires, waits_for=waits_for, blocked_by=())
        case TaskBlocked():
            return replace(task, version=version, blocked_by=(*task.blocked_by, event.requirement))
        case TaskUnblocked():
            rest = tuple(other for other in task.blocked_by if other != event.requirement)
            return replace(task, version=version, blocked_by=rest)
        case TaskPaused():
            return replace(task, version=version, paused=True)
        case TaskResumed():
            return replace(task, version=version, paused=False)
        case TaskDeleted():
            return replace(task, version=version, stage="deleted", execution=0, waits_for=(), blocked_by=())
        case TaskRelaunched():
            raise AssertionError("a relaunched task is made anew")
        case _:
            assert_never(event)


# Commands -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class EditTask:
    """Give some properties new values; with `relaunch`, run the task again with them at once."""

    changes: Mapping[str, Any]
    relaunch: bool = False


@dataclass(frozen=True, slots=True)
class ChangeRequirements:
    """Replace what a task requires, with the standing of each looked up."""

    requires: tuple[int, ...]
    waits_for: tuple[int, ...]
    failed: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class PauseTask:
    """Hold a task: not started while paused; a running one is stopped in its tracks."""


@dataclass(frozen=True, slots=True)
class ResumeTask:
    """Let a paused task go on."""


@dataclass(frozen=True, slots=True)
class RelaunchTask:
    """Queue a task again from the start, whatever it is doing; all its retries are given back."""


@dataclass(frozen=True, slots=True)
class DeleteTask:
    """Remove a task, whatever it is doing."""


@dataclass(frozen=True, slots=True)
class BlockTask:
    """Say of a waiting task that a requirement will not succeed by itself."""

    requirement: int
    reason: str


@dataclass(frozen=True, slots=True)
class UnblockTask:
    """Say of a waiting task that a requirement is being run again."""

    requirement: int


SteeringCommand = (
    (EditTask | ChangeRequirements | BlockTask | UnblockTask)
    | (PauseTask | ResumeTask | RelaunchTask | DeleteTask)
)  # fmt: skip


def decide(task: Task, command: SteeringCommand) -> list[SteeringEvent | ExecutionCancelled]:
    """What becomes true of a task that is there."""
    match command:
        case EditTask():
            return _edit(task, command)
        case ChangeRequirements():
            return _change_requirements(task, command)
        case BlockTask(requirement, reason):
            if requirement not in task.waits_for or requirement in task.blocked_by:
                return []
            return [TaskBlocked(task.id, requirement, reason)]
        case UnblockTask(requirement):
            return [TaskUnblocked(task.id, requirement)] if requirement in task.blocked_by else []
        case PauseTask():
            if task.ended:
                raise Rejected(f"task {task.id} has already {task.stage}: only a task that has not ended can be paused")
            if task.paused:
                return []
            return [TaskPaused(task.id)]
        case ResumeTask():
            if task.ended:
                raise Rejected(f"task {task.id} has already {task.stage}: relaunch it to run it again")
            return [TaskResumed(task.id)] if task.paused else []
        case RelaunchTask():
            if _is_fresh(task):
                return []
            return [*(back := _cancelled(task, "task relaunched")), _relaunched(task, len(back), {})]
        case DeleteTask():
            return [*_cancelled(task, "task deleted"), TaskDeleted(task.id, "pending" if task.live else task.stage)]
        case _:
            assert_never(command)


def _is_fresh(task: Task) -> bool:
    """It is about to run for the first time, or waits for that: there is nothing to do again."""
    anew = task.ready and not task.execution and not task.unable and task.retry == task.retry_limit
    return task.stage == "waiting" or anew


def _is_held_back(task: Task) -> bool:
    """It was paused before it began, for all we know: it can change, and does not go on at its worker as it was."""
    return task.paused and task.stage in NOT_BEGUN


def _cancelled(task: Task, reason: str) -> list[SteeringEvent | ExecutionCancelled]:
    """A live execution ends first."""
    return [ExecutionCancelled(task.id, task.execution, reason)] if task.live else []


def _relaunched(task: Task, events_before: int, changes: Mapping[str, Any]) -> TaskRelaunched:
    hot = {name: changes.get(name, getattr(task, name)) for name in HOT_FIELDS}
    hot["retry"] = changes.get("retry", task.retry_limit)
    return TaskRelaunched(task.id, task.version + events_before + 1, requires=task.requires, **hot)


def _edit(task: Task, command: EditTask) -> list[SteeringEvent | ExecutionCancelled]:
    changes = command.changes
    unknown = sorted(set(changes) - EDITABLE)
    if unknown:
        raise Rejected(f"a task has no property {unknown[0]!r} that can be edited")
    changes_run = bool(RUN_FIELDS & set(changes))
    if task.live and changes_run and not command.relaunch and not _is_held_back(task):
        raise Rejected(
            f"task {task.id} is {task.status}: what it runs cannot change under it; relaunch it with the change"
        )
    reason = "task relaunched" if command.relaunch else "task changed" if changes_run else None
    events = _cancelled(task, reason) if reason else []
    if set(changes) - HOT_FIELDS or any(getattr(task, name) != value for name, value in changes.items()):
        events.append(TaskEdited(task.id, dict(changes)))
    if command.relaunch and not _is_fresh(task):
        events.append(_relaunched(task, len(events), changes))
    return events


def _change_requirements(task: Task, command: ChangeRequirements) -> list[SteeringEvent | ExecutionCancelled]:
    if (task.live and not _is_held_back(task)) or task.ended:
        raise Rejected(f"task {task.id} is {task.status}: requirements can change only before a task is assigned")
    if task.id in command.requires:
        raise Rejected(f"task {task.id} cannot require itself")
    standing = (command.requires, command.waits_for, set(command.failed))
    if standing == (task.requires, task.waits_for, set(task.blocked_by)):
        return []
    changed = TaskRequirementsChanged(task.id, command.requires, command.waits_for)
    blocked = (TaskBlocked(task.id, other, "failed") for other in command.failed)
    return [*_cancelled(task, "task changed"), changed, *blocked]
