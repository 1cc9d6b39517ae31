"""The system with one of its protections taken out: a simulation that does not notice is not looking.

The mutants grade the invariants. Each is one sentence about what is no longer done.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, cast
from unittest import mock

from scitq.agents.core import Agent
from scitq.agents.spool import Spool
from scitq.domain import execution as ex
from scitq.domain import task as tasks
from scitq.domain.commands import Request
from scitq.domain.envelope import Append
from scitq.domain.messages import Assign, Cancel, Reports
from scitq.domain.state import State
from scitq.domain.task import ReleaseTask
from scitq.errors import LeaseLost, OutcomeUnknown, Rejected, StoreUnavailable
from scitq.handlers import agents, engine, leases, overlay, reports, requirements, texts, timeouts, users
from scitq.handlers.actions import OnExecution, OnTask
from scitq.handlers.contacts import Contact, Contacts
from scitq.handlers.engine import Engine
from scitq.handlers.overlay import Overlay, Reply
from scitq.projections import following
from tests.simulation import world
from tests.simulation.kernel import SECOND, sleep
from tests.simulation.memory_journal import MemoryJournal

Mutant = Callable[[], Any]


def _patched(target: Any, name: str, new: Any) -> Mutant:
    return partial(mock.patch.object, target, name, new)


# The execution id as a fence ------------------------------------------------------------------------------------


def _any_report_counts(turn: Overlay, worker: int, report: ex.Report) -> None:
    """What is said about any execution of a task is taken for its current one."""
    for recorded in reversed(turn.outcome.events):
        if isinstance(recorded.event, ex.ExecutionAssigned) and recorded.event.execution == report.execution:
            turn.do(OnExecution(report.execution, report))
            return
    owner = _OWNERS.setdefault(id(turn.state), {})
    for execution in turn.state.executions.values():
        owner[execution.id] = execution.task
    task = turn.state.tasks.get(owner.get(report.execution, 0))
    current = task.execution if task is not None and task.live else report.execution
    turn.do(OnExecution(current, report))


_OWNERS: dict[int, dict[int, int]] = {}


@contextmanager
def no_fence() -> Iterator[None]:
    """A report is taken for the task's current execution, whichever one it is about."""
    _OWNERS.clear()
    with mock.patch.object(reports, "_take_report", _any_report_counts):
        yield


def _adopt(execution: ex.Execution | None, command: ex.ExecutionCommand, *, task_is_free: bool) -> list[Any]:
    return _decide(execution, command, task_is_free=True)


_decide = ex.decide


def _keep_the_lost(self: State, old: Any, new: Any) -> None:
    kept = dict(self.executions)
    _put_task(self, old, new)
    for id, execution in kept.items():
        if execution.status == "lost" and id not in self.executions:
            self.executions[id] = execution


_put_task = State._put_task


@contextmanager
def lost_ones_come_back_always() -> Iterator[None]:
    """A worker that returns gets its task back, even if somebody else has it by now."""
    with mock.patch.object(ex, "decide", _adopt), mock.patch.object(State, "_put_task", _keep_the_lost):
        yield


# Commands -------------------------------------------------------------------------------------------------------


async def _forget_answers(self: Engine, inputs: Sequence[Any]) -> Any:
    loaded = await _load(self, inputs)
    loaded.answers = {}
    return loaded


_load = Engine._load


def _insert_again(self: MemoryJournal, append: Append) -> None:
    return _check(self, append._replace(answers=[]))


_check = MemoryJournal._check


@contextmanager
def no_command_memory() -> Iterator[None]:
    """The same request is decided again each time it comes."""
    with mock.patch.object(Engine, "_load", _forget_answers), mock.patch.object(MemoryJournal, "_check", _insert_again):
        yield


def _keep_refusals(turn: Overlay, request: Request) -> None:
    known = _REFUSED.get(request.id)
    if known is not None:
        turn.outcome.replies.append(Reply(request.id, None, known))
        return
    before = len(turn.outcome.replies)
    _take_request(turn, request)
    for reply in turn.outcome.replies[before:]:
        if reply.refusal is not None:
            _REFUSED[request.id] = reply.refusal


_take_request = users.take_request
_REFUSED: dict[str, str] = {}


@contextmanager
def refusals_remembered() -> Iterator[None]:
    """A refusal is kept like an answer: the same request is refused for ever."""
    _REFUSED.clear()
    fresh = world.World.__init__

    def forget(self: world.World, seed: int) -> None:
        _REFUSED.clear()
        fresh(self, seed)

    with mock.patch.object(users, "take_request", _keep_refusals), mock.patch.object(world.World, "__init__", forget):
        yield


# The store ------------------------------------------------------------------------------------------------------


async def _epoch_only_read(self: world.SimJournal, append: Append) -> None:
    """The epoch is looked at when the transaction begins; the commit comes later."""
    journal = self._world.journal
    if append.epoch != journal.epoch:
        raise LeaseLost(append.epoch)
    await self._way()
    chaos, rng = self._world.chaos, self._world.kernel.rng
    if chaos.stall and rng.random() < chaos.stall:
        await sleep(int(rng.random() * 20 * SECOND))
    mine, journal.epoch = journal.epoch, append.epoch
    try:
        self.commit(append)
    finally:
        journal.epoch = mine


async def _conclude_unfenced(self: Engine, outcome: Any, deliveries: Any) -> None:
    """A turn without events does not pass the store."""
    if outcome.events or outcome.answers:
        await _conclude(self, outcome, deliveries)
        return
    assert self.lease is not None
    self.state.merge()
    if outcome.messages:
        await self._bus.tell(await self._posts(outcome, self.lease.epoch))
    if outcome.replies:
        await self._bus.reply(outcome.replies)
    await self._bus.done(deliveries)


_conclude = Engine._conclude


async def _conclude_acknowledged(self: Engine, outcome: Any, deliveries: Any) -> None:
    """The broker is told that the inputs are done with, then they are appended; and agents hear so, too."""
    await self._bus.done(deliveries)
    if outcome.messages and self.lease is not None:
        early = [one for one in outcome.messages if not isinstance(one.message, Assign)]
        await self._bus.tell(await self._posts(overlay.Outcome(messages=early), self.lease.epoch))
    await _conclude(self, outcome, deliveries)


class _GaveUp(Exception):
    """The store's answer was not waited for."""


async def _ask_once(clock: Any, ask: Any) -> Any:
    try:
        return await ask()
    except (StoreUnavailable, OutcomeUnknown):
        raise _GaveUp from None


async def _conclude_or_drop(self: Engine, outcome: Any, deliveries: Any) -> None:
    try:
        await _conclude(self, outcome, deliveries)
    except _GaveUp:
        await self._bus.done(deliveries)
        self.state.merge()


@contextmanager
def unknown_outcome_taken_for_failure() -> Iterator[None]:
    """A turn whose commit was not confirmed is dropped, though it may have been committed."""
    with mock.patch.object(engine, "patiently", _ask_once), mock.patch.object(Engine, "_conclude", _conclude_or_drop):
        yield


# Reports and the spool ------------------------------------------------------------------------------------------


def _not_contiguous(self: Contact, first: int, floor: int, reports: tuple[Any, ...]) -> list[tuple[int, Any]]:
    """Whatever is newer than the mark is applied, and the mark goes there."""
    due = [(number, report) for number, report in enumerate(reports, first) if number > self.applied]
    if due:
        self.applied = due[-1][0]
    return due


def _drop_when_sent(self: Agent) -> Reports | None:
    sent = _reports(self)
    if sent is not None:
        self.spool.confirm(sent.first + len(sent.reports) - 1)
    return sent


_reports = Agent.reports


def _no_offer(state: State, worker: Any, held: Any) -> Any:
    actions, messages = _compare(state, worker, held)
    return actions, [message for message in messages if not isinstance(message, Assign)]


_compare = leases.compare


def _nothing_again(state: State, execution: Any, status: str) -> list[Any]:
    """Pause and resume are said once, and never again."""
    return []


async def _no_texts(known: Any, *turn: Any) -> dict[int, Any]:
    """Agents are told which task to run, but not what it is."""
    return {}


def _too_early(state: State, now: int, jumps: Sequence[Any] = ()) -> Any:
    """Time limits are taken for a tenth of what they are."""
    for id, deadline in list(state.deadlines.items()):
        execution = state.executions[id]
        if execution.status == "running" and now > deadline - 2_000_000:
            yield OnExecution(id, ex.TimeOutExecution("running", "ran for more than it may"))


def _deaf_to_cancel(self: Agent, message: Any) -> None:
    if not isinstance(message, Cancel):
        _on_message(self, message)


_on_message = Agent._on_message


def _knows_what_it_holds(self: Spool, execution: int) -> bool:
    return execution in self.held


@contextmanager
def agent_forgets_what_is_over() -> Iterator[None]:
    """An execution that is over is forgotten: its assignment, should it come again, is news; nothing marks a start."""
    real = world.Host.start

    def unmarked(self: world.Host, execution: int, task: int) -> None:
        if execution not in self._running:
            self._marked.discard(execution)
        real(self, execution, task)

    with mock.patch.object(Spool, "knows", _knows_what_it_holds), mock.patch.object(world.Host, "start", unmarked):
        yield


# Reactors -------------------------------------------------------------------------------------------------------


def _nobody_told(self: State, worker: int) -> None:
    """Room that becomes free is not noticed: only new tasks are an edge."""


def _spent(state: State, worker: int, reason: str) -> list[Any]:
    return [OnExecution(id, cast(Any, ex.Failed(id, None, reason))) for id in list(state.active.get(worker, {}))]


def _any_requirement(state: State) -> Any:
    """A task is released as soon as one of its requirements has succeeded."""
    waiting = (task for required in state.met for task in state.dependants(required))
    return [OnTask(task, ReleaseTask(by_hand=False)) for task in dict.fromkeys(waiting)]


def _stale(self: Contacts, since: int) -> None:
    self.since = since - 3_600_000_000
    self.next_watch = since
    self._contacts = {}


def _not_refreshed(self: Contacts, at: int) -> None:
    pass


@contextmanager
def lease_not_refreshed() -> Iterator[None]:
    """The engine that takes over believes that it heard nobody since long ago."""
    with mock.patch.object(Contacts, "__init__", _stale), mock.patch.object(Contacts, "refresh", _not_refreshed):
        yield


@contextmanager
def reincarnation_ignored() -> Iterator[None]:
    """An agent with an empty spool is taken for the one before it: nothing that one held is given back."""

    def nothing(event: Any, state: State) -> list[Any]:
        return []

    reactors = {
        kind: tuple(r for r in all_ if r is not leases.on_worker_reincarnated)
        for kind, all_ in overlay.REACTORS.items()
    }
    with mock.patch.object(overlay, "REACTORS", reactors):
        yield


def _no_rollback(self: Overlay, work: Callable[..., object], *args: Any) -> None:
    """What a refused command had already done stays."""
    try:
        work(*args)
    except Rejected:
        raise


def _gaps_are_fine(position: int, events: Sequence[Any]) -> Sequence[Any]:
    return [event for event in events if event.position > position]


async def _published_first(self: Engine, outcome: Any, deliveries: Any) -> None:
    """Users are answered before the append."""
    if outcome.replies:
        await self._bus.reply(outcome.replies)
    await _conclude(self, outcome, deliveries)


def _as_if_able(task: Any, worker: int) -> Any:
    """Who said that it cannot run a task is asked again at once."""
    return tasks._at(task, "pending", 0)


def _whatever_it_does(self: Agent, execution: int, reason: str) -> None:
    if self.spool.held.get(execution) in ex.WAITING:
        self._starting.discard(execution)
        self.spool.report(ex.Refused(execution, reason))


MUTANTS: dict[str, Mutant] = {
    "no fence": no_fence,
    "lost ones come back always": lost_ones_come_back_always,
    "no command memory": no_command_memory,
    "refusal remembered": refusals_remembered,
    "epoch only read": _patched(world.SimJournal, "append", _epoch_only_read),
    "turns without events pass no fence": _patched(Engine, "_conclude", _conclude_unfenced),
    "acknowledged before appended": _patched(Engine, "_conclude", _conclude_acknowledged),
    "answered before appended": _patched(Engine, "_conclude", _published_first),
    "unknown outcome taken for failure": unknown_outcome_taken_for_failure,
    "mark not contiguous": _patched(Contact, "in_order", _not_contiguous),
    "spool dropped at the broker's confirm": _patched(Agent, "reports", _drop_when_sent),
    "no re-offer": _patched(agents, "compare", _no_offer),
    "agent forgets what is over": agent_forgets_what_is_over,
    "pause and resume said once": _patched(leases, "_hold_or_go_on", _nothing_again),
    "agents are not told what to run": _patched(texts.KnownTexts, "assigned", _no_texts),
    "agents do not listen to cancel": _patched(Agent, "_on_message", _deaf_to_cancel),
    "what begins is given back as well": _patched(Agent, "_give_one_back", _whatever_it_does),
    "time limits taken short": _patched(timeouts, "watch", _too_early),
    "edge instead of level": _patched(State, "_touch_worker", _nobody_told),
    "retry spent on a lost worker": _patched(leases, "_lose_all", _spent),
    "requirement race": _patched(requirements, "release", _any_requirement),
    "lease not refreshed at take-over": lease_not_refreshed,
    "reincarnation ignored": reincarnation_ignored,
    "no rollback of what is refused": _patched(Overlay, "whole", _no_rollback),
    "who cannot is asked again": _patched(tasks, "_refused", _as_if_able),
    "projections skip gaps": _patched(following, "following", _gaps_are_fine),
}
