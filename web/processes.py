"""Which processes the server consists of: each says so every two seconds, and is forgotten when it falls silent."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Final

from pydantic import BaseModel, ValidationError

from scitq.bus import Bus, Inbox, Message

log = logging.getLogger(__name__)

BEAT_S: Final = 2.0
SILENCE_S: Final = 10.0
MOST: Final = 1_000
CHANNEL: Final = "processes"


class EngineProcess(BaseModel):
    """`leads`: else it stands by. `position`: how far it has followed the log."""

    leads: bool
    epoch: int | None
    position: int


class Process(BaseModel):
    """`id` is new with each start. `ended`: its last word."""

    id: str
    host: str
    pid: int
    roles: list[str]
    version: str
    started: int
    engine: EngineProcess | None = None
    ended: bool = False

    @property
    def name(self) -> str:
        return f"{self.host}:{self.pid}"


class Processes:
    """Everything here happens in one event loop."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._known: dict[str, tuple[Process, float]] = {}
        self._inbox: Inbox[Message] | None = None
        self._listening: asyncio.Task[None] | None = None

    async def start(self) -> None:
        self._inbox = self._bus.follow(CHANNEL)
        self._listening = asyncio.create_task(self._listen(self._inbox))

    async def close(self) -> None:
        if self._inbox is not None and self._listening is not None:
            self._inbox.close()
            await self._listening

    def alive(self) -> list[Process]:
        """The oldest first."""
        now = time.monotonic()
        self._known = {id: known for id, known in self._known.items() if now - known[1] < SILENCE_S}
        return sorted((process for process, _ in self._known.values()), key=lambda one: (one.started, one.id))

    def leader(self) -> Process | None:
        """One that was killed is still known for a while: the one after it has the higher epoch."""
        leading = [one for one in self.alive() if one.engine is not None and one.engine.leads]
        return max(leading, key=lambda one: (one.engine and one.engine.epoch) or 0, default=None)

    def standbys(self) -> int:
        return sum(1 for one in self.alive() if one.engine is not None and not one.engine.leads)

    async def _listen(self, inbox: Inbox[Message]) -> None:
        while not inbox.closed:
            for message in await inbox.receive(MOST):
                try:
                    self._hear(Process.model_validate_json(message.body))
                except ValidationError as error:
                    log.error("what a process says of itself cannot be read", extra={"error": str(error)[:300]})

    def _hear(self, process: Process) -> None:
        if process.ended:
            self._known.pop(process.id, None)
        elif process.id in self._known or len(self._known) < MOST:
            self._known[process.id] = (process, time.monotonic())
