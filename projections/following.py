"""How a follower of the log takes what it is sent: nothing twice, nothing skipped. Nothing here does I/O.

Messages may be repeated, reordered or lost, so they only ever save a reading: what does not come next is read from the
journal.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import NoReturn

from scitq.domain.wire import Recorded
from scitq.errors import ScitqError, StoreError

BATCH = 5_000
"""As many events are folded and written together: more gains nothing, and holds the others up for longer."""

Progress = Callable[[int], None]
"""Told the position reached, after each batch."""


class ProjectionStopped(ScitqError):
    """A projection met an event that it cannot fold, and stays before it: beyond, it would show what is not true."""

    def __init__(self, projection: str, position: int, error: Exception) -> None:
        self.projection, self.position = projection, position
        self.reason = f"{type(error).__name__}: {error}"
        super().__init__(f"projection {projection!r} has stopped before event {position}: {self.reason}")


def following(position: int, events: Sequence[Recorded]) -> Sequence[Recorded]:
    """Those of the events that come next after `position`, in order and without a gap."""
    if all(event.position == expected for expected, event in enumerate(events, position + 1)):
        return events  # as it nearly always is
    run: list[Recorded] = []
    for event in sorted(events, key=lambda event: event.position):
        if event.position == position + 1:
            run.append(event)
            position += 1
    return run


class Follower(ABC):
    """Something that is at a position of the log, and is told when there is more."""

    position: int

    def receive(self, events: Sequence[Recorded]) -> None:
        """Take what was published: each event once, in order, and after everything before it."""
        run = following(self.position, events)
        for start in range(0, len(run), BATCH):
            self._advance(run[start : start + BATCH])
        reach = max((event.position for event in events), default=0)
        if self.position < reach:
            self.catch_up()
            if self.position < reach:
                raise StoreError(f"event {reach} was published, but the journal ends at {self.position}")

    def catch_up(self, progress: Progress | None = None) -> None:
        """Read the journal to its end."""
        while events := self._read(self.position, BATCH):
            if len(following(self.position, events)) < len(events):
                raise StoreError(f"the journal was asked for what follows {self.position} and gave something else")
            self._advance(events)
            if progress is not None:
                progress(self.position)

    def _advance(self, events: Sequence[Recorded]) -> None:
        """Fold what comes next. Where that fails, get as near as can be, so that the event at fault is named."""
        try:
            self._fold(events)
        except StoreError:
            raise  # the store's trouble, not the event's
        except Exception as error:
            if len(events) == 1:
                self._stop(events[0].position, error)
            middle = len(events) // 2
            self._advance(events[:middle])
            self._advance(events[middle:])

    @abstractmethod
    def _read(self, after: int, limit: int) -> Sequence[Recorded]:
        """The next events of the journal; none: this is its end."""

    @abstractmethod
    def _fold(self, events: Sequence[Recorded]) -> None:
        """Fold these and move the position; or change nothing, and raise."""

    @abstractmethod
    def _stop(self, position: int, error: Exception) -> NoReturn:
        """Say that the event at this position cannot be folded: raise ProjectionStopped."""
