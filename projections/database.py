"""Connections to the database that holds the read models: one that writes, many that read.

What is written here can be folded anew from the log, so no commit waits for a disk: after a power cut, rows and
position are together at some earlier moment, and the journal has the rest.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, exc, make_url

from scitq.errors import StoreUnavailable
from scitq.postgresql import CONNECT, THEIR_END, first_line, passes

WAIT_S = 600
"""For the one connection that writes to SQLite: projections take turns, and each turn is one batch of events."""
NO_TABLE = "42P01"
"""PostgreSQL's code for it: the views are being made. In SQLite it is an OperationalError."""


def writer(url: str) -> Engine:
    """For projectors. SQLite gets a single connection: 3.40 can corrupt a file that two write to."""
    if not _is_sqlite(url):
        # Every use is a transaction that ends by itself, and is repeated should the connection turn out to be broken.
        engine = _postgresql(url, "scitq projections", pool_reset_on_return=None)
        event.listen(engine, "connect", _prepare_postgresql_writer)
        return engine
    engine = create_engine(url, pool_size=1, max_overflow=0, pool_timeout=WAIT_S)
    event.listen(engine, "connect", _prepare_sqlite_writer)
    event.listen(engine, "begin", _begin_immediate)
    return engine


def reader(url: str) -> Engine:
    """For queries: they see whole batches of events, and never wait for the writer."""
    if _is_sqlite(url):
        engine = create_engine(url, pool_pre_ping=True)
        event.listen(engine, "connect", _prepare_sqlite_reader)
        event.listen(engine, "begin", _begin)
    else:
        engine = _postgresql(url, "scitq views", pool_pre_ping=True)
        event.listen(engine, "connect", _prepare_postgresql_reader)
    return engine


@contextmanager
def trouble(doing: str) -> Iterator[None]:
    """What the database cannot do at present is StoreUnavailable, in one line. Everything else is a mistake."""
    try:
        yield
    except (exc.DBAPIError, exc.TimeoutError) as error:
        if not _passes(error):
            raise
        raise StoreUnavailable(f"{doing}: {first_line(error)}") from error


def _passes(error: Exception) -> bool:
    if isinstance(error, exc.OperationalError | exc.InterfaceError | exc.TimeoutError):
        return True
    code = getattr(getattr(error, "orig", None), "pgcode", None)  # that it is read-only, say, is no OperationalError
    return code == NO_TABLE or (code is not None and passes(code))


def _postgresql(url: str, name: str, **pool: Any) -> Engine:
    return create_engine(url, connect_args={"application_name": name, **CONNECT}, **pool)


def _is_sqlite(url: str) -> bool:
    return make_url(url).get_backend_name() == "sqlite"


def _run(connection: Any, *statements: str) -> None:
    cursor = connection.cursor()
    try:
        for statement in statements:
            cursor.execute(statement)
    finally:
        cursor.close()


def _prepare_postgresql_writer(connection: Any, record: object) -> None:
    # Rows are only ever looked up by key. Without statistics, as in the middle of a rebuild, the planner would scan.
    _run(connection, "SET synchronous_commit = off; SET enable_seqscan = off; SET jit = off", THEIR_END)
    _run(connection, "SET idle_in_transaction_session_timeout = '30s'; SET lock_timeout = '30s'")
    connection.commit()


def _prepare_postgresql_reader(connection: Any, record: object) -> None:
    # A page takes 2 ms; compiling its plan, which costs that look high bring on, takes 100.
    _run(connection, "SET jit = off; SET default_transaction_read_only = on", THEIR_END)
    _run(connection, "SET lock_timeout = '5s'; SET statement_timeout = '60s'")
    connection.commit()


def _prepare_sqlite_writer(connection: Any, record: object) -> None:
    connection.isolation_level = None  # transactions begin where we say: the driver would leave CREATE TABLE outside
    _run(connection, "PRAGMA journal_mode = WAL", "PRAGMA synchronous = NORMAL", "PRAGMA busy_timeout = 5000")


def _prepare_sqlite_reader(connection: Any, record: object) -> None:
    connection.isolation_level = None
    _run(connection, "PRAGMA busy_timeout = 5000", "PRAGMA query_only = ON")


def _begin_immediate(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE")


def _begin(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN")
