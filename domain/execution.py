"""An execution: one attempt at a task, by one worker.

    pending → accepted → running → succeeded | failed
    pending, accepted or running → cancelled (by us) | refused (by the worker) | lost (the worker is silent)
    lost → as it was, when the worker returns before the task was given to another

Its events live in the stream of its task. The id is the fence: what is reported about any other execution than the
task's current one is history, and changes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, assert_never

Status = Literal["pending", "accepted", "running", "succeeded", "failed", "cancelled", "refused", "lost"]
LIVE = frozenset({"pending", "accepted", "running"})
TASK_STAGE: Final[dict[str, Literal["assigned", "accepted", "running"]]] = {
    "pending": "assigned",
    "accepted": "accepted",
    "running": "running",
}

# Events -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ExecutionAssigned:
    """A task was given to a worker, as one of that batch."""

    task: int
    execution: int
    worker: int
    batch: str = "Default"


@dataclass(frozen=True, slots=True)
class ExecutionAccepted:
    """The worker has the task and prepares it: its inputs are being fetched."""

    task: int
    execution: int


@dataclass(frozen=True, slots=True)
class ExecutionStarted:
    """The command runs."""

    task: int
    execution: int
    pid: int = 0


@dataclass(frozen=True, slots=True)
class ExecutionSucceeded:
    """The command ended with return code 0, and with it the task. The counts say how much output there is in all."""

    task: int
    execution: int
    return_code: int = 0
    stdout_bytes: int = 0
    stderr_bytes: int = 0


@dataclass(frozen=True, slots=True)
class ExecutionFailed:
    """The attempt ended badly: `return_code` of the command, or none and the reason why it has none."""

    task: int
    execution: int
    return_code: int | None = None
    reason: str | None = None
    stdout_bytes: int = 0
    stderr_bytes: int = 0


@dataclass(frozen=True, slots=True)
class ExecutionCancelled:
    """The engine took the attempt back; the worker is told to end it."""

    task: int
    execution: int
    reason: str


@dataclass(frozen=True, slots=True)
class ExecutionRefused:
    """The worker gave the attempt back, through no fault of the task: no retry is spent."""

    task: int
    execution: int
    reason: str


@dataclass(frozen=True, slots=True)
class ExecutionLost:
    """The worker can no longer be expected to finish the attempt: no retry is spent."""

    task: int
    execution: int
    reason: str


@dataclass(frozen=True, slots=True)
class ExecutionRecovered:
    """The worker of a lost attempt came back before anybody else had the task: it goes on as `status`."""

    task: int
    execution: int
    status: Literal["pending", "accepted", "running"]


@dataclass(frozen=True, slots=True)
class ExecutionSignalled:
    """Somebody asked for a signal to be sent to the running command."""

    task: int
    execution: int
    signal: int


ExecutionEvent = (ExecutionAssigned | ExecutionAccepted | ExecutionStarted | ExecutionSucceeded | ExecutionFailed) | (
    ExecutionCancelled | ExecutionRefused | ExecutionLost | ExecutionRecovered | ExecutionSignalled
)

# State --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Execution:
    """An attempt that is current, or lost and could still come back."""

    id: int
    task: int
    worker: int
    status: Status

    @property
    def live(self) -> bool:
        return self.status in LIVE


_STATUS_AFTER: Final[dict[type[object], Status]] = {
    ExecutionAccepted: "accepted",
    ExecutionStarted: "running",
    ExecutionSucceeded: "succeeded",
    ExecutionFailed: "failed",
    ExecutionCancelled: "cancelled",
    ExecutionRefused: "refused",
    ExecutionLost: "lost",
}


def _with(execution: Execution, status: Status) -> Execution:
    return Execution(execution.id, execution.task, execution.worker, status)


def evolve(execution: Execution | None, event: ExecutionEvent) -> Execution | None:
    """The attempt after the event."""
    match event:
        case ExecutionAssigned():
            return Execution(event.execution, event.task, event.worker, "pending")
        case _ if execution is None:
            return None
        case ExecutionRecovered():
            return _with(execution, event.status)
        case ExecutionSignalled():
            return execution
        case _:
            return _with(execution, _STATUS_AFTER[type(event)])


# Commands: what a worker reports, and what the engine decides by itself -------------------------------------------


@dataclass(frozen=True, slots=True)
class Accepted:
    """A worker says: I have it and prepare it."""

    execution: int


@dataclass(frozen=True, slots=True)
class Started:
    """A worker says: the command runs."""

    execution: int
    pid: int = 0


@dataclass(frozen=True, slots=True)
class Succeeded:
    """A worker says: the command ended with 0 and all of its output is sent."""

    execution: int
    stdout_bytes: int = 0
    stderr_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Failed:
    """A worker says: the command ended badly, or could not be started."""

    execution: int
    return_code: int | None = None
    reason: str | None = None
    stdout_bytes: int = 0
    stderr_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Refused:
    """A worker says: I give it back, the task is not to blame."""

    execution: int
    reason: str


Report = Accepted | Started | Succeeded | Failed | Refused


@dataclass(frozen=True, slots=True)
class CancelExecution:
    """Take an attempt back."""

    reason: str


@dataclass(frozen=True, slots=True)
class LoseExecution:
    """Stop counting on an attempt whose worker is silent, gone or new."""

    reason: str


@dataclass(frozen=True, slots=True)
class TimeOutExecution:
    """End an attempt that took longer in `status` than its task allows."""

    status: Literal["accepted", "running"]
    reason: str


@dataclass(frozen=True, slots=True)
class RecoverExecution:
    """Take back an attempt that its worker, thought lost, still holds."""

    status: Literal["pending", "accepted", "running"]


@dataclass(frozen=True, slots=True)
class SignalExecution:
    """Send a signal to the running command."""

    signal: int


ExecutionCommand = Report | CancelExecution | LoseExecution | TimeOutExecution | RecoverExecution | SignalExecution


def status_told(command: ExecutionCommand) -> Literal["pending", "accepted", "running"]:
    """How far an attempt has come, going by what its worker says of it."""
    match command:
        case RecoverExecution():
            return command.status
        case Started() | Succeeded() | Failed():
            return "running"
        case Accepted():
            return "accepted"
        case _:
            return "pending"


def decide(execution: Execution | None, command: ExecutionCommand, *, task_is_free: bool) -> list[ExecutionEvent]:
    """What becomes true of an attempt. `task_is_free`: a lost one may come back as what its worker says it is."""
    if execution is None:
        return []
    if execution.status == "lost":
        return _return_of_the_lost(execution, command) if task_is_free else []
    if not execution.live:
        return []
    task, id = execution.task, execution.id
    match command:
        case Accepted():
            return [ExecutionAccepted(task, id)] if execution.status == "pending" else []
        case Started():
            return [] if execution.status == "running" else [ExecutionStarted(task, id, command.pid)]
        case Succeeded():
            return [ExecutionSucceeded(task, id, 0, command.stdout_bytes, command.stderr_bytes)]
        case Failed():
            return [
                ExecutionFailed(
                    task, id, command.return_code, command.reason, command.stdout_bytes, command.stderr_bytes
                )
            ]
        case Refused():
            return [ExecutionRefused(task, id, command.reason)]
        case CancelExecution():
            return [ExecutionCancelled(task, id, command.reason)]
        case LoseExecution():
            return [ExecutionLost(task, id, command.reason)]
        case TimeOutExecution():
            return [ExecutionFailed(task, id, None, command.reason)] if execution.status == command.status else []
        case SignalExecution():
            return [ExecutionSignalled(task, id, command.signal)] if execution.status == "running" else []
        case RecoverExecution():
            return []
        case _:
            assert_never(command)


def _return_of_the_lost(execution: Execution, command: ExecutionCommand) -> list[ExecutionEvent]:
    """The worker speaks of an attempt that was given up, and nobody else has the task: what it did counts."""
    if not isinstance(command, Report | RecoverExecution):
        return []
    status = status_told(command)
    back = ExecutionRecovered(execution.task, execution.id, status)
    return [back, *decide(_with(execution, status), command, task_is_free=False)]
