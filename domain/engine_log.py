"""What the engine says about itself. Stream `engine`: nothing here is decided by anybody, it is only recorded.

an engine starts; a command, a report or a reactor fails through a fault of ours and is recorded, not swallowed
"""

from __future__ import annotations

from dataclasses import dataclass

STREAM = "engine"


@dataclass(frozen=True, slots=True)
class EngineStarted:
    """An engine took the lease; every worker has a fresh one."""

    holder: str
    epoch: int


@dataclass(frozen=True, slots=True)
class CommandFailed:
    """A command made the engine stumble: nothing of it was done, the rest went on."""

    id: str
    command: str
    error: str


@dataclass(frozen=True, slots=True)
class ReportFailed:
    """A worker's report made the engine stumble: it was put aside, the rest went on."""

    worker: int
    sequence: int
    report: str
    error: str


@dataclass(frozen=True, slots=True)
class ReactorFailed:
    """A reactor stumbled over one object. Said once; those that keep a balance try again at every turn."""

    reactor: str
    subject: str
    error: str


@dataclass(frozen=True, slots=True)
class ReactorRecovered:
    """A reactor no longer stumbles over that object."""

    reactor: str
    subject: str


@dataclass(frozen=True, slots=True)
class PayloadErased:
    """The contents of some events were erased on somebody's word; that they happened stays."""

    task: int
    positions: tuple[int, ...]
    reason: str


EngineEvent = EngineStarted | CommandFailed | ReportFailed | ReactorFailed | ReactorRecovered | PayloadErased
