"""The web processes of one server, behind one address: what each tells the others, so that it does not matter which of
them is asked."""

from __future__ import annotations

import asyncio
import logging
import secrets
from typing import Any, Final

import orjson

from scitq.bus import Bus, Inbox, Message
from scitq.web.heard import Heard

log = logging.getLogger(__name__)

TELL_EVERY_S: Final = 2.0


class Siblings:
    """Tells whom this process heard lately, and which token it has; notes what the others tell."""

    def __init__(self, bus: Bus, heard: Heard, token_mark: str) -> None:
        self._bus, self._heard, self._mark = bus, heard, token_mark
        self._own = secrets.token_hex(8)
        self._strangers: set[str] = set()
        self._inbox: Inbox[Message] | None = None
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        self._inbox = self._bus.follow("web")
        self._tasks = [asyncio.create_task(self._listen(self._inbox)), asyncio.create_task(self._tell())]

    async def close(self) -> None:
        if self._inbox is not None:
            self._inbox.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _tell(self) -> None:
        while True:
            body = orjson.dumps(self._heard.take_news(), option=orjson.OPT_NON_STR_KEYS)
            self._bus.publish("web", body, {"process": self._own, "token": self._mark})
            await asyncio.sleep(TELL_EVERY_S)

    async def _listen(self, inbox: Inbox[Message]) -> None:
        while not inbox.closed:
            for message in await inbox.receive(1_000):
                try:
                    self._note(message)
                except (orjson.JSONDecodeError, AttributeError, TypeError, ValueError, KeyError):
                    log.exception("what another web process tells cannot be read")

    def _note(self, message: Message) -> None:
        process = message.headers["process"]
        if process == self._own:
            return
        told: dict[str, Any] = orjson.loads(message.body)
        for worker, at in told.items():
            self._heard.note_from_elsewhere(int(worker), int(at))
        if message.headers["token"] != self._mark and process not in self._strangers:
            self._strangers.add(process)
            log.error(
                "another web process of this server has another token, and refuses who has ours: start all of them "
                "with the same SCITQ_TOKEN"
            )
