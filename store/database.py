"""One database seen from one thread: a connection that writes and one that reads, each opened when first needed.

After any error a connection is thrown away, which rolls back what it was doing, and the next call opens a new
one: no state of a half-failed transaction can leak into the next. What differs between SQLite and PostgreSQL is in
the two small dialects; what a driver raises becomes one of ours here and nowhere else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Protocol

import sqlalchemy as sa

from scitq.errors import StoreError
from scitq.store.postgres import Postgres
from scitq.store.sqlite import SQLite
from scitq.store.urls import parse

Points = Callable[[str], None]
Rows = Sequence[tuple[Any, ...]]


class Dialect(Protocol):
    """What SQLite and PostgreSQL do differently."""

    begin: str
    error: type[Exception]  # the root of what the driver raises
    now: sa.ColumnElement[int] | None  # the database's clock, where it has one that all its users share

    def present(self) -> bool:
        """Is there anything that one could connect to?"""
        ...

    def connect(self, url: sa.URL, *, writes: bool) -> sa.Connection: ...

    def exclusive(self) -> AbstractContextManager[None]:
        """Held around everything that the writing connection does."""
        ...

    def insert(self, connection: sa.Connection, table: sa.Table, columns: Sequence[str], rows: Rows) -> None: ...

    def add(self, table: sa.Table) -> sa.Insert:
        """A statement that inserts the rows that are not there yet."""
        ...

    def any_of(self, column: sa.ColumnElement[Any], values: Sequence[Any]) -> Iterator[sa.ColumnElement[bool]]:
        """Conditions that together select the rows whose column has one of these values."""
        ...

    def end_silent(self, connection: sa.Connection, silent_s: float) -> None:
        """End the writers that keep the server waiting in the middle of a statement for so long."""
        ...

    def damage(self, connection: sa.Connection) -> list[str]: ...

    def translate(self, error: Exception, *, committing: bool) -> StoreError: ...


def nothing(point: str) -> None:
    """What happens at a named point of a transaction, unless a test has something in mind."""


class Database:
    def __init__(self, url: str) -> None:
        self.url = parse(url)
        self.dialect: Dialect = SQLite(self.url) if self.url.drivername == "sqlite" else Postgres()
        self.points: Points = nothing
        self._writer: sa.Connection | None = None
        self._reader: sa.Connection | None = None

    @contextmanager
    def writing(self) -> Iterator[sa.Connection]:
        """One transaction: committed if the block ends well, else rolled back."""
        committing = False
        with self.dialect.exclusive():
            try:
                self.points("before begin")
                if self._writer is None:
                    self._writer = self.dialect.connect(self.url, writes=True)
                self._writer.exec_driver_sql(self.dialect.begin)
                self.points("after begin")
                yield self._writer
                self.points("before commit")
                committing = True
                self._writer.exec_driver_sql("COMMIT")
                self.points("after commit")
            except (sa.exc.DBAPIError, self.dialect.error) as error:
                self._drop_writer()
                raise self.dialect.translate(_original(error), committing=committing) from error
            except BaseException:
                self._drop_writer()
                raise

    @contextmanager
    def reading(self) -> Iterator[sa.Connection]:
        try:
            if self._reader is None:
                self._reader = self.dialect.connect(self.url, writes=False)
            yield self._reader
        except (sa.exc.DBAPIError, self.dialect.error) as error:
            self._drop_reader()
            raise self.dialect.translate(_original(error), committing=False) from error
        except BaseException:
            self._drop_reader()
            raise

    def close(self) -> None:
        self._drop_reader()
        if self._writer is not None:
            with self.dialect.exclusive():  # the last to close a SQLite file writes its log back
                self._drop_writer()

    def _drop_writer(self) -> None:
        connection, self._writer = self._writer, None
        _discard(connection)

    def _drop_reader(self) -> None:
        connection, self._reader = self._reader, None
        _discard(connection)


def _original(error: Exception) -> Exception:
    """What the driver raised. SQLAlchemy wraps it, except where we use the driver's cursor ourselves."""
    original = error.orig if isinstance(error, sa.exc.DBAPIError) else error
    return original if isinstance(original, Exception) else error


def _discard(connection: sa.Connection | None) -> None:
    """Close the driver's connection itself: SQLAlchemy would send a ROLLBACK first, perhaps to nobody."""
    if connection is not None:
        connection.invalidate()
        connection.close()
