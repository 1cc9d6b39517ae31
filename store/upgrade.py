"""Making the store's databases, and bringing old ones to the schema of this release."""

from __future__ import annotations

import io
import sqlite3
from collections.abc import Iterator
from importlib import resources

import sqlalchemy as sa
from alembic import command
from alembic.config import Config

from scitq.store.database import Database
from scitq.store.schema import Area, log_ddl
from scitq.store.sqlite import SQLite
from scitq.store.urls import parse, shown, store_urls

ONE_AT_A_TIME = 0x7363697471  # two upgrades of one PostgreSQL database at once: the second waits for this lock


def upgrade(setting: str | None) -> None:
    """Create what is missing and migrate what is old. Each database is changed in one transaction or not at all."""
    for area, url in _areas(setting):
        database = Database(url)
        if isinstance(database.dialect, SQLite):
            database.dialect.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            database.dialect.path.touch(mode=0o600)
        try:
            with database.writing() as connection:
                if not isinstance(database.dialect, SQLite):
                    connection.exec_driver_sql("SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = '60s'")
                    connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({ONE_AT_A_TIME})")
                if area == "journal" and not sa.inspect(connection).has_table("events"):
                    for statement in _statements(log_ddl(connection.dialect.name), connection.dialect.name):
                        connection.exec_driver_sql(statement)
                config = _config(area)
                config.attributes["connection"] = connection
                command.upgrade(config, "head")
        finally:
            database.close()


def upgrade_sql(setting: str | None) -> str:
    """The statements that make an empty store, for a database administrator to read and run."""
    parts = []
    for area, url in _areas(setting):
        dialect = parse(url).get_backend_name()
        parts.append(f"-- {shown(url)}: {area}\n")
        if area == "journal":
            parts.append(log_ddl(dialect))
        buffer = io.StringIO()
        config = _config(area, buffer)
        config.attributes["dialect"] = dialect
        command.upgrade(config, "head", sql=True)
        parts.append(buffer.getvalue())
    return "\n".join(parts)


def newest(area: Area) -> str | None:
    """The newest revision among the migrations."""
    from alembic.script import ScriptDirectory

    return ScriptDirectory.from_config(_config(area)).get_current_head()


def _areas(setting: str | None) -> Iterator[tuple[Area, str]]:
    urls = store_urls(setting)
    yield "journal", urls.events
    yield "output", urls.output


def _config(area: Area, buffer: io.StringIO | None = None) -> Config:
    config = Config(output_buffer=buffer) if buffer is not None else Config()
    folder = resources.files("scitq.store").joinpath("migrations")
    config.set_main_option("script_location", str(folder).replace("%", "%%"))
    config.set_main_option("version_locations", str(folder.joinpath(area)).replace("%", "%%"))
    config.set_main_option("path_separator", "newline")
    config.attributes["area"] = area
    return config


def _statements(text: str, dialect: str) -> Iterator[str]:
    """SQLite's driver takes one statement at a time inside a transaction, PostgreSQL's any number."""
    if dialect != "sqlite":
        yield text.replace("%", "%%")
        return
    statement = ""
    for line in text.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""
