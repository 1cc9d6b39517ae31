"""What becomes true of an execution: its events, and the words that they share with what workers report."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

Step = Literal["pending", "accepted", "ready", "running", "uploading"]

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
    """The worker gave the attempt back, through no fault of the task: no retry is spent. `unable`: that worker, when it
    cannot run the task at all: it is asked again after a pause, which grows."""

    task: int
    execution: int
    reason: str
    unable: int = 0


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
