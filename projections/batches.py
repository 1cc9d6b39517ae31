"""Batches as people see them: whether each goes, how many of its tasks have each status, how many workers serve it.

`batch_tasks` remembers where each task is counted: an event moves one count from there, and counts cannot drift. A
batch that nobody names any more has no row: after an erasure nothing may tell that there ever was one.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from typing import Any, NamedTuple

from sqlalchemy import Connection, select

from scitq.domain import batch as bt
from scitq.domain import task as tk
from scitq.domain import worker as wk
from scitq.domain.wire import Recorded
from scitq.projections import standing
from scitq.projections.projection import Projection, Shown, table_of

VERSION = 1


class Batch(NamedTuple):
    """One batch, with its tasks counted by the status people see."""

    name: str
    stopped: bool = False
    workers: int = 0
    paused: int = 0
    waiting: int = 0
    pending: int = 0
    assigned: int = 0
    accepted: int = 0
    running: int = 0
    succeeded: int = 0
    failed: int = 0

    @property
    def tasks(self) -> int:
        return sum(self[3:])


class Member(NamedTuple):
    """Where a task is counted."""

    task: int
    batch: str
    stage: standing.Stage
    paused: bool


class Server(NamedTuple):
    """What a worker serves."""

    worker: int
    name: str
    batches: tuple[str, ...]


BATCHES = table_of("batches", Batch)
MEMBERS = table_of("batch_tasks", Member)
SERVERS = table_of("batch_workers", Server)


class Rows(NamedTuple):
    members: dict[int, Member]
    servers: dict[int, Server]
    batches: dict[str, Batch]


Moves = defaultdict[tuple[str, str], int]
_SERVING = (wk.WorkerDeclared, wk.WorkerEdited, wk.WorkerDeleted)


def _touched_members(events: Sequence[Recorded], rows: Rows) -> Iterable[int]:
    keys: set[int] = set()
    for recorded in events:
        event = recorded.event
        if type(event) in standing.TASK_EVENTS:
            keys.add(event.task)  # type: ignore[union-attr]
        elif (erased := standing.erased_task(recorded)) is not None:
            keys.add(erased)
    return keys


def _touched_servers(events: Sequence[Recorded], rows: Rows) -> Iterable[int]:
    return {recorded.event.worker for recorded in events if isinstance(recorded.event, _SERVING)}


def _touched_batches(events: Sequence[Recorded], rows: Rows) -> Iterable[str]:
    names = {member.batch for member in rows.members.values()}
    for server in rows.servers.values():
        names.update(server.batches)
    for recorded in events:
        match recorded.event:
            case tk.TaskCreated() | tk.TaskRelaunched() | bt.BatchStopped() | bt.BatchStarted() as event:
                names.add(event.batch)
            case tk.TaskEdited() as event if "batch" in event.changes:
                names.add(event.changes["batch"])
            case wk.WorkerDeclared() as event:
                names.update(event.batches)
            case wk.WorkerEdited() as event:
                names.update(event.changes.get("batches", ()))
            case _:
                pass
    return names


def fold(rows: Rows, events: Sequence[Recorded]) -> None:
    """Bring the rows up to date."""
    moves: Moves = defaultdict(int)
    stops: dict[str, bool] = {}
    for recorded in events:
        event = recorded.event
        if type(event) in standing.TASK_EVENTS:
            _move(rows.members, moves, recorded, event)
        elif isinstance(event, _SERVING):
            _serve(rows.servers, moves, recorded, event)
        elif isinstance(event, bt.BatchEvent):
            stops[event.batch] = isinstance(event, bt.BatchStopped)
        elif (erased := standing.erased_task(recorded)) is not None:
            _take(rows.members.get(erased), moves)
            rows.members[erased] = Member(erased, "", "erased", False)
    if moves or stops:
        _settle(rows.batches, moves, stops)


def _move(members: dict[int, Member], moves: Moves, recorded: Recorded, event: Any) -> None:
    before = members.get(event.task)
    if before is None:
        if not isinstance(event, tk.TaskCreated):
            raise standing.never_created(recorded)
        after = Member(event.task, event.batch, standing.at_first(event), event.paused)
    elif before.stage == "erased":
        return
    else:
        batch = before.batch
        if isinstance(event, tk.TaskRelaunched):
            batch = event.batch
        elif isinstance(event, tk.TaskEdited):
            batch = event.changes.get("batch", batch)
        stage, paused = standing.after(before.stage, before.paused, event)
        if batch == before.batch and stage == before.stage and paused == before.paused:
            return
        after = Member(event.task, batch, stage, paused)
    _take(before, moves)
    members[event.task] = after
    if after.stage != "deleted":
        moves[after.batch, standing.visible(after.stage, after.paused)] += 1


def _take(member: Member | None, moves: Moves) -> None:
    if member is not None and member.stage != "deleted" and member.stage != "erased":
        moves[member.batch, standing.visible(member.stage, member.paused)] -= 1


def _serve(servers: dict[int, Server], moves: Moves, recorded: Recorded, event: Any) -> None:
    before = servers.get(event.worker)
    after: Server | None
    match event:
        case wk.WorkerDeclared():
            after = Server(event.worker, event.name, event.batches)
        case wk.WorkerDeleted():
            after = None
        case _:
            if before is None:
                raise standing.never_created(recorded)
            after = before._replace(batches=tuple(event.changes.get("batches", before.batches)))
    for batch in set(before.batches) if before else ():
        moves[batch, "workers"] -= 1
    for batch in set(after.batches) if after else ():
        moves[batch, "workers"] += 1
    if after is None:
        servers.pop(event.worker, None)
    else:
        servers[event.worker] = after


def _settle(batches: dict[str, Batch], moves: Moves, stops: dict[str, bool]) -> None:
    """Add up what the events moved."""
    changes: dict[str, dict[str, Any]] = {name: {"stopped": stopped} for name, stopped in stops.items()}
    for (name, count), moved in moves.items():
        if moved:
            changes.setdefault(name, {})[count] = moved
    for name, change in changes.items():
        batch = batches.get(name) or Batch(name)
        batch = batch._replace(
            **{field: v if field == "stopped" else getattr(batch, field) + v for field, v in change.items()}
        )
        if any(batch[1:]):
            batches[name] = batch
        else:
            batches.pop(name, None)


PROJECTION = Projection(
    "batches",
    VERSION,
    (
        Shown(MEMBERS, Member, _touched_members),
        Shown(SERVERS, Server, _touched_servers),
        Shown(BATCHES, Batch, _touched_batches),
    ),
    Rows,
    fold,
)


class Served(NamedTuple):
    """A batch and the names of the workers that serve it."""

    batch: Batch
    workers: tuple[str, ...]


def every(connection: Connection, *, names: Collection[str] | None = None) -> list[Served]:
    """Batches by name: all that somebody names, or those asked for."""
    statement = select(BATCHES)
    if names is not None:
        statement = statement.where(BATCHES.c.name.in_(names))
    found = sorted(Batch._make(row) for row in connection.execute(statement))
    serving: dict[str, list[str]] = {}
    for _, worker, batches in connection.execute(select(SERVERS).order_by(SERVERS.c.worker)):
        for batch in batches:
            serving.setdefault(batch, []).append(worker)
    return [Served(batch, tuple(serving.get(batch.name, ()))) for batch in found]
