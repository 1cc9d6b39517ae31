"""Tasks as people see them: one row for each, with what it runs, how it stands, and its latest attempt.

A deleted task keeps its row, so that "what was task 17?" has an answer. An erased one keeps its id and nothing else,
whatever happened before or after: a rebuild, which meets the gap first, must come to the same row.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple

from sqlalchemy import Connection, select

from scitq.domain import execution as ex
from scitq.domain import task as tk
from scitq.domain.steering import RUN_FIELDS
from scitq.domain.wire import Recorded
from scitq.projections import reading, standing
from scitq.projections.projection import Projection, Shown, table_of

VERSION = 4


class Task(NamedTuple):
    """One task. Times are microseconds since 1970, UTC."""

    id: int
    status: standing.Status
    stage: standing.Stage
    paused: bool = False
    batch: str | None = None
    name: str | None = None
    command: str | None = None
    container: str | None = None
    container_options: str | None = None
    input: str | None = None
    output: str | None = None
    resource: str | None = None
    priority: int = 0
    retry: int = 0  # how often it is still retried by itself
    download_timeout_s: int | None = None
    run_timeout_s: int | None = None
    silence_timeout_s: int | None = None
    use_cache: bool = False
    requires: tuple[int, ...] = ()
    blocked_by: tuple[tuple[int, str], ...] = ()  # a requirement, and why it will not succeed by itself
    attempts: int = 0
    execution: int | None = None  # the latest; current while the stage is a live one
    worker: int | None = None  # who has or had the latest
    former_commands: tuple[tuple[int, str], ...] = ()  # up to this position, attempts ran this
    created_at: int = 0
    modified_at: int = 0
    status_at: int = 0
    user: str | None = None
    refused_by: tuple[tuple[int, str], ...] = ()  # while it waits: a worker, and why it cannot run it


TASKS = table_of("tasks", Task, ("status", "id"), ("batch", "id"), ("name", "id"))


def command_at(position: int, former_commands: Iterable[tuple[int, str]], command: str | None) -> str | None:
    """The command of a task as it was for an attempt assigned at that position."""
    return next((former for until, former in former_commands if position < until), command)


class Rows(NamedTuple):
    tasks: dict[int, Task]


def touched(events: Sequence[Recorded], rows: Rows) -> Iterable[int]:
    """The tasks that events are about."""
    about = standing.TASK_EVENTS
    keys: set[int] = set()
    for recorded in events:
        event = recorded.event
        if type(event) in about:
            keys.add(event.task)  # type: ignore[union-attr]
        elif (erased := standing.erased_task(recorded)) is not None:
            keys.add(erased)
    return keys


def fold(rows: Rows, events: Sequence[Recorded]) -> None:
    """Bring the rows up to date."""
    tasks = rows.tasks
    for recorded in events:
        event = recorded.event
        kind = type(event)
        if kind in standing.TASK_EVENTS:
            id: int = event.task  # type: ignore[union-attr]
            row = tasks.get(id)
            if row is None:
                if not isinstance(event, tk.TaskCreated):
                    raise standing.never_created(recorded)
                tasks[id] = _created(event, recorded.time)
            elif row.stage != "erased":
                stage, paused = standing.after(row.stage, row.paused, event)  # type: ignore[arg-type]
                status = standing.visible(stage, paused)
                more = _MORE.get(kind)
                tasks[id] = row._replace(
                    stage=stage,
                    paused=paused,
                    status=status,
                    modified_at=recorded.time,
                    status_at=row.status_at if status == row.status else recorded.time,
                    **(more(row, event, recorded.position) if more else {}),
                )
        elif (erased := standing.erased_task(recorded)) is not None:
            tasks[erased] = Task(erased, "erased", "erased")


def _created(event: tk.TaskCreated, time: int) -> Task:
    stage = standing.at_first(event)
    return Task(
        event.task,
        standing.visible(stage, event.paused),
        stage,
        event.paused,
        event.batch,
        event.name,
        event.command,
        event.container,
        event.container_options,
        event.input,
        event.output,
        event.resource,
        event.priority,
        event.retry,
        event.download_timeout_s,
        event.run_timeout_s,
        event.silence_timeout_s,
        event.use_cache,
        event.requires,
        created_at=time,
        modified_at=time,
        status_at=time,
        user=event.user,
    )


def _edited(row: Task, event: tk.TaskEdited, position: int) -> Mapping[str, Any]:
    changes = dict(event.changes)
    if "command" in changes and row.attempts and row.command is not None:  # what was never run need not be remembered
        changes["former_commands"] = (*row.former_commands, (position, row.command))
    if RUN_FIELDS & set(changes):
        changes["refused_by"] = ()
    return changes


def _relaunched(row: Task, event: tk.TaskRelaunched, position: int) -> Mapping[str, Any]:
    return {
        "batch": event.batch,
        "priority": event.priority,
        "retry": event.retry,
        "download_timeout_s": event.download_timeout_s,
        "run_timeout_s": event.run_timeout_s,
        "blocked_by": (),
        "refused_by": (),
    }


def _refused(row: Task, event: ex.ExecutionRefused, position: int) -> Mapping[str, Any]:
    if not event.unable:
        return {}
    others = tuple(one for one in row.refused_by if one[0] != event.unable)
    return {"refused_by": (*others, (event.unable, event.reason))}


def _unblocked(row: Task, event: tk.TaskUnblocked, position: int) -> Mapping[str, Any]:
    return {"blocked_by": tuple(block for block in row.blocked_by if block[0] != event.requirement)}


_MORE: Final[dict[type, Callable[[Task, Any, int], Mapping[str, Any]]]] = {
    tk.TaskEdited: _edited,
    tk.TaskRelaunched: _relaunched,
    tk.TaskRequirementsChanged: lambda row, event, position: {"requires": event.requires, "blocked_by": ()},
    tk.TaskReleased: lambda row, event, position: {"blocked_by": ()},
    tk.TaskBlocked: lambda row, event, position: {"blocked_by": (*row.blocked_by, (event.requirement, event.reason))},
    tk.TaskUnblocked: _unblocked,
    tk.TaskRetried: lambda row, event, position: {"retry": event.retry},
    tk.TaskDeleted: lambda row, event, position: {"blocked_by": (), "refused_by": ()},
    ex.ExecutionRefused: _refused,
    ex.ExecutionStarted: lambda row, event, position: {"refused_by": ()},
    ex.ExecutionAssigned: lambda row, event, position: {
        "attempts": row.attempts + 1,
        "execution": event.execution,
        "worker": event.worker,
    },
}
"""What an event changes besides the standing."""

PROJECTION = Projection("tasks", VERSION, (Shown(TASKS, Task, touched),), Rows, fold)


def by_id(connection: Connection, ids: Sequence[int]) -> dict[int, Task]:
    """The tasks with these ids, deleted and erased ones too."""
    return reading.find(connection, PROJECTION.tables[0], ids)


def statuses(connection: Connection, ids: Sequence[int]) -> dict[int, standing.Status]:
    """The status alone of each of these tasks: what a client that waits for many asks again and again."""
    statement = select(TASKS.c.id, TASKS.c.status).where(reading.among(TASKS.c.id, ids, connection.dialect.name))
    return {row.id: row.status for row in connection.execute(statement)} if ids else {}


def page(
    connection: Connection,
    *,
    ids: Collection[int] | None = None,
    statuses: Collection[standing.Status] | None = None,
    batches: Collection[str] | None = None,
    names: Collection[str] | None = None,
    after: int | None = None,
    limit: int = reading.PAGE,
    newest_first: bool = False,
) -> list[Task]:
    """The next tasks by id that match everything given; deleted and erased ones only when their status is asked for."""
    statement = select(TASKS).where(TASKS.c.status.in_(standing.COUNTED if statuses is None else statuses))
    if ids is not None:
        statement = statement.where(reading.among(TASKS.c.id, ids, connection.dialect.name))
    if batches is not None:
        statement = statement.where(TASKS.c.batch.in_(batches))
    if names is not None:
        statement = statement.where(TASKS.c.name.in_(names))
    statement = reading.paged(statement, TASKS.c.id, after=after, limit=limit, newest_first=newest_first)
    return [Task._make(row) for row in connection.execute(statement)]
