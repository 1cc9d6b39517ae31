"""A task: a command that is run until it succeeds, is given up, or is deleted.

    waiting → pending → assigned → accepted → running → succeeded | failed
    waiting becomes pending when its requirements have succeeded, or by hand; failed with retries left: pending again
    an execution that is lost, refused or cancelled: pending again; pause holds a task wherever it stands
    relaunch and delete cancel a live execution first; an ended task can be relaunched

Stream `task-<id>`: these events and those of the task's executions (`execution.py`), so that one stream tells it all.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, assert_never

from scitq.domain import execution as ex
from scitq.errors import Rejected

Stage = Literal["waiting", "pending", "assigned", "accepted", "running", "succeeded", "failed", "deleted"]
Status = Literal["paused", "waiting", "pending", "assigned", "accepted", "running", "succeeded", "failed", "deleted"]

LIVE = frozenset({"assigned", "accepted", "running"})
ENDED = frozenset({"succeeded", "failed"})
DEFAULT_BATCH = "Default"
RUN_FIELDS = frozenset({"command", "container", "container_options", "input", "output", "resource"})
"""What a worker is given: it cannot change under a live execution."""
EDITABLE = RUN_FIELDS | {"name", "batch", "priority", "retry", "download_timeout_s", "run_timeout_s", "use_cache"}


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
class TaskReleased:
    """A waiting task may run: its requirements have succeeded, or somebody let it go without them."""

    task: int
    by_hand: bool = False


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
class TaskRetried:
    """A failed task is queued again by itself; `retry` more times are left."""

    task: int
    retry: int


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


OwnEvent = (
    TaskCreated
    | TaskEdited
    | TaskRequirementsChanged
    | TaskPaused
    | TaskResumed
    | TaskReleased
    | TaskBlocked
    | TaskUnblocked
    | TaskRetried
    | TaskRelaunched
    | TaskDeleted
)
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


def _at(task: Task, stage: Stage, execution: int) -> Task:
    """The task one event later, at that stage. Spelled out, because this is where folding a log spends its time."""
    return Task(
        task.id,
        task.version + 1,
        stage,
        task.paused,
        task.batch,
        task.priority,
        task.retry,
        task.retry_limit,
        execution,
        task.requires,
        task.waits_for,
        task.blocked_by,
        task.download_timeout_s,
        task.run_timeout_s,
    )


def _one(requires: tuple[int, ...], waits_for: tuple[int, ...]) -> tuple[int, ...]:
    """Nearly always the two are equal: then one object is enough for a million tasks."""
    return waits_for if requires == waits_for else requires


def evolve(task: Task | None, event: TaskEvent) -> Task | None:
    """The task after the event. None: not known, because it ended long ago or its record was erased."""
    match event:
        case TaskCreated():
            return Task(
                event.task,
                1,
                "waiting" if event.waits_for else "pending",
                event.paused,
                event.batch,
                event.priority,
                event.retry,
                event.retry,
                0,
                _one(event.requires, event.waits_for),
                event.waits_for,
                (),
                event.download_timeout_s,
                event.run_timeout_s,
            )
        case TaskRelaunched():
            return Task(
                event.task,
                event.version,
                "pending",
                False,
                event.batch,
                event.priority,
                event.retry,
                event.retry,
                0,
                event.requires,
                (),
                (),
                event.download_timeout_s,
                event.run_timeout_s,
            )
    if task is None:
        return None
    version = task.version + 1
    match event:
        case ex.ExecutionAssigned():
            return _at(task, "assigned", event.execution)
        case ex.ExecutionAccepted():
            return _at(task, "accepted", task.execution)
        case ex.ExecutionStarted():
            return _at(task, "running", task.execution)
        case ex.ExecutionSucceeded():
            return _at(task, "succeeded", 0)
        case ex.ExecutionFailed():
            return _at(task, "failed", 0)
        case ex.ExecutionLost():
            return _at(task, "pending", task.execution)
        case ex.ExecutionRecovered():
            return _at(task, ex.TASK_STAGE[event.status], task.execution)
        case ex.ExecutionCancelled() | ex.ExecutionRefused():
            return _at(task, "pending", 0)
        case ex.ExecutionSignalled():
            return replace(task, version=version)
        case TaskEdited():
            hot: dict[str, Any] = {name: value for name, value in event.changes.items() if name in HOT_FIELDS}
            if "retry" in hot:
                hot["retry_limit"] = hot["retry"]
            kept = task.execution if task.live else 0  # a lost execution ran what the task no longer is
            return replace(task, version=version, execution=kept, **hot)
        case TaskRequirementsChanged():
            stage: Stage = "waiting" if event.waits_for else "pending"
            return replace(
                task,
                version=version,
                stage=stage,
                requires=_one(event.requires, event.waits_for),
                waits_for=event.waits_for,
                blocked_by=(),
                execution=0,
            )
        case TaskPaused():
            return replace(task, version=version, paused=True)
        case TaskResumed():
            return replace(task, version=version, paused=False)
        case TaskReleased():
            return replace(task, version=version, stage="pending", waits_for=(), blocked_by=())
        case TaskBlocked():
            return replace(task, version=version, blocked_by=(*task.blocked_by, event.requirement))
        case TaskUnblocked():
            rest = tuple(other for other in task.blocked_by if other != event.requirement)
            return replace(task, version=version, blocked_by=rest)
        case TaskRetried():
            return replace(task, version=version, stage="pending", retry=event.retry)
        case TaskDeleted():
            return replace(task, version=version, stage="deleted", execution=0, waits_for=(), blocked_by=())
        case _:
            assert_never(event)


HOT_FIELDS = frozenset({"batch", "priority", "retry", "download_timeout_s", "run_timeout_s"})
TEXTS = (*sorted(RUN_FIELDS), "download_timeout_s", "run_timeout_s")


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
class ReleaseTask:
    """Let a waiting task run: by the engine when its requirements are met, by hand without them."""

    by_hand: bool = True


@dataclass(frozen=True, slots=True)
class RelaunchTask:
    """Queue a task again from the start, whatever it is doing; all its retries are given back."""


@dataclass(frozen=True, slots=True)
class DeleteTask:
    """Remove a task, whatever it is doing."""


@dataclass(frozen=True, slots=True)
class AssignTask:
    """Give a task to a worker, under an execution id from the engine's counter."""

    execution: int
    worker: int


@dataclass(frozen=True, slots=True)
class RetryTask:
    """Queue a failed task again if it has retries left."""


@dataclass(frozen=True, slots=True)
class BlockTask:
    """Say of a waiting task that a requirement will not succeed by itself."""

    requirement: int
    reason: str


@dataclass(frozen=True, slots=True)
class UnblockTask:
    """Say of a waiting task that a requirement is being run again."""

    requirement: int


TaskCommand = (
    CreateTask
    | EditTask
    | ChangeRequirements
    | PauseTask
    | ResumeTask
    | ReleaseTask
    | RelaunchTask
    | DeleteTask
    | AssignTask
    | RetryTask
    | BlockTask
    | UnblockTask
)


@dataclass(frozen=True, slots=True)
class _Decision:
    """Events about one task, each decided on what the one before left."""

    task: Task
    events: list[TaskEvent] = field(default_factory=list)

    def then(self, event: TaskEvent) -> _Decision:
        after = evolve(self.task, event)
        assert after is not None
        return _Decision(after, [*self.events, event])


def decide(task: Task | None, command: TaskCommand) -> list[TaskEvent]:
    """What becomes true when the command meets the task. Nothing, when it already is; Rejected, when it cannot."""
    if isinstance(command, CreateTask):
        if task is not None:
            return []
        created = TaskCreated(
            command.task, requires=command.requires, waits_for=command.waits_for, **command.properties
        )
        return [created, *(TaskBlocked(command.task, other, "failed") for other in command.failed)]
    if task is None:
        raise Rejected("there is no such task")
    if task.stage == "deleted":
        if isinstance(command, DeleteTask):
            return []
        raise Rejected(f"task {task.id} was deleted")
    match command:
        case EditTask():
            return _edit(task, command)
        case ChangeRequirements():
            return _change_requirements(task, command)
        case PauseTask():
            if task.ended:
                raise Rejected(f"task {task.id} has already {task.stage}: only a task that has not ended can be paused")
            if task.paused:
                return []
            decision = _Decision(task)
            if task.stage in ("assigned", "accepted"):
                decision = _cancel(decision, "task paused")
            return decision.then(TaskPaused(task.id)).events
        case ResumeTask():
            if task.ended:
                raise Rejected(f"task {task.id} has already {task.stage}: relaunch it to run it again")
            return [TaskResumed(task.id)] if task.paused else []
        case ReleaseTask():
            if task.ended:
                raise Rejected(f"task {task.id} has already {task.stage}: relaunch it to run it again")
            return [TaskReleased(task.id, command.by_hand)] if task.stage == "waiting" else []
        case RelaunchTask():
            if task.stage == "waiting" or task.ready:
                return []
            return _relaunch(_cancel(_Decision(task), "task relaunched")).events
        case DeleteTask():
            decision = _cancel(_Decision(task), "task deleted")
            return decision.then(TaskDeleted(task.id, decision.task.stage)).events
        case AssignTask():
            if task.execution == command.execution and task.live:
                return []
            if not task.ready:
                raise Rejected(f"task {task.id} is {task.status}, not pending")
            return [ex.ExecutionAssigned(task.id, command.execution, command.worker, task.batch)]
        case RetryTask():
            if task.stage != "failed" or task.retry <= 0:
                return []
            return [TaskRetried(task.id, task.retry - 1)]
        case BlockTask():
            if command.requirement not in task.waits_for or command.requirement in task.blocked_by:
                return []
            return [TaskBlocked(task.id, command.requirement, command.reason)]
        case UnblockTask():
            return [TaskUnblocked(task.id, command.requirement)] if command.requirement in task.blocked_by else []
        case _:
            assert_never(command)


def _cancel(decision: _Decision, reason: str) -> _Decision:
    task = decision.task
    return decision.then(ex.ExecutionCancelled(task.id, task.execution, reason)) if task.live else decision


def _relaunch(decision: _Decision) -> _Decision:
    task = decision.task
    return decision.then(
        TaskRelaunched(
            task.id,
            task.version + 1,
            task.batch,
            task.priority,
            task.retry_limit,
            task.requires,
            task.download_timeout_s,
            task.run_timeout_s,
        )
    )


def _edit(task: Task, command: EditTask) -> list[TaskEvent]:
    unknown = sorted(set(command.changes) - EDITABLE)
    if unknown:
        raise Rejected(f"a task has no property {unknown[0]!r} that can be edited")
    run_fields = RUN_FIELDS & set(command.changes)
    if task.live and run_fields and not command.relaunch:
        raise Rejected(
            f"task {task.id} is {task.status}: what it runs cannot change under it; relaunch it with the change"
        )
    hot = {name: value for name, value in command.changes.items() if name in HOT_FIELDS}
    changed = run_fields or set(command.changes) - HOT_FIELDS or any(getattr(task, n) != v for n, v in hot.items())
    decision = _Decision(task)
    if command.relaunch:
        decision = _cancel(decision, "task relaunched")
    if changed:
        decision = decision.then(TaskEdited(task.id, dict(command.changes)))
    if command.relaunch and not (task.stage == "waiting" or task.ready):
        decision = _relaunch(decision)
    return decision.events


def _change_requirements(task: Task, command: ChangeRequirements) -> list[TaskEvent]:
    if task.live or task.ended:
        raise Rejected(f"task {task.id} is {task.status}: requirements can change only before a task is assigned")
    if task.id in command.requires:
        raise Rejected(f"task {task.id} cannot require itself")
    if (command.requires, command.waits_for) == (task.requires, task.waits_for) and set(command.failed) == set(
        task.blocked_by
    ):
        return []
    changed = TaskRequirementsChanged(task.id, command.requires, command.waits_for)
    return [changed, *(TaskBlocked(task.id, other, "failed") for other in command.failed)]
