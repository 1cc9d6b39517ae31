"""Commands to the engine, and its answers. The id of a command makes it safe to send again: one effect, one answer."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping
from typing import Any, Final

import orjson

from scitq.bus import Bus, Mailbox
from scitq.domain.requests import MOST_BYTES
from scitq.web.errors import RETRY, Refusal, conflict, not_found, too_large, unavailable

log = logging.getLogger(__name__)

PATIENCE_S: Final = 10.0
MOST_WAITING_BYTES: Final = 64 * 1024 * 1024
"""Of all commands that wait for their answers together: while no engine answers, clients must not fill the memory."""
Answer = dict[str, Any]


class Commands:
    """One mailbox receives all answers of this process. Everything here happens in one event loop."""

    def __init__(self, bus: Bus, patience_s: float = PATIENCE_S) -> None:
        self._bus, self._patience_s = bus, patience_s
        self._mailbox: Mailbox | None = None
        self._listening: asyncio.Task[None] | None = None
        self._waiting: dict[str, set[asyncio.Future[Answer]]] = {}
        self._waiting_bytes = 0

    async def start(self) -> None:
        self._mailbox = self._bus.mailbox()
        self._listening = asyncio.create_task(self._listen(self._mailbox))

    async def close(self) -> None:
        if self._mailbox is not None and self._listening is not None:
            self._mailbox.close()
            await self._listening
        for waiting in self._waiting.values():
            for future in waiting:
                if not future.done():
                    future.set_exception(Refusal(503, "the server is stopping", headers=RETRY))

    async def send(self, command: Mapping[str, Any], *, id: str, actor: str) -> Answer:
        """Its answer: `first`, `last`, and what the command's kind adds. Refusal, when the engine refuses it."""
        if self._mailbox is None:
            raise Refusal(503, "the server is starting", headers=RETRY)
        deadline = time.time_ns() // 1000 + int(self._patience_s * 1_000_000)
        body = orjson.dumps({"id": id, "deadline": deadline, "command": command})
        if len(body) > MOST_BYTES:
            raise too_large(f"the request has {len(body)} bytes; {MOST_BYTES} are allowed: send it in parts")
        if self._waiting_bytes and self._waiting_bytes + len(body) > MOST_WAITING_BYTES:
            raise unavailable("as many requests as the server can hold wait for the engine: try again in a moment")
        answered: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(id, set()).add(answered)
        self._waiting_bytes += len(body)
        try:
            self._bus.send("commands", body, {"request": id, "actor": actor, "reply_to": self._mailbox.address})
            async with asyncio.timeout(self._patience_s):
                return await answered
        except TimeoutError as error:
            raise Refusal(
                503,
                f"the engine has not answered for {self._patience_s:g} s, and may or may not have done it: "
                "send it again with the same Idempotency-Key",
                headers={**RETRY, "Idempotency-Key": id},
            ) from error
        finally:
            self._waiting_bytes -= len(body)
            waiting = self._waiting[id]
            waiting.discard(answered)
            if not waiting:
                del self._waiting[id]

    async def _listen(self, mailbox: Mailbox) -> None:
        while not mailbox.closed:
            for message in await mailbox.receive(1_000):
                try:
                    self._take(orjson.loads(message.body))
                except (orjson.JSONDecodeError, LookupError, TypeError, AttributeError):
                    log.exception("an answer of the engine cannot be read")

    def _take(self, reply: dict[str, Any]) -> None:
        """Everybody who waits for it gets it: the same command may have been sent twice at once."""
        for answered in self._waiting.get(reply["request"], ()):
            if answered.done():
                continue
            if reply["answer"] is not None:
                answered.set_result(dict(reply["answer"]))
            else:
                answered.set_exception(_refused(str(reply["refusal"])))


def _refused(why: str) -> Refusal:
    return not_found(why) if why.startswith("there is no ") else conflict(why)


def answered_about(answer: Answer, kind: str) -> list[int]:
    """The ids in an answer. None there: the key had been used before, for a command of another kind."""
    ids = answer.get(kind)
    if not isinstance(ids, list):
        raise conflict("this Idempotency-Key was used before, for something else: choose another", "key-used")
    return ids
