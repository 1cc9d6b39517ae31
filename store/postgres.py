"""What is particular about PostgreSQL."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import psycopg2
import psycopg2.extensions
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from scitq.errors import OutcomeUnknown, SchemaMismatch, StoreError, StoreFull, StoreUnavailable, VersionConflict
from scitq.postgresql import CONNECT, THEIR_END, passes

# Our writes and look-ups always go through an index. On tables that grow fast the statistics lag behind, and the
# planner would choose to read the whole log. (What has no index then looks dear enough to be compiled: 40 ms each.)
INDEXES = "SET enable_seqscan = off; SET enable_hashjoin = off; SET enable_mergejoin = off; SET jit = off;"

# A leader that is frozen inside its transaction holds the lease's row: the server ends it after 3 s, before the
# one who takes over has waited its 5 s for the row.
WRITER = f"""
SET idle_in_transaction_session_timeout = '3s'; SET lock_timeout = '5s'; SET statement_timeout = '60s';
SET synchronous_commit = on; SET client_min_messages = warning; {THEIR_END} {INDEXES}
"""
READER = f"""
SET default_transaction_read_only = on; SET lock_timeout = '5s'; SET statement_timeout = '300s'; {THEIR_END} {INDEXES}
"""


# While it waits for the rest of a COPY a session does not count as idle, and no time-out of the server ends it.
END_SILENT = sa.text("""
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE datname = current_database() AND usename = current_user AND application_name = 'scitq writer'
AND pid <> pg_backend_pid() AND state = 'active' AND wait_event = 'ClientRead'
AND state_change < clock_timestamp() - make_interval(secs => :silent_s)
""")


def _bytes(value: str | bytes | None, cursor: object) -> bytes | None:
    return bytes.fromhex(value[2:]) if isinstance(value, str) else None


BYTEA = psycopg2.extensions.new_type((17,), "BYTES", _bytes)  # the driver's own gives memoryviews


class Postgres:
    begin = "BEGIN"
    error: type[Exception] = psycopg2.Error
    now: sa.ColumnElement[int] | None = sa.cast(
        sa.extract("epoch", sa.func.clock_timestamp()) * 1_000_000, sa.BigInteger
    )

    def present(self) -> bool:
        return True

    def connect(self, url: sa.URL, *, writes: bool) -> sa.Connection:
        name = "scitq writer" if writes else "scitq reader"
        engine = sa.create_engine(url, connect_args={"application_name": name, **CONNECT}, poolclass=sa.NullPool)
        connection = engine.connect().execution_options(isolation_level="AUTOCOMMIT")
        driver = connection.connection.driver_connection
        assert isinstance(driver, psycopg2.extensions.connection)
        psycopg2.extensions.register_type(BYTEA, driver)
        connection.exec_driver_sql(f"SET bytea_output = hex; {WRITER if writes else READER}")
        return connection

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        """The server keeps its writers apart."""
        yield

    def insert(
        self, connection: sa.Connection, table: sa.Table, columns: Sequence[str], rows: Sequence[tuple[Any, ...]]
    ) -> None:
        """COPY in its binary form: four times as fast as INSERT with many rows, and nothing to escape."""
        encode = [_ENCODERS[type(table.c[column].type)] for column in columns]
        count = struct.pack(">h", len(columns))
        parts = [b"PGCOPY\n\xff\r\n\0" + bytes(8)]
        for row in rows:
            parts.append(count)
            parts += [
                b"\xff\xff\xff\xff" if value is None else to(value) for to, value in zip(encode, row, strict=True)
            ]
        parts.append(b"\xff\xff")
        names = ", ".join(f'"{column}"' for column in columns)
        statement = f"COPY {table.name} ({names}) FROM STDIN (FORMAT binary)"
        connection.connection.cursor().copy_expert(statement, io.BytesIO(b"".join(parts)))

    def add(self, table: sa.Table) -> sa.Insert:
        return insert(table).on_conflict_do_nothing()

    def any_of(self, column: sa.ColumnElement[Any], values: Sequence[Any]) -> Iterator[sa.ColumnElement[bool]]:
        yield column == sa.func.any(sa.literal(list(values), sa.ARRAY(column.type)))

    def end_silent(self, connection: sa.Connection, silent_s: float) -> None:
        connection.execute(END_SILENT, {"silent_s": silent_s})

    def damage(self, connection: sa.Connection) -> list[str]:
        """PostgreSQL says so itself when it meets a damaged page."""
        return []

    def translate(self, error: Exception, *, committing: bool) -> StoreError:
        code: str | None = getattr(error, "pgcode", None)
        text = " ".join(str(error).split()) or "the connection to PostgreSQL was lost"
        if code is None and isinstance(error, psycopg2.ProgrammingError | psycopg2.DataError):
            return StoreError(text)
        if code is None or code.startswith(("08", "57P")):
            return OutcomeUnknown(text) if committing else StoreUnavailable(text)
        if code == "23505":
            return VersionConflict(text)
        if code == "53100":
            return StoreFull(text)
        if code in ("42P01", "42703", "3F000"):
            return SchemaMismatch(f"{text}: run scitq-manage db upgrade")
        return StoreUnavailable(text) if passes(code) else StoreError(text)


def _field(data: bytes) -> bytes:
    return struct.pack(">i", len(data)) + data


_BIGINT = struct.Struct(">iq").pack
_INTEGER = struct.Struct(">ii").pack
_SMALLINT = struct.Struct(">ih").pack

_ENCODERS: dict[type[Any], Callable[[Any], bytes]] = {
    sa.BigInteger: lambda value: _BIGINT(8, value),
    sa.Integer: lambda value: _INTEGER(4, value),
    sa.SmallInteger: lambda value: _SMALLINT(2, value),
    sa.Text: lambda value: _field(value.encode()),
    sa.LargeBinary: _field,
}
