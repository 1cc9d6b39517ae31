"""The agent's side of the protocol, without I/O: what to do when the engine speaks, when a command ends, after a crash.

Whatever touches the world is a port (`Shim`): starting under an exclusive marker, killing, and knowing what runs. The
order is: spool first, then act, then report; so that after a crash at any point the shim's word completes the spool's.
An end is reported when it is known how much the execution has printed in all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple, Protocol

from scitq.agents.spool import Spool
from scitq.domain.execution import Failed, Refused, Started, Succeeded
from scitq.domain.messages import (
    Applied,
    Assign,
    Cancel,
    Heartbeat,
    HeldStatus,
    Reports,
    Resend,
    SayHello,
    Settings,
    Signal,
    ToAgent,
    Unwelcome,
    Welcome,
)

MOST_AT_ONCE = 1_000
WAITS_LONG_S = 2.0


class Exit(NamedTuple):
    """An execution is over. Without a code it is not known, or nothing was started: the reason says what happened."""

    execution: int
    code: int | None
    reason: str | None = None
    at: float = 0.0  # seconds since 1970


class Shim(Protocol):
    """What outlives the agent: it starts commands, each execution once, and knows how they ended."""

    def start(self, execution: int, task: int) -> None:
        """Start it. A second start of the same execution does nothing."""

    def kill(self, execution: int) -> None: ...
    def signal(self, execution: int, signal: int | str) -> None: ...
    def running(self) -> Iterable[int]: ...
    def ends(self) -> Iterable[Exit]:
        """Every execution that has ended and was not forgotten."""

    def started(self, execution: int) -> bool: ...
    def pid(self, execution: int) -> int | None:
        """The number of its process; None as long as it is not known."""


def _nothing(execution: int) -> tuple[int, int] | None:
    return 0, 0


class Agent:
    """One agent: what it holds, and the worker it is for the engine.

    `counts` tells how many bytes of standard output and error there are in all; None as long as it is not known.
    """

    def __init__(
        self,
        incarnation: str,
        spool: Spool,
        shim: Shim,
        counts: Callable[[int], tuple[int, int] | None] = _nothing,
        log: str = "",
    ) -> None:
        self.incarnation, self.spool, self._shim, self._counts = incarnation, spool, shim, counts
        self.log = log  # that of the server which gave us what we hold; empty when nobody did
        self.must_begin_anew = False
        self.worker = 0
        self.epoch = 0
        self.settings = 0
        self.concurrency = self.prefetch = 0
        self.held_still: set[int] = set()  # not kept over a restart: the engine says it again
        self.paused = False
        self.must_say_hello = True
        self.refused: str | None = None
        self.to_send = spool.floor  # the first report that was not sent, or is to be sent again
        self.over: dict[int, Exit] = {}  # ended, and not reported yet
        self.giving_back: str | None = None  # why, once nothing is to be run any more
        self._waiting: dict[int, float] = {}  # for a slot, since when
        self._killed: set[int] = set()  # to be given back
        self._starting: set[int] = set()  # asked of the shim, which has not said yet that it did

    def recover(self) -> None:
        """After a restart: ask the shim what became of what the spool says we hold."""
        ends = {end.execution: end for end in self._shim.ends()}
        running = set(self._shim.running())
        for id, status in list(self.spool.held.items()):
            if status == "ended" or not (status == "running" or self._shim.started(id)):
                continue
            if id in ends:
                self.on_exit(ends[id])
            elif id in running:
                self._begun(id, self._shim.pid(id) or 0)
                self._shim.signal(id, "resume")  # it may be held still; if it should be, the engine says so again
            else:
                self._begun(id, 0)
                self.spool.report(Refused(id, "the machine was restarted"))

    # The engine speaks ----------------------------------------------------------------------------------------

    def on_post(self, epoch: int, worker: int, incarnation: str, messages: Sequence[ToAgent]) -> None:
        """What an engine says. Not listened to: one that was deposed, and what was meant for whom we no longer are."""
        if epoch < self.epoch or incarnation != self.incarnation or 0 < worker < self.worker:
            return
        self.epoch = epoch
        for message in messages:
            self._on_message(message)

    def _on_message(self, message: ToAgent) -> None:
        match message:
            case Welcome():
                if message.worker != self.worker:
                    self.settings = 0
                self.worker, self.must_say_hello, self.refused = message.worker, False, None
                self.log = message.log or self.log
                self.spool.confirm(message.applied)
                self.to_send = self.spool.floor
            case Unwelcome():
                self.refused, self.must_begin_anew = message.reason, message.begin_anew
            case Settings():
                if message.version >= self.settings:
                    self.settings = message.version
                    self.concurrency, self.paused = message.concurrency, message.paused
                    self.prefetch = message.prefetch
            case Assign():
                if self.giving_back is not None:
                    return  # whoever comes next will be offered it again
                if self.spool.is_over(message.execution):
                    self.spool.report(Refused(message.execution, "it is over here"))  # should the engine not know
                elif not self.spool.knows(message.execution):
                    self.spool.give(message.execution, message.task, message.texts)
            case Cancel():
                self._shim.kill(message.execution)
                self.spool.drop(message.execution)
                self._starting.discard(message.execution)
                self.over.pop(message.execution, None)
            case Signal():
                self._shim.signal(message.execution, message.signal)
                if message.signal == "pause":
                    self.held_still.add(message.execution)
                elif message.signal == "resume":
                    self.held_still.discard(message.execution)
            case Applied():
                self.spool.confirm(message.sequence)
                self.to_send = max(self.to_send, self.spool.floor)
            case Resend():
                self.to_send = min(self.to_send, max(message.first, self.spool.floor))
            case SayHello():
                self.must_say_hello = True

    # The world turns ------------------------------------------------------------------------------------------

    def start_what_fits(self) -> None:
        """Start pending executions, oldest first, as far as there is room."""
        held = self.spool.held
        pending = [id for id, status in held.items() if status == "pending"]
        if not pending or self.paused or self.must_say_hello or self.giving_back is not None:
            return
        room = self.concurrency - len(self._starting)
        room -= sum(status == "running" and id not in self.over for id, status in held.items())
        for id in pending:
            if id not in self._starting:
                if room <= 0:
                    continue
                self._shim.start(id, self.spool.given[id].task)
                self._starting.add(id)
                room -= 1
            pid = self._shim.pid(id)
            if pid is not None:
                self.on_start(id, pid)

    def return_what_waits(self, now: float) -> None:
        """Give back what has waited long for a slot, but for what is to be prefetched: others may have room for it.

        The engine sends quick workers more than they have slots for; then a slow command may come before the rest.
        """
        waits = [id for id, status in self.spool.held.items() if status == "pending" and id not in self._starting]
        self._waiting = {id: self._waiting.get(id, now) for id in waits}
        for id in waits[self.prefetch :]:
            if now - self._waiting[id] >= WAITS_LONG_S:
                self.spool.report(Refused(id, "it waited here, and perhaps another worker has room for it"))

    def on_start(self, execution: int, pid: int) -> None:
        """The shim says that a command runs."""
        if execution in self.spool.held:
            self._begun(execution, pid)

    def _begun(self, execution: int, pid: int) -> None:
        if self.spool.held[execution] in ("pending", "accepted"):
            self.spool.report(Started(execution, pid))
        self._starting.discard(execution)

    def on_exit(self, end: Exit) -> None:
        """The shim says that a command ended, or that there is none."""
        if self.spool.held.get(end.execution, "ended") != "ended":
            self.over.setdefault(end.execution, end)
            self._report_end(end.execution)

    def report_ends(self) -> None:
        """Report those that ended of which it is known by now how much they have printed."""
        for execution in list(self.over):
            self._report_end(execution)

    def _report_end(self, execution: int) -> None:
        end, counts = self.over[execution], self._counts(execution)
        if self.giving_back is not None and execution in self._killed:
            self.spool.report(Refused(execution, self.giving_back))
        elif counts is None:
            return
        elif end.code == 0:
            self._begun(execution, 0)  # should it not be known yet
            self.spool.report(Succeeded(execution, *counts))
        else:
            if end.reason is None:
                self._begun(execution, 0)
            self.spool.report(Failed(execution, end.code, end.reason, *counts))
        self._starting.discard(execution)
        del self.over[execution]

    def give_back(self, reason: str) -> None:
        """End what runs, give all back that has not ended by itself, and take nothing more."""
        if self.giving_back is not None:
            return
        self.giving_back = reason
        for id, status in list(self.spool.held.items()):
            if status == "ended" or id in self.over:
                continue
            if status == "running" or id in self._starting:
                self._killed.add(id)
                self._shim.kill(id)
            else:
                self.spool.report(Refused(id, reason))

    # We speak -------------------------------------------------------------------------------------------------

    def heartbeat(self) -> Heartbeat:
        held: dict[int, HeldStatus] = dict(self.spool.held)
        self.held_still.intersection_update(held)
        held.update((id, "paused") for id in self.held_still if held[id] == "running")
        return Heartbeat(self.worker, self.incarnation, held, self.settings)

    def reports(self) -> Reports | None:
        """The next reports to send; `send_again` starts from the first that is not applied."""
        if self.must_say_hello or self.to_send > self.spool.last:
            return None
        first = max(self.to_send, self.spool.floor)
        last = min(self.spool.last, first + MOST_AT_ONCE - 1)
        self.to_send = last + 1
        reports = tuple(self.spool.reports[number] for number in range(first, last + 1))
        return Reports(self.worker, self.incarnation, first, self.spool.floor, reports)

    def send_again(self) -> None:
        self.to_send = self.spool.floor
