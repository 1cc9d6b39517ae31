"""What a worker reports of its executions. Each of these is numbered, kept until it is applied, and decided on once."""

from __future__ import annotations

from dataclasses import dataclass

from scitq.domain.execution_events import Failure, Used


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
    """A worker says: I give it back, the task is not to blame. `unable`: I cannot run it at all, another may."""

    execution: int
    reason: str
    unable: bool = False


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
