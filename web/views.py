"""Reading the projections: a transaction, and the position that everything read in it reflects."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from sqlalchemy import Connection, Engine

from scitq.projections import catalog, runner
from scitq.projections.database import trouble


class View(NamedTuple):
    connection: Connection
    position: int  # whatever happened up to here is in what is read


@contextmanager
def looking(engine: Engine) -> Iterator[View]:
    """In a thread. Rows may be newer than the position, where the database lets them, but never older."""
    with trouble("the views cannot be read"), engine.connect() as connection:
        yield View(connection, reached(connection))


def reached(connection: Connection) -> int:
    """What all projections of this release have reached."""
    known = runner.positions(connection)
    found = ((known.get(projection.name), projection.version) for projection in catalog.ALL)
    return min(0 if one is None or one.version != version else one.position for one, version in found)


def position(engine: Engine) -> int:
    """Where the views are now."""
    with looking(engine) as view:
        return view.position
