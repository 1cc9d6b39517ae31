"""Reading the log: the statements, and rows becoming envelopes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from scitq.domain.envelope import Envelope
from scitq.store.database import Dialect
from scitq.store.schema import events, payloads

# An outer join: an event whose payload row is gone must come out, without it, and be found by `verify`.
WHOLE = sa.select(*events.c, payloads.c.data).select_from(
    events.outerjoin(payloads, payloads.c.position == events.c.position)
)
AFTER = WHOLE.where(events.c.position > sa.bindparam("after")).order_by(events.c.position).limit(sa.bindparam("limit"))


def page(connection: sa.Connection, after: int, limit: int) -> list[Envelope]:
    """The events behind a position, in order."""
    return _fetch(connection, AFTER, {"after": after, "limit": limit})


def of_streams(
    connection: sa.Connection, dialect: Dialect, streams: Sequence[str], types: Sequence[str] | None
) -> list[Envelope]:
    """Every event of some streams, in position order."""
    wanted = WHOLE if types is None else WHOLE.where(events.c.type.in_(types))
    parts = list(dialect.any_of(events.c.stream, list(dict.fromkeys(streams))))
    found = [event for part in parts for event in _fetch(connection, wanted.where(part))]
    found.sort(key=lambda event: event.position)
    return found


def chosen(
    *,
    stream: str | None,
    stream_prefix: str | None,
    type: str | None,
    since: int | None,
    until: int | None,
    after: int,
    limit: int,
    newest_first: bool,
    before: int | None = None,
) -> sa.Select[Any]:
    """The statement behind `Journal.select`."""
    column = events.c
    conditions = [column.position > after]
    if stream is not None:
        conditions.append(column.stream == stream)
    if stream_prefix is not None:
        conditions.append(_begins(column.stream, stream_prefix))
    if type is not None:
        conditions.append(_begins(column.type, type[:-1]) if type.endswith("*") else column.type == type)
    if since is not None:
        conditions.append(column.time >= since)
    if until is not None:
        conditions.append(column.time < until)
    if before is not None:
        conditions.append(column.position < before)
    order = column.position.desc() if newest_first else column.position
    return WHOLE.where(*conditions).order_by(order).limit(limit)


def select(connection: sa.Connection, statement: sa.Select[Any]) -> list[Envelope]:
    return _fetch(connection, statement)


def _begins(column: sa.ColumnElement[str], prefix: str) -> sa.ColumnElement[bool]:
    """Not LIKE, whose idea of upper and lower case differs between the two."""
    return sa.func.substr(column, 1, len(prefix)) == prefix


def _fetch(
    connection: sa.Connection, statement: sa.Select[Any], parameters: dict[str, Any] | None = None
) -> list[Envelope]:
    """The driver's own rows: SQLAlchemy's would take as long again as everything else."""
    result = connection.execute(statement, parameters or {})
    assert result.cursor is not None
    found = [Envelope._make(row) for row in result.cursor.fetchall()]
    result.close()
    return found
