"""The way to a server and back: what is lost is sent again, and nothing is done twice for it.

Each write has an id of its own, kept over its retries, so that the server does it once and answers each time. Each
answer says which position of the log it reflects; reads ask for at least the newest that was seen, so that whoever
wrote something reads it.
"""

from __future__ import annotations

import copy
import logging
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, Final, NamedTuple

import httpx
import orjson

from scitq.config.values import ServerAddress
from scitq.errors import ServerError, Unreachable
from scitq.lib.answers import TRY_AGAIN, Told, passes
from scitq.lib.line import Crew, Line, Outgoing, Stream
from scitq.lib.patience import LOOK_S, Attempts, Away, Seen
from scitq.lib.shapes import encoded

log = logging.getLogger(__name__)

CONNECT_S: Final = 5.0
ANSWER_S: Final = 15.0  # a server says within 10 s that it cannot
STALE_S: Final = 20.0  # for so long a read is asked again when the views have not reached what was written
DOUBT_S: Final = 1.0  # then it is asked whether there is any hope; a server waits for 2 s before it answers
TELL_S: Final = 5.0  # whoever waits for so long is told what for, in one line; where nothing is set up, on stderr
POSITION: Final = "X-Scitq-Position"


class Answer(NamedTuple):
    content: Any
    position: int  # of the log: what the content reflects


class Connection:
    """To one server, from any thread. `patience_s`: for how long one that cannot be reached is tried again."""

    def __init__(
        self,
        address: ServerAddress,
        line: Line,
        *,
        with_token: bool,
        get_timeout: float | None,
        put_timeout: float | None,
        patience_s: float | None = None,
    ) -> None:
        self.address, self._line, self._told = address, line, Told(address, with_token)
        self.get_timeout, self.put_timeout, self._patience_s = get_timeout, put_timeout, patience_s
        self._seen, self._away = Seen(), Away()

    def within(self, seconds: float) -> Connection:
        """The same, where each call is over in so many seconds."""
        other = copy.copy(self)
        other.get_timeout = other.put_timeout = seconds
        return other

    def over(self, line: Line) -> Connection:
        """The same over another line, for as long as it takes."""
        other = copy.copy(self)
        other._line, other.get_timeout, other.put_timeout, other._patience_s = line, None, None, None
        return other

    async def close(self) -> None:
        await self._line.close()

    async def pause(self, seconds: float) -> None:
        await self._line.pause(seconds)

    def crew(self, size: int) -> AbstractAsyncContextManager[Crew]:
        """Whoever does things beside each other."""
        return self._line.crew(size)

    @property
    def position(self) -> int:
        """The newest position of the log that an answer has reflected."""
        return self._seen.position

    def expect(self, position: int) -> None:
        """Let no later answer be older than this position of the log."""
        self._seen.saw(position)

    async def read(self, path: str, body: Any = None, wait_s: float | None = None) -> Answer:
        """GET, again while the answer is older than what this client has already seen or written.

        `wait_s`: for no longer than that, where `get_timeout` is more.
        """
        limit = _least(self.get_timeout, wait_s)
        content = None if body is None else encoded(body)
        began, pause = time.monotonic(), 0.01
        while True:
            wanted = self._seen.position
            answer = await self._send("GET", path, content, {POSITION: str(wanted)}, limit)
            reached = _position(answer)
            if reached is None or reached >= wanted or time.monotonic() - began > (_least(STALE_S, wait_s) or 0.0):
                self._seen.saw(reached)
                return Answer(self._told.content(answer), reached or 0)
            if time.monotonic() - began > DOUBT_S and await self._log_ends_before(wanted):
                self._seen.forget(reached)
                continue
            await self._line.pause(pause)  # the server has waited itself, if it is one that does
            pause = min(2 * pause, 0.5)

    async def write(
        self, method: str, path: str, body: Any = None, *, key: str | None = None, timeout: float | None = None
    ) -> Answer:
        """POST, PUT or DELETE, once, however often it has to be sent. `body` may be bytes of JSON."""
        content = body if body is None or isinstance(body, bytes) else encoded(body)
        headers = {"Idempotency-Key": key or uuid.uuid4().hex}
        answer = await self._send(method, path, content, headers, self.put_timeout if timeout is None else timeout)
        reached = _position(answer)
        self._seen.saw(reached)
        return Answer(self._told.content(answer), reached or 0)

    async def once(self, path: str) -> int:
        """The status of a GET that is sent a single time; Unreachable if nobody answers."""
        try:
            return (await self._line.send(_question(path))).status_code
        except httpx.TransportError as error:
            raise self._told.unreachable(error) from error

    @asynccontextmanager
    async def stream(self, path: str, headers: dict[str, str], silence_s: float) -> AsyncIterator[Stream]:
        """A GET whose answer is read as it comes; Unreachable when it breaks, or is silent for so long."""
        timeout = httpx.Timeout(silence_s, connect=CONNECT_S)
        request = Outgoing("GET", path, None, {**headers, "Accept-Encoding": "identity"}, timeout)
        try:
            async with self._line.stream(request) as stream:
                if not stream.response.is_success:
                    refusal = self._told.refusal(stream.response)
                    raise Unreachable(refusal.message) if refusal.status in TRY_AGAIN else refusal
                yield stream
        except httpx.TransportError as error:
            raise self._told.unreachable(error) from error

    async def _send(
        self, method: str, path: str, content: bytes | None, headers: dict[str, str], wait_s: float | None
    ) -> httpx.Response:
        if content is not None:
            headers["Content-Type"] = "application/json"
        request = Outgoing(method, path, content, headers, httpx.Timeout(ANSWER_S))
        began, told = time.monotonic(), False
        attempts = Attempts(began)
        refusal: ServerError | None = None
        while True:
            returns = self._away.returns
            try:
                attempt_s = _timeout(request.method, wait_s, time.monotonic() - began)
                response = await self._line.send(request._replace(timeout=attempt_s))
            except httpx.TransportError as error:
                trouble: Unreachable | ServerError = self._told.unreachable(error)
                trouble.__cause__ = error
                if not passes(error):
                    raise trouble from error
                if isinstance(error, httpx.ReadTimeout) and refusal is not None:
                    trouble = refusal  # it is there, and has said why: the last attempt had too little time left
                least, end = 0.0, _least(wait_s, self._patience_s)
            except httpx.DecodingError as error:
                raise ServerError(
                    200, f"{self.address.url} answers in no known encoding: is it a scitq server?"
                ) from error
            else:
                if response.status_code not in TRY_AGAIN:
                    self._away.is_back()
                    return response
                trouble = refusal = self._told.refusal(response)
                least, end = _retry_after(response), wait_s
            pause = attempts.pause_s(time.monotonic(), least, end)
            if pause is None:
                raise trouble
            if not told and time.monotonic() - began > TELL_S:
                told = True
                log.warning("%s; trying again", trouble)
            await self._line.pause(pause)
            while not self._away.may_try(attempts, now := time.monotonic(), returns):
                if attempts.over(now, end):
                    raise trouble
                await self._line.pause(LOOK_S)

    async def _log_ends_before(self, position: int) -> bool:
        """A log never gets shorter: then it is another one, of a store that was made anew, and will not get there."""
        try:
            said = orjson.loads((await self._line.send(_question("/ready"))).content)
            return bool(said["engine"]) and said["position"] + said["lag"] < position
        except (httpx.TransportError, orjson.JSONDecodeError, LookupError, TypeError):
            return False  # nobody knows, for now


def _timeout(method: str, wait_s: float | None, spent: float) -> httpx.Timeout:
    """For one attempt. A write is sent again after a while, in case its answer was lost; a long list needs its time."""
    left = None if wait_s is None else max(1.0, wait_s - spent)
    answer = left if method == "GET" else _least(left, ANSWER_S)
    return httpx.Timeout(answer, connect=_least(left, CONNECT_S))


def _least(*times: float | None) -> float | None:
    return min((one for one in times if one is not None), default=None)


def _position(response: httpx.Response) -> int | None:
    text = response.headers.get(POSITION, "")
    return int(text) if text.isdecimal() and len(text) < 19 else None


def _retry_after(response: httpx.Response) -> float:
    text = response.headers.get("Retry-After", "")
    return min(60.0, float(text)) if text.isdecimal() and len(text) < 9 else 0.0


def _question(path: str) -> Outgoing:
    return Outgoing("GET", path, None, {}, httpx.Timeout(CONNECT_S))
