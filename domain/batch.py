"""A batch: a name that tasks and the workers which serve it have in common.

    going ⇄ stopped

Stream `batch-<name>`. A batch exists as soon as somebody names it. Stopped is a state of the batch, not of its workers:
one that joins or moves there later starts nothing either.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import assert_never

from scitq.errors import Rejected


def stream(name: str) -> str:
    return f"batch-{name}"


def check_name(name: str) -> str:
    """A batch's name as it was given, or Rejected: it stands in addresses and in comma-separated lists."""
    if not name or len(name) > 200 or any(c in "/," or not c.isprintable() for c in name):
        raise Rejected(f"{name!r} cannot name a batch: 1 to 200 printable characters without '/' and ','")
    return name


@dataclass(frozen=True, slots=True)
class BatchStopped:
    """Nothing of this batch is started any more."""

    batch: str


@dataclass(frozen=True, slots=True)
class BatchStarted:
    """A stopped batch goes on."""

    batch: str


BatchEvent = BatchStopped | BatchStarted


@dataclass(frozen=True, slots=True)
class Batch:
    """Whether the batch goes."""

    name: str
    version: int = 0
    stopped: bool = False


def evolve(batch: Batch, event: BatchEvent) -> Batch:
    """The batch after the event."""
    match event:
        case BatchStopped():
            return Batch(batch.name, batch.version + 1, True)
        case BatchStarted():
            return Batch(batch.name, batch.version + 1, False)
        case _:
            assert_never(event)


@dataclass(frozen=True, slots=True)
class StopBatch:
    """Start nothing more of this batch; with a signal, send it to everything that runs."""

    signal: int = 0


@dataclass(frozen=True, slots=True)
class StartBatch:
    """Let a stopped batch go on; with a signal, send it to everything that runs."""

    signal: int = 0


BatchCommand = StopBatch | StartBatch


def decide(batch: Batch, command: BatchCommand) -> list[BatchEvent]:
    """What becomes true of a batch."""
    match command:
        case StopBatch():
            return [] if batch.stopped else [BatchStopped(batch.name)]
        case StartBatch():
            return [BatchStarted(batch.name)] if batch.stopped else []
        case _:
            assert_never(command)
