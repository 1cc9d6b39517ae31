"""Writes what executions print into the output log, and tells each agent how far that has come."""

from __future__ import annotations

import logging
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Collection
from typing import Final

import orjson
from sqlalchemy import Engine

from scitq.bootstrap.threads import Host, Waiting
from scitq.bus import Bus, Delivery, Message
from scitq.bus.rabbit_users import USER, is_user_of
from scitq.domain.output_wire import Chunk, Confirm, encode_confirms, parse_chunk
from scitq.domain.telemetry import ENDED, received
from scitq.errors import Malformed, OutcomeUnknown, StoreUnavailable
from scitq.projections import database, executions, workers
from scitq.store.curves import keep_curves
from scitq.store.output import OutputLog, open_output

log = logging.getLogger(__name__)

MOST_CHUNKS: Final = 64
SOON_S: Final = 0.05
EARLY_S: Final = 30.0
MOST_EARLY: Final = 48
"""Chunks of one sender that wait for the views, three times what an agent has under way. What is more is dropped, and
sent again by whoever means it: else one worker could fill what is taken at once, and hold up the output of all."""
MOST_KNOWN: Final = 100_000
CURVES_S: Final = 2.0
"""What is told of the moment is looked at so often; it waits, and when it is too much the oldest is missing."""
MOST_MOMENTS: Final = 1_000
FIRST_PAUSE_S: Final = 0.1
LONGEST_PAUSE_S: Final = 5.0


class RecorderHost(Host):
    """A worker may only add to the output of its own executions: whose they are, the views tell, a moment later."""

    name = "recorder"

    def __init__(self, output: str, views: str, bus: Bus, on_failure: Callable[[str, BaseException], None]) -> None:
        super().__init__(on_failure)
        self._output, self._views, self._bus = output, views, bus
        self._consumer = bus.consume("output")
        self._moments = bus.follow("telemetry")
        self._owners: dict[int, int] = {}
        self._names: dict[int, str] = {}  # of those workers
        self._early: list[tuple[float, Delivery, Chunk]] = []  # of executions that the views do not show yet

    def _work(self) -> None:
        store, views = open_output(self._output), database.reader(self._views)
        try:
            while not self._stop.is_set():
                found = self._consumer.take(MOST_CHUNKS, SOON_S if self._early else CURVES_S)
                if found or self._early:
                    self._record(store, views, found)
                self._keep_curves(store, views)
        finally:
            views.dispose()
            store.close()

    def _record(self, store: OutputLog, views: Engine, found: list[Delivery]) -> None:
        now = time.monotonic()
        waiting, self._early = self._early, []
        for one in found:
            try:
                waiting.append((now + EARLY_S, one, parse_chunk(one.message.body)))
            except Malformed as error:
                self._consumer.park(one.token, str(error))
        try:
            self._learn(views, {chunk.execution for _, _, chunk in waiting})
        except StoreUnavailable as error:
            log.warning("the views cannot be asked whose an output is; trying again", extra={"error": str(error)})
            self._early = [(now + EARLY_S, one, chunk) for _, one, chunk in waiting]
            self._stop.wait(FIRST_PAUSE_S)
            return
        ready: list[tuple[Delivery, Chunk]] = []
        early: Counter[str] = Counter()
        for until, one, chunk in waiting:
            owner = self._owners.get(chunk.execution)
            if owner is None and now < until:
                sender = _sender(one.message)
                early[sender] += 1
                if early[sender] <= MOST_EARLY:
                    self._early.append((until, one, chunk))
                else:
                    self._consumer.done([one.token])
            elif owner is not None and self._is(owner, one.message):
                ready.append((one, chunk))
            else:
                self._consumer.park(one.token, f"execution {chunk.execution} is not this worker's")
        if ready:
            self._write(store, ready)

    def _keep_curves(self, store: OutputLog, views: Engine) -> None:
        """Of executions that have ended. What cannot be kept now is not kept: it is no fact."""
        told = [received(one.body) for one in self._moments.take(MOST_MOMENTS, 0.0) if ENDED in one.headers]
        curves = {(said.worker, one.execution): one.curve for said in told for one in said.executions if one.ended}
        if not curves:
            return
        try:
            self._learn(views, {execution for _, execution in curves})
            keep_curves(store, {id: curve for (worker, id), curve in curves.items() if self._owners.get(id) == worker})
        except (StoreUnavailable, OutcomeUnknown) as error:
            log.warning("how much executions used over time is not kept", extra={"error": str(error)})

    def _is(self, owner: int, message: Message) -> bool:
        """Whether that worker sent it: the gateway or the broker has said so."""
        user = message.headers.get(USER)
        if user is not None:
            return is_user_of(user, self._names.get(owner, ""))
        return message.headers.get("worker") == str(owner)

    def _learn(self, views: Engine, ids: Collection[int]) -> None:
        """Whose executions these are."""
        unknown = [id for id in ids if id not in self._owners]
        if not unknown:
            return
        if len(self._owners) > MOST_KNOWN:
            self._owners.clear()
        with database.trouble("the views cannot be read"), views.connect() as connection:
            for row in executions.page(connection, ids=unknown, deleted=True, limit=len(unknown)):
                self._owners[row.execution.id] = row.execution.worker
            if strangers := {self._owners[id] for id in unknown if id in self._owners} - self._names.keys():
                self._names |= {one.worker.id: one.worker.name for one in workers.every(connection, ids=strangers)}

    def _write(self, store: OutputLog, ready: list[tuple[Delivery, Chunk]]) -> None:
        chunks = [chunk for _, chunk in ready]
        pause_s, waiting = FIRST_PAUSE_S, Waiting(log, "output cannot be stored; trying again")
        while True:
            try:
                seen = store.append(chunks)
                break
            except (StoreUnavailable, OutcomeUnknown) as error:
                waiting.goes_on(error)
                if self._stop.wait(pause_s):
                    return
                pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
        confirms: defaultdict[str, set[tuple[int, int]]] = defaultdict(set)
        for one, chunk in ready:
            confirms[_sender(one.message)].add((chunk.execution, chunk.stream))
        for address, keys in confirms.items():
            body = encode_confirms(Confirm(*key, seen[key]) for key in sorted(keys))
            self._bus.post(address, body, {"kind": "confirm"})
        self._bus.publish("output", orjson.dumps([[*key, count] for key, count in seen.items()]))
        self._consumer.done(one.token for one, _ in ready)

    def _rouse(self) -> None:
        self._consumer.close()
        self._moments.close()


def _sender(message: Message) -> str:
    """Who has to be told: an address, which the gateway or the broker has vouched for."""
    return message.headers.get(USER) or message.headers.get("reply_to", "")
