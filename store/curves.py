"""What an execution used over time is kept beside what it printed, and goes with it.

It is no stream of output that anybody appends to: one small piece, of a number of its own, written once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import orjson
import sqlalchemy as sa

from scitq.store.output import OutputLog
from scitq.store.schema import chunks

STREAM: Final = 3
"""Beside 1 and 2, standard output and error."""

Point = tuple[float, float, int, int, int]


def keep_curves(log: OutputLog, curves: Mapping[int, Sequence[Point]]) -> None:
    """Those that are not kept yet; in the thread that writes output."""
    rows = [
        {"execution": id, "stream": STREAM, "offset": 0, "chars_before": 0, "data": orjson.dumps(curve)}
        for id, curve in curves.items()
    ]
    if rows:
        with log.database.writing() as connection:
            connection.execute(log.database.dialect.add(chunks), rows)


def read_curve(log: OutputLog, execution: int) -> list[Point]:
    """Empty where none was kept."""
    wanted = sa.select(chunks.c.data).where(chunks.c.execution == execution, chunks.c.stream == STREAM)
    with log.database.reading() as connection:
        data = connection.execute(wanted).scalar()
    return [] if data is None else [tuple(point) for point in orjson.loads(bytes(data))]
