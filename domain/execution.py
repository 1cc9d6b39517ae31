"""An execution: one attempt at a task, by one worker.

    pending → accepted → ready → running → uploading → succeeded | failed
    any of these but the last two → cancelled (by us) | refused (by the worker) | lost (the worker is silent)
    lost → as it was, when the worker returns before the task was given to another

Steps are left out where there is nothing to do: no inputs to fetch, no outputs to send. An attempt that is uploading
has given its slot back. People see five phases more than statuses: `accepted` is downloading or ready, `running` is
running or uploading.

Its events live in the stream of its task. The id is the fence: what is reported about any other execution than the
task's current one is history, and changes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal, assert_never, get_args

Status = Literal["pending", "accepted", "running", "succeeded", "failed", "cancelled", "refused", "lost"]
Step = Literal["pending", "accepted", "ready", "running", "uploading"]
LIVE: Final = frozenset(get_args(Step))
TASK_STAGE: Final[dict[str, Literal["assigned", "accepted", "running"]]] = {
    "pending": "assigned",
    "accepted": "accepted",
    "ready": "accepted",
    "running": "running",
    "uploading": "running",
}
STATUS: Final[dict[str, Status]] = {
    **{status: status for status in get_args(Status)},
    "ready": "accepted",
    "uploading": "running",
}
"""What people see of a status or step: one of the words that have always been there."""

Failure = Literal[
    "command_failed",
    "out_of_memory",
    "run_timeout",
    "silence_timeout",
    "download_timeout",
    "download_failed",
    "upload_failed",
    "image_failed",
    "worker_lost",
    "evicted",
    "agent_error",
]
"""Why an attempt ended badly, as a word that programs can read. None where an older release did not say."""

Used = Mapping[str, float]
"""What an attempt used and moved, in all; `USED` has the names. What could not be measured is left out."""
USED: Final = (
    "cpu_s",
    "memory_bytes",  # at its peak
    "read_bytes",
    "written_bytes",
    "output_files",
    "output_bytes",
)

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
class ExecutionReady:
    """All that the command needs is there; so much was fetched for it. It waits for a slot."""

    task: int
    execution: int
    files: int = 0
    bytes: int = 0


@dataclass(frozen=True, slots=True)
class ExecutionStarted:
    """The command runs. `image`: the digest of the container's image, by which it can be run again."""

    task: int
    execution: int
    pid: int = 0
    image: str | None = None


@dataclass(frozen=True, slots=True)
class ExecutionExited:
    """The command ended, well or badly, and its slot is free. Its outputs are sent: the attempt ends with that."""

    task: int
    execution: int
    return_code: int | None = None
    reason: str | None = None
    stdout_bytes: int = 0
    stderr_bytes: int = 0
    failure: Failure | None = None
    used: Used | None = None


@dataclass(frozen=True, slots=True)
class ExecutionSucceeded:
    """The command ended with return code 0, and with it the task. The counts say how much output there is in all."""

    task: int
    execution: int
    return_code: int = 0
    stdout_bytes: int = 0
    stderr_bytes: int = 0
    used: Used | None = None


@dataclass(frozen=True, slots=True)
class ExecutionFailed:
    """The attempt ended badly: `return_code` of the command, or none and the reason why it has none."""

    task: int
    execution: int
    return_code: int | None = None
    reason: str | None = None
    stdout_bytes: int = 0
    stderr_bytes: int = 0
    failure: Failure | None = None
    used: Used | None = None


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
    """The worker can no longer be expected to finish the attempt: no retry is spent. `evicted`: its machine was taken
    from us."""

    task: int
    execution: int
    reason: str
    evicted: bool = False


@dataclass(frozen=True, slots=True)
class ExecutionRecovered:
    """The worker of a lost attempt came back before anybody else had the task: it goes on as `status`."""

    task: int
    execution: int
    status: Step


@dataclass(frozen=True, slots=True)
class ExecutionSignalled:
    """Somebody asked for a signal to be sent to the running command."""

    task: int
    execution: int
    signal: int


@dataclass(frozen=True, slots=True)
class ExecutionSignalDelivered:
    """The signal that was asked for has reached the command's processes. What they make of it is theirs."""

    task: int
    execution: int
    signal: int


@dataclass(frozen=True, slots=True)
class ExecutionGone:
    """Nothing runs any more of an attempt that was taken back: its worker has seen its last process end."""

    task: int
    execution: int


ExecutionEvent = (
    (ExecutionAssigned | ExecutionAccepted | ExecutionReady | ExecutionStarted | ExecutionExited)
    | (ExecutionSucceeded | ExecutionFailed | ExecutionCancelled | ExecutionRefused | ExecutionLost)
    | (ExecutionRecovered | ExecutionSignalled | ExecutionSignalDelivered | ExecutionGone)
)

# State --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Execution:
    """An attempt that is current, or lost and could still come back."""

    id: int
    task: int
    worker: int
    status: Status | Step

    @property
    def live(self) -> bool:
        return self.status in LIVE


_STATUS_AFTER: Final[dict[type[object], Status | Step]] = {
    ExecutionAccepted: "accepted",
    ExecutionReady: "ready",
    ExecutionStarted: "running",
    ExecutionExited: "uploading",
    ExecutionSucceeded: "succeeded",
    ExecutionFailed: "failed",
    ExecutionCancelled: "cancelled",
    ExecutionRefused: "refused",
    ExecutionLost: "lost",
}


def _with(execution: Execution, status: Status | Step) -> Execution:
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
        case ExecutionSignalled() | ExecutionSignalDelivered() | ExecutionGone():
            return execution
        case _:
            return _with(execution, _STATUS_AFTER[type(event)])


# Commands: what a worker reports, and what the engine decides by itself -------------------------------------------


@dataclass(frozen=True, slots=True)
class Accepted:
    """A worker says: I have it and prepare it."""

    execution: int


@dataclass(frozen=True, slots=True)
class Ready:
    """A worker says: its inputs are here, and so much was fetched for them."""

    execution: int
    files: int = 0
    bytes: int = 0


@dataclass(frozen=True, slots=True)
class Started:
    """A worker says: the command runs."""

    execution: int
    pid: int = 0
    image: str | None = None


@dataclass(frozen=True, slots=True)
class Exited:
    """A worker says: the command ended like this, and I wait for leave to send its outputs."""

    execution: int
    return_code: int | None = None
    reason: str | None = None
    stdout_bytes: int = 0
    stderr_bytes: int = 0
    failure: Failure | None = None
    used: Used | None = None


@dataclass(frozen=True, slots=True)
class Succeeded:
    """A worker says: the command ended with 0 and all of its output is sent."""

    execution: int
    stdout_bytes: int = 0
    stderr_bytes: int = 0
    used: Used | None = None


@dataclass(frozen=True, slots=True)
class Failed:
    """A worker says: the command ended badly, or could not be started."""

    execution: int
    return_code: int | None = None
    reason: str | None = None
    stdout_bytes: int = 0
    stderr_bytes: int = 0
    failure: Failure | None = None
    used: Used | None = None


@dataclass(frozen=True, slots=True)
class Refused:
    """A worker says: I give it back, the task is not to blame."""

    execution: int
    reason: str


@dataclass(frozen=True, slots=True)
class Delivered:
    """A worker says: the signal has reached the command."""

    execution: int
    signal: int


@dataclass(frozen=True, slots=True)
class Gone:
    """A worker says: nothing runs any more of what was taken back. It was that task's."""

    execution: int
    task: int


Report = Accepted | Ready | Started | Exited | Succeeded | Failed | Refused | Delivered | Gone


@dataclass(frozen=True, slots=True)
class CancelExecution:
    """Take an attempt back."""

    reason: str


@dataclass(frozen=True, slots=True)
class LoseExecution:
    """Stop counting on an attempt whose worker is silent, gone or new. `for_good`: its task was lost too often."""

    reason: str
    evicted: bool = False
    for_good: bool = False


@dataclass(frozen=True, slots=True)
class TimeOutExecution:
    """End an attempt that took longer in `status` than its task allows."""

    status: Literal["accepted", "running"]
    reason: str


@dataclass(frozen=True, slots=True)
class RecoverExecution:
    """Take back an attempt that its worker, thought lost, still holds."""

    status: Step


@dataclass(frozen=True, slots=True)
class SignalExecution:
    """Send a signal to the running command."""

    signal: int


ExecutionCommand = Report | CancelExecution | LoseExecution | TimeOutExecution | RecoverExecution | SignalExecution


def status_told(command: ExecutionCommand) -> Step:
    """How far an attempt has come, going by what its worker says of it."""
    match command:
        case RecoverExecution():
            return command.status
        case Started() | Exited() | Succeeded() | Failed() | Delivered():
            return "running"
        case Ready():
            return "ready"
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
        case Ready():
            there = execution.status in ("pending", "accepted")
            return [ExecutionReady(task, id, command.files, command.bytes)] if there else []
        case Started():
            runs = execution.status in ("running", "uploading")
            return [] if runs else [ExecutionStarted(task, id, command.pid, command.image)]
        case Exited(_, code, reason, out, err, failure, used):
            # Also of one that is uploading: found again as that, it had not said yet how its command ended.
            return [ExecutionExited(task, id, code, reason, out, err, failure, used)]
        case Succeeded():
            return [ExecutionSucceeded(task, id, 0, command.stdout_bytes, command.stderr_bytes, command.used)]
        case Failed(_, code, reason, out, err, failure, used):
            return [ExecutionFailed(task, id, code, reason, out, err, failure, used)]
        case Refused():
            return [ExecutionRefused(task, id, command.reason)]
        case Delivered():
            return [ExecutionSignalDelivered(task, id, command.signal)]
        case CancelExecution():
            return [ExecutionCancelled(task, id, command.reason)]
        case LoseExecution(reason, evicted, for_good):
            if for_good:
                return [ExecutionFailed(task, id, None, reason, failure="evicted" if evicted else "worker_lost")]
            return [ExecutionLost(task, id, reason, evicted)]
        case TimeOutExecution():
            failure = "run_timeout" if command.status == "running" else "download_timeout"
            failed = ExecutionFailed(task, id, None, command.reason, failure=failure)
            return [failed] if execution.status == command.status else []
        case SignalExecution():
            return [ExecutionSignalled(task, id, command.signal)] if execution.status == "running" else []
        case RecoverExecution() | Gone():
            return []
        case _:
            assert_never(command)


def _return_of_the_lost(execution: Execution, command: ExecutionCommand) -> list[ExecutionEvent]:
    """The worker speaks of an attempt that was given up, and nobody else has the task: what it did counts."""
    if not isinstance(command, Report | RecoverExecution) or isinstance(command, Gone):
        return []
    status = status_told(command)
    back = ExecutionRecovered(execution.task, execution.id, status)
    return [back, *decide(_with(execution, status), command, task_is_free=False)]
