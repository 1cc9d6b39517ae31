"""How long a client may owe something: the clock is ours, the connections are real."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
import uvicorn
from uvicorn.server import ServerState

from scitq.bootstrap import connections
from scitq.bootstrap.connections import PATIENCE_S, Http, Sweep, WebSocket

SOON_S = 20.0


async def answer(scope: Any, receive: Any, send: Any) -> None:
    """Reads what is sent to /read and nothing of what is sent elsewhere; /more is much; a handshake hangs."""
    if scope["type"] == "websocket":
        await asyncio.Event().wait()
    if scope["path"] == "/read":
        while (await receive()).get("more_body"):
            pass
    await send({"type": "http.response.start", "status": 200, "headers": []})
    if scope["path"] == "/more":
        for _ in range(1_000):
            await send({"type": "http.response.body", "body": b"x" * 100_000, "more_body": True})
    await send({"type": "http.response.body", "body": b"", "more_body": False})


class Site:
    def __init__(self, state: ServerState, port: int) -> None:
        self.state, self.port, self.sweep = state, port, Sweep(state)

    async def ask(self, request: str) -> asyncio.StreamReader:
        """Send something, and wait until the server has got it."""
        sock = socket.socket()
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", self.port))
        reader, writer = await asyncio.open_connection(sock=sock, limit=1_000)
        self._writers = [*getattr(self, "_writers", []), writer]
        writer.write(request.encode())
        await self.until(lambda: len(self.state.connections) == len(self._writers))
        return reader

    async def until(self, true: Callable[[], bool]) -> None:
        async with asyncio.timeout(SOON_S):
            while not true():
                await asyncio.sleep(0.005)

    def owed(self) -> list[str]:
        return [owed[0] for one in self.state.connections if (owed := connections._owed(one)) is not None]

    def close(self) -> None:
        for writer in getattr(self, "_writers", []):
            writer.transport.abort()


@asynccontextmanager
async def site() -> AsyncIterator[Site]:
    config = uvicorn.Config(answer, http=Http, ws=WebSocket, log_config=None, lifespan="off", timeout_keep_alive=600)
    config.load()
    state = ServerState()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Http(config, state, {}), "127.0.0.1", 0)
    made = Site(state, server.sockets[0].getsockname()[1])
    try:
        yield made
    finally:
        made.close()
        server.close()
        await made.until(lambda: not state.connections)
        for task in list(state.tasks):
            task.cancel()
        await asyncio.gather(*state.tasks, return_exceptions=True)


def run(story: Callable[[Site], Awaitable[None]]) -> None:
    async def whole() -> None:
        async with site() as made:
            await story(made)

    asyncio.run(whole())


UPGRADE = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
KEY = "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"


@pytest.mark.parametrize(
    ("request_", "owed"),
    [
        ("", "request"),
        ("GET / HTTP/1.1\r\nHost: x\r\n", "request"),
        ("POST /read HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n{", "body"),
        ("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n{", "rest"),
        ("GET / HTTP/1.1\r\nHost: x\r\n\r\nGET /again", "request"),
        ("GET /more HTTP/1.1\r\nHost: x\r\n\r\n", "room"),
        (f"GET / HTTP/1.1\r\nHost: x\r\n{UPGRADE}{KEY}\r\n", "handshake"),
    ],
)
def test_who_owes_something_for_too_long_is_left(request_: str, owed: str) -> None:
    async def story(site: Site) -> None:
        await site.ask(request_)
        await site.until(lambda: site.owed() == [owed])
        site.sweep.look(100.0)
        site.sweep.look(100.0 + PATIENCE_S[owed] - 0.1)
        assert site.owed() == [owed]
        site.sweep.look(100.0 + PATIENCE_S[owed])
        await site.until(lambda: not site.state.connections)

    run(story)


def test_who_waits_between_requests_or_is_being_answered_owes_nothing() -> None:
    async def story(site: Site) -> None:
        reader = await site.ask("GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        await reader.readuntil(b"0\r\n\r\n")
        await site.until(lambda: not site.owed())
        for now in range(0, 1_000, 5):
            site.sweep.look(float(now))
        assert len(site.state.connections) == 1

    run(story)


def test_a_reader_who_reads_a_little_is_waited_for() -> None:
    async def story(site: Site) -> None:
        reader = await site.ask("GET /more HTTP/1.1\r\nHost: x\r\n\r\n")
        (connection,) = site.state.connections
        for now in range(0, 300, 30):
            await site.until(lambda: site.owed() == ["room"])
            site.sweep.look(float(now))
            left = connection.transport.get_write_buffer_size()
            while connection.transport.get_write_buffer_size() == left:  # the kernel keeps some too
                await reader.read(50_000)
        assert site.state.connections

    run(story)


def test_there_are_not_more_connections_than_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "most_connections", lambda: 2)

    async def story(site: Site) -> None:
        await site.ask("")
        await site.ask("")
        third, writer = await asyncio.open_connection("127.0.0.1", site.port)
        with pytest.raises(ConnectionError):
            if not await third.read():
                raise ConnectionError
        assert len(site.state.connections) == 2
        writer.close()

    run(story)
