"""What an agent tells of the moment: how busy its machine is with each heartbeat, and each second whatever of its
executions somebody looks at. Nothing of it is kept for a server that is away, but the curves of what ended last.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Final

from scitq.agents.transfers import Underway
from scitq.agents.usage import Point
from scitq.domain.messages import Look
from scitq.domain.telemetry import MOST_EXECUTIONS, MOST_FILES, FileMoving, Live, Machine, Telemetry, Transfer

if TYPE_CHECKING:
    from scitq.agents.statistics import Statistics

EVERY_S: Final = 1.0
MOST_S: Final = 60.0
"""Whoever looks says so again and again."""
FEWEST: Final = 5
"""A curve of fewer points tells nothing that its end does not."""
MOST_KEPT: Final = 500
MOST_AT_ONCE: Final = 50
MOST_NAME: Final = 1_000


class Telling:
    """Of one agent. `underway` are its transfers, `curve` says what a running command has used."""

    def __init__(
        self,
        underway: Mapping[int, Underway],
        curve: Callable[[int], list[Point]],
        held: Callable[[int], bool] = lambda execution: True,
    ) -> None:
        self._underway, self._curve, self._held = underway, curve, held
        self._statistics: Statistics | None = None
        self._looked_at: dict[int, float] = {}  # until when
        self._ended: dict[int, list[Point]] = {}
        self._moved: dict[int, tuple[float, Transfer]] = {}  # when it was told last, and what
        self._next = 0.0

    # What happens ---------------------------------------------------------------------------------------------------

    def look(self, looks: Sequence[Look], now: float) -> None:
        """Somebody looks at these."""
        for one in looks:
            if one.execution in self._looked_at or len(self._looked_at) < MOST_EXECUTIONS:
                self._next = now if one.execution not in self._looked_at else self._next
                self._looked_at[one.execution] = now + min(max(one.for_s, 0.0), MOST_S)

    def on_end(self, execution: int, curve: list[Point]) -> None:
        """It is over; this was its curve."""
        if len(curve) >= FEWEST:
            self._ended[execution] = curve
            if len(self._ended) > MOST_KEPT:
                del self._ended[next(iter(self._ended))]

    # What is told ---------------------------------------------------------------------------------------------------

    def beat(self, worker: int, incarnation: str) -> Telemetry | None:
        """With a heartbeat."""
        machine = None
        if self._statistics is None:  # the first has nothing to compare with
            from scitq.agents.statistics import Statistics

            self._statistics = Statistics()
        else:
            sample = self._statistics.sample()
            machine = Machine(load=sample.load, memory=sample.memory, stats=sample.stats)
        ended = [
            Live(execution=id, curve=_told(self._ended.pop(id)), ended=True) for id in list(self._ended)[:MOST_AT_ONCE]
        ]
        return Telemetry(worker, incarnation, machine, tuple(ended)) if machine or ended else None

    def due(self) -> float | None:
        """When something has to be told to those who look; None while nobody does."""
        return self._next if self._looked_at else None

    def live(self, worker: int, incarnation: str, now: float) -> Telemetry | None:
        """What they are to see now, if it is time."""
        if not self._looked_at or now < self._next:
            return None
        self._next = now + EVERY_S
        self._looked_at = {id: until for id, until in self._looked_at.items() if until > now}
        self._moved = {id: moved for id, moved in self._moved.items() if id in self._looked_at}
        shown = tuple(self._one(id, now) for id in self._looked_at if self._held(id))
        return Telemetry(worker, incarnation, None, shown) if shown else None

    def _one(self, execution: int, now: float) -> Live:
        return Live(execution=execution, transfer=self._transfer(execution, now), curve=_told(self._curve(execution)))

    def _transfer(self, execution: int, now: float) -> Transfer | None:
        underway = self._underway.get(execution)
        if underway is None:
            self._moved.pop(execution, None)
            return None
        found = _of(underway)
        then, last = self._moved.get(execution, (now, found))
        self._moved[execution] = (now, found)
        same = (last.what, last.part) == (found.what, found.part) and now > then
        rate = max(found.done_bytes - last.done_bytes, 0) / (now - then) if same else None
        return found.model_copy(update={"rate": rate})


def _of(underway: Underway) -> Transfer:
    if underway.image is not None:
        done, total = underway.image
        return Transfer(what="pulling", done_bytes=max(done, 0), total_bytes=total if total > 0 else None)
    begun, progress = Transfer(what=underway.what, part=underway.part, parts=underway.parts), underway.progress
    if progress is None:
        return begun
    files = tuple(
        FileMoving(
            name=one.name.replace("\0", "?")[-MOST_NAME:],
            done_bytes=max(one.done_bytes, 0),
            total_bytes=one.total_bytes,
        )
        for one in progress.files[:MOST_FILES]
    )
    moved = {"done_bytes": max(progress.done_bytes, 0), "done_files": max(progress.done_files, 0), "files": files}
    totals = {"total_bytes": progress.total_bytes, "total_files": progress.total_files}
    return begun.model_copy(update={**moved, **totals})


def _told(curve: list[Point]) -> tuple[tuple[float, float, int, int, int], ...]:
    return tuple((point.at_s, round(point.used.cpu_s, 3), *point.used[1:]) for point in curve)
