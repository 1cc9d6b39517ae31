"""Workers as people see them: what each is set to, whether it can be reached, and how much it holds (`loads.py`)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from typing import Any, Literal, NamedTuple, get_args

from sqlalchemy import Connection, select

from scitq.domain import worker as wk
from scitq.domain.wire import Recorded
from scitq.projections import loads, reading, standing
from scitq.projections.loads import HELD, LOADS, Held, Load
from scitq.projections.projection import Projection, Shown, table_of

VERSION = 1

Status = Literal["paused", "running", "offline", "lost", "deleted"]


class Worker(NamedTuple):
    """One worker. Times are microseconds since 1970, UTC; when it was last heard is not a fact, and not here."""

    id: int
    name: str
    hostname: str | None
    status: Status
    contact: wk.Contact
    paused: bool
    concurrency: int
    prefetch: int
    batches: tuple[str, ...]
    lost_after_s: int
    incarnation: str
    created_at: int
    modified_at: int
    status_at: int


WORKERS = table_of("workers", Worker)


class Rows(NamedTuple):
    workers: dict[int, Worker]
    held: dict[int, Held]
    loads: dict[int, Load]


_WORKER_EVENTS = frozenset[type](get_args(wk.WorkerEvent))


def touched(events: Sequence[Recorded], rows: Rows) -> Iterable[int]:
    """The workers that people or silence changed."""
    return {event.event.worker for event in events if type(event.event) in _WORKER_EVENTS}  # type: ignore[union-attr]


def fold(rows: Rows, events: Sequence[Recorded]) -> None:
    """Bring the rows up to date."""
    moves: loads.Moves = defaultdict(int)
    for recorded in events:
        event = recorded.event
        kind = type(event)
        if kind in loads.COUNTED:
            loads.move(rows.held, moves, recorded, event)
        elif kind in _WORKER_EVENTS:
            _fold_worker(rows.workers, event, recorded)
        elif (erased := standing.erased_task(recorded)) is not None:
            loads.erase(rows.held, moves, erased)
    if moves:
        loads.settle(rows.loads, moves)


def _fold_worker(workers: dict[int, Worker], event: Any, recorded: Recorded) -> None:
    time = recorded.time
    if isinstance(event, wk.WorkerDeclared):
        workers[event.worker] = Worker(
            event.worker,
            event.name,
            event.hostname,
            _status("online", event.paused),
            "online",
            event.paused,
            event.concurrency,
            event.prefetch,
            event.batches,
            event.lost_after_s,
            event.incarnation,
            created_at=time,
            modified_at=time,
            status_at=time,
        )
        return
    row = workers.get(event.worker)
    if row is None:
        raise standing.never_created(recorded)
    row = row._replace(modified_at=time, **_changes(event))
    status = _status(row.contact, row.paused)
    workers[event.worker] = row if status == row.status else row._replace(status=status, status_at=time)


def _changes(event: wk.WorkerEvent) -> dict[str, Any]:
    match event:
        case wk.WorkerEdited():
            return {name: tuple(v) if name == "batches" else v for name, v in event.changes.items()}
        case wk.WorkerReincarnated():
            return {"incarnation": event.incarnation, "contact": "online"}
        case wk.WorkerPaused():
            return {"paused": True}
        case wk.WorkerResumed():
            return {"paused": False}
        case wk.WorkerWentOffline():
            return {"contact": "offline"}
        case wk.WorkerReturned():
            return {"contact": "online"}
        case wk.WorkerLost():
            return {"contact": "lost"}
        case wk.WorkerDeleted():
            return {"contact": "deleted"}
        case wk.WorkerOrdered() | wk.WorkerObeyed():
            return {}
        case wk.WorkerDeclared():
            raise AssertionError("a declaration makes a new row")


def _status(contact: wk.Contact, paused: bool) -> Status:
    """One word: a worker that cannot be reached is that first, whatever people want of it."""
    if contact == "online":
        return "paused" if paused else "running"
    return contact


PROJECTION = Projection(
    "workers",
    VERSION,
    (Shown(WORKERS, Worker, touched), Shown(HELD, Held, loads.touched_held), Shown(LOADS, Load, loads.touched_loads)),
    Rows,
    fold,
)


class Loaded(NamedTuple):
    """A worker and how much it holds."""

    worker: Worker
    load: Load


def every(
    connection: Connection,
    *,
    ids: Collection[int] | None = None,
    names: Collection[str] | None = None,
    statuses: Collection[Status] | None = None,
    batch: str | None = None,
) -> list[Loaded]:
    """Workers by id: all that match, or all that were not deleted. There are thousands at most, so without pages."""
    statement = select(WORKERS).order_by(WORKERS.c.id)
    if ids is not None:
        statement = statement.where(reading.among(WORKERS.c.id, ids, connection.dialect.name))
    if names is not None:
        statement = statement.where(WORKERS.c.name.in_(names))
    if statuses is not None:
        statement = statement.where(WORKERS.c.status.in_(statuses))
    elif ids is None:
        statement = statement.where(WORKERS.c.status != "deleted")
    found = [Worker._make(row) for row in connection.execute(statement)]
    if batch is not None:
        found = [worker for worker in found if batch in worker.batches]
    held = reading.find(connection, PROJECTION.tables[2], [worker.id for worker in found])
    return [Loaded(worker, held.get(worker.id) or Load(worker.id)) for worker in found]
