"""The tables, and whether a database has them as this release needs them.

`events` and `payloads` are made from the .sql text of their dialect and never migrated: here they are only
described, for queries. Everything else belongs to an area of the migrations, which has its own version table, so
that the three files of a SQLite store and the one database of PostgreSQL are upgraded by the same steps.
"""

from __future__ import annotations

from importlib import resources
from typing import Final, Literal

import sqlalchemy as sa
from sqlalchemy import BigInteger, Column, Integer, LargeBinary, SmallInteger, Table, Text

from scitq.errors import SchemaMismatch
from scitq.store.urls import shown

Area = Literal["journal", "output"]

REVISIONS: Final[dict[Area, str]] = {"journal": "0001", "output": "0001"}
"""The newest revision of each area: a constant, because loading the migrations takes longer than opening the log."""

NAMES = {"pk": "%(table_name)s_pk", "ck": "%(table_name)s_%(constraint_name)s"}

log = sa.MetaData()
events = Table(
    "events",
    log,
    Column("position", BigInteger, primary_key=True),
    Column("stream", Text),
    Column("version", Integer),
    Column("type", Text),
    Column("schema", Integer),
    Column("time", BigInteger),
    Column("actor", Text),
    Column("command", BigInteger),
    Column("cause", BigInteger),
    Column("header", LargeBinary),
    Column("digest", LargeBinary),
    Column("hash", LargeBinary),
)
payloads = Table(
    "payloads",
    log,
    Column("position", BigInteger, primary_key=True),
    Column("data", LargeBinary),
    Column("erased_by", BigInteger),
)

journal = sa.MetaData(naming_convention=NAMES)
lease = Table(
    "lease",
    journal,
    Column("id", SmallInteger, primary_key=True, autoincrement=False),
    Column("epoch", BigInteger, nullable=False),
    Column("holder", Text),
    Column("renewed_at", BigInteger, nullable=False),
    Column("position", BigInteger, nullable=False),
    Column("hash", LargeBinary, nullable=False),
    sa.CheckConstraint("id = 1", name="only_row"),
)
answers = Table(
    "answers",
    journal,
    Column("id", Text, primary_key=True),
    Column("first", BigInteger, nullable=False),
    Column("last", BigInteger, nullable=False),
    Column("answer", LargeBinary, nullable=False),
)
snapshots = Table(
    "snapshots",
    journal,
    Column("position", BigInteger, primary_key=True, autoincrement=False),
    Column("fingerprint", Text, nullable=False),
    Column("digest", LargeBinary, nullable=False),
    Column("data", LargeBinary, nullable=False),
)

output_log = sa.MetaData(naming_convention=NAMES)
outputs = Table(
    "outputs",
    output_log,
    Column("execution", BigInteger, primary_key=True, autoincrement=False),
    Column("stream", SmallInteger, primary_key=True, autoincrement=False),
    Column("seen", BigInteger, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("chars", BigInteger, nullable=False),
    Column("pending", LargeBinary, nullable=False),
    Column("cut", sa.Boolean, nullable=False),
)
chunks = Table(
    "chunks",
    output_log,
    Column("execution", BigInteger, primary_key=True, autoincrement=False),
    Column("stream", SmallInteger, primary_key=True, autoincrement=False),
    Column("offset", BigInteger, primary_key=True, autoincrement=False),
    Column("chars_before", BigInteger, nullable=False),
    Column("data", LargeBinary, nullable=False),
    sa.Index("chunks_chars", "execution", "stream", "chars_before", "offset"),
)

METADATA: Final[dict[Area, sa.MetaData]] = {"journal": journal, "output": output_log}


def log_ddl(dialect: str) -> str:
    """The text that makes `events` and `payloads`."""
    return resources.files("scitq.store").joinpath(f"events.{dialect}.sql").read_text("utf-8")


def version_table(area: Area) -> str:
    return f"alembic_version_{area}"


def check_schema(connection: sa.Connection, area: Area, url: str) -> None:
    """Refuse a database that lacks this area, or has another revision of it."""
    found = revision(connection, area)
    if found == REVISIONS[area]:
        return
    have = "has no scitq schema" if found is None else f"has revision {found} of its {area} tables"
    raise SchemaMismatch(
        f"{shown(url)} {have}, this release needs {REVISIONS[area]}: run scitq-manage db upgrade --store {shown(url)}"
    )


def revision(connection: sa.Connection, area: Area) -> str | None:
    """The revision of an area, None if it was never made."""
    table = version_table(area)
    if not sa.inspect(connection).has_table(table):
        return None
    found: str | None = connection.execute(sa.select(sa.column("version_num")).select_from(sa.table(table))).scalar()
    return found
