"""The agent's side of the protocol, without I/O: what to do when the engine speaks, when a command ends, after a crash.

Whatever touches the world is a port. `Shim`: starting under an exclusive marker, killing, and knowing what runs.
`Stores`: fetching what a command needs, and storing what it made. The order is: spool first, then act, then report; so
that after a crash at any point the shim's word completes the spool's. An end is reported when it is known how much the
execution has printed in all; outputs are stored when the engine gives leave, so that of two attempts one does it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple, Protocol

from scitq.agents.spool import Spool
from scitq.domain.execution import (
    WAITING,
    Accepted,
    Delivered,
    Exited,
    Failed,
    Failure,
    Gone,
    Ready,
    Refused,
    Started,
    Succeeded,
    Used,
)
from scitq.domain.messages import (
    AgentHello,
    Applied,
    Assign,
    Cancel,
    GiveBack,
    Heartbeat,
    HeldStatus,
    Look,
    Obey,
    Reports,
    Resend,
    SayHello,
    SendOutputs,
    Settings,
    Signal,
    ToAgent,
    Unwelcome,
    Welcome,
)
from scitq.domain.worker import Hello, Order

MOST_AT_ONCE = 1_000
WAITS_LONG_S = 2.0


class Exit(NamedTuple):
    """An execution is over. Without a code it is not known, or nothing was started: the reason says what happened."""

    execution: int
    code: int | None
    reason: str | None = None
    at: float = 0.0  # seconds since 1970
    failure: Failure | None = None  # its class, where that is not plain from the code
    used: Used | None = None
    gives_back: bool = False  # the machine is to blame: elsewhere it may do well


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


class Stores(Protocol):
    """Where inputs come from and outputs go to. What is done is told later: `on_ready`, `on_sent`, `on_no_transfer`."""

    def fetches(self, execution: int) -> bool:
        """Whether anything must come before the command can start."""

    def sends(self, execution: int) -> bool:
        """Whether its outputs are to be stored anywhere."""

    def prepare(self, execution: int) -> None:
        """Fetch what it needs. Asked for again after a restart: what is there already is not fetched again."""

    def has_all(self, execution: int) -> bool:
        """Whether all that was fetched for it in an earlier life of the agent is still here."""

    def send(self, execution: int) -> None: ...
    def drop(self, execution: int) -> None:
        """Stop what is under way for it."""


class NoStores:
    """For an agent that moves nothing."""

    def fetches(self, execution: int) -> bool:
        return False

    def sends(self, execution: int) -> bool:
        return False

    def prepare(self, execution: int) -> None:
        raise AssertionError("nothing is fetched here")

    def has_all(self, execution: int) -> bool:
        return True

    def send(self, execution: int) -> None:
        raise AssertionError("nothing is sent from here")

    def drop(self, execution: int) -> None:
        return


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
        stores: Stores | None = None,
        obeyed: int = 0,
    ) -> None:
        self.incarnation, self.spool, self._shim, self._counts = incarnation, spool, shim, counts
        self._stores: Stores = stores or NoStores()
        self.gives_leave = True  # whether the server says when outputs may be stored: an older one does not
        self.sending: set[int] = set()  # exited, and their outputs are on the way
        self._preparing: set[int] = set()
        self._doubtful: set[int] = set()  # ready in an earlier life: perhaps what they need is gone since
        self.log = log  # that of the server which gave us what we hold; empty when nobody did
        self.must_begin_anew = False
        self.worker = 0
        self.epoch = 0
        self.settings = 0
        self.obeyed = obeyed
        self.orders: list[tuple[int, Order]] = []  # to be carried out, oldest first
        self.concurrency = self.prefetch = 0
        self.held_still: set[int] = set()  # not kept over a restart: the engine says it again
        self.paused = False
        self.must_say_hello = True
        self.refused: str | None = None
        self.to_send = spool.floor  # the first report that was not sent, or is to be sent again
        self.over: dict[int, Exit] = {}  # ended, and not reported yet
        self.failed: set[int] = set()  # in this life, and perhaps somebody wants to see what they left
        self.giving_back: str | None = None  # why, once nothing is to be run any more
        self.rests = False  # nothing new is started, for a reason of this machine's
        self._waiting: dict[int, float] = {}  # for a slot, since when
        self._killed: set[int] = set()  # to be given back
        self._starting: set[int] = set()  # asked of the shim, which has not said yet that it did

    def recover(self) -> None:
        """After a restart: ask the shim what became of what the spool says we hold, and what we were to end."""
        ends = {end.execution: end for end in self._shim.ends()}
        running = set(self._shim.running())
        for id, status in list(self.spool.held.items()):
            if status == "exited" or status == "ended" or not (status == "running" or self._shim.started(id)):
                continue  # what is to be prepared is, by the next turn; leave to send is given again
            if id in ends:
                self.on_exit(ends[id])
            elif id in running:
                if (pid := self._shim.pid(id)) is not None:  # else it is told when that is known
                    self._begun(id, pid)
                self._shim.signal(id, "resume")  # it may be held still; if it should be, the engine says so again
            else:
                self._begun(id, 0)
                self.spool.report(Refused(id, "the machine was restarted"))
        for id, task in list(self.spool.ending.items()):
            if id not in running:
                self.spool.report(Gone(id, task))
        self._doubtful = {id for id, status in self.spool.held.items() if status == "ready"}

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
                self.gives_leave = message.gives_leave
                self._send_unasked()
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
                self._cancel(message.execution)
            case GiveBack():
                self._give_one_back(message.execution, message.reason)
            case SendOutputs():
                self._send(message.execution)
            case Signal():
                self._shim.signal(message.execution, message.signal)
                if message.signal == "pause":
                    self.held_still.add(message.execution)
                elif message.signal == "resume":
                    self.held_still.discard(message.execution)
            case Obey():
                if message.number > self.obeyed and message.number not in dict(self.orders):
                    self.orders.append((message.number, message.order))
            case Applied():
                self.spool.confirm(message.sequence)
                self.to_send = max(self.to_send, self.spool.floor)
            case Resend():
                self.to_send = min(self.to_send, max(message.first, self.spool.floor))
            case SayHello():
                self.must_say_hello = True
            case Look():
                return  # it is no engine's word: see Conversation

    def _cancel(self, execution: int) -> None:
        runs = self.spool.held.get(execution) in ("running", "pending", "ready") and self._shim.started(execution)
        self._shim.kill(execution)
        self._stores.drop(execution)
        self.spool.drop(execution, still_runs=runs)
        self._starting.discard(execution)
        self._preparing.discard(execution)
        self.sending.discard(execution)
        self.over.pop(execution, None)

    def _give_one_back(self, execution: int, reason: str) -> None:
        """It is not to wait here any more. What has begun, or is about to, stays: else two would run it."""
        waits = self.spool.held.get(execution) in WAITING
        if waits and execution not in self._starting and not self._shim.started(execution):
            self._stores.drop(execution)
            self._preparing.discard(execution)
            self._doubtful.discard(execution)
            self.spool.report(Refused(execution, reason))

    # The world turns ------------------------------------------------------------------------------------------

    def prepare_what_waits(self) -> None:
        """Fetch what those need that are held, and have not said that all of it is here."""
        if self.paused or self.must_say_hello or self.giving_back is not None:
            return
        for id, status in list(self.spool.held.items()):
            if id in self._doubtful:
                self._doubtful.discard(id)
                if self._stores.has_all(id):
                    continue
            elif status not in ("pending", "accepted"):
                continue
            if id not in self._preparing and id not in self._starting:
                if status == "pending":
                    if not self._stores.fetches(id):
                        continue
                    self.spool.report(Accepted(id))
                self._preparing.add(id)
                self._stores.prepare(id)

    def on_ready(self, execution: int, files: int, bytes: int) -> None:
        """All that it needs is here."""
        if execution in self._preparing:
            self._preparing.discard(execution)
            if self.spool.held[execution] != "ready":
                self.spool.report(Ready(execution, files, bytes))

    def on_sent(self, execution: int, files: int, bytes: int) -> None:
        """Its outputs are stored: it is over."""
        if execution in self.sending:
            self._over(execution, {"output_files": files, "output_bytes": bytes})

    def on_no_transfer(self, execution: int, failure: Failure | None, reason: str) -> None:
        """What it needs did not come, or what it made could not be stored; without a failure, by our fault."""
        if execution in self._preparing:
            self._preparing.discard(execution)
            if failure is None:
                self.spool.report(Refused(execution, reason, unable=True))
            else:
                self._fail(Failed(execution, None, reason, failure=failure))
        elif execution in self.sending:
            self._over(execution, {}, failure, reason)

    def _over(self, execution: int, used: Used, failure: Failure | None = None, reason: str | None = None) -> None:
        """It had exited, and now all of it is over. That its outputs could not be stored is the lesser evil."""
        self.sending.discard(execution)
        exited = self.spool.exited[execution]
        counts = exited.stdout_bytes, exited.stderr_bytes
        used = {**(exited.used or {}), **used}
        if exited.failure is None and exited.return_code == 0 and failure is None:
            self.spool.report(Succeeded(execution, *counts, used))
        else:
            why = "; and ".join(filter(None, (exited.reason, reason))) or None
            self._fail(Failed(execution, exited.return_code, why, *counts, exited.failure or failure, used))

    def _fail(self, report: Failed) -> None:
        self.failed.add(report.execution)
        self.spool.report(report)

    def _send_unasked(self) -> None:
        """To a server that never gives leave."""
        for execution in [] if self.gives_leave else list(self.spool.exited):
            self._send(execution)

    def _send(self, execution: int) -> None:
        if self.spool.held.get(execution) == "exited" and execution not in self.sending:
            self.sending.add(execution)
            self._stores.send(execution)

    def start_what_fits(self) -> None:
        """Start executions that have all they need, oldest first, as far as there is room."""
        held = self.spool.held
        fetching = self._preparing | self._doubtful
        pending = [id for id, status in held.items() if status in ("pending", "ready") and id not in fetching]
        if not pending or self.paused or self.rests or self.must_say_hello or self.giving_back is not None:
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

    def on_start(self, execution: int, pid: int, image: str | None = None) -> None:
        """The shim says that a command runs, and in which image."""
        if execution in self.spool.held:
            self._begun(execution, pid, image)

    def _begun(self, execution: int, pid: int, image: str | None = None) -> None:
        if self.spool.held[execution] in WAITING:
            self.spool.report(Started(execution, pid, image))
        self._starting.discard(execution)

    def on_exit(self, end: Exit) -> None:
        """The shim says that a command ended, or that there is none."""
        if self.spool.held.get(end.execution, "ended") not in ("exited", "ended"):
            self.over.setdefault(end.execution, end)
            self._report_end(end.execution)
        elif end.execution in self.spool.ending:
            self.spool.report(Gone(end.execution, self.spool.ending[end.execution]))

    def on_signalled(self, execution: int, signal: int) -> None:
        """The shim says that a signal has reached the command."""
        if self.spool.held.get(execution) == "running":
            self.spool.report(Delivered(execution, signal))

    def report_ends(self) -> None:
        """Report those that ended of which it is known by now how much they have printed."""
        for execution in list(self.over):
            self._report_end(execution)

    def _report_end(self, execution: int) -> None:
        end, counts = self.over[execution], self._counts(execution)
        if self.giving_back is not None and execution in self._killed:
            self.spool.report(Refused(execution, self.giving_back))
        elif end.gives_back:
            self.spool.report(Refused(execution, end.reason or "it could not be run here", unable=True))
        elif counts is None:
            return
        else:
            self._report_how(end, counts)
        self._starting.discard(execution)
        del self.over[execution]

    def _report_how(self, end: Exit, counts: tuple[int, int]) -> None:
        """Well or badly; and that is not all yet, when it has outputs that are to be stored."""
        execution, failure = end.execution, end.failure
        if end.code != 0 and failure is None:
            failure = "agent_error" if end.code is None else "command_failed"
        if end.reason is None:
            self._begun(execution, 0)  # should it not be known yet
        if self.spool.held[execution] == "running" and self._stores.sends(execution):
            self.spool.report(Exited(execution, end.code, end.reason, *counts, failure, end.used))
            self._send_unasked()
        elif end.code == 0:
            self.spool.report(Succeeded(execution, *counts, end.used))
        else:
            self._fail(Failed(execution, end.code, end.reason, *counts, failure, end.used))

    def give_back(self, reason: str) -> None:
        """End what runs, give all back that has not ended by itself, and take nothing more."""
        if self.giving_back is not None:
            return
        self.giving_back = reason
        for id, status in list(self.spool.held.items()):
            if status in ("exited", "ended") or id in self.over:
                continue
            self._stores.drop(id)
            self._preparing.discard(id)
            if status == "running" or id in self._starting:
                self._killed.add(id)
                self._shim.kill(id)
            else:
                self.spool.report(Refused(id, reason))

    # We speak -------------------------------------------------------------------------------------------------

    def hello(self, hello: Hello) -> AgentHello:
        held = tuple(id for id, status in self.spool.held.items() if status != "ended")
        return AgentHello(hello, log=self.log, held=held)

    def heartbeat(self) -> Heartbeat:
        held: dict[int, HeldStatus] = dict(self.spool.held)
        self.held_still.intersection_update(held)
        held.update((id, "paused") for id in self.held_still if held[id] == "running")
        held.update((id, "uploading") for id in self.sending)
        return Heartbeat(self.worker, self.incarnation, held, self.settings, self.obeyed)

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
