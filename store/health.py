"""Looking a store over: is it there, is its schema ours, is its structure whole, who holds the lease."""

from __future__ import annotations

from typing import NamedTuple

import sqlalchemy as sa

from scitq.errors import StoreError
from scitq.store.database import Database
from scitq.store.journal import wall_clock
from scitq.store.schema import Area, check_schema, lease
from scitq.store.urls import shown, store_urls


class Finding(NamedTuple):
    good: bool
    text: str


def look_over(setting: str | None) -> list[Finding]:
    """One finding or more about each area of the store."""
    urls = store_urls(setting)
    areas: list[tuple[Area, str]] = [("journal", urls.events), ("output", urls.output)]
    return [finding for area, url in areas for finding in _area(area, url)]


def exists(setting: str | None) -> bool:
    """Is there a log already, of whatever revision?"""
    database = Database(store_urls(setting).events)
    if not database.dialect.present():
        return False
    try:
        with database.reading() as connection:
            return sa.inspect(connection).has_table("events")
    finally:
        database.close()


def _area(area: Area, url: str) -> list[Finding]:
    database = Database(url)
    try:
        with database.reading() as connection:
            check_schema(connection, area, url)
            damage = database.dialect.damage(connection)
            findings = [Finding(False, f"{area}: {shown(url)}: {what}") for what in damage]
            if not damage:
                findings.append(Finding(True, f"{area}: {shown(url)} is whole and at the schema of this release"))
            if area == "journal":
                findings.append(_lease(connection, database.dialect.now))
            return findings
    except StoreError as error:
        return [Finding(False, f"{area}: {error}")]
    finally:
        database.close()


def _lease(connection: sa.Connection, now: sa.ColumnElement[int] | None) -> Finding:
    row = connection.execute(sa.select(lease)).one()
    time: int = wall_clock() if now is None else connection.execute(sa.select(now)).scalar_one()
    state = f"the log ends at position {row.position}, hash {bytes(row.hash).hex()}"
    if row.holder is None:
        return Finding(True, f"journal: {state}; nobody holds the lease")
    age_s = (time - row.renewed_at) / 1_000_000
    return Finding(True, f"journal: {state}; {row.holder} holds epoch {row.epoch}, renewed {age_s:.0f} s ago")
