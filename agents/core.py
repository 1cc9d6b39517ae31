"""The agent's side of the protocol, without I/O: what to do when the engine speaks, when a command ends, after a crash.

Whatever touches the world is a port (`Shim`): starting under an exclusive marker, killing, and knowing what runs. The
order is: spool first, then act, then report; so that after a crash at any point the shim's word completes the spool's.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol

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


class Shim(Protocol):
    """What outlives the agent: it starts commands, each execution once, and knows how they ended."""

    def start(self, execution: int, task: int) -> None:
        """Start it. A second start of the same execution does nothing."""

    def kill(self, execution: int) -> None: ...
    def signal(self, execution: int, signal: int | str) -> None: ...
    def running(self) -> Iterable[int]: ...
    def exits(self) -> Iterable[tuple[int, int]]:
        """Every execution that has ended since the machine started, with its return code."""

    def started(self, execution: int) -> bool: ...


class Agent:
    """One agent: what it holds, and the worker it is for the engine."""

    def __init__(self, incarnation: str, spool: Spool, shim: Shim) -> None:
        self.incarnation, self.spool, self._shim = incarnation, spool, shim
        self.worker = 0
        self.epoch = 0
        self.settings = 0
        self.concurrency = 0
        self.held_still: set[int] = set()  # not kept over a restart: the engine says it again
        self.paused = False
        self.must_say_hello = True
        self.refused: str | None = None
        self.to_send = spool.floor  # the first report that was not sent, or is to be sent again

    def recover(self) -> None:
        """After a restart: ask the shim what became of what the spool says we hold."""
        exits = dict(self._shim.exits())
        running = set(self._shim.running())
        for id, status in list(self.spool.held.items()):
            if status == "ended" or not (status == "running" or self._shim.started(id)):
                continue
            if status != "running":
                self.spool.report(Started(id))
            if id in exits:
                self._ended(id, exits[id])
            elif id in running:
                self._shim.signal(id, "resume")  # it may be held still; if it should be, the engine says so again
            else:
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
                self.spool.confirm(message.applied)
                self.to_send = self.spool.floor
            case Unwelcome():
                self.refused = message.reason
            case Settings():
                if message.version >= self.settings:
                    self.settings = message.version
                    self.concurrency, self.paused = message.concurrency, message.paused
            case Assign():
                if self.spool.is_over(message.execution):
                    self.spool.report(Refused(message.execution, "it is over here"))  # should the engine not know
                elif not self.spool.knows(message.execution):
                    self.spool.give(message.execution, message.task, message.texts)
            case Cancel():
                self._shim.kill(message.execution)
                self.spool.drop(message.execution)
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
        if self.paused or self.must_say_hello:
            return
        room = self.concurrency - sum(status == "running" for status in self.spool.held.values())
        for id, status in list(self.spool.held.items()):
            if room <= 0:
                return
            if status == "pending":
                self._shim.start(id, self.spool.given[id].task)
                self.spool.report(Started(id))
                room -= 1

    def on_exit(self, execution: int, code: int) -> None:
        """The shim says that a command ended."""
        if self.spool.held.get(execution) == "running":
            self._ended(execution, code)

    def _ended(self, execution: int, code: int) -> None:
        self.spool.report(Succeeded(execution) if code == 0 else Failed(execution, code))

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
