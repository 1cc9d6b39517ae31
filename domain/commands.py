"""What users may ask for. A command about several tasks or workers names them; each is decided for itself.

A `Request` carries the id and the deadline its sender chose: the same id twice is one effect and one answer.
"""

from __future__ import annotations

from dataclasses import dataclass

from scitq.domain import batch as batches
from scitq.domain import task as tasks
from scitq.domain import worker as workers


@dataclass(frozen=True, slots=True)
class TaskSpec:
    """A task to submit. It may require tasks by id, or, as -1, -2, …, the first, second, … task of the same request."""

    command: str
    batch: str = tasks.DEFAULT_BATCH
    name: str | None = None
    priority: int = 0
    retry: int = 0
    requires: tuple[int, ...] = ()
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
class CreateTasks:
    """Submit tasks, all or none."""

    tasks: tuple[TaskSpec, ...]


Steering = (
    tasks.PauseTask | tasks.ResumeTask | tasks.ReleaseTask | tasks.RelaunchTask | tasks.DeleteTask | tasks.EditTask
)
WorkerSteering = (
    (workers.EditWorker | workers.PauseWorker | workers.ResumeWorker) | (workers.DeleteWorker | workers.OrderWorker)
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class SteerTasks:
    """Do the same to each of some tasks."""

    tasks: tuple[int, ...]
    do: Steering


@dataclass(frozen=True, slots=True)
class RequireTasks:
    """Replace what a task requires."""

    task: int
    requires: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class SteerWorkers:
    """Do the same to each of some workers."""

    workers: tuple[int, ...]
    do: WorkerSteering


@dataclass(frozen=True, slots=True)
class SteerBatch:
    """Stop or start a batch."""

    batch: str
    do: batches.BatchCommand


@dataclass(frozen=True, slots=True)
class SignalExecutions:
    """Send a signal to running commands."""

    executions: tuple[int, ...]
    signal: int


@dataclass(frozen=True, slots=True)
class EraseTask:
    """Erase the texts of a task that has ended, for ever: the log keeps that it was."""

    task: int
    reason: str


Command = CreateTasks | SteerTasks | RequireTasks | SteerWorkers | SteerBatch | SignalExecutions | EraseTask


@dataclass(frozen=True, slots=True)
class Request:
    """A command with what makes it safe to send again."""

    id: str
    actor: str
    deadline: int  # microseconds since 1970: after it the sender no longer wants it
    command: Command
