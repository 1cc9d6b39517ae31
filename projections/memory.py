"""A projection in plain dicts: what the simulation watches, and what every database must agree with."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Generic, NoReturn

from scitq.domain.wire import Recorded
from scitq.projections.following import BATCH, Follower, ProjectionStopped
from scitq.projections.projection import Projection, R

Read = Callable[[int, int], Sequence[Recorded]]


class MemoryProjector(Follower, Generic[R]):
    """`read(after, limit)` gives the next events of the log."""

    def __init__(self, projection: Projection[R], read: Read) -> None:
        self.projection = projection
        self.position = 0
        self.rows: R = projection.empty()
        self._fold_rows = projection.fold
        self._read_journal = read

    def rebuild(self) -> None:
        """Forget everything and fold it anew."""
        self.position, self.rows = 0, self.projection.empty()
        self.catch_up()

    def _read(self, after: int, limit: int) -> Sequence[Recorded]:
        return self._read_journal(after, limit)

    def _fold(self, events: Sequence[Recorded]) -> None:
        try:
            self._fold_rows(self.rows, events)
        except Exception:
            # Rows were changed halfway. That is rare, so undoing it may be slow: they are folded again up to here.
            self.rows = self._folded(self.position)
            raise
        self.position = events[-1].position

    def _stop(self, position: int, error: Exception) -> NoReturn:
        raise ProjectionStopped(self.projection.name, position, error) from error

    def _folded(self, end: int) -> R:
        rows, position = self.projection.empty(), 0
        while position < end:
            events = self._read_journal(position, min(BATCH, end - position))
            self._fold_rows(rows, events)
            position = events[-1].position
        return rows
