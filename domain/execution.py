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

from dataclasses import dataclass
from typing import Final, Literal, assert_never, get_args

from scitq.domain.execution_events import USED as USED
from scitq.domain.execution_events import ExecutionAccepted as ExecutionAccepted
from scitq.domain.execution_events import ExecutionAssigned as ExecutionAssigned
from scitq.domain.execution_events import ExecutionCancelled as ExecutionCancelled
from scitq.domain.execution_events import ExecutionEvent as ExecutionEvent
from scitq.domain.execution_events import ExecutionExited as ExecutionExited
from scitq.domain.execution_events import ExecutionFailed as ExecutionFailed
from scitq.domain.execution_events import ExecutionGone as ExecutionGone
from scitq.domain.execution_events import ExecutionLost as ExecutionLost
from scitq.domain.execution_events import ExecutionReady as ExecutionReady
from scitq.domain.execution_events import ExecutionRecovered as ExecutionRecovered
from scitq.domain.execution_events import ExecutionRefused as ExecutionRefused
from scitq.domain.execution_events import ExecutionSignalDelivered as ExecutionSignalDelivered
from scitq.domain.execution_events import ExecutionSignalled as ExecutionSignalled
from scitq.domain.execution_events import ExecutionStarted as ExecutionStarted
from scitq.domain.execution_events import ExecutionSucceeded as ExecutionSucceeded
from scitq.domain.execution_events import Failure as Failure
from scitq.domain.execution_events import Step as Step
from scitq.domain.execution_events import Used as Used
from scitq.domain.reports import Accepted as Accepted
from scitq.domain.reports import Delivered as Delivered
from scitq.domain.reports import Exited as Exited
from scitq.domain.reports import Failed as Failed
from scitq.domain.reports import Gone as Gone
from scitq.domain.reports import Ready as Ready
from scitq.domain.reports import Refused as Refused
from scitq.domain.reports import Report as Report
from scitq.domain.reports import Started as Started
from scitq.domain.reports import Succeeded as Succeeded

Status = Literal["pending", "accepted", "running", "succeeded", "failed", "cancelled", "refused", "lost"]
LIVE: Final = frozenset(get_args(Step))
WAITING: Final = ("pending", "accepted", "ready")
"""Its command has not begun, for all we know; in the order in which it comes nearer to that."""
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

    @property
    def waits(self) -> bool:
        return self.status in WAITING


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


# What the engine decides by itself -------------------------------------------------------------------------------


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


def _status_told(command: ExecutionCommand) -> Step:
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
            return [ExecutionRefused(task, id, command.reason, execution.worker if command.unable else 0)]
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
    status = _status_told(command)
    back = ExecutionRecovered(execution.task, execution.id, status)
    return [back, *decide(_with(execution, status), command, task_is_free=False)]
