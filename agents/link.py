"""The way to the server: a WebSocket to its gateway, opened again and again for as long as the agent lives.

What can only be put right by somebody, and was never right, ends the agent with a sentence. What once worked is tried
again for ever: a server that is restarted, or whose token is about to be put back, must not cost a machine its work.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import AsyncGenerator, Callable
from contextlib import suppress
from typing import Final
from urllib.parse import urlsplit, urlunsplit

import orjson
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidHandshake, InvalidMessage, InvalidStatus, InvalidURI
from websockets.typing import Subprotocol

from scitq import __version__
from scitq.domain.agent_wire import PROTOCOLS
from scitq.errors import AgentError

log = logging.getLogger(__name__)

PATH: Final = "/workers/gateway"
SUBPROTOCOLS: Final = [Subprotocol(name) for name in PROTOCOLS]
MOST_BYTES: Final = 8 * 1024 * 1024
PING_S, PONG_S, OPEN_S = 5.0, 10.0, 10.0
FIRST_S, LONGEST_S, REFUSED_S = 0.1, 5.0, 30.0
TOO_FAR_APART: Final = 426
_LOOPBACK: Final = ("localhost", "127.0.0.1", "::1")


def gateway_of(url: str) -> str:
    """The address of the gateway of a server; AgentError when this is no address of one."""
    parts = urlsplit(url if "://" in url else f"http://{url}")
    scheme = {"http": "ws", "https": "wss", "ws": "ws", "wss": "wss"}.get(parts.scheme)
    if scheme is None or not parts.hostname or "@" in parts.netloc:
        raise AgentError(
            f"{parts.scheme}://{parts.hostname} is not the address of a server: it is like http://host:5000"
        )
    return urlunsplit((scheme, parts.netloc, parts.path.rstrip("/") + PATH, "", ""))


class Link:
    """One connection after the other. `understood` is called by whoever talks over it, once he was.

    `token` may be a function: a server of the same machine makes its token at its first start, perhaps after ours.
    """

    def __init__(self, url: str, token: str | Callable[[], str]) -> None:
        self.url = gateway_of(url)
        self._token = token if callable(token) else lambda: token
        self._shown = ""
        self.worked = False
        self._last_words = ""
        self._pause_s = FIRST_S

    async def connections(self) -> AsyncGenerator[ClientConnection, None]:
        """Each is to be used until it is closed. AgentError, with a sentence, when it is no use to try again."""
        while True:
            refused = False
            try:
                connection = await self._open()
            except (InvalidStatus, InvalidMessage) as error:
                status = error.response.status_code if isinstance(error, InvalidStatus) else 0
                # A token may have been made while we were connecting.
                refused = status == TOO_FAR_APART or (status == 401 and self._token() == self._shown)
                self._failed(_in_words(error, self.url), fatal=refused)
            except InvalidURI as error:
                raise AgentError(f"{self.url} is not the address of a server: {error.msg}") from error
            except (OSError, InvalidHandshake, TimeoutError) as error:
                self._failed(f"the server at {self.url} cannot be reached: {str(error) or 'it does not answer'}")
            else:
                if connection.subprotocol is None:
                    await connection.close()
                    why = f"who listens at {self.url} does not speak {' or '.join(PROTOCOLS)}, as a scitq server does"
                    self._failed(why, fatal=True)
                    await asyncio.sleep(REFUSED_S)
                    continue
                self._last_words = ""
                try:
                    yield connection
                finally:
                    await connection.close()
                self._ended(connection)
            await asyncio.sleep(REFUSED_S if refused else self._pause_s * random.uniform(0.5, 1.0))
            self._pause_s = min(2 * self._pause_s, LONGEST_S)

    def understood(self) -> None:
        """The server listens to us: whatever comes later will pass."""
        self.worked = True
        self._pause_s = FIRST_S

    async def _open(self) -> ClientConnection:
        here = urlsplit(self.url).hostname in _LOOPBACK
        self._shown = self._token()
        return await connect(
            self.url,
            additional_headers={"Authorization": f"Bearer {self._shown}"},
            subprotocols=SUBPROTOCOLS,
            compression=None,
            max_size=MOST_BYTES,
            open_timeout=OPEN_S,
            ping_interval=PING_S,
            ping_timeout=PONG_S,
            close_timeout=1.0,
            user_agent_header=f"scitq/{__version__}",
            proxy=None if here else True,
        )

    def _failed(self, words: str, *, fatal: bool = False) -> None:
        if fatal and not self.worked:
            raise AgentError(words)
        if words != self._last_words:
            log.warning("there is no connection to the server; it is tried again", extra={"reason": words})
        self._last_words = words

    def _ended(self, connection: ClientConnection) -> None:
        code, reason = connection.close_code, connection.close_reason
        if code == 1008 and not self.worked:
            raise AgentError(f"the server does not talk to this worker: {reason or 'it does not say why'}")
        log.info("the connection to the server was closed", extra={"code": code, "reason": reason})
        if code == 1013:  # overloaded
            self._pause_s = LONGEST_S


def _in_words(error: InvalidStatus | InvalidMessage, url: str) -> str:
    if isinstance(error, InvalidMessage):
        return f"whoever listens at {url} does not speak HTTP"
    status, said = error.response.status_code, ""
    with suppress(orjson.JSONDecodeError, AttributeError):
        said = str(orjson.loads(error.response.body or b"{}").get("message", ""))[:1_000]
    if status == 401:
        return (
            f"the server at {url} does not accept this worker's token or credential{f' ({said})' if said else ''}: "
            "set SCITQ_TOKEN to the server's token, or enrol the worker anew with an invitation (scitq worker invite)"
        )
    if status == TOO_FAR_APART:
        return f"the server at {url} and this worker (scitq {__version__}) do not understand each other: {said}"
    if status == 404:
        return f"the server at {url} has no gateway for workers: it is another program, or too old"
    return f"the server at {url} answered {status}{f': {said}' if said else ''}"
