"""Through the server's gateway: a WebSocket, one port, and a credential that is good for nothing else."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Final
from urllib.parse import urlsplit, urlunsplit

import orjson
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidMessage, InvalidStatus, InvalidURI
from websockets.typing import Subprotocol

from scitq import __version__
from scitq.agents.link import OPEN_S, Disconnected, End, Heard, Link, NotOpened
from scitq.domain.agent_wire import PROTOCOLS
from scitq.errors import AgentError

PATH: Final = "/workers/gateway"
SUBPROTOCOLS: Final = [Subprotocol(name) for name in PROTOCOLS]
MOST_BYTES: Final = 8 * 1024 * 1024
PING_S, PONG_S = 5.0, 10.0
REFUSED, OVERLOADED = 1008, 1013
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


class GatewayLink(Link):
    """`token` may be a function: a server of this machine makes its token at its first start, perhaps after ours."""

    def __init__(self, url: str, token: str | Callable[[], str]) -> None:
        super().__init__()
        self.url = gateway_of(url)
        self._token = token if callable(token) else lambda: token
        self._shown = ""

    async def open(self) -> SocketConnection:
        try:
            socket = await self._connect()
        except (InvalidStatus, InvalidMessage) as error:
            status = error.response.status_code if isinstance(error, InvalidStatus) else 0
            # A token may have been made while we were connecting.
            refused = status == TOO_FAR_APART or (status == 401 and self._token() == self._shown)
            raise NotOpened(_in_words(error, self.url), refused=refused, fatal=refused) from error
        except InvalidURI as error:
            raise AgentError(f"{self.url} is not the address of a server: {error.msg}") from error
        except (OSError, InvalidHandshake, TimeoutError) as error:
            reason = str(error) or "it does not answer"
            raise NotOpened(f"the server at {self.url} cannot be reached: {reason}") from error
        if socket.subprotocol is None:
            await socket.close()
            why = f"who listens at {self.url} does not speak {' or '.join(PROTOCOLS)}, as a scitq server does"
            raise NotOpened(why, refused=True, fatal=True)
        return SocketConnection(socket)

    async def _connect(self) -> ClientConnection:
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


class SocketConnection:
    """See `link.Connection`: text frames carry messages and posts, binary ones output and how far it has come."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket

    async def say(self, message: bytes) -> None:
        try:
            await self._socket.send(message, text=True)
        except ConnectionClosed as error:
            raise Disconnected from error

    async def carry(self, chunk: bytes) -> None:
        try:
            await self._socket.send(chunk)
        except ConnectionClosed as error:
            raise Disconnected from error

    async def hear(self) -> Heard:
        try:
            frame = await self._socket.recv()
        except ConnectionClosed as error:
            raise Disconnected from error
        return Heard(frame.encode()) if isinstance(frame, str) else Heard(frame, confirms=True)

    async def close(self) -> None:
        await self._socket.close()

    def end(self) -> End:
        code, reason = self._socket.close_code, self._socket.close_reason
        if code == REFUSED:
            return End(f"the server does not talk to this worker: {reason or 'it does not say why'}", fatal=True)
        return End(f"{reason or 'it does not say why'} ({code})", overloaded=code == OVERLOADED)


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
