"""Several projections that are at the same position move on in one transaction: it costs more than most events do.

Whatever keeps them from it — one is elsewhere, an event cannot be folded, another process was there before — is left to
each of them by itself, as if nothing had been tried.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from sqlalchemy import Engine, bindparam, or_, update

from scitq.domain.wire import Recorded
from scitq.errors import StoreUnavailable
from scitq.projections.following import BATCH, following
from scitq.projections.runner import POSITIONS, Projector, is_that_of, transaction
from scitq.projections.writing import apply


class Elsewhere(Exception):
    """Not all of them are where we left them."""


class Together:
    """`engine` is the one that all of these projectors write with."""

    def __init__(self, engine: Engine, projectors: Iterable[Projector]) -> None:
        self._engine = engine
        self._projectors = tuple(projectors)
        self._move_on = (
            update(POSITIONS)
            .where(or_(*(is_that_of(one.projection) for one in self._projectors)))
            .where(POSITIONS.c.position == bindparam("here"))
            .values(position=bindparam("reached"), stopped=None)
        )

    def receive(self, events: Sequence[Recorded]) -> bool:
        """Fold what was published, for all of them; False: nothing is changed, each has to be told by itself."""
        here = {one.position for one in self._projectors}
        if len(here) != 1 or len(events) > BATCH or following(min(here), events) is not events:
            return False
        try:
            self._fold(min(here), events)
        except StoreUnavailable:
            raise
        except Exception:  # each by itself finds out what it is, and says so
            return False
        return True

    def _fold(self, here: int, events: Sequence[Recorded]) -> None:
        reached = events[-1].position
        with transaction(self._engine) as connection:
            moved = connection.execute(self._move_on, {"here": here, "reached": reached}).rowcount
            if moved != len(self._projectors):
                raise Elsewhere
            for one in self._projectors:
                apply(one.projection, connection, events)
        for one in self._projectors:
            one.position = reached
