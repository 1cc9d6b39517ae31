"""Snapshots: what an engine would fold to, kept so that a start need not fold the whole log.

A snapshot is a cache. It is used only if the same code wrote it, every byte is as written, and the log reaches as
far as it does; otherwise it is as if it were not there.
"""

from __future__ import annotations

from hashlib import sha256

import sqlalchemy as sa

from scitq.store.database import Dialect
from scitq.store.schema import lease, snapshots

KEPT = 2


def save(connection: sa.Connection, dialect: Dialect, position: int, fingerprint: str, data: bytes) -> None:
    column = snapshots.c
    connection.execute(snapshots.delete().where(column.position == position))
    row = (position, fingerprint, _digest(position, fingerprint, data), data)
    dialect.insert(connection, snapshots, [c.name for c in column], [row])
    kept = sa.select(column.position).order_by(column.position.desc()).limit(KEPT).scalar_subquery()
    connection.execute(snapshots.delete().where(column.position.not_in(kept)))


def newest(connection: sa.Connection, fingerprint: str) -> int:
    """Where the newest was taken that this code wrote; 0: there is none."""
    mine = sa.select(sa.func.max(snapshots.c.position)).where(snapshots.c.fingerprint == fingerprint)
    return connection.execute(mine).scalar() or 0


def load(connection: sa.Connection, fingerprint: str) -> tuple[int, bytes] | None:
    column = snapshots.c
    head = sa.select(lease.c.position).scalar_subquery()
    mine = sa.select(column.position).where(column.fingerprint == fingerprint, column.position <= head)
    for position in connection.execute(mine.order_by(column.position.desc())).scalars().all():
        row = connection.execute(sa.select(column.digest, column.data).where(column.position == position)).one_or_none()
        if row is not None and row.digest == _digest(position, fingerprint, row.data):
            return position, row.data
    return None


def _digest(position: int, fingerprint: str, data: bytes) -> bytes:
    return sha256(b"%d\0%s\0" % (position, fingerprint.encode()) + data).digest()
