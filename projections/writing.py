"""Applying events to a database: load the rows they touch, fold, write what changed. One statement a table each way.

PostgreSQL is sent all rows as one JSON document and takes it apart itself: thousands of parameters would cost this side
more than the whole fold. SQLite is in this process: it is handed tuples.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import orjson
from sqlalchemy import JSON, Connection, Text, bindparam, cast, column, delete, func, literal_column, select
from sqlalchemy.dialects import postgresql, sqlite

from scitq.domain.wire import Recorded
from scitq.projections.projection import Projection, R, Shown, Tuples
from scitq.projections.reading import SQLITE, among, find


def apply(projection: Projection[R], connection: Connection, events: Sequence[Recorded]) -> None:
    """Bring the tables up to date, in the caller's transaction."""
    rows = projection.empty()
    loaded: list[dict[Any, Any]] = []
    for shown, found in zip(projection.tables, rows, strict=True):
        found.update(find(connection, shown, list(shown.touches(events, rows))))
        loaded.append(dict(found))
    projection.fold(rows, events)
    for shown, before, after in zip(projection.tables, loaded, rows, strict=True):
        _save(connection, shown, [row for key, row in after.items() if before.get(key) is not row])
        _delete(connection, shown, list(before.keys() - after.keys()))


def _save(connection: Connection, shown: Shown, rows: list[Any]) -> None:
    if not rows:
        return
    if connection.dialect.name == SQLITE:
        written = [_as_sqlite(row, shown) for row in rows] if _tuple_fields(shown) else rows
        connection.exec_driver_sql(_sqlite_upsert(shown), written)
    else:
        connection.execute(_postgresql_upsert(shown), {"rows": _document(shown, rows)})


def _delete(connection: Connection, shown: Shown, keys: list[Any]) -> None:
    if keys:
        connection.execute(delete(shown.table).where(among(shown.table.c[0], keys, connection.dialect.name)))


def _document(shown: Shown, rows: list[Any]) -> str:
    fields = shown.row_type._fields
    document = orjson.dumps([dict(zip(fields, row, strict=True)) for row in rows])
    if rb"\u0000" in document:  # the one character that PostgreSQL cannot keep in a text
        document = orjson.dumps([dict(zip(fields, map(_without_nul, row), strict=True)) for row in rows])
    return document.decode()


def _without_nul(value: Any) -> Any:
    return value.replace("\0", "\ufffd") if isinstance(value, str) else value


def _as_sqlite(row: Any, shown: Shown) -> tuple[Any, ...]:
    values = list(row)
    for index in _tuple_fields(shown):
        values[index] = orjson.dumps(values[index]).decode() if values[index] else "[]"
    return tuple(values)


@cache
def _tuple_fields(shown: Shown) -> tuple[int, ...]:
    return tuple(index for index, found in enumerate(shown.table.c) if isinstance(found.type, Tuples))


@cache
def _sqlite_upsert(shown: Shown) -> str:
    insert = sqlite.insert(shown.table)
    key, *others = shown.table.c
    upsert = insert.on_conflict_do_update(index_elements=[key], set_={c.name: insert.excluded[c.name] for c in others})
    return str(upsert.compile(dialect=sqlite.dialect()))


@cache
def _postgresql_upsert(shown: Shown) -> postgresql.Insert:
    table = shown.table
    key, *others = table.c
    document = cast(bindparam("rows", type_=Text), JSON)
    rows = func.json_populate_recordset(literal_column(f"NULL::{table.name}"), document)
    source = rows.table_valued(*(column(c.name, c.type) for c in table.c))
    insert = postgresql.insert(table).from_select([c.name for c in table.c], select(source))
    return insert.on_conflict_do_update(index_elements=[key], set_={c.name: insert.excluded[c.name] for c in others})
