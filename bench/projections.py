"""How fast the read models follow the log: `python -m bench.projections`, events a second, for every database.

Five events a task, as a run makes them: created, assigned, accepted, started, succeeded; a hundred tasks are under way
at a time. Events arrive decoded, as from the bus, in batches of 5,000 (catching up) and of 50 (live); each projection
has a transaction of its own for each batch. "all" is the four, one after the other, in one process.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sqlalchemy import Engine

from bench.history import history
from scitq.domain.envelope import GENESIS, Envelope, Head
from scitq.domain.wire import Recorded
from scitq.projections import database
from scitq.projections.catalog import ALL
from scitq.projections.following import Follower
from scitq.projections.memory import MemoryProjector
from scitq.projections.projection import Projection
from scitq.projections.runner import Projector
from tests.services.postgres import PrivatePostgres


class NothingMore:
    """A journal at its end: everything measured arrives as messages."""

    def read(self, after: int, limit: int) -> list[Envelope]:
        return []

    def head(self) -> Head:
        return Head(0, GENESIS)


def rate(followers: Sequence[Follower], log: Sequence[Recorded], batch: int) -> float:
    """Events a second, when these take the log in batches."""
    began = time.perf_counter()
    for start in range(0, len(log), batch):
        events = log[start : start + batch]
        for follower in followers:
            follower.receive(events)
    return len(log) / (time.perf_counter() - began)


def measure(url: str | None, log: Sequence[Recorded], batch: int) -> list[float]:
    """Each projection alone, then all."""
    engine = database.writer(url) if url else None
    found = [
        rate([_follower(projection, engine) for projection in projections], log, batch)
        for projections in (*((projection,) for projection in ALL), ALL)
    ]
    if engine:
        engine.dispose()
    return found


def _follower(projection: Projection[Any], engine: Engine | None) -> Follower:
    if engine is None:
        return MemoryProjector(projection, lambda after, limit: [])
    projector = Projector(projection, engine, NothingMore())
    projector.rebuild()
    return projector


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", type=int, default=20_000)
    arguments = parser.parse_args()
    log = history(arguments.tasks)
    names = [*(projection.name for projection in ALL), "all"]
    print(f"{len(log):,} events; events a second")
    print(f"{'':24}" + "".join(f"{name:>12}" for name in names))
    with tempfile.TemporaryDirectory() as folder, PrivatePostgres() as postgres:
        for name, url in (
            ("memory", None),
            ("SQLite", f"sqlite:///{Path(folder) / 'views.db'}"),
            ("PostgreSQL", postgres.create_database()),
        ):
            for batch in (5_000, 50):
                rates = measure(url, log if batch > 50 else log[: len(log) // 4], batch)
                print(f"{name:12}by {batch:<9,}" + "".join(f"{found:12,.0f}" for found in rates), flush=True)


if __name__ == "__main__":
    main()
