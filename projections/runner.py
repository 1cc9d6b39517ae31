"""Keeps one projection in a database up to date with the log: rows and position move together, or not at all.

An event that cannot be read or folded stops the projection right before it, and the reason is kept beside the position
for people to see. The next start tries again: it may be a newer release.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final, NamedTuple, NoReturn, Protocol

from sqlalchemy import (
    ColumnElement,
    Connection,
    Engine,
    MetaData,
    Table,
    bindparam,
    delete,
    func,
    insert,
    select,
    text,
    update,
)

from scitq.domain.envelope import Envelope, Head
from scitq.domain.wire import Recorded, recorded
from scitq.errors import Malformed, StoreUnavailable
from scitq.projections.database import trouble
from scitq.projections.following import BATCH, Follower, Progress, ProjectionStopped, following
from scitq.projections.projection import Projection, table_of
from scitq.projections.reading import POSTGRESQL
from scitq.projections.writing import apply

SET_UP_LOCK: Final = 0x73_63_69_74_71  # any number that nobody else locks in the same database

MANY: Final = 10 * BATCH
"""After so many events at once, what PostgreSQL knows about the tables is wrong."""


class Journal(Protocol):
    """The event store, as far as a projection needs it."""

    def read(self, after: int, limit: int) -> list[Envelope]: ...

    def head(self) -> Head: ...


class Position(NamedTuple):
    """Where a projection is: its rows are the fold of everything up to `position`."""

    name: str
    version: int
    position: int
    tables: tuple[str, ...]  # what this version made, and a newer one has to drop
    stopped: str | None  # why it cannot go on


POSITIONS = table_of("projection_positions", Position)


def positions(connection: Connection) -> dict[str, Position]:
    """Where every projection is."""
    return {row[0]: Position._make(row) for row in connection.execute(select(POSITIONS))}


def is_that_of(projection: Projection[Any]) -> ColumnElement[bool]:
    """The position of this version of it."""
    return (POSITIONS.c.name == projection.name) & (POSITIONS.c.version == projection.version)


@contextmanager
def transaction(engine: Engine) -> Iterator[Connection]:
    with trouble("the read models cannot be written"), engine.begin() as connection:
        yield connection


class Projector(Follower):
    """`engine` comes from `database.writer`. Call `open` first, then `catch_up`, then `receive` what is published."""

    def __init__(self, projection: Projection[Any], engine: Engine, journal: Journal) -> None:
        self.projection = projection
        self.position = 0
        self._engine = engine
        self._journal = journal
        self._mine = is_that_of(projection)
        self._move_on = (
            update(POSITIONS)
            .where(self._mine & (POSITIONS.c.position == bindparam("here")))
            .values(position=bindparam("reached"), stopped=None)
        )

    def open(self) -> None:
        """Find the tables and the position. Another version's are dropped, as are those that are ahead of the log."""
        end = self._journal.head().position
        with self._set_up() as connection:
            found = positions(connection).get(self.projection.name)
            if found is None or found.version != self.projection.version or found.position > end:
                self._begin_anew(connection, found)
                position = 0
            else:
                position = found.position
        self.position = position

    def rebuild(self, progress: Progress | None = None) -> None:
        """Drop everything and fold it anew."""
        with self._set_up() as connection:
            self._begin_anew(connection, positions(connection).get(self.projection.name))
        self.position = 0
        self.catch_up(progress)

    def catch_up(self, progress: Progress | None = None) -> None:
        """Read the journal to its end."""
        began = self.position
        super().catch_up(progress)
        if self.position - began >= MANY and self._engine.dialect.name == POSTGRESQL:
            with transaction(
                self._engine
            ) as connection:  # or readers would be served by scans until autovacuum comes by
                for shown in self.projection.tables:
                    connection.execute(text(f"ANALYZE {shown.table.name}"))

    @contextmanager
    def _set_up(self) -> Iterator[Connection]:
        """A transaction that no other process' set-up runs beside."""
        with transaction(self._engine) as connection:
            if connection.dialect.name == POSTGRESQL:
                connection.execute(select(func.pg_advisory_xact_lock(SET_UP_LOCK)))
            POSITIONS.create(connection, checkfirst=True)
            yield connection

    def _begin_anew(self, connection: Connection, found: Position | None) -> None:
        name, tables = self.projection.name, [shown.table for shown in self.projection.tables]
        names = tuple(table.name for table in tables)
        for old in {*names, *(found.tables if found else ())}:
            Table(old, MetaData()).drop(connection, checkfirst=True)
        for table in tables:
            table.create(connection)
        connection.execute(delete(POSITIONS).where(POSITIONS.c.name == name))
        connection.execute(insert(POSITIONS).values(Position(name, self.projection.version, 0, names, None)))

    def _read(self, after: int, limit: int) -> Sequence[Recorded]:
        events: list[Recorded] = []
        for envelope in self._journal.read(after, limit):
            try:
                events.append(recorded(envelope))
            except Malformed as error:
                if events:
                    break  # these first; it is met again with nothing before it
                self._stop(envelope.position, error)
        return events

    def _fold(self, events: Sequence[Recorded]) -> None:
        while events:
            reached = events[-1].position
            with transaction(self._engine) as connection:
                here = connection.execute(self._move_on, {"here": self.position, "reached": reached})
                moved = here.rowcount != 1
                if moved:
                    position = self._stored(connection)
                else:
                    apply(self.projection, connection, events)
            if not moved:
                self.position = reached
                return
            # Another process keeps this projection too, or a power cut took the last commits: go on from what is there.
            self.position = position
            events = following(position, events)

    def _stored(self, connection: Connection) -> int:
        found = connection.scalar(select(POSITIONS.c.position).where(self._mine))
        if found is None:
            raise StoreUnavailable(
                f"projection {self.projection.name!r} version {self.projection.version} is no longer in the database: "
                "another release has taken over"
            )
        return int(found)

    def _stop(self, position: int, error: Exception) -> NoReturn:
        stopped = ProjectionStopped(self.projection.name, position, error)
        with transaction(self._engine) as connection:
            connection.execute(update(POSITIONS).where(self._mine).values(stopped=str(stopped)))
        raise stopped from error
