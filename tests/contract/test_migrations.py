"""A migrated database and a new one are the same; upgrading twice, or as a script, changes nothing."""

from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from scitq.errors import Malformed
from scitq.store.database import Database
from scitq.store.journal import open_journal
from scitq.store.schema import METADATA, REVISIONS, Area, log, log_ddl, version_table
from scitq.store.upgrade import newest, upgrade, upgrade_sql
from scitq.store.urls import shown, store_urls
from tests.contract.stores import Engine, Store
from tests.services.postgres import PrivatePostgres


def engine_of(url: str) -> sa.Engine:
    return sa.create_engine(url, poolclass=sa.NullPool)


def described(url: str) -> dict[str, Any]:
    """Every table as the database tells it, and on which triggers it stands."""
    with engine_of(url).connect() as connection:
        look = sa.inspect(connection)
        tables = {name for name in look.get_table_names() if not name.startswith("alembic_version_")}
        return {
            name: {
                "columns": [(c["name"], str(c["type"]), c["nullable"]) for c in look.get_columns(name)],
                "key": look.get_pk_constraint(name),
                "checks": sorted((c["name"] or "", c["sqltext"]) for c in look.get_check_constraints(name)),
                "foreign": sorted(str(key) for key in look.get_foreign_keys(name)),
                "unique": sorted(str(unique) for unique in look.get_unique_constraints(name)),
                "indexes": sorted(str(index) for index in look.get_indexes(name)),
            }
            for name in tables
        }


@pytest.mark.parametrize("area", METADATA)
def test_the_revision_this_release_needs_is_the_newest_migration(area: Area) -> None:
    assert newest(area) == REVISIONS[area]


def test_a_migrated_database_is_what_the_tables_say(database: Store) -> None:
    urls = store_urls(database.url)
    areas: list[tuple[Area, str]] = [("journal", urls.events), ("output", urls.output)]
    for area, url in areas:
        with engine_of(url).connect() as connection:
            tables = {table.name for table in METADATA[area].tables.values()}
            context = MigrationContext.configure(
                connection,
                opts={
                    "version_table": version_table(area),
                    "compare_type": True,
                    "include_name": lambda name, kind, parents, ours=tables: kind != "table" or name in ours,
                },
            )
            assert compare_metadata(context, METADATA[area]) == []


def test_a_migrated_database_equals_a_fresh_one(database: Store, tmp_path: Path, postgres: PrivatePostgres) -> None:
    fresh = f"sqlite:///{tmp_path / 'fresh.db'}" if database.kind == "sqlite" else postgres.create_database()
    with engine_of(fresh).begin() as connection:
        if database.kind == "sqlite":
            assert connection.connection.driver_connection is not None
            connection.connection.driver_connection.executescript(log_ddl("sqlite"))
        else:
            connection.exec_driver_sql(log_ddl("postgresql").replace("%", "%%"))
        METADATA["journal"].create_all(connection)
        if database.kind == "postgres":
            METADATA["output"].create_all(connection)
    assert database.url is not None
    migrated = described(database.url)
    assert {"events", "payloads", "lease", "answers", "snapshots"} <= set(migrated)
    assert migrated == described(fresh)
    unnamed = [constraint for table in migrated.values() for constraint in table["checks"] if not constraint[0]]
    assert not unnamed and all(table["key"]["name"] for table in migrated.values())


def test_the_tables_of_the_log_are_described_as_they_are(database: Store) -> None:
    assert database.url is not None
    found = described(database.url)
    for table in log.tables.values():
        assert [name for name, *_ in found[table.name]["columns"]] == [column.name for column in table.columns]


def test_upgrading_again_changes_nothing(database: Store) -> None:
    assert database.url is not None
    engine = Engine(database.open())
    engine.write(engine.turn("task-1"))
    before = described(database.url)
    upgrade(database.url)
    assert described(database.url) == before
    assert database.open().head() == engine.head


def test_the_script_makes_the_same_database(database: Store, tmp_path: Path, postgres: PrivatePostgres) -> None:
    if database.kind == "postgres":
        made = postgres.create_database()
        with engine_of(made).connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.exec_driver_sql(upgrade_sql(made).replace("%", "%%"))
        journal = open_journal(made)
        Engine(journal).write(Engine(journal, "engine").turn("task-1"))
        journal.close()
    else:
        made = f"sqlite:///{tmp_path / 'script.db'}"
        script = upgrade_sql(made).split("-- sqlite:///")[1].split("\n", 1)[1]
        with engine_of(made).connect() as connection:
            assert connection.connection.driver_connection is not None
            connection.connection.driver_connection.executescript(script)
    assert database.url is not None
    assert described(made) == described(database.url)


def test_an_upgrade_that_fails_leaves_nothing(database: Store, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def explode(*args: object) -> None:
        raise RuntimeError("in the middle")

    monkeypatch.setattr("scitq.store.upgrade.command.upgrade", explode)
    fresh = store_urls(str(tmp_path / "other"))
    with pytest.raises(RuntimeError, match="in the middle"):
        upgrade(fresh.events)
    with Database(fresh.events).reading() as connection:
        assert sa.inspect(connection).get_table_names() == []


def test_one_setting_names_three_databases(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "store"
    three = tuple(f"sqlite:///{folder}/{name}.db" for name in ("events", "views", "output"))
    assert store_urls(str(folder)) == three
    assert store_urls(f"sqlite:///{folder}") == three
    assert store_urls(three[0]) == three
    assert store_urls(f"{folder}/a.db").output == f"sqlite:///{folder}/a-output.db"
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    assert store_urls(None).events == f"sqlite:///{tmp_path}/scitq/events.db"
    assert set(store_urls("postgres://u:p@h/d")) == {"postgresql+psycopg2://u:p@h/d"}
    assert shown("postgresql://u:p@h/d") == "postgresql://u:***@h/d"
    for wrong in ("mysql://h/d", "sqlite://", "postgresql://h:port/d"):
        with pytest.raises(Malformed):
            store_urls(wrong)
