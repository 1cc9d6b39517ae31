"""What a projection is: its tables, the rows that events touch, and a pure fold.

A fold gets dicts of rows by primary key, one dict for each table, and changes nothing else. Rows are named tuples: they
cannot change under anybody, so that "was it changed?" is `is not`, and a fold over a few rows loaded from a database is
the same code as a fold over all of them in memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from types import NoneType, UnionType
from typing import Any, Final, Generic, Literal, NamedTuple, TypeVar, Union, get_args, get_origin, get_type_hints

import orjson
from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Dialect,
    Double,
    Index,
    Integer,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    Text,
)
from sqlalchemy.types import TypeDecorator

from scitq.domain.wire import Recorded

R = TypeVar("R", bound=tuple[dict[Any, Any], ...])
"""The rows of one projection: a named tuple of dicts, one for each of its tables."""

Touches = Callable[[Sequence[Recorded], Any], Iterable[Any]]
"""The keys of a table's rows that a fold of these events could read or write, given the rows of the tables before."""


class Shown(NamedTuple):
    """One table: a row is `row_type`, its fields are the columns in order, its first is the primary key."""

    table: Table
    row_type: Any
    touches: Touches


@dataclass(frozen=True, slots=True)
class Projection(Generic[R]):
    """`version` is raised by whoever changes the tables or the meaning of a row: everything is then folded anew."""

    name: str
    version: int
    tables: tuple[Shown, ...]
    rows: Callable[..., R]
    fold: Callable[[R, Sequence[Recorded]], None]

    def empty(self) -> R:
        """The rows before the first event."""
        return self.rows(*({} for _ in self.tables))


def deep_tuple(value: Any) -> Any:
    """Lists as JSON gives them, made the tuples that rows hold."""
    return tuple(deep_tuple(item) for item in value) if isinstance(value, list) else value


class Tuples(TypeDecorator[tuple[Any, ...]]):
    """A tuple kept as JSON text: read and written the same way by every database."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: tuple[Any, ...] | None, dialect: Dialect) -> str | None:
        return None if value is None else orjson.dumps(value).decode()

    def process_result_value(self, value: str | None, dialect: Dialect) -> tuple[Any, ...] | None:
        if value is None:
            return None
        found: tuple[Any, ...] = () if value == "[]" else deep_tuple(orjson.loads(value))
        return found


def table_of(name: str, row_type: type, *indexes: tuple[str, ...]) -> Table:
    """The table for these rows: a column for each field, in order, and an index over each of `indexes`.

    Rows whose first indexed field is empty are left out of that index: what few rows have costs the others nothing.
    """
    hints = get_type_hints(row_type)
    fields = tuple(hints)
    table = Table(
        name,
        MetaData(),
        *(_column(field, hints[field]) for field in fields),
        PrimaryKeyConstraint(fields[0], name=f"{name}_pk"),
    )
    for columns in indexes:
        first = table.c[columns[0]]
        given = first.is_not(None) if first.nullable else None
        found = (table.c[column] for column in columns)
        Index(f"{name}_by_{'_'.join(columns)}", *found, postgresql_where=given, sqlite_where=given)
    return table


_WHOLE = BigInteger().with_variant(Integer(), "sqlite")  # there only an INTEGER key is the row's own number
_TYPES: Final[dict[Any, Any]] = {int: _WHOLE, bool: Boolean, float: Double, str: Text, Literal: Text, tuple: Tuples}


def _column(name: str, hint: Any) -> Column[Any]:
    parts = set(get_args(hint)) if get_origin(hint) in (Union, UnionType) else {hint}
    kinds = {_TYPES[get_origin(part) or part] for part in parts - {NoneType}}
    if len(kinds) != 1:
        raise TypeError(f"column {name!r} cannot hold {hint!r}: that is not one kind of value")
    return Column(name, kinds.pop(), nullable=NoneType in parts, autoincrement=False)
