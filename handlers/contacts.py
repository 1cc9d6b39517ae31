"""When each worker was last heard, and how far its reports are applied: the engine's memory, never a fact.

Durations are taken from a clock that never jumps. After a start, a take-over or a jump of the wall clock every worker
gets one fresh lease: nobody is called silent for the time in which we did not listen.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import exp
from typing import Final

from scitq.domain.execution import Report
from scitq.domain.messages import Told, Unknown
from scitq.handlers.rests import Rests

MOST_AHEAD: Final = 10_000
"""Reports held while one before them is missing; those beyond are sent again later."""
PACE_US: Final = 250_000
AHEAD_US: Final = 40_000
MOST_HELD_AHEAD: Final = 64
ASK_AGAIN_US: Final = 5_000_000
"""After which a question to an agent is taken for lost."""


@dataclass(slots=True)
class Pace:
    """How quickly executions end at an agent: a count in which what is long ago matters ever less."""

    ends: float = 0.0
    at: int = 0

    def note(self, ends: int, at: int) -> None:
        self.ends = self._left(at) + ends
        self.at = at

    def ahead(self, at: int) -> int:
        """How many executions end in the time that it takes to send the next ones."""
        return min(int(self._left(at) * AHEAD_US / PACE_US), MOST_HELD_AHEAD)

    def _left(self, at: int) -> float:
        return self.ends * exp((self.at - at) / PACE_US)


@dataclass(slots=True)
class Contact:
    """One agent: when it was heard, its last applied report, and the reports that came too early."""

    incarnation: str
    heard: int
    applied: int
    ahead: dict[int, Told] = field(default_factory=dict)
    pace: Pace = field(default_factory=Pace)

    def in_order(self, first: int, floor: int, reports: tuple[Told, ...]) -> list[tuple[int, Report]]:
        """Those reports whose turn it is now, numbered. What came early is held; what was applied is dropped.

        All below `floor` were confirmed by an engine: they are applied, even if they changed nothing and left no mark.
        """
        if floor - 1 > self.applied:
            self.applied = floor - 1
            self.ahead = {number: report for number, report in self.ahead.items() if number >= floor}
        due = self._take_those_due()  # the floor may have closed a gap
        for number, report in enumerate(reports, first):
            is_next = number == self.applied + 1
            if is_next or (number > self.applied and len(self.ahead) < MOST_AHEAD):
                self.ahead[number] = report
                due += self._take_those_due()
        return due

    def _take_those_due(self) -> list[tuple[int, Report]]:
        due: list[tuple[int, Report]] = []
        while self.applied + 1 in self.ahead:
            self.applied += 1
            told = self.ahead.pop(self.applied)
            if not isinstance(told, Unknown):
                due.append((self.applied, told))
        return due


class Contacts:
    """The contact of every worker that was heard since this engine leads."""

    def __init__(self, since: int, log: str = "") -> None:
        self.since = since
        self.log = log  # which log that is: agents must not report to one what another one gave them
        self.next_watch = since
        self.rests = Rests()
        self._asked_for: dict[int, int] = {}
        self._contacts: dict[int, Contact] = {}

    def heard(self, worker: int, incarnation: str, applied: int, at: int) -> Contact:
        """The worker was heard. `applied`: its mark in the log, for one not heard before."""
        contact = self._contacts.get(worker)
        if contact is None or contact.incarnation != incarnation:
            contact = self._contacts[worker] = Contact(incarnation, at, applied)
        contact.heard = at
        return contact

    def forget(self, worker: int) -> None:
        """Go back to what the log says of the worker's reports. It keeps its lease."""
        contact = self._contacts.pop(worker, None)
        if contact is not None:
            self._contacts[worker] = Contact("", contact.heard, 0)

    def silent_for(self, worker: int, at: int) -> int:
        """Microseconds since the worker was heard, or since its lease was last renewed."""
        contact = self._contacts.get(worker)
        return at - max(self.since, contact.heard if contact is not None else 0)

    def may_hold_ahead(self, worker: int, at: int) -> int:
        """What a worker may hold beyond its slots and its prefetch, because it is done with them before more can come.

        None of it while executions take long: what is held must not wait where another worker could run it.
        """
        contact = self._contacts.get(worker)
        return contact.pace.ahead(at) if contact is not None else 0

    def asks_for(self, execution: int, at: int) -> bool:
        """Whether to ask its worker to give it back: not if it has been asked just now."""
        if execution in self._asked_for:
            return False
        self._asked_for[execution] = at
        return True

    def unanswered(self, at: int) -> list[int]:
        """Executions that were asked for long ago: forgotten with this."""
        late = [execution for execution, since in self._asked_for.items() if at - since >= ASK_AGAIN_US]
        for execution in late:
            del self._asked_for[execution]
        return late

    def refresh(self, at: int) -> None:
        """Every worker gets a fresh lease."""
        self.since = at
