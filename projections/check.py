"""Is what is served what the log says? Folded anew into a database of its own and compared, row by row.

Nothing that is served is touched, and it may go on moving: the log is folded to about where the views are; then a
view is read at one moment, the rest up to that moment is folded, and the rows are compared.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any, Final, NamedTuple

from sqlalchemy import Connection, Engine, func, inspect, select

from scitq.domain.envelope import Envelope, Head
from scitq.projections import database
from scitq.projections.catalog import ALL
from scitq.projections.following import Progress
from scitq.projections.projection import Projection, Shown
from scitq.projections.reading import find
from scitq.projections.runner import POSITIONS, Journal, Position, Projector, positions

MOST_NAMED: Final = 5
AT_ONCE: Final = 1_000
ERASES: Final = "payload-erased"


class Finding(NamedTuple):
    good: bool
    text: str


class UpTo:
    """A log that ends at a position, whatever comes behind it."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self.end = 0

    def read(self, after: int, limit: int) -> list[Envelope]:
        limit = min(limit, self.end - after)
        return self._journal.read(after, limit) if limit > 0 else []

    def erases_later(self) -> bool:
        """What was erased behind the end is a gap before it, too early for a table that stands at the end."""
        after = self.end
        while events := self._journal.read(after, AT_ONCE):
            if any(event.type == ERASES for event in events):
                return True
            after = events[-1].position
        return False

    def head(self) -> Head:
        return self._journal.head()._replace(position=self.end)


def check(journal: Journal, views: str, progress: Progress | None = None) -> list[Finding]:
    """One finding for each projection: that it agrees, or how it does not."""
    served = database.reader(views)
    if served.dialect.name != "sqlite":
        served = served.execution_options(isolation_level="REPEATABLE READ")  # rows and position of one moment
    try:
        with database.trouble("the views cannot be read"), tempfile.TemporaryDirectory(prefix="scitq-check-") as folder:
            anew = database.writer(f"sqlite:///{Path(folder) / 'views.db'}")
            try:
                return [_check(projection, served, anew, UpTo(journal), progress) for projection in ALL]
            finally:
                anew.dispose()
    finally:
        served.dispose()


def _check(
    projection: Projection[Any], served: Engine, anew: Engine, journal: UpTo, progress: Progress | None
) -> Finding:
    name = projection.name
    with served.connect() as connection:
        found = _position(connection, name)
    if found is None or found.version != projection.version:
        has = (
            "was never made"
            if found is None
            else f"is at version {found.version}, this release has {projection.version}"
        )
        return Finding(False, f"{name}: it {has}; a server that is started makes it")
    journal.end = found.position
    projector = Projector(projection, anew, journal)
    projector.open()
    projector.catch_up(progress)
    with served.connect() as connection:
        found = _position(connection, name)
        if found is None or found.version != projection.version or found.position < journal.end:
            return Finding(False, f"{name}: it is being made anew; check it again in a moment")
        journal.end = found.position
        projector.catch_up(progress)
        with anew.connect() as folded:
            counts, wrong = _compared(projection, connection, folded)
    if wrong and journal.erases_later():
        return Finding(False, f"{name}: it has not come to an erasure that the log has; check it again in a moment")
    if wrong:
        return Finding(False, f"{name}: at position {found.position}, {'; '.join(wrong)}")
    return Finding(True, f"{name}: {counts} rows are what the log says at position {found.position}")


def _position(connection: Connection, name: str) -> Position | None:
    return positions(connection).get(name) if inspect(connection).has_table(POSITIONS.name) else None


def _compared(projection: Projection[Any], served: Connection, folded: Connection) -> tuple[int, list[str]]:
    """How many rows there are, and the first few that differ, in words."""
    total, wrong = 0, []
    for shown in projection.tables:
        table = shown.table
        rows = {connection: _count(shown, connection) for connection in (served, folded)}
        total += rows[folded]
        for key in islice(_differing(shown, folded, served), MOST_NAMED):
            wrong.append(f"row {key!r} of {table.name} is not what the log says")
        if rows[served] > rows[folded]:
            surplus = islice(_unknown(shown, served, folded), MOST_NAMED)
            wrong += [f"row {key!r} of {table.name} is not in the log" for key in surplus]
    return total, wrong


def _count(shown: Shown, connection: Connection) -> int:
    return int(connection.scalar(select(func.count()).select_from(shown.table)) or 0)


def _differing(shown: Shown, folded: Connection, served: Connection) -> Iterator[Any]:
    """Keys of rows that are missing where they are served, or different there."""
    for page in _pages(shown, folded):
        others = find(served, shown, [row[0] for row in page])
        for row in page:
            other = others.get(row[0])
            if other is None or tuple(map(_comparable, other)) != tuple(map(_comparable, row)):
                yield row[0]


def _unknown(shown: Shown, served: Connection, folded: Connection) -> Iterator[Any]:
    """Keys of rows that are served, and should not be."""
    for page in _pages(shown, served):
        known = find(folded, shown, [row[0] for row in page])
        yield from (row[0] for row in page if row[0] not in known)


def _pages(shown: Shown, connection: Connection) -> Iterator[list[Any]]:
    """By key, in whatever order this database has keys: two of them need not agree on that."""
    key = shown.table.c[0]
    page: list[Any] = []
    while True:
        rows = select(shown.table).order_by(key).limit(AT_ONCE)
        page = list(connection.execute(rows.where(key > page[-1][0]) if page else rows))
        if not page:
            return
        yield page


def _comparable(value: Any) -> Any:
    """PostgreSQL cannot keep a NUL in a text, and holds something else in its place."""
    return value.replace("\0", "\ufffd") if isinstance(value, str) else value
