"""The log of a server as it grows: a stream that is opened again where it broke, or pages where there is no stream."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Any, Final
from urllib.parse import urlencode

import httpx
import orjson

from scitq.errors import ServerError, Unreachable
from scitq.lib.connection import Connection

log = logging.getLogger(__name__)

Event = dict[str, Any]
SILENCE_S: Final = 25.0  # a server says something every 10 s
REOPEN_S: Final = 1.0
CLOSE_S: Final = 0.1
FIRST_PAUSE_S: Final = 0.1
LONGEST_PAUSE_S: Final = 5.0
PAGE: Final = 1_000
STREAM_TYPE: Final = "text/event-stream"
MOST_BUFFERED: Final = 64 * 1024 * 1024


class Events:
    """Of one server, perhaps only those of a stream (`task-7`) or of a type (`task-*`)."""

    def __init__(self, connection: Connection, *, stream: str | None = None, type: str | None = None) -> None:
        self._connection = connection
        self._filters = {name: text for name, text in (("stream", stream), ("type", type)) if text is not None}
        self._streams = True

    async def run(self, after: int, *, end: float | None = None) -> AsyncGenerator[list[Event], None]:
        """What comes behind the position, as it comes; an empty list when nothing did for a while, for ever.

        `end`, on the clock `time.monotonic`, is when the last empty list is given.
        """
        pause, lost = FIRST_PAUSE_S, False
        while end is None or time.monotonic() < end:
            found: list[Event] = []
            try:
                async with aclosing(self._stream(after, end) if self._streams else self._one_page(after)) as source:
                    async for found in source:
                        if found:
                            after, pause = found[-1]["position"], FIRST_PAUSE_S
                        lost = False
                        yield found
            except Unreachable as error:
                if end is not None and time.monotonic() >= end - CLOSE_S:
                    break
                if not lost:
                    log.warning("the server is out of reach; trying again", extra={"reason": str(error)})
                lost = True
                yield []
            if not found:
                wait_s = random.uniform(pause / 2, pause)
                await self._connection.pause(wait_s if end is None else max(0.0, min(wait_s, end - time.monotonic())))
                pause = min(LONGEST_PAUSE_S, pause * 1.5)
        yield []

    async def _one_page(self, after: int) -> AsyncGenerator[list[Event], None]:
        yield await self.page(after)

    async def page(self, after: int) -> list[Event]:
        """The next ones that there are already."""
        query = urlencode({"after": after, "limit": PAGE, **self._filters})
        content = (await self._connection.read(f"/events?{query}")).content
        found: list[Event] = content["events"] if isinstance(content, dict) else content
        return found

    async def _stream(self, after: int, end: float | None) -> AsyncGenerator[list[Event], None]:
        path = f"/events?{urlencode({'after': after, **self._filters})}"
        silence_s = SILENCE_S if end is None else max(0.01, min(SILENCE_S, end - time.monotonic()))
        heard = False
        try:
            async with self._connection.stream(path, {"Accept": STREAM_TYPE}, silence_s) as stream:
                if not stream.response.headers.get("Content-Type", "").startswith(STREAM_TYPE):
                    self._streams = False
                    return
                async for events in _frames(stream.pieces):
                    heard = True
                    yield events
                    if end is not None and end - time.monotonic() < silence_s - REOPEN_S:
                        return  # and opened again, with the patience that is left
        except Unreachable as error:
            # Something between us and the server may keep what it says until there is enough of it.
            if not heard and silence_s == SILENCE_S and isinstance(error.__cause__, httpx.ReadTimeout):
                self._streams = False
            raise


async def _frames(pieces: AsyncIterator[bytes]) -> AsyncIterator[list[Event]]:
    """Server-sent events, as many as came together; a comment is none."""
    rest = b""
    async for piece in pieces:
        *whole, rest = (rest + piece).replace(b"\r\n", b"\n").split(b"\n\n")
        if len(rest) > MOST_BUFFERED:
            raise ServerError(200, "the server sent an event that is too long to be one")
        found: list[Event] = []
        for frame in whole:
            data = [line[5:].lstrip(b" ") for line in frame.split(b"\n") if line.startswith(b"data:")]
            if data:
                found.extend(_events(b"\n".join(data)))
        if found or whole:
            yield found


def _events(text: bytes) -> list[Event]:
    try:
        content = orjson.loads(text)
        events: list[Event] = content if isinstance(content, list) else [content]
        if all(isinstance(event["position"], int) for event in events):
            return events
    except (orjson.JSONDecodeError, LookupError, TypeError):
        pass
    raise ServerError(200, "what came is not an event of the log: is it a scitq server?")
