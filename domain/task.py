"""A task: a command that is run until it succeeds, is given up, or is deleted.

    waiting → pending → assigned → accepted → running → succeeded | failed
    waiting becomes pending when its requirements have succeeded, or by hand; failed with retries left: pending again
    an execution that is lost, refused or cancelled: pending again; pause holds a task wherever it stands
    relaunch and delete cancel a live execution first; an ended task can be relaunched

Stream `task-<id>`: these events and those of the task's executions (`execution.py`), so that one stream tells it all.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from scitq.domain import execution as ex
from scitq.domain import steering
from scitq.domain.steering import BlockTask as BlockTask
from scitq.domain.steering import ChangeRequirements as ChangeRequirements
from scitq.domain.steering import DeleteTask as DeleteTask
from scitq.domain.steering import EditTask as EditTask
from scitq.domain.steering import PauseTask as PauseTask
from scitq.domain.steering import RelaunchTask as RelaunchTask
from scitq.domain.steering import ResumeTask as ResumeTask
from scitq.domain.steering import SteeringCommand as SteeringCommand
from scitq.domain.steering import SteeringEvent as SteeringEvent
from scitq.domain.steering import TaskBlocked as TaskBlocked
from scitq.domain.steering import TaskDeleted as TaskDeleted
from scitq.domain.steering import TaskEdited as TaskEdited
from scitq.domain.steering import TaskPaused as TaskPaused
from scitq.domain.steering import TaskRelaunched as TaskRelaunched
from scitq.domain.steering import TaskRequirementsChanged as TaskRequirementsChanged
from scitq.domain.steering import TaskResumed as TaskResumed
from scitq.domain.steering import TaskUnblocked as TaskUnblocked
from scitq.domain.steering import UnblockTask as UnblockTask
from scitq.errors import Rejected

Stage = Literal["waiting", "pending", "assigned", "accepted", "running", "succeeded", "failed", "deleted"]
Status = Literal["paused", "waiting", "pending", "assigned", "accepted", "running", "succeeded", "failed", "deleted"]

LIVE = frozenset({"assigned", "accepted", "running"})
ENDED = frozenset({"succeeded", "failed"})
DEFAULT_BATCH = "Default"


def stream(task: int) -> str:
    return f"task-{task}"


# Events -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class TaskCreated:
    """A task was submitted, with all it requires; of those, `waits_for` had not succeeded yet."""

    task: int
    command: str
    batch: str = DEFAULT_BATCH
    name: str | None = None
    priority: int = 0
    retry: int = 0
    requires: tuple[int, ...] = ()
    waits_for: tuple[int, ...] = ()
    container: str | None = None
    container_options: str | None = None
    input: str | None = None
    output: str | None = None
    resource: str | None = None
    download_timeout_s: int | None = None
    run_timeout_s: int | None = None
    use_cache: bool = False
    paused: bool = False
    silence_timeout_s: int | None = None
    user: str | None = None


@dataclass(frozen=True, slots=True)
class TaskReleased:
    """A waiting task may run: its requirements have succeeded, or somebody let it go without them."""

    task: int
    by_hand: bool = False


@dataclass(frozen=True, slots=True)
class TaskRetried:
    """A failed task is queued again by itself; `retry` more times are left."""

    task: int
    retry: int


OwnEvent = TaskCreated | TaskReleased | TaskRetried | SteeringEvent
TaskEvent = OwnEvent | ex.ExecutionEvent

# State --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Task:
    """What deciding about a task needs; its texts are in the log only."""

    id: int
    version: int
    stage: Stage
    paused: bool
    batch: str
    priority: int
    retry: int
    retry_limit: int
    execution: int  # the latest; current while the stage is live; 0: none that could still come back
    requires: tuple[int, ...]
    waits_for: tuple[int, ...]  # of these, while waiting: those that had not succeeded when it was said
    blocked_by: tuple[int, ...]
    download_timeout_s: int | None
    run_timeout_s: int | None
    losses: int = 0  # how often its worker was lost, since it was submitted or relaunched
    unable: tuple[int, ...] = ()  # workers that said they cannot run it, since all could be asked again
    rounds: int = 0  # how often all could be asked again and one still could not run it

    @property
    def live(self) -> bool:
        return self.stage in LIVE

    @property
    def ended(self) -> bool:
        return self.stage in ENDED

    @property
    def over(self) -> bool:
        """Nothing more happens to it by itself: it ended and is not about to be retried, or was deleted."""
        return self.stage in ("succeeded", "deleted") or (self.stage == "failed" and not self.retry)

    @property
    def ready(self) -> bool:
        """It could be assigned now."""
        return self.stage == "pending" and not self.paused

    @property
    def status(self) -> Status:
        if self.paused and self.stage not in ENDED and self.stage != "deleted":
            return "paused"
        return self.stage


def _begun(event: TaskCreated | TaskRelaunched, version: int, paused: bool, waits_for: tuple[int, ...]) -> Task:
    stage: Stage = "waiting" if waits_for else "pending"
    # nearly always a task waits for all it requires: then one tuple is enough, for a million tasks
    requires = waits_for if event.requires == waits_for else event.requires
    return Task(
        event.task, version, stage, paused, event.batch, event.priority, event.retry, event.retry,
        0, requires, waits_for, (), event.download_timeout_s, event.run_timeout_s,
    )  # fmt: skip


def _at(task: Task, stage: Stage, execution: int, lost: int = 0) -> Task:
    """The task one event later, at that stage. Spelled out, because this is where folding a log spends its time."""
    return Task(
        task.id, task.version + 1, stage, task.paused, task.batch, task.priority, task.retry, task.retry_limit,
        execution, task.requires, task.waits_for, task.blocked_by, task.download_timeout_s, task.run_timeout_s,
        task.losses + lost, task.unable, task.rounds,
    )  # fmt: skip


def _refused(task: Task, worker: int) -> Task:
    """The task when that worker cannot run it: who says so twice was asked again, and begins another round."""
    again = worker in task.unable
    unable = (worker,) if again else (*task.unable, worker)
    return replace(_at(task, "pending", 0), unable=unable, rounds=task.rounds + again)


def evolve(task: Task | None, event: TaskEvent) -> Task | None:
    """The task after the event. None: not known, because it ended long ago or its record was erased."""
    if isinstance(event, TaskCreated):
        return _begun(event, 1, event.paused, event.waits_for)
    if isinstance(event, TaskRelaunched):
        return _begun(event, event.version, False, ())
    if task is None:
        return None
    match event:
        case ex.ExecutionAssigned():
            return _at(task, "assigned", event.execution)
        case ex.ExecutionAccepted() | ex.ExecutionReady():
            return _at(task, "accepted", task.execution)
        case ex.ExecutionStarted() | ex.ExecutionExited():
            return _at(task, "running", task.execution)
        case ex.ExecutionSucceeded():
            return _at(task, "succeeded", 0)
        case ex.ExecutionFailed():
            return _at(task, "failed", 0)
        case ex.ExecutionLost():
            return _at(task, "pending", task.execution, lost=1)
        case ex.ExecutionRecovered():
            return _at(task, ex.TASK_STAGE[event.status], task.execution, lost=-1)
        case ex.ExecutionRefused() if event.unable:
            return _refused(task, event.unable)
        case ex.ExecutionCancelled() | ex.ExecutionRefused():
            return _at(task, "pending", 0)
        case ex.ExecutionSignalled() | ex.ExecutionSignalDelivered() | ex.ExecutionGone():
            return _at(task, task.stage, task.execution)
        case TaskReleased():
            return replace(task, version=task.version + 1, stage="pending", waits_for=(), blocked_by=())
        case TaskRetried():
            return replace(task, version=task.version + 1, stage="pending", retry=event.retry)
        case _:
            return steering.evolve(task, event)


TEXTS = (*sorted(steering.RUN_FIELDS), "download_timeout_s", "run_timeout_s")


def texts(event: TaskCreated) -> dict[str, Any]:
    """What a worker is told about a task, as it was created."""
    return {name: getattr(event, name) for name in TEXTS}


# Commands -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class CreateTask:
    """Submit one task, under an id from the engine's counter, with the standing of what it requires looked up."""

    task: int
    properties: Mapping[str, Any]  # of TaskCreated, already checked
    requires: tuple[int, ...] = ()
    waits_for: tuple[int, ...] = ()
    failed: tuple[int, ...] = ()  # of `waits_for`: those that have failed


@dataclass(frozen=True, slots=True)
class ReleaseTask:
    """Let a waiting task run: by the engine when its requirements are met, by hand without them."""

    by_hand: bool = True


@dataclass(frozen=True, slots=True)
class AssignTask:
    """Give a task to a worker, under an execution id from the engine's counter."""

    execution: int
    worker: int


@dataclass(frozen=True, slots=True)
class RetryTask:
    """Queue a failed task again if it has retries left."""


TaskCommand = CreateTask | ReleaseTask | AssignTask | RetryTask | SteeringCommand


def decide(task: Task | None, command: TaskCommand) -> Sequence[TaskEvent]:
    """What becomes true when the command meets the task. Nothing, when it already is; Rejected, when it cannot."""
    if isinstance(command, CreateTask):
        return [] if task is not None else _create(command)
    if task is None:
        raise Rejected("there is no such task")
    if task.stage == "deleted":
        if isinstance(command, DeleteTask):
            return []
        raise Rejected(f"task {task.id} was deleted")
    match command:
        case AssignTask():
            if task.execution == command.execution and task.live:
                return []
            if not task.ready:
                raise Rejected(f"task {task.id} is {task.status}, not pending")
            return [ex.ExecutionAssigned(task.id, command.execution, command.worker, task.batch)]
        case ReleaseTask():
            if task.ended:
                raise Rejected(f"task {task.id} has already {task.stage}: relaunch it to run it again")
            return [TaskReleased(task.id, command.by_hand)] if task.stage == "waiting" else []
        case RetryTask():
            return [TaskRetried(task.id, task.retry - 1)] if task.stage == "failed" and task.retry > 0 else []
        case _:
            return steering.decide(task, command)


def _create(command: CreateTask) -> list[TaskEvent]:
    created = TaskCreated(command.task, requires=command.requires, waits_for=command.waits_for, **command.properties)
    return [created, *(TaskBlocked(command.task, other, "failed") for other in command.failed)]
