"""Events without their circumstances, folded: `shown(PROJECTION, event, …)`; each comes a second after the other."""

from __future__ import annotations

from scitq.domain import batch as bt
from scitq.domain import task as tk
from scitq.domain import worker as wk
from scitq.domain.engine_log import STREAM, EngineEvent
from scitq.domain.wire import Erased, Event, Recorded
from scitq.projections.projection import Projection, R


def stream_of(event: Event) -> str:
    if isinstance(event, tk.TaskEvent):
        return tk.stream(event.task)
    if isinstance(event, wk.WorkerEvent):
        return wk.stream(event.worker)
    if isinstance(event, EngineEvent):
        return STREAM
    return bt.stream(event.batch)


def at(position: int, event: Event | Erased, stream: str | None = None) -> Recorded:
    """The event at this position and as many seconds; one that is erased is of task 1."""
    stream = stream or (tk.stream(1) if isinstance(event, Erased) else stream_of(event))
    return Recorded(position, stream, position, position * 1_000_000, "somebody", 0, 0, None, event)


def shown(projection: Projection[R], *events: Event | Erased) -> R:
    """The rows after these events."""
    rows = projection.empty()
    projection.fold(rows, [at(position, event) for position, event in enumerate(events, 1)])
    return rows


SECOND = 1_000_000
