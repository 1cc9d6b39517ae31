"""Tasks that ended long ago, written straight into the log: a server that has been at work for a year."""

from __future__ import annotations

import time
from collections.abc import Iterator
from itertools import islice
from typing import Final

from scitq.domain import execution as ex
from scitq.domain import task as tk
from scitq.domain import wire
from scitq.domain import worker as wk
from scitq.domain.envelope import Append, Mark
from scitq.domain.wire import Event, Recorded
from scitq.store.journal import open_journal
from scitq.store.upgrade import upgrade

AT_ONCE: Final = 20_000
UNDER_WAY: Final = 100
GONE: Final = 1
"""The worker that did it all, and was deleted."""


def write_past(url: str, tasks: int) -> float:
    """Into an empty store; how long it took. Five events a task, as a worker without inputs to fetch leaves them."""
    begin = time.monotonic()
    upgrade(url)
    journal = open_journal(url)
    lease = journal.acquire("bench", 60.0)
    assert lease is not None
    position, hash_ = lease.head
    events, now = _events(tasks), time.time_ns() // 1_000 - 10 * AT_ONCE * 1_000
    while portion := list(islice(events, AT_ONCE)):
        recorded = [
            Recorded(number, stream, version, now, "engine", 0, 0, mark, event)
            for number, (stream, version, mark, event) in enumerate(portion, position + 1)
        ]
        sealed = wire.seal_all(hash_, recorded, [wire.encode(event) for *_, event in portion], lease.epoch)
        journal.append(Append(lease.epoch, sealed, [], []))
        position, hash_ = sealed[-1].position, sealed[-1].hash
    journal.release(lease.epoch)
    journal.close()
    return time.monotonic() - begin


def _events(tasks: int) -> Iterator[tuple[str, int, Mark | None, Event]]:
    worker = wk.stream(GONE)
    yield worker, 1, None, wk.WorkerDeclared(GONE, "old", "0f3c", 8, 2, ("past",), "old.lan")
    reports = 0
    for first in range(1, tasks + 1, UNDER_WAY):
        for version in range(1, 6):
            for id in range(first, min(first + UNDER_WAY, tasks + 1)):
                mark = None
                if version > 2:
                    reports += 1
                    mark = Mark(GONE, "0f3c", reports)
                yield tk.stream(id), version, mark, _step(version, id)
    yield worker, 2, None, wk.WorkerDeleted(GONE)


def _step(version: int, id: int) -> Event:
    match version:
        case 1:
            return tk.TaskCreated(id, f"gzip -d sample{id}.fastq.gz", "past")
        case 2:
            return ex.ExecutionAssigned(id, id, GONE, "past")
        case 3:
            return ex.ExecutionAccepted(id, id)
        case 4:
            return ex.ExecutionStarted(id, id, 4_000 + id % 1_000)
        case _:
            return ex.ExecutionSucceeded(id, id, 0, 5_123, 80)
