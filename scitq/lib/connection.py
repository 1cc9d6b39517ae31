"""The way to a server and back: what is lost is sent again, and nothing is done twice for it.

Each write has an id of its own, kept over its retries, so that the server does it once and answers each time. Each
answer says which position of the log it reflects; reads ask for at least the newest that was seen, so that whoever
wrote something reads it.
"""

from __future__ import annotations

import ipaddress
import logging
import random
import ssl
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock
from typing import Any, Final, NamedTuple

import httpx
import orjson

from scitq import __version__
from scitq.config.values import ServerAddress, Token
from scitq.errors import NotAllowed, ServerError, Unreachable

log = logging.getLogger(__name__)

CONNECT_S: Final = 5.0
ANSWER_S: Final = 15.0  # a server says within 10 s that it cannot
STALE_S: Final = 20.0  # for so long a read is asked again when the views have not reached what was written
DOUBT_S: Final = 1.0  # then it is asked whether there is any hope; a server waits for 2 s before it answers
FIRST_PAUSE_S: Final = 0.1
LONGEST_PAUSE_S: Final = 5.0
TELL_S: Final = 5.0  # whoever waits for so long is told what for, in one line; where nothing is set up, on stderr
TRY_AGAIN: Final = frozenset({429, 502, 503, 504})
SHOWN_CHARS: Final = 300
POSITION: Final = "X-Scitq-Position"


class Answer(NamedTuple):
    content: Any
    position: int  # of the log: what the content reflects


class Connection:
    """To one server, from any thread. `patience_s`: for how long one that cannot be reached is tried again."""

    def __init__(
        self,
        address: ServerAddress,
        token: Token | None,
        *,
        get_timeout: float | None,
        put_timeout: float | None,
        patience_s: float | None = None,
    ) -> None:
        self.address = address
        self.get_timeout, self.put_timeout, self._patience_s = get_timeout, put_timeout, patience_s
        self._position = 0
        self._lock = Lock()
        headers = {"User-Agent": f"scitq/{__version__}", "Accept": "application/json"}
        self._with_token = token is not None
        if token is not None:
            headers["Authorization"] = f"Bearer {token.reveal()}"
        self._client = httpx.Client(
            base_url=address.url,
            headers=headers,
            # The machine's authorities, as for its workers, so that one of the laboratory's own is installed once.
            # Without TLS there is nothing to verify, and reading them all takes its time.
            verify=ssl.create_default_context()
            if address.scheme == "https"
            else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT),
            trust_env=not is_local(address),  # a proxy does not know which machine our localhost is
            limits=httpx.Limits(max_keepalive_connections=4, keepalive_expiry=30),
        )

    def close(self) -> None:
        self._client.close()

    @property
    def position(self) -> int:
        """The newest position of the log that an answer has reflected."""
        return self._position

    def expect(self, position: int) -> None:
        """Let no later answer be older than this position of the log."""
        self._saw(position)

    def read(self, path: str, body: Any = None, wait_s: float | None = None) -> Answer:
        """GET, again while the answer is older than what this client has already seen or written.

        `wait_s`: for no longer than that, where `get_timeout` is more.
        """
        limit = _least(self.get_timeout, wait_s)
        content = None if body is None else orjson.dumps(body)
        began, pause = time.monotonic(), 0.01
        while True:
            wanted = self._position
            answer = self._send("GET", path, content, {POSITION: str(wanted)}, limit)
            reached = _position(answer)
            if reached is None or reached >= wanted or time.monotonic() - began > (_least(STALE_S, wait_s) or 0.0):
                self._saw(reached)
                return Answer(self._content(answer), reached or 0)
            if time.monotonic() - began > DOUBT_S and self._log_ends_before(wanted):
                with self._lock:
                    self._position = reached
                continue
            time.sleep(pause)  # the server has waited itself, if it is one that does
            pause = min(2 * pause, 0.5)

    def write(
        self, method: str, path: str, body: Any = None, *, key: str | None = None, timeout: float | None = None
    ) -> Answer:
        """POST, PUT or DELETE, once, however often it has to be sent. `body` may be bytes of JSON."""
        content = body if body is None or isinstance(body, bytes) else orjson.dumps(body)
        headers = {"Idempotency-Key": key or uuid.uuid4().hex}
        answer = self._send(method, path, content, headers, self.put_timeout if timeout is None else timeout)
        reached = _position(answer)
        self._saw(reached)
        return Answer(self._content(answer), reached or 0)

    def once(self, path: str) -> int:
        """The status of a GET that is sent a single time; Unreachable if nobody answers."""
        try:
            return self._client.get(path, timeout=CONNECT_S).status_code
        except httpx.TransportError as error:
            raise self._unreachable(error) from error

    @contextmanager
    def stream(self, path: str, headers: dict[str, str], silence_s: float) -> Iterator[httpx.Response]:
        """A GET whose answer is read as it comes; Unreachable when it breaks, or is silent for so long."""
        timeout = httpx.Timeout(silence_s, connect=CONNECT_S)
        try:
            with self._client.stream("GET", path, headers=headers, timeout=timeout) as response:
                if not response.is_success:
                    response.read()
                    if response.status_code in TRY_AGAIN:
                        raise Unreachable(self._refusal(response).message)
                    raise self._refusal(response)
                yield response
        except httpx.TransportError as error:
            raise self._unreachable(error) from error

    def _send(
        self, method: str, path: str, content: bytes | None, headers: dict[str, str], wait_s: float | None
    ) -> httpx.Response:
        began, told = time.monotonic(), False
        refusal: ServerError | None = None
        if content is not None:
            headers["Content-Type"] = "application/json"
        for attempt in range(1_000_000):
            spent = time.monotonic() - began
            try:
                response = self._client.request(
                    method, path, content=content, headers=headers, timeout=_timeout(method, wait_s, spent)
                )
            except httpx.TransportError as error:
                trouble: Unreachable | ServerError = self._unreachable(error)
                trouble.__cause__ = error
                if not _passes(error):
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
                    return response
                trouble = refusal = self._refusal(response)
                least, end = _retry_after(response), wait_s
            # Full jitter: clients that lost the same server at the same moment do not come back together.
            pause = max(least, random.uniform(0, min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2 ** min(attempt, 10))))
            if end is not None and time.monotonic() - began + pause > end:
                raise trouble
            if not told and time.monotonic() - began > TELL_S:
                told = True
                log.warning("%s; trying again", trouble)
            time.sleep(pause)
        raise AssertionError("a million attempts")

    def _log_ends_before(self, position: int) -> bool:
        """A log never gets shorter: then it is another one, of a store that was made anew, and will not get there."""
        try:
            said = orjson.loads(self._client.get("/ready", timeout=CONNECT_S).content)
            return bool(said["engine"]) and said["position"] + said["lag"] < position
        except (httpx.TransportError, orjson.JSONDecodeError, LookupError, TypeError):
            return False  # nobody knows, for now

    def _saw(self, position: int | None) -> None:
        if position is not None:
            with self._lock:
                self._position = max(self._position, position)

    def _content(self, response: httpx.Response) -> Any:
        if not response.is_success:
            raise self._refusal(response)
        try:
            return orjson.loads(response.content) if response.content else None
        except orjson.JSONDecodeError as error:
            text = f"{self.address.url} answered with something that is no JSON: is it a scitq server?"
            raise ServerError(response.status_code, text) from error

    def _refusal(self, response: httpx.Response) -> ServerError:
        status, message = response.status_code, _message(response)
        if status == 401:
            return NotAllowed(status, self._what_to_set())
        if message is None:
            shown = f"{status} {response.reason_phrase}".strip()
            message = f"{self.address.url} answered {shown}, without a sentence: is it a scitq server?"
        return ServerError(status, message)

    def _what_to_set(self) -> str:
        problem = "does not accept the token that was sent" if self._with_token else "asks for a token"
        return (
            f"{self.address.url} {problem}: set SCITQ_TOKEN to that of the server (the file `token` in its data folder)"
        )

    def _unreachable(self, error: httpx.TransportError) -> Unreachable:
        advice = (
            "start one with `scitq up`, or set SCITQ_SERVER" if is_local(self.address) else "is SCITQ_SERVER right?"
        )
        return Unreachable(f"no scitq server answers at {self.address.url} ({_reason(error)}): {advice}")


def is_local(address: ServerAddress) -> bool:
    """The server is on this machine, by its address."""
    try:
        return ipaddress.ip_address(address.host).is_loopback
    except ValueError:
        return address.host == "localhost"


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


def _message(response: httpx.Response) -> str | None:
    try:
        content = orjson.loads(response.content)
    except orjson.JSONDecodeError:
        return None
    if not isinstance(content, dict) or not isinstance(content.get("message"), str):
        return None
    message: str = content["message"]
    errors = content.get("errors")
    if isinstance(errors, dict) and errors:
        told = [f"{field}: {text}" for field, text in list(errors.items())[:10]]
        if told != [message]:
            message += f" ({'; '.join(told)})"
    return message


def _passes(error: httpx.TransportError) -> bool:
    """Trying again may help. It does not where the other side is not who it says, or the address is none."""
    if isinstance(error, (httpx.UnsupportedProtocol, httpx.LocalProtocolError, httpx.ProxyError)):
        return False
    return not isinstance(_root(error), ssl.SSLError)


def _reason(error: httpx.TransportError) -> str:
    root = _root(error)
    if isinstance(error, httpx.TimeoutException):
        return "it took too long"
    text = root.strerror if isinstance(root, OSError) and root.strerror else str(root) or type(root).__name__
    return " ".join(text.split())[:SHOWN_CHARS]


def _root(error: BaseException) -> BaseException:
    """What httpx and its layers below were told by the system."""
    for _ in range(20):
        below = error.__cause__ or error.__context__
        if below is None:
            break
        error = below
    return error
