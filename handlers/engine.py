"""The engine: the one writer. Follows the log until the lease is its own, then leads, turn after turn.

    load → turn → append → say

A turn is appended in one transaction, again and again with the same bytes until the store has answered. Only then is
anything said, acknowledged or published. Every turn that says something passes the store, even one without events:
so a deposed engine never says anything. Whoever loses the lease ends with `LeaseLost`; its process exits.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

from scitq.domain import task as tasks
from scitq.domain import wire
from scitq.domain.engine_log import EngineStarted
from scitq.domain.envelope import Append, Envelope, Lease, seal
from scitq.domain.messages import Assign
from scitq.domain.snapshot import FINGERPRINT, dump, load
from scitq.domain.state import State
from scitq.domain.task import Task, TaskCreated, TaskEdited
from scitq.errors import Malformed, OutcomeUnknown, StoreUnavailable
from scitq.handlers.contacts import Contacts
from scitq.handlers.overlay import Instant, Loaded, Outcome, Overlay
from scitq.handlers.ports import Bus, Clock, Delivery, Journal, Post
from scitq.handlers.turn import Input, needs, turn

log = logging.getLogger(__name__)

LEASE_S: Final = 4.0
RENEW_EVERY_S: Final = 1.0
JUMP_S: Final = 30.0
READ_AT_ONCE: Final = 5_000
MOST_INPUTS: Final = 2_000
SNAPSHOT_EVERY: Final = 100_000
TEXT_TYPES: Final = ("task-created", "task-edited")


class Engine:
    """One candidate for the lease, named by `holder`."""

    def __init__(
        self, journal: Journal, bus: Bus, clock: Clock, holder: str, *, snapshot_every: int = SNAPSHOT_EVERY
    ) -> None:
        self._journal, self._bus, self._clock, self._holder = journal, bus, clock, holder
        self._snapshot_every = snapshot_every
        self.state = State()
        self.lease: Lease | None = None
        self._contacts = Contacts(0)
        self._hash = b""
        self._renewed = 0
        self._skew = 0
        self._snapshot_at = 0

    async def run(self) -> None:
        """Follow, then lead, until the lease is lost."""
        await self.follow()
        await self.lead()

    # Following ------------------------------------------------------------------------------------------------

    async def follow(self) -> None:
        """Fold along behind the leader; return when the lease is ours and the state is at the head."""
        await self._start_from_snapshot()
        while self.lease is None:
            if not await self._catch_up():
                self.lease = await self._patiently(lambda: self._journal.acquire(self._holder, LEASE_S))
                if self.lease is None:
                    await self._snapshot_if_due()
                    await self._clock.sleep(RENEW_EVERY_S)
        while await self._catch_up():
            pass
        self._hash = self.lease.head.hash

    async def _start_from_snapshot(self) -> None:
        found = await self._patiently(lambda: self._journal.load_snapshot(FINGERPRINT))
        if found is not None:
            position, data = found
            try:
                self.state = load(data)
                self._snapshot_at = position
            except Malformed:
                log.warning("the snapshot cannot be read; folding the whole log", extra={"position": position})
                self.state = State()

    async def _catch_up(self) -> bool:
        """Fold what is new, a page at a time; whether there may be more."""
        page = await self._patiently(lambda: self._journal.read(self.state.position, READ_AT_ONCE))
        self.state.fold(wire.recorded(envelope) for envelope in page)
        return len(page) == READ_AT_ONCE

    async def _snapshot_if_due(self) -> None:
        """Only a follower writes snapshots: writing one takes long."""
        if self.state.position >= self._snapshot_at + self._snapshot_every:
            self._snapshot_at = self.state.position
            await self._patiently(
                lambda: self._journal.save_snapshot(self.state.position, FINGERPRINT, dump(self.state))
            )

    async def _patiently(self, ask: Any) -> Any:
        """Ask the store until it answers. A missing store is a pause, not an error."""
        pause_s = 0.1
        while True:
            try:
                return await ask()
            except (StoreUnavailable, OutcomeUnknown) as error:
                log.warning("the store does not answer; trying again", extra={"error": str(error)})
                await self._clock.sleep(pause_s)
                pause_s = min(2 * pause_s, 5.0)

    # Leading --------------------------------------------------------------------------------------------------

    async def lead(self) -> None:
        """Turn after turn."""
        await self._take_over()
        before = (self._clock.now(), self._clock.steady())
        while True:
            deliveries = await self._bus.take(MOST_INPUTS, RENEW_EVERY_S)
            before = self._mind_the_clocks(before)
            await self.turn(deliveries)

    async def _take_over(self) -> None:
        """Every worker gets a fresh lease; every batch is looked at."""
        self._contacts = Contacts(self._clock.steady())
        self.state.mark_all_dirty()
        self.state.begin()
        overlay = Overlay(self.state, self._contacts, Loaded(), self._instant())
        assert self.lease is not None
        overlay.record(EngineStarted(self._holder, self.lease.epoch))
        await self._conclude(overlay.outcome, ())
        self._contacts.refresh(self._clock.steady())  # the append may have taken long
        await self._bus.subscribe()

    def _mind_the_clocks(self, before: tuple[int, int]) -> tuple[int, int]:
        """After a jump of the calendar, or a stop of ours, nobody is blamed for the time in between."""
        now, steady = self._clock.now(), self._clock.steady()
        stopped_s = (steady - before[1]) / 1_000_000
        jumped = (now - before[0]) - (steady - before[1])
        if stopped_s > JUMP_S or abs(jumped) > JUMP_S * 1_000_000:
            log.warning("the clock jumped", extra={"stopped_s": stopped_s, "jumped_s": jumped / 1_000_000})
            self._contacts.refresh(steady)
            self._skew += max(jumped, 0)
        return now, steady

    def _instant(self) -> Instant:
        return Instant(self._clock.now(), self._clock.steady(), self._skew)

    async def turn(self, deliveries: Sequence[Delivery]) -> None:
        """One turn, from what has arrived to what is said about it."""
        inputs = [delivery.input for delivery in deliveries]
        loaded = await self._load(inputs)
        outcome = turn(self.state, self._contacts, loaded, inputs, self._instant())
        await self._conclude(outcome, deliveries)

    async def _load(self, inputs: Sequence[Input]) -> Loaded:
        """What the turn needs and memory does not hold: one question for each kind."""
        cold, erase, ids = needs(self.state, inputs)
        loaded = Loaded()
        if ids:
            loaded.answers = await self._patiently(lambda: self._journal.answers(ids))
        if cold or erase:
            streams = [tasks.stream(id) for id in sorted(cold | erase)]
            for envelope in await self._patiently(lambda: self._journal.read_streams(streams)):
                _remember(loaded, wire.recorded(envelope), erase)
            for id in [id for id in loaded.tasks if id not in cold or id in loaded.erased]:
                del loaded.tasks[id]
        return loaded

    async def _conclude(self, outcome: Outcome, deliveries: Sequence[Delivery]) -> None:
        """Append the turn; then, and only then, let everybody know."""
        assert self.lease is not None
        epoch = self.lease.epoch
        envelopes = self._seal(outcome, epoch)
        if outcome.events or outcome.answers or outcome.messages or outcome.replies:
            append = Append(epoch, envelopes, outcome.answers, outcome.erasures)
            await self._patiently(lambda: self._journal.append(append))
            self._renewed = self._clock.steady()
        elif self._clock.steady() - self._renewed > RENEW_EVERY_S * 1_000_000 / 2:
            await self._patiently(lambda: self._journal.renew(epoch))
            self._renewed = self._clock.steady()
        self.state.merge()
        if envelopes:
            self._hash = envelopes[-1].hash
            await self._bus.publish(envelopes)
        if outcome.messages:
            await self._bus.tell(await self._posts(outcome, epoch))
        if outcome.replies:
            await self._bus.reply(outcome.replies)
        if deliveries:
            await self._bus.done(deliveries)

    def _seal(self, outcome: Outcome, epoch: int) -> list[Envelope]:
        """Chain the turn's events behind the log's."""
        sealed: list[Envelope] = []
        previous = self._hash
        for one in outcome.events:
            assert not isinstance(one.event, wire.Erased)
            name, schema = wire.name_of(one.event)
            envelope = seal(
                previous,
                position=one.position,
                stream=one.stream,
                version=one.version,
                type=name,
                schema=schema,
                time=one.time,
                actor=one.actor,
                command=one.command,
                cause=one.cause,
                epoch=epoch,
                mark=one.mark,
                payload=wire.encode(one.event),
            )
            previous = envelope.hash
            sealed.append(envelope)
        return sealed

    async def _posts(self, outcome: Outcome, epoch: int) -> list[Post]:
        """The turn's messages, one post for each agent, with the texts of the tasks assigned."""
        texts = await self._texts(outcome)
        posts: dict[tuple[int, str, str], Post] = {}
        for to in outcome.messages:
            key = (to.worker, to.incarnation, to.address)
            post = posts.get(key) or posts.setdefault(key, Post(*key, epoch, []))
            message = to.message
            post.messages.append(
                replace(message, texts=texts.get(message.task)) if isinstance(message, Assign) else message
            )
        return list(posts.values())

    async def _texts(self, outcome: Outcome) -> dict[int, dict[str, Any]]:
        """What to run, for each task assigned: from this turn's own events, the others from the log."""
        wanted = {to.message.task for to in outcome.messages if isinstance(to.message, Assign)}
        if not wanted:
            return {}
        edited = {one.event.task for one in outcome.events if isinstance(one.event, TaskEdited)}
        texts = {
            one.event.task: tasks.texts(one.event)
            for one in outcome.events
            if isinstance(one.event, TaskCreated) and one.event.task in wanted - edited
        }
        streams = [tasks.stream(task) for task in sorted(wanted.difference(texts))]
        if streams:
            for envelope in await self._patiently(lambda: self._journal.read_streams(streams, TEXT_TYPES)):
                event = wire.recorded(envelope).event
                if isinstance(event, TaskCreated):
                    texts[event.task] = tasks.texts(event)
                elif isinstance(event, TaskEdited) and event.task in texts:
                    texts[event.task].update({k: v for k, v in event.changes.items() if k in texts[event.task]})
        return texts


def _remember(loaded: Loaded, recorded: wire.Recorded, erase: set[int]) -> None:
    """Fold one event of a forgotten task, and note where its texts are."""
    event = recorded.event
    if isinstance(event, wire.Erased):
        loaded.erased[int(recorded.stream.partition("-")[2])] = None
    elif isinstance(event, tasks.TaskEvent):
        task: Task | None = tasks.evolve(loaded.tasks.get(event.task), event)
        if task is not None:
            loaded.tasks[event.task] = task
        if isinstance(event, TaskCreated | TaskEdited) and event.task in erase:
            loaded.texts[event.task] = (*loaded.texts.get(event.task, ()), recorded.position)
