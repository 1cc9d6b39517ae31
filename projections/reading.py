"""What the queries of all projections share: rows by their keys, and pages that go on after the last key seen."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from functools import cache
from typing import Any, Final

import orjson
from sqlalchemy import BindParameter, ColumnElement, Connection, Select, Text, bindparam, func, literal, select
from sqlalchemy.dialects import postgresql

from scitq.projections.projection import Shown

SQLITE: Final = "sqlite"
POSTGRESQL: Final = "postgresql"
PAGE = 500


def among(column: ColumnElement[Any], values: Iterable[Any], dialect: str) -> ColumnElement[bool]:
    """The column has one of these values, however many: they travel as one parameter."""
    return _among(column, literal(_sent(values, dialect), _sent_type(column, dialect)), dialect)


def find(connection: Connection, shown: Shown, keys: Collection[Any]) -> dict[Any, Any]:
    """The rows with these keys that exist."""
    if not keys:
        return {}
    dialect = connection.dialect.name
    found = connection.execute(_find(shown, dialect), {"keys": _sent(keys, dialect)})
    make = shown.row_type._make
    return {row[0]: make(row) for row in found}


@cache
def _find(shown: Shown, dialect: str) -> Select[Any]:
    key = shown.table.c[0]
    return select(shown.table).where(_among(key, bindparam("keys", type_=_sent_type(key, dialect)), dialect))


def _among(column: ColumnElement[Any], values: BindParameter[Any], dialect: str) -> ColumnElement[bool]:
    if dialect == SQLITE:
        return column.in_(select(func.json_each(values).table_valued("value").c.value))
    return column == func.any(values)


def _sent(values: Iterable[Any], dialect: str) -> Any:
    return orjson.dumps(list(values)).decode() if dialect == SQLITE else list(values)


def _sent_type(column: ColumnElement[Any], dialect: str) -> Any:
    return Text() if dialect == SQLITE else postgresql.ARRAY(column.type)


def paged(
    statement: Select[Any], key: ColumnElement[Any], *, after: int | None, limit: int, newest_first: bool
) -> Select[Any]:
    """The next `limit` rows by key behind `after`, upwards or downwards; None: from the first one."""
    if newest_first:
        return (statement if after is None else statement.where(key < after)).order_by(key.desc()).limit(limit)
    return (statement if after is None else statement.where(key > after)).order_by(key).limit(limit)
