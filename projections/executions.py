"""Executions as people see them: one row for each attempt, with the time of every step and how it ended.

What it ran is the task's to tell (`tasks.command_at`): kept twice, an erasure would have two places to forget.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Any, Final, Literal, NamedTuple

from sqlalchemy import Connection, func, select

from scitq.domain import execution as ex
from scitq.domain.wire import Recorded
from scitq.projections import reading, standing
from scitq.projections.projection import Projection, Shown, table_of
from scitq.projections.tasks import TASKS, command_at

VERSION = 2

Phase = Literal["assigned", "downloading", "ready", "running", "uploading", "done"]
"""What an attempt is doing, where the status says how it stands."""


class Execution(NamedTuple):
    """One attempt at a task. Times are microseconds since 1970, UTC."""

    id: int
    task: int
    worker: int
    status: ex.Status
    position: int  # of its assignment: which command of its task it ran
    assigned_at: int
    modified_at: int
    accepted_at: int | None = None
    started_at: int | None = None
    ended_at: int | None = None
    pid: int | None = None
    return_code: int | None = None
    reason: str | None = None
    stdout_bytes: int | None = None
    stderr_bytes: int | None = None
    phase: Phase = "assigned"
    ready_at: int | None = None
    exited_at: int | None = None
    gone_at: int | None = None  # of one that was taken back: when nothing of it ran any more
    input_files: int | None = None
    input_bytes: int | None = None
    image: str | None = None
    failure: ex.Failure | None = None
    cpu_s: float | None = None
    memory_bytes: int | None = None
    read_bytes: int | None = None
    written_bytes: int | None = None
    output_files: int | None = None
    output_bytes: int | None = None


EXECUTIONS = table_of("executions", Execution, ("task", "id"), ("worker", "status", "id"), ("status", "id"))


class Rows(NamedTuple):
    executions: dict[int, Execution]


def touched(events: Sequence[Recorded], rows: Rows) -> Iterable[int]:
    """The attempts that events are about."""
    about = standing.ATTEMPT_EVENTS
    return {event.event.execution for event in events if type(event.event) in about}  # type: ignore[union-attr]


def fold(rows: Rows, events: Sequence[Recorded]) -> None:
    """Bring the rows up to date."""
    executions = rows.executions
    for recorded in events:
        event = recorded.event
        if isinstance(event, ex.ExecutionAssigned):
            executions[event.execution] = Execution(
                event.execution, event.task, event.worker, "pending", recorded.position, recorded.time, recorded.time
            )
        elif type(event) in standing.ATTEMPT_EVENTS:
            id: int = event.execution  # type: ignore[union-attr]
            row = executions.get(id)
            if row is None:
                raise standing.never_created(recorded)
            executions[id] = row._replace(
                status=standing.attempt_after(row.status, event),  # type: ignore[arg-type]
                modified_at=recorded.time,
                **{"phase": _PHASE.get(type(event), row.phase), **_more(row, event, recorded.time)},
            )
        else:
            standing.erased_task(recorded)  # raises where a report was erased that this cannot do without


def _more(row: Execution, event: Any, time: int) -> dict[str, Any]:
    """What an event says besides the status."""
    match event:
        case ex.ExecutionAccepted():
            return {"accepted_at": time}
        case ex.ExecutionReady():
            return {"ready_at": time, "input_files": event.files, "input_bytes": event.bytes}
        case ex.ExecutionStarted():
            return {"started_at": time, "pid": event.pid or None, "image": event.image}
        case ex.ExecutionExited():
            return {"exited_at": time, **_ended(event)}
        case ex.ExecutionSucceeded():
            return {"ended_at": time, **_ended(event)}
        case ex.ExecutionFailed():
            return {"ended_at": time, **_ended(event)}
        case ex.ExecutionLost():
            return {"ended_at": time, "reason": event.reason, "failure": "evicted" if event.evicted else "worker_lost"}
        case ex.ExecutionCancelled() | ex.ExecutionRefused():
            return {"ended_at": time, "reason": event.reason}
        case ex.ExecutionGone():
            return {"gone_at": time}
        case ex.ExecutionRecovered():
            return _recovered(row, event, time)
        case _:
            return {}


def _ended(event: Any) -> dict[str, Any]:
    """How it ended. What was said when the command did is not said again when its outputs are sent."""
    return {
        "return_code": event.return_code,
        "reason": getattr(event, "reason", None),
        "failure": getattr(event, "failure", None),
        "stdout_bytes": event.stdout_bytes,
        "stderr_bytes": event.stderr_bytes,
        **{name: value for name, value in (event.used or {}).items() if name in ex.USED},
    }


def _recovered(row: Execution, event: ex.ExecutionRecovered, time: int) -> dict[str, Any]:
    """The attempt goes on. Steps it took while nobody heard of it have no better time than now."""
    changes: dict[str, Any] = {"ended_at": None, "reason": None, "failure": None, "phase": _PHASE_AT[event.status]}
    if event.status != "pending" and row.accepted_at is None:
        changes["accepted_at"] = time
    if event.status in ("running", "uploading") and row.started_at is None:
        changes["started_at"] = time
    return changes


_PHASE_AT: Final[dict[ex.Step, Phase]] = {
    "pending": "assigned",
    "accepted": "downloading",
    "ready": "ready",
    "running": "running",
    "uploading": "uploading",
}
_PHASE: Final[dict[type, Phase]] = {
    ex.ExecutionAccepted: "downloading",
    ex.ExecutionReady: "ready",
    ex.ExecutionStarted: "running",
    ex.ExecutionExited: "uploading",
    ex.ExecutionSucceeded: "done",
    ex.ExecutionFailed: "done",
    ex.ExecutionCancelled: "done",
    ex.ExecutionRefused: "done",
    ex.ExecutionLost: "done",
}


PROJECTION = Projection("executions", VERSION, (Shown(EXECUTIONS, Execution, touched),), Rows, fold)


class Attempt(NamedTuple):
    """An execution as it is shown: with what its task says about it."""

    execution: Execution
    latest: bool  # no later attempt at the same task
    command: str | None  # what it ran; None once that was erased
    batch: str | None
    task_name: str | None
    task_status: standing.Status | None


def page(
    connection: Connection,
    *,
    ids: Collection[int] | None = None,
    tasks: Collection[int] | None = None,
    workers: Collection[int] | None = None,
    statuses: Collection[ex.Status] | None = None,
    latest: bool | None = None,
    batches: Collection[str] | None = None,
    task_names: Collection[str] | None = None,
    deleted: bool = False,
    after: int | None = None,
    limit: int = reading.PAGE,
    newest_first: bool = False,
) -> list[Attempt]:
    """The next executions by id that match everything given; those of deleted tasks only when asked for."""
    dialect, later = connection.dialect.name, EXECUTIONS.alias()
    newest = select(func.max(later.c.id)).where(later.c.task == EXECUTIONS.c.task).scalar_subquery()
    is_latest = EXECUTIONS.c.id == newest
    task = TASKS.c
    statement = select(
        *EXECUTIONS.c, is_latest, task.command, task.former_commands, task.batch, task.name, task.status
    ).select_from(EXECUTIONS.outerjoin(TASKS, task.id == EXECUTIONS.c.task))
    for column, values in ((EXECUTIONS.c.id, ids), (EXECUTIONS.c.task, tasks), (EXECUTIONS.c.worker, workers)):
        if values is not None:
            statement = statement.where(reading.among(column, values, dialect))
    for column, words in ((EXECUTIONS.c.status, statuses), (task.batch, batches), (task.name, task_names)):
        if words is not None:
            statement = statement.where(column.in_(words))
    if latest is not None:
        statement = statement.where(is_latest if latest else EXECUTIONS.c.id != newest)
    if not deleted:
        statement = statement.where(func.coalesce(task.status, "") != "deleted")
    statement = reading.paged(statement, EXECUTIONS.c.id, after=after, limit=limit, newest_first=newest_first)
    return [_attempt(tuple(row)) for row in connection.execute(statement)]


def _attempt(row: tuple[Any, ...]) -> Attempt:
    own = len(Execution._fields)
    execution = Execution._make(row[:own])
    latest, command, former_commands, batch, task_name, task_status = row[own:]
    command = command_at(execution.position, former_commands or (), command)
    return Attempt(execution, bool(latest), command, batch, task_name, task_status)
