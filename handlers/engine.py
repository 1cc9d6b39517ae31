"""The engine: the one writer. Follows the log until the lease is its own, then leads, turn after turn.

    load → turn → append → say

A turn is appended in one transaction, again and again with the same bytes until the store has answered. Only then is
anything said, acknowledged or published. Every turn that says something passes the store, even one without events:
so a deposed engine never says anything. Whoever loses the lease ends with `LeaseLost`, and what it knew is thrown away.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Final

from scitq.domain import wire
from scitq.domain.commands import CreateTasks, Request, SteerTasks
from scitq.domain.engine_log import EngineStarted
from scitq.domain.envelope import GENESIS, Append, Lease
from scitq.domain.messages import Assign, Reports
from scitq.domain.state import State
from scitq.handlers import loading
from scitq.handlers.contacts import Contacts
from scitq.handlers.overlay import Instant, Loaded, Outcome, Overlay
from scitq.handlers.patience import patiently
from scitq.handlers.ports import Bus, Clock, Delivery, Journal, Post
from scitq.handlers.standby import SNAPSHOT_EVERY, Standby
from scitq.handlers.texts import KnownTexts
from scitq.handlers.turn import Input, turn

log = logging.getLogger(__name__)

RENEW_EVERY_S: Final = 1.0
JUMP_S: Final = 30.0
MOST_JUMPS: Final = 1_000
MOST_INPUTS: Final = 2_000
MOST_PER_TURN: Final = 5_000
"""A turn ends with the input that brings it to so many tasks, reports and others."""


class Engine:
    """One candidate for the lease, named by `holder`. `state`: what an earlier one knew, if all of that is appended."""

    def __init__(
        self, journal: Journal, bus: Bus, clock: Clock, holder: str, *, snapshot_every: int = SNAPSHOT_EVERY,
        state: State | None = None,
    ) -> None:  # fmt: skip
        self._journal, self._bus, self._clock, self._holder = journal, bus, clock, holder
        known = State() if state is None else state
        self._standby = Standby(journal, clock, holder, known, snapshot_every=snapshot_every)
        self.lease: Lease | None = None
        self._contacts = Contacts(0)
        self._texts = KnownTexts()
        self._hash = GENESIS
        self._renewed = 0
        self._jumps: tuple[tuple[int, int], ...] = ()

    @property
    def state(self) -> State:
        return self._standby.state

    async def run(self) -> None:
        """Follow, then lead, until the lease is lost."""
        self.lease = await self._standby.follow()
        self._hash = self.lease.head.hash
        await self.lead()

    async def lead(self) -> None:
        """Turn after turn."""
        await self._take_over()
        before = (self._clock.now(), self._clock.steady())
        while True:
            wait_s = 0.0 if self.state.releasable else RENEW_EVERY_S
            deliveries = await self._bus.take(MOST_INPUTS, wait_s)
            for portion in _portions(deliveries):
                before = self._mind_the_clocks(before)
                await self.turn(portion)

    async def _take_over(self) -> None:
        """Every worker gets a fresh lease; every batch is looked at."""
        assert self.lease is not None
        self._contacts = Contacts(self._clock.steady())
        # whether time passed since the last event, or our calendar is ahead of our predecessor's: nobody is blamed
        self._jumps = ((self.state.time, max(self._clock.now() - self.state.time, 0)),)
        self.state.mark_all_dirty()
        self.state.begin()
        overlay = Overlay(self.state, self._contacts, Loaded(), self._instant())
        overlay.record(EngineStarted(self._holder, self.lease.epoch))
        await self._conclude(overlay.outcome, ())
        self._contacts.refresh(self._clock.steady())  # the append may have taken long
        first = await patiently(self._clock, lambda: self._journal.read(0, 1))
        self._contacts.log = first[0].hash.hex()
        await self._bus.subscribe(self.lease.epoch)
        log.info("this engine leads", extra={"epoch": self.lease.epoch, "position": self.state.position})

    def _mind_the_clocks(self, before: tuple[int, int]) -> tuple[int, int]:
        """After a jump of the calendar, or a stop of ours, nobody is blamed for the time in between."""
        now, steady = self._clock.now(), self._clock.steady()
        stopped_s = (steady - before[1]) / 1_000_000
        jumped = (now - before[0]) - (steady - before[1])
        if stopped_s > JUMP_S or abs(jumped) > JUMP_S * 1_000_000:
            log.warning("the clock jumped", extra={"stopped_s": stopped_s, "jumped_s": jumped / 1_000_000})
            self._contacts.refresh(steady)
            stamped = max(before[0], self.state.time)  # events are never stamped earlier than the last one
            ahead = now - stamped - (steady - before[1])
            if ahead > 0:
                self._jumps = (*self._jumps[-MOST_JUMPS:], (stamped, ahead))
        return now, steady

    def _instant(self) -> Instant:
        return Instant(self._clock.now(), self._clock.steady(), self._jumps)

    async def turn(self, deliveries: Sequence[Delivery]) -> None:
        """One turn, from what has arrived to what is said about it."""
        inputs = [delivery.input for delivery in deliveries]
        loaded = await self._load(inputs) if inputs else Loaded()
        outcome = turn(self.state, self._contacts, loaded, inputs, self._instant())
        await self._conclude(outcome, deliveries)

    async def _load(self, inputs: Sequence[Input]) -> Loaded:
        return await loading.load(self._journal, self._clock, self.state, inputs)

    async def _conclude(self, outcome: Outcome, deliveries: Sequence[Delivery]) -> None:
        """Append the turn; then, and only then, let everybody know."""
        assert self.lease is not None
        epoch = self.lease.epoch
        envelopes = wire.seal_all(self._hash, outcome.events, outcome.payloads, epoch)
        if outcome.events or outcome.answers or outcome.messages or outcome.replies:
            append = Append(epoch, envelopes, outcome.answers, outcome.erasures)
            await patiently(self._clock, lambda: self._journal.append(append))
            self._renewed = self._clock.steady()
        elif self._clock.steady() - self._renewed > RENEW_EVERY_S * 1_000_000 / 2:
            await patiently(self._clock, lambda: self._journal.renew(epoch))
            self._renewed = self._clock.steady()
        self.state.merge()
        if envelopes:
            self._hash = envelopes[-1].hash
            await self._bus.publish(envelopes)
        posts = await self._posts(outcome, epoch)
        if posts:
            await self._bus.tell(posts)
        if outcome.replies:
            await self._bus.reply(outcome.replies)
        if deliveries:
            await self._bus.done(deliveries)

    async def _posts(self, outcome: Outcome, epoch: int) -> list[Post]:
        """The turn's messages, one post for each agent, with the texts of the tasks assigned."""
        texts = await self._texts.assigned(self._journal, self._clock, self.state, outcome)
        posts: dict[tuple[int, str, str], Post] = {}
        for to in outcome.messages:
            key = (to.worker, to.incarnation, to.address)
            post = posts.get(key) or posts.setdefault(key, Post(*key, epoch, []))
            message = to.message
            post.messages.append(
                replace(message, texts=texts.get(message.task)) if isinstance(message, Assign) else message
            )
        return list(posts.values())


def _portions(deliveries: Sequence[Delivery]) -> Iterator[Sequence[Delivery]]:
    """What has arrived, a turn's worth at a time; one turn also when nothing has: time goes on."""
    first = size = 0
    for number, delivery in enumerate(deliveries, 1):
        size += _weight(delivery.input)
        if size >= MOST_PER_TURN:
            yield deliveries[first:number]
            first, size = number, 0
    if first < len(deliveries) or not deliveries:
        yield deliveries[first:]


def _weight(input: Input) -> int:
    match input:
        case Request(command=CreateTasks(specs)):
            return sum(1 + len(spec.requires) for spec in specs)
        case Request(command=SteerTasks(tasks)):
            return len(tasks)
        case Reports():
            return len(input.reports)
        case _:
            return 1
