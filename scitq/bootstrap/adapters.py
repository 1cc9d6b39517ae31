"""The engine's ports, filled in: the store, the clock, and the bus with its messages as bytes.

The engine has a thread to itself, and nothing else to do while it waits: so all of these simply wait.
"""

from __future__ import annotations

import gc
import logging
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import starmap
from threading import Event
from typing import Final

import orjson

from scitq.bus import Bus, Consumer
from scitq.bus import Delivery as Taken
from scitq.bus.rabbit_users import USER, is_user, is_user_of
from scitq.domain import agent_wire, requests
from scitq.domain.commands import Request
from scitq.domain.envelope import Answer, Append, Envelope, Lease, pack
from scitq.domain.messages import AgentHello, Reports, Welcome
from scitq.domain.speaker import Speaker
from scitq.domain.state import State
from scitq.domain.telemetry import Telemetry
from scitq.errors import Malformed, OutcomeUnknown, ScitqError, StoreUnavailable, UnknownMessage
from scitq.handlers.overlay import Reply
from scitq.handlers.ports import Delivery, Post
from scitq.handlers.turn import Input
from scitq.store.journal import Journal
from scitq.web.telemetry import pass_on

log = logging.getLogger(__name__)

BEAT_S: Final = 0.5
GATHER_S: Final = 0.008
BUSY: Final = 8
"""Reports at once. A turn costs more than a report: when many come, the next ones are gathered for a moment."""
UNHEARD_S: Final = 5.0
"""An engine that the broker carries nothing to for so long gives the lease back: somebody else may hear more, and those
whom it does not hear must not be called silent for it."""
AWAY_S: Final = 4.0
"""When the store has not answered for so long, somebody else may lead: what was sent to the engine is his to take."""


class Stopping(ScitqError):
    """The server is being stopped."""


class Unheard(ScitqError):
    """The broker is away, or takes nothing: the engine says nothing that anybody hears, and hears nobody."""


class StoreJournal:
    """The store, opened in the engine's own thread."""

    def __init__(self, journal: Journal, bus: EngineBus) -> None:
        self._journal, self._bus = journal, bus
        self._away_since: float | None = None

    async def acquire(self, holder: str, ttl_s: float) -> Lease | None:
        """Nobody leads who would hear nobody."""
        return None if self._bus.trouble is not None else self._journal.acquire(holder, ttl_s)

    async def renew(self, epoch: int) -> None:
        with self._patience():
            self._journal.renew(epoch)

    async def append(self, append: Append) -> None:
        with self._patience():
            self._journal.append(append)

    @contextmanager
    def _patience(self) -> Iterator[None]:
        """A leader whose store is away keeps nothing from the one who may lead by now."""
        began = time.monotonic()
        try:
            yield
            self._away_since = None
        except (StoreUnavailable, OutcomeUnknown):
            if self._away_since is None:
                self._away_since = began
            if time.monotonic() - self._away_since > AWAY_S:
                self._bus.leave()
            raise

    async def read(self, after: int, limit: int) -> list[Envelope]:
        return self._journal.read(after, limit)

    async def read_streams(self, streams: Sequence[str], types: Sequence[str] | None = None) -> list[Envelope]:
        return self._journal.read_streams(streams, types)

    async def answers(self, ids: Sequence[str]) -> dict[str, Answer]:
        return self._journal.answers(ids)

    async def save_snapshot(self, position: int, fingerprint: str, data: bytes) -> None:
        self._journal.save_snapshot(position, fingerprint, data)

    async def load_snapshot(self, fingerprint: str) -> tuple[int, bytes] | None:
        return self._journal.load_snapshot(fingerprint)


class SystemClock:
    """The machine's clocks."""

    def __init__(self, stop: Event) -> None:
        self._stop = stop

    def now(self) -> int:
        return time.time_ns() // 1000

    def steady(self) -> int:
        return time.monotonic_ns() // 1000

    async def sleep(self, seconds: float) -> None:
        if self._stop.wait(seconds):
            raise Stopping("the server is being stopped")


class EngineBus:
    """Reads what comes for the engine, refuses what it cannot understand, and writes what it says."""

    def __init__(self, bus: Bus, stop: Event) -> None:
        self._bus, self._stop = bus, stop
        self._consumer: Consumer | None = None
        self._senders: defaultdict[str, dict[int, str]] = defaultdict(dict)  # by token: one may come twice
        self._position = 0
        self._beaten = self._well = 0.0
        self._epoch = 0
        self._busy = False
        self.state: Callable[[], State] = State  # what the engine knows; set when there is one
        self._direct: dict[int, tuple[str, str]] = {}  # incarnation and address of agents that speak with the broker
        self._news = agent_wire.News()

    @property
    def trouble(self) -> str | None:
        return self._bus.trouble

    async def subscribe(self, epoch: int) -> None:
        self.leave()
        self._epoch = epoch
        self._well = time.monotonic()
        gc.freeze()  # the engine leads: what it has folded stays, and need not be looked through again and again
        self._consumer = self._bus.consume("reports", "commands", priority=epoch)

    def leave(self) -> None:
        """Take nothing more for now, and give back what was taken and is not done: it comes again."""
        if self._consumer is not None:
            self._consumer.close()
        self._senders.clear()

    def close(self) -> None:
        """Whatever waits for input stops waiting; what was taken and not done goes back."""
        if self._consumer is not None:
            self._consumer.close()

    async def take(self, most: int, wait_s: float) -> list[Delivery]:
        assert self._consumer is not None, "the engine subscribes before it takes"
        self._beat()
        self._mind_the_broker()
        if self._consumer.closed and not self._stop.is_set():
            await self.subscribe(self._epoch)  # the store was away, and is back
        if self._busy:
            self._stop.wait(GATHER_S)
        found = self._consumer.take(most, wait_s)
        if self._stop.is_set():
            raise Stopping("the server is being stopped")
        inputs = [(input, one.token) for one in found if (input := self._read(one)) is not None]
        self._busy = sum(len(input.reports) for input, _ in inputs if isinstance(input, Reports)) >= BUSY
        return list(starmap(Delivery, inputs))

    def _mind_the_broker(self) -> None:
        trouble, now = self._bus.trouble, time.monotonic()
        if trouble is None:
            self._well = now
        elif now - self._well > UNHEARD_S:
            self.leave()
            raise Unheard(trouble)

    def _read(self, one: Taken) -> Input | None:
        assert self._consumer is not None
        headers = one.message.headers
        try:
            if one.queue == "commands":
                request = requests.parse(one.message.body, headers.get("actor", "user"))
                self._senders[request.id][one.token] = headers.get("reply_to", "")
                return request
            user = headers.get(USER)
            message = agent_wire.parse_from_agent(one.message.body, user or headers.get("reply_to", ""))
            if user is None:
                _by_gateway(headers).check(message)
            else:
                _by_broker(user, self.state()).check(message)
                if not isinstance(message, AgentHello):
                    self._direct[message.worker] = (message.incarnation, user)
            if isinstance(message, Telemetry):  # the gateway does so itself: this one speaks with the broker
                pass_on(self._bus, message)
                self._consumer.done([one.token])
                return None
            return message
        except UnknownMessage as error:
            if self._news.is_first(error.kind):
                log.warning(
                    "a newer agent says what this release does not know; it is left out", extra={"kind": error.kind}
                )
            self._consumer.done([one.token])
            return None
        except Malformed as error:
            self._refuse(one, error)
            return None

    def _refuse(self, one: Taken, error: Malformed) -> None:
        assert self._consumer is not None
        if one.queue == "commands" and (address := one.message.headers.get("reply_to")):
            id = one.message.headers.get("request", "")
            self._bus.post(address, _reply(Reply(id, None, str(error))))
        self._consumer.park(one.token, str(error))

    def _beat(self) -> None:
        """Let it be known that an engine leads, and where the log ends."""
        now = time.monotonic()
        if now - self._beaten >= BEAT_S:
            self._beaten = now
            self._bus.publish("engine", b"", {"position": str(self._position)})

    async def done(self, deliveries: Sequence[Delivery]) -> None:
        assert self._consumer is not None
        self._consumer.done(delivery.token for delivery in deliveries)
        for delivery in deliveries:
            if isinstance(delivery.input, Request):  # refused by an engine that had nothing to say, it is forgotten too
                senders = self._senders.get(delivery.input.id, {})
                senders.pop(delivery.token, None)  # its twin may be in the next turn, from one who still waits
                if not senders:
                    self._senders.pop(delivery.input.id, None)

    async def publish(self, events: Sequence[Envelope]) -> None:
        self._position = events[-1].position
        self._bus.publish("events", pack(events), {"last": str(self._position)})

    async def tell(self, posts: Sequence[Post]) -> None:
        for post in posts:
            headers = {"worker": str(post.worker), "incarnation": post.incarnation}
            if any(isinstance(message, Welcome) for message in post.messages):
                headers["welcome"] = "1"
                self._direct.pop(post.worker, None)
                if is_user(post.address):
                    self._direct[post.worker] = (post.incarnation, post.address)
            address = post.address or self._address_of(post)
            body = agent_wire.encode_post(post.epoch, post.worker, post.incarnation, post.messages)
            self._bus.post(address, body, headers)

    def _address_of(self, post: Post) -> str:
        """A gateway binds the address of the worker it carries for. An agent on the broker may bind nothing: it is
        posted to where it was heard last, and one that this engine has not heard yet speaks within some seconds."""
        incarnation, address = self._direct.get(post.worker, ("", ""))
        return address if incarnation == post.incarnation else f"worker.{post.worker}.{post.incarnation}"

    async def reply(self, replies: Sequence[Reply]) -> None:
        for reply in replies:
            senders = self._senders.get(reply.request)
            if senders:
                self._bus.post(senders.pop(next(iter(senders))), _reply(reply))


def _reply(reply: Reply) -> bytes:
    answer = None if reply.answer is None else orjson.Fragment(reply.answer)
    return orjson.dumps({"request": reply.request, "answer": answer, "refusal": reply.refusal})


def _by_gateway(headers: Mapping[str, str]) -> Speaker:
    """Whom the gateway has admitted."""
    name, worker = headers.get("name"), headers.get("worker")
    return Speaker(
        f"worker {name!r}",
        may_be=lambda found: name is None or found == name,
        is_worker=lambda id, _: worker is None or str(id) == worker,
    )


def _by_broker(user: str, state: State) -> Speaker:
    """Whose user the broker says it is. A number that was given once is never given again: a worker that is not known
    was deleted, and is asked to say hello."""

    def is_worker(id: int, incarnation: str) -> bool:
        worker = state.workers.get(id)
        return id <= state.last_worker if worker is None else is_user_of(user, worker.name)

    return Speaker(f"the broker user {user!r}", may_be=lambda name: is_user_of(user, name), is_worker=is_worker)
