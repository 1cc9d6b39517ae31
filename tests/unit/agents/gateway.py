"""A gateway that speaks the contract, with a little engine behind it: what agents are tried on.

It assigns what it is given, as far as there is room, applies reports in their order and once, keeps output without
gaps. What goes wrong on the way to real servers can be made to go wrong here.
"""

from __future__ import annotations

import asyncio
import http
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response
from websockets.typing import Subprotocol

from scitq.domain.agent_wire import encode_post, parse_from_agent
from scitq.domain.execution import Failed, Refused, Report, Started, Succeeded
from scitq.domain.messages import (
    AgentHello,
    Applied,
    Assign,
    Heartbeat,
    Reports,
    Resend,
    Settings,
    ToAgent,
    Told,
    Unwelcome,
    Welcome,
)
from scitq.domain.output_wire import Chunk, Confirm, encode_confirms, parse_chunk
from scitq.domain.telemetry import Telemetry

TOKEN = "a-token-for-the-tests"
WORKER = 7


class Gateway:
    """One worker's. It outlives connections, as an engine's log does."""

    def __init__(self, *, concurrency: int = 4, prefetch: int = 4) -> None:
        self.token = TOKEN
        self.concurrency, self.prefetch = concurrency, prefetch
        self.waiting: list[tuple[int, dict[str, Any]]] = []
        self.active: dict[int, dict[str, Any]] = {}
        self.reports: list[Told] = []
        self.moments: list[Telemetry] = []
        self.ends: dict[int, Report] = {}
        self.started: dict[int, int] = {}
        self.applied = 0
        self.output: dict[tuple[int, int], bytearray] = {}
        self.chunks = 0
        self.seen: dict[tuple[int, int], int] = {}
        self.confirms = True
        self.hellos: list[AgentHello] = []
        self.heartbeats: list[Heartbeat] = []
        self.frames: list[str] = []  # the kinds of what came, in order
        self.refused = 0  # handshakes with a wrong token
        self.mute = False  # it does not answer a hello
        self.unwelcome: str | None = None
        self.cut_every: int | None = None
        self.deaf = False  # it applies nothing
        self.pause_s = 0.0  # before each chunk is read: a slow link
        self.closes_with: tuple[int, str] | None = None
        self.assigns = True
        self.keeps_output = True
        self.loses_output = False  # behind the connection, which stands
        self.lost = 0  # chunks
        self.changed = asyncio.Event()
        self._connection: ServerConnection | None = None
        self._frames = 0
        self._server: Server | None = None
        self._stopping: asyncio.Future[None]

    async def start(self, port: int = 0) -> int:
        self._stopping = asyncio.get_running_loop().create_future()
        self._server = await serve(
            self._serve,
            "127.0.0.1",
            port,
            process_request=self._admit,
            subprotocols=[Subprotocol("scitq.1")],
            compression=None,
            ping_interval=10,
            max_queue=1,
        )
        return int(self._server.sockets[0].getsockname()[1])

    async def stop(self) -> None:
        assert self._server is not None
        self._stopping.set_result(None)
        self._server.close()
        await self._server.wait_closed()

    async def cut(self) -> None:
        """Cut the connection, without a word."""
        if self._connection is not None:
            self._connection.transport.abort()
            await self._connection.wait_closed()

    async def until(self, look: Callable[[], Any], timeout_s: float = 40.0) -> Any:
        """What a condition yields once it holds; it is looked at whenever something came, and now and then."""
        async with asyncio.timeout(timeout_s):
            while not (found := look()):
                self.changed.clear()
                try:
                    async with asyncio.timeout(0.02):
                        await self.changed.wait()
                except TimeoutError:
                    continue
            return found

    # What is told to the agent -------------------------------------------------------------------------------------

    def give(self, execution: int, command: str, **texts: Any) -> None:
        self.waiting.append((execution, {"command": command, **texts}))

    async def say(self, *messages: ToAgent) -> None:
        if self._connection is not None and self.hellos:
            incarnation = self.hellos[-1].hello.incarnation
            try:
                await self._connection.send(encode_post(1, WORKER, incarnation, messages), text=True)
            except ConnectionClosed:
                return

    async def send(self, frame: str | bytes) -> None:
        """As it is."""
        assert self._connection is not None
        await self._connection.send(frame)

    async def offer(self) -> None:
        """Assign what there is room for."""
        found: list[ToAgent] = []
        while self.assigns and self.waiting and len(self.active) < self.concurrency + self.prefetch:
            execution, texts = self.waiting.pop(0)
            self.active[execution] = texts
            found.append(Assign(execution, 10_000 + execution, texts))
        if found:
            await self.say(*found)

    def has(self, execution: int, stream: int = 1) -> bytes:
        return bytes(self.output.get((execution, stream), b""))

    def has_all(self, end: Succeeded | Failed) -> bool:
        """Whether all that it says it printed is here."""
        seen = [self.seen.get((end.execution, stream), 0) for stream in (1, 2)]
        return seen == [end.stdout_bytes, end.stderr_bytes]

    # What the agent says -------------------------------------------------------------------------------------------

    def _admit(self, connection: ServerConnection, request: Request) -> Response | None:
        if request.headers.get("Authorization") == f"Bearer {self.token}" and request.path == "/workers/gateway":
            return None
        self.refused += 1
        body = b'{"message": "the token is another"}'
        headers = Headers([("Content-Length", str(len(body))), ("Connection", "close")])
        return Response(http.HTTPStatus.UNAUTHORIZED, "Unauthorized", headers, body)

    async def _serve(self, connection: ServerConnection) -> None:
        self._connection = connection
        try:
            while True:
                await self._take(connection, await connection.recv())
                self.changed.set()
                self._frames += 1
                if self.cut_every is not None and self._frames % self.cut_every == 0:
                    connection.transport.abort()
        except ConnectionClosed:
            return

    async def _take(self, connection: ServerConnection, frame: str | bytes) -> None:
        if self.closes_with is not None:
            return await connection.close(*self.closes_with)
        if isinstance(frame, bytes):
            self.lost += self.loses_output
            return None if self.loses_output else await self._take_chunk(connection, parse_chunk(frame))
        message = parse_from_agent(frame.encode())
        self.frames.append(type(message).__name__)
        match message:
            case AgentHello():
                self.hellos.append(message)
                if self.mute:
                    return
                if self.unwelcome is not None:
                    post = encode_post(1, 0, message.hello.incarnation, [Unwelcome(self.unwelcome)])
                    return await connection.send(post, text=True)
                await self.say(Welcome(WORKER, message.hello.incarnation, self.applied))
            case Heartbeat():
                assert message.worker == WORKER
                self.heartbeats.append(message)
                lacking = [Assign(id, 10_000 + id, t) for id, t in self.active.items() if id not in message.held]
                await self.say(Settings(1, self.concurrency, self.prefetch, False), *lacking)
                await self.offer()
            case Telemetry():
                self.moments.append(message)
            case Reports():
                await self._take_reports(message)

    async def _take_reports(self, message: Reports) -> None:
        if self.deaf:
            return
        assert message.floor - 1 <= self.applied
        for number, report in enumerate(message.reports, message.first):
            if number == self.applied + 1:
                self.applied = number
                self._apply(report)
        await self.say(Applied(self.applied), *([Resend(self.applied + 1)] if message.first > self.applied + 1 else []))
        await self.offer()

    def _apply(self, report: Told) -> None:
        self.reports.append(report)
        if isinstance(report, Started):
            self.started[report.execution] = report.pid
        if isinstance(report, Succeeded | Failed | Refused):
            assert report.execution not in self.ends, "it ended twice"
            known = report if isinstance(report, Refused) else replace(report, used=None)  # unknown
            self.ends[report.execution] = known
            self.active.pop(report.execution, None)

    async def _take_chunk(self, connection: ServerConnection, chunk: Chunk) -> None:
        if self.pause_s:
            await asyncio.wait((self._stopping,), timeout=self.pause_s)
        self.chunks += 1
        place, data = (chunk.execution, chunk.stream), chunk.data
        kept, seen = self.output.setdefault(place, bytearray()), self.seen.get(place, 0)
        if chunk.offset <= seen:
            again = seen - chunk.offset
            if self.keeps_output:
                assert kept[chunk.offset :][: len(data)] == data[:again], "what is sent again is the same"
                kept += data[again:]
            self.seen[place] = seen = max(seen, chunk.offset + len(data))
        if self.confirms:
            await connection.send(encode_confirms([Confirm(*place, seen)]))
