"""What an agent must not forget: which executions it was given, and what it has to report. Pure: the file is outside.

Every change is an entry that is written before it counts; the spool is the fold of its entries. A report is kept until
the engine says that it is applied. An execution that is over stays known as such, so that a late copy of its assignment
starts nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, assert_never

from scitq.domain.execution import Accepted, Exited, Failed, Gone, Ready, Refused, Report, Started, Succeeded
from scitq.domain.messages import HeldStatus

MOST_REASON: Final = 2_000
MOST_REMEMBERED: Final = 10_000
"""Executions that are over and still known one by one; all below the oldest of them count as over."""


@dataclass(frozen=True, slots=True)
class Given:
    """An execution was assigned to this agent."""

    execution: int
    task: int
    texts: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Reported:
    """Something happened; it is the report of that number."""

    number: int
    report: Report


@dataclass(frozen=True, slots=True)
class Confirmed:
    """The engine has applied all reports up to this number."""

    number: int


@dataclass(frozen=True, slots=True)
class Dropped:
    """The engine took the execution back; or it never comes, should its assignment still be under way.

    `task`: whose it was, when something of it still runs; then it will be said when nothing does.
    """

    execution: int
    task: int = 0


Entry = Given | Reported | Confirmed | Dropped

_AFTER: Final[dict[type[Any], HeldStatus]] = {
    Accepted: "accepted",
    Ready: "ready",
    Started: "running",
    Exited: "exited",
    Succeeded: "ended",
    Failed: "ended",
    Refused: "ended",
}
_SAID_BY: Final[dict[HeldStatus, Callable[[int], Report]]] = {
    "accepted": Accepted,
    "ready": Ready,
    "running": Started,
    "exited": Exited,
}


def tellable(reason: str) -> str:
    """What an engine or a library said, so that it can be written and sent: a file's name may be no text."""
    clean = reason.encode("utf-8", "replace").decode().replace("\0", "?").strip()
    return clean[:MOST_REASON] or "no reason was given"


class Spool:
    """The fold of an agent's entries."""

    def __init__(self, write: Callable[[Entry], None]) -> None:
        self._write = write
        self.held: dict[int, HeldStatus] = {}
        self.given: dict[int, Given] = {}
        self.reports: dict[int, Report] = {}
        self.exited: dict[int, Exited] = {}  # how those ended whose outputs are still to be stored
        self.ending: dict[int, int] = {}  # taken back, and something of it may still run: its task
        self.last = 0
        self._over: dict[int, None] = {}
        self._over_below = 0

    @classmethod
    def reopen(cls, entries: Iterable[Entry], write: Callable[[Entry], None]) -> Spool:
        """The spool that an earlier run of the agent left."""
        spool = cls(write)
        for entry in entries:
            spool._apply(entry)
        return spool

    @property
    def floor(self) -> int:
        """The first report that is still kept; the number of the next one when none is."""
        return next(iter(self.reports), self.last + 1)

    def knows(self, execution: int) -> bool:
        """Whether it was given before, or is over, or so old that it must be."""
        return execution in self.held or execution in self._over or execution < self._over_below

    def is_over(self, execution: int) -> bool:
        """Whether it is known to be over and nothing more will be reported of it."""
        return execution not in self.held and self.knows(execution)

    def give(self, execution: int, task: int, texts: Mapping[str, Any] | None) -> None:
        self._enter(Given(execution, task, texts))

    def report(self, report: Report) -> None:
        if isinstance(report, Exited | Failed | Refused) and report.reason is not None:
            report = replace(report, reason=tellable(report.reason))
        self._enter(Reported(self.last + 1, report))

    def confirm(self, number: int) -> None:
        if number >= self.floor:
            self._enter(Confirmed(min(number, self.last)))

    def drop(self, execution: int, *, still_runs: bool = False) -> None:
        if execution not in self._over:
            given = self.given.get(execution)
            self._enter(Dropped(execution, given.task if given is not None and still_runs else 0))

    def fewest(self) -> Iterator[Entry]:
        """The entries that make this spool, and no more."""
        if self._over_below:
            yield Dropped(self._over_below - 1)  # the first to be forgotten again, and with it all below
        for execution in self._over:
            yield Dropped(execution, self.ending.get(execution, 0))
        yield from (given for id, given in self.given.items() if self.held[id] != "pending")
        # How far the held ones are was said in reports that are confirmed and gone: one number says it again for all.
        before = self.floor - 1
        yield Reported(before, Started(0))
        for execution, status in self.held.items():
            if status in _SAID_BY:
                yield Reported(before, self.exited.get(execution) or _SAID_BY[status](execution))
        yield Confirmed(before)
        for number, report in self.reports.items():
            yield Reported(number, report)
        yield from (given for id, given in self.given.items() if self.held[id] == "pending")  # in order: oldest first

    def _enter(self, entry: Entry) -> None:
        self._write(entry)
        self._apply(entry)

    def _apply(self, entry: Entry) -> None:
        match entry:
            case Given():
                self.held[entry.execution] = "pending"
                self.given[entry.execution] = entry
            case Reported():
                self.last = entry.number
                self.reports[entry.number] = entry.report
                if entry.report.execution in self.held:
                    self._is_so_far(entry.report)
                elif isinstance(entry.report, Gone):
                    self.ending.pop(entry.report.execution, None)
            case Confirmed():
                self._confirmed(entry.number)
            case Dropped():
                self._note_ending(entry)
                self._forget(entry.execution)
            case _:
                assert_never(entry)

    def _is_so_far(self, report: Report) -> None:
        after = _AFTER.get(type(report))
        if after is not None:
            self.held[report.execution] = after
        if isinstance(report, Exited):
            self.exited[report.execution] = report

    def _note_ending(self, dropped: Dropped) -> None:
        if dropped.task:
            self.ending[dropped.execution] = dropped.task

    def _confirmed(self, number: int) -> None:
        while self.reports and (first := next(iter(self.reports))) <= number:
            report = self.reports.pop(first)
            if _AFTER.get(type(report)) == "ended":
                self._forget(report.execution)

    def _forget(self, execution: int) -> None:
        self.held.pop(execution, None)
        self.given.pop(execution, None)
        self.exited.pop(execution, None)
        self._over[execution] = None
        while len(self._over) > MOST_REMEMBERED:
            oldest = next(iter(self._over))
            del self._over[oldest]
            self._over_below = max(self._over_below, oldest + 1)
