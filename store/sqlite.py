"""What is particular about SQLite."""

from __future__ import annotations

import fcntl
import os
import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import sqlalchemy as sa
from sqlalchemy.dialects.sqlite import insert

from scitq.errors import OutcomeUnknown, SchemaMismatch, StoreError, StoreFull, StoreUnavailable, VersionConflict

WAIT_S = 5.0
MANY = 500  # values in one IN list

WRITER = """
PRAGMA journal_mode = WAL;
PRAGMA synchronous = FULL;
PRAGMA foreign_keys = ON;
PRAGMA secure_delete = ON;
"""


class SQLite:
    """A file. Up to 3.51.2 two connections that write or checkpoint at the same instant can corrupt it.

    So there is one writing connection; and because nobody can forbid a second process to open the file, all that a
    writing connection ever does, opening and closing included, happens under an advisory lock on a file beside it.
    """

    begin = "BEGIN IMMEDIATE"
    error: type[Exception] = sqlite3.Error
    now: sa.ColumnElement[int] | None = None

    def __init__(self, url: sa.URL) -> None:
        self.path = Path(str(url.database))
        self._lock = self.path.with_name(self.path.name + ".lock")

    def present(self) -> bool:
        return self.path.exists()

    def connect(self, url: sa.URL, *, writes: bool) -> sa.Connection:
        engine = sa.create_engine(
            "sqlite://", creator=self._open_writer if writes else self._open_reader, poolclass=sa.NullPool
        )
        return engine.connect().execution_options(isolation_level="AUTOCOMMIT")

    def _open_writer(self) -> sqlite3.Connection:
        connection = self._open("rw")
        connection.executescript(WRITER)
        return connection

    def _open_reader(self) -> sqlite3.Connection:
        return self._open("ro")

    def _open(self, mode: str) -> sqlite3.Connection:
        if not self.present():
            raise SchemaMismatch(f"{self.path} does not exist: run scitq-manage db init --store {self.path}")
        connection = sqlite3.connect(f"file:{quote(str(self.path))}?mode={mode}", uri=True, isolation_level=None)
        connection.execute(f"PRAGMA busy_timeout = {int(WAIT_S * 1000)}")
        return connection

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        if not self.path.parent.exists():
            raise SchemaMismatch(f"{self.path.parent} does not exist: run scitq-manage db init --store {self.path}")
        try:
            handle = os.open(self._lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StoreUnavailable(f"{self._lock}: {error.strerror}") from error
        try:
            deadline = time.monotonic() + WAIT_S
            while not _locked(handle):
                if time.monotonic() > deadline:
                    raise StoreUnavailable(f"another process has been writing to {self.path} for {WAIT_S:.0f} s")
                time.sleep(0.002)
            yield
        finally:
            os.close(handle)

    def insert(
        self, connection: sa.Connection, table: sa.Table, columns: Sequence[str], rows: Sequence[tuple[Any, ...]]
    ) -> None:
        names, marks = ", ".join(f'"{column}"' for column in columns), ", ".join("?" * len(columns))
        statement = f"INSERT INTO {table.name} ({names}) VALUES ({marks})"  # noqa: S608 - names of our own tables
        connection.exec_driver_sql(statement, list(rows))

    def add(self, table: sa.Table) -> sa.Insert:
        return insert(table).on_conflict_do_nothing()

    def any_of(self, column: sa.ColumnElement[Any], values: Sequence[Any]) -> Iterator[sa.ColumnElement[bool]]:
        for start in range(0, len(values), MANY):
            yield column.in_(values[start : start + MANY])

    def end_silent(self, connection: sa.Connection, silent_s: float) -> None:
        """There is no server that could; its lock ends with the process that has it."""

    def damage(self, connection: sa.Connection) -> list[str]:
        """What is wrong with the file's structure."""
        found = [str(row[0]) for row in connection.exec_driver_sql("PRAGMA quick_check(20)")]
        return [] if found == ["ok"] else found

    def translate(self, error: Exception, *, committing: bool) -> StoreError:
        said, name = str(error), getattr(error, "sqlite_errorname", "")
        text = f"{self.path}: {said}"
        if name in ("SQLITE_CONSTRAINT_UNIQUE", "SQLITE_CONSTRAINT_PRIMARYKEY"):
            return VersionConflict(text)
        if name.startswith("SQLITE_CONSTRAINT"):
            return VersionConflict(text) if said.startswith("conflict:") else StoreError(text)
        if name == "SQLITE_FULL":
            return StoreFull(text)
        if name.startswith(("SQLITE_IOERR", "SQLITE_CORRUPT", "SQLITE_NOTADB")) or "Could not decode" in said:
            return StoreError(f"{text}: the disk or the file is damaged")
        if name == "SQLITE_ERROR" and "no such" in said:
            return SchemaMismatch(f"{text}: run scitq-manage db upgrade --store {self.path}")
        if "closed database" in said:  # closed under us, which rolls back
            return StoreUnavailable(text)
        if committing:
            return OutcomeUnknown(text)
        return StoreUnavailable(text) if isinstance(error, sqlite3.OperationalError) else StoreError(text)


def _locked(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
