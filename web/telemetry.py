"""What agents tell of the moment, as it was told last: in the memory of each web process, and forgotten when it is old.

It comes over a channel of the bus that all web processes follow, so that it does not matter which of them is asked.
Those whose agents speak with the broker are heard here too.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import OrderedDict
from typing import Final, NamedTuple

from pydantic import ValidationError

from scitq.bus import Bus, Inbox, Message
from scitq.domain.telemetry import ENDED, MOST_EXECUTIONS, Live, Machine, Telemetry, passed_on, received
from scitq.web.heard import Heard

log = logging.getLogger(__name__)

CHANNEL: Final = "telemetry"
OLD_S: Final = 60.0
"""What a worker said of its machine so long ago is not how it is now."""
MOST_WORKERS: Final = 100_000
MOST_WATCHED: Final = 1_000
"""Workers of which somebody looks at an execution."""
MOST_ASKED: Final = 10_000
MOST: Final = 1_000


def pass_on(bus: Bus, said: Telemetry) -> None:
    """To whoever follows it; it was checked who says it."""
    bus.publish(CHANNEL, passed_on(said), {ENDED: "1"} if said.has_ended else {})


class Told(NamedTuple):
    """How an execution was at that moment: seconds of a clock that never jumps."""

    at: float
    live: Live


class Telemetries:
    """Everything here happens in one event loop, but for what is asked."""

    def __init__(self, bus: Bus, heard: Heard) -> None:
        self._bus, self._heard = bus, heard
        self._machines: OrderedDict[int, tuple[float, Machine]] = OrderedDict()
        self._live: dict[int, dict[int, Told]] = {}  # by worker: none of them has more room than it needs
        self._asked: dict[int, float] = {}
        self._news = asyncio.Event()
        self._inbox: Inbox[Message] | None = None
        self._listening: asyncio.Task[None] | None = None

    async def start(self) -> None:
        self._inbox = self._bus.follow(CHANNEL)
        self._listening = asyncio.create_task(self._listen(self._inbox))

    async def close(self) -> None:
        if self._inbox is not None and self._listening is not None:
            self._inbox.close()
            await self._listening

    def machine(self, worker: int) -> Machine | None:
        """How busy it is, if it has said so lately."""
        found = self._machines.get(worker)
        return found[1] if found is not None and time.monotonic() - found[0] < OLD_S else None

    def live(self, worker: int, execution: int) -> Told | None:
        """What that worker has told of the execution last."""
        found = self._live.get(worker, {}).get(execution)
        return found if found is not None and time.monotonic() - found.at < OLD_S else None

    def may_ask(self, execution: int, every_s: float) -> bool:
        """Whether its worker was not asked for so long to tell of it; then it is, now."""
        now = time.monotonic()
        if now - self._asked.get(execution, -every_s) < every_s:
            return False
        if len(self._asked) >= MOST_ASKED:
            self._asked = {id: at for id, at in self._asked.items() if now - at < every_s}
        self._asked[execution] = now
        return True

    async def news(self, wait_s: float) -> None:
        """Until something is told, but no longer."""
        try:
            async with asyncio.timeout(wait_s):
                await self._news.wait()
        except TimeoutError:
            return

    async def _listen(self, inbox: Inbox[Message]) -> None:
        while not inbox.closed:
            for message in await inbox.receive(MOST):
                try:
                    self._hear(received(message.body))
                except ValidationError as error:
                    log.error("what is told of the moment cannot be read", extra={"error": str(error)[:300]})
            self._news.set()
            self._news = asyncio.Event()

    def _hear(self, said: Telemetry) -> None:
        now = time.monotonic()
        if said.machine is not None:
            self._heard.note_from_elsewhere(said.worker, time.time_ns() // 1000)
            self._machines[said.worker] = (now, said.machine)
            self._machines.move_to_end(said.worker)
            if len(self._machines) > MOST_WORKERS:
                self._machines.popitem(last=False)
        if said.executions:
            known = {id: told for id, told in self._live.pop(said.worker, {}).items() if now - told.at < OLD_S}
            for one in said.executions:
                known.pop(one.execution, None)
                known[one.execution] = Told(now, one)
            self._live[said.worker] = dict(list(known.items())[-MOST_EXECUTIONS:])
            if len(self._live) > MOST_WATCHED:
                del self._live[next(iter(self._live))]
