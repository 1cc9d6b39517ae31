"""What uvicorn leaves to the goodwill of clients: how many they are, and how long one may owe something.

It waits for ever for the end of a request, for a handshake, and for a reader to make room, whoever that is. Here each
of these has its time, and then the connection ends. Answers and WebSockets that go on may go on: they owe nothing.
"""

from __future__ import annotations

import asyncio
import logging
import resource
from typing import TYPE_CHECKING, Any, Final

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

if TYPE_CHECKING:
    from asyncio import BaseTransport

    from uvicorn._types import ASGISendEvent
    from uvicorn.server import ServerState

log = logging.getLogger(__name__)

LOOK_EVERY_S: Final = 5.0
PATIENCE_S: Final = {"request": 15.0, "handshake": 15.0, "rest": 15.0, "body": 300.0, "room": 50.0}
"""The rest is that of a body which was answered before it had come, or of an answer to a connection that is closed.
Only those who are allowed to send a body are waited for; 8 MiB of it may come over a slow line. A stream that has no
room loses its patience after a minute by itself, and louder."""
KEPT_FILES: Final = 256
"""Of the files that the process may open, those that are not connections."""


def most_connections() -> int:
    """As many as there may be without the stores being refused a file."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return 100_000 if soft == resource.RLIM_INFINITY else max(soft - KEPT_FILES, soft // 2)


class Http(H11Protocol):
    """A connection, unless there are too many already."""

    def connection_made(self, transport: BaseTransport) -> None:
        super().connection_made(transport)  # type: ignore[arg-type]
        if len(self.connections) > most_connections():
            self.transport.abort()


class WebSocket(WebSocketsSansIOProtocol):
    """A handshake that is refused ends there: uvicorn waits on, or takes the refusal for a mistake of ours."""

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.conn.handshake_exc is not None and not self.handshake_initiated:
            self.transport.close()  # it could not even be read

    async def send(self, message: ASGISendEvent) -> None:
        await super().send(message)
        if self.initial_response is not None and self.close_sent:
            self.handshake_complete = True


class Sweep:
    """Looks at all connections now and then, and ends those that owe the same for too long."""

    def __init__(self, state: ServerState) -> None:
        self._state = state
        self._since: dict[Any, tuple[object, float]] = {}

    async def run(self) -> None:
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            self.look(asyncio.get_running_loop().time())

    def look(self, now: float) -> None:
        """`now`, in seconds: only differences matter."""
        before, self._since = self._since, {}
        late = []
        for connection in self._state.connections:
            owed = _owed(connection)
            if owed is None:
                continue
            same, since = before.get(connection, (None, now))
            if same != owed:
                since = now
            self._since[connection] = owed, since
            if now - since >= PATIENCE_S[owed[0]]:
                late.append(connection)
        for connection in late:
            connection.transport.abort()
        if len(self._state.connections) >= most_connections():
            log.warning("there are as many connections as may be open; others are refused (ulimit -n gives more)")
        if late:
            log.info("connections were ended that kept the server waiting", extra={"connections": len(late)})


def _owed(connection: Any) -> tuple[str, int] | None:
    """What a client owes, and a number that changes whenever some of it came."""
    unsent = connection.transport.get_write_buffer_size()
    if connection.transport.is_closing():
        return "rest", unsent
    if isinstance(connection, WebSocketsSansIOProtocol):
        return None if connection.handshake_complete else ("handshake", 0)
    if unsent and connection.flow.write_paused:
        return "room", unsent
    cycle, state = connection.cycle, connection.conn.their_state
    if state is h11.SEND_BODY:
        return ("rest", 0) if cycle is not None and cycle.response_complete else ("body", 0)
    if state is h11.IDLE and (cycle is None or connection.conn.trailing_data[0]):
        return "request", id(cycle)
    return None
