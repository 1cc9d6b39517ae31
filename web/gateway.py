"""Where agents connect: one WebSocket each, its frames carried to the bus, and what is posted to it carried back.

    agent ── text: hello, reports, heartbeat ──▶ bus: reports       agent ◀── text: posts of the engine ── mailbox
    agent ── binary: a chunk of output ────────▶ bus: output        agent ◀── binary: confirmations ────── mailbox

A connection speaks for one worker: the one its credential names, under the id with which the engine welcomed it here.
Nothing is answered and nothing kept: an agent sends again what was not applied. So whatever goes wrong ends the
connection, with a reason in words, and a bus that is full only stops the reading: the agent's socket fills up then.
"""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections.abc import Sequence
from typing import Final, NamedTuple

from starlette.types import Message as Frame
from starlette.websockets import WebSocket, WebSocketDisconnect

from scitq.bus import Bus, Mailbox, Message
from scitq.bus.bus import Queue
from scitq.domain.agent_wire import PROTOCOLS, News, parse_from_agent
from scitq.domain.messages import AgentHello, FromAgent, Reports, Unknown
from scitq.domain.output_wire import parse_chunk
from scitq.domain.speaker import Speaker
from scitq.domain.telemetry import Telemetry
from scitq.errors import BusUnavailable, Malformed, UnknownMessage
from scitq.web.errors import Refusal, response
from scitq.web.heard import Heard
from scitq.web.routing import Session, Socket
from scitq.web.telemetry import pass_on

log = logging.getLogger(__name__)

HELLO_S: Final = 10.0
SOON_S, LATER_S = 0.05, 1.0
PATIENCE_S: Final = 8.0
"""Shorter than what an agent waits for the answer to its ping, which is not read either."""
MOST_AT_ONCE: Final = 100
REFUSED, OVERLOADED = 1008, 1013
REASON_BYTES: Final = 123  # a close frame has no room for more


class Ended(NamedTuple):
    """Why a connection is closed; without a code, because the agent has gone."""

    code: int = 0
    reason: str = ""


GONE: Final = Ended()
_NEWS: Final = News()


class Overloaded(Exception):
    """The bus has taken nothing for long; the text says why."""


class Refused(Exception):
    """The agent said what it may not say; the text is for whoever looks after it."""


async def talk(session: Session) -> None:
    """From the handshake to the end of the connection."""
    socket = session.websocket
    offered = socket.scope["subprotocols"]
    chosen = next((one for one in PROTOCOLS if one in offered), None)
    if chosen is None:
        why = no_common_words(offered, socket.headers.get("user-agent", ""), session.services.version)
        refusal = Refusal(426, why, headers={"Upgrade": "websocket"}, word="versions-apart")
        await socket.send_denial_response(response(refusal))
        return
    await socket.accept(chosen)
    with session.services.bus.mailbox() as mailbox:
        connection = Connection(socket, session.services.bus, mailbox, session.services.heard, session.caller.worker)
        ended = await connection.serve()
    if ended.code:
        log.info("the connection of an agent was closed", extra={**connection.who, **ended._asdict()})
        try:
            await socket.close(ended.code, _shortened(ended.reason))
        except WebSocketDisconnect:  # it went first
            return


def no_common_words(offered: Sequence[str], agent: str, version: str) -> str:
    """What somebody is to do when server and agent are too far apart."""
    theirs = [int(number) for one in offered for number in re.findall(r"^scitq\.([0-9]{1,6})$", one)]
    ours = [int(one.rpartition(".")[2]) for one in PROTOCOLS]
    spoken, understood = " and ".join(offered)[:100] or "nothing", " and ".join(PROTOCOLS)
    name = agent if re.fullmatch(r"scitq/[A-Za-z0-9.+!_-]{1,40}", agent) else "the worker"
    apart = (
        f"this server is scitq {version} and speaks {understood} with workers, {name.replace('/', ' ')} offers {spoken}"
    )
    if theirs and min(theirs) > max(ours):
        return f"{apart}: update the server, or give the worker the server's version"
    return f"{apart}: give the worker the server's version"


class Connection:
    """One agent, connected. `name`: the worker its credential is for; None: it may be any."""

    def __init__(self, socket: WebSocket, bus: Bus, mailbox: Mailbox, heard: Heard, name: str | None) -> None:
        self._socket, self._bus, self._mailbox, self._heard, self._name = socket, bus, mailbox, heard, name
        self._reply = {"reply_to": mailbox.address} | ({} if name is None else {"name": name})
        self._agent: tuple[str, str] | None = None  # the name and incarnation it introduced itself with
        self._worker = 0  # its id, once it is welcomed
        self._speaking = self._reply
        self._speaker = Speaker(f"worker {name!r}", may_be=lambda found: name in (None, found), is_worker=self._is)

    @property
    def who(self) -> dict[str, object]:
        """For the log."""
        return {"agent": self._agent and self._agent[0], "worker": self._worker}

    async def serve(self) -> Ended:
        """Both ways, until one of them ends."""
        ways = [asyncio.create_task(self._inwards()), asyncio.create_task(self._outwards())]
        try:
            done, _ = await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            return next((way.result() for way in ways if way in done and way.result().code), GONE)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)

    # From the agent -----------------------------------------------------------------------------------------------

    async def _inwards(self) -> Ended:
        try:
            async with asyncio.timeout(HELLO_S):
                frame = await self._socket.receive()
            while frame["type"] != "websocket.disconnect":
                await self._forward(frame)
                frame = await self._socket.receive()
        except TimeoutError:
            return Ended(REFUSED, f"no hello came within {HELLO_S:.0f} s")
        except (Malformed, Refused) as error:
            return Ended(REFUSED, str(error))
        except Overloaded as error:
            return Ended(OVERLOADED, str(error))
        return GONE

    async def _forward(self, frame: Frame) -> None:
        """What the agent said, to the bus, if it may say that."""
        text = frame.get("text")
        if text is not None:
            body = text.encode()
            try:
                message, headers = self._admit(body)
            except UnknownMessage as error:
                if self._agent is None:
                    raise Refused("say hello first") from error
                _note(error.kind)
                return
            if isinstance(message, Telemetry):
                pass_on(self._bus, message)
            else:
                await self._send("reports", body, headers)
        else:
            body = frame["bytes"]
            parse_chunk(body)
            await self._send("output", body, self._known())
        if self._worker:
            self._heard.note(self._worker, time.time_ns() // 1000)

    def _admit(self, body: bytes) -> tuple[FromAgent | Telemetry, dict[str, str]]:
        """A message, and the headers under which it goes on. The engine parses the same bytes, as it does."""
        message = parse_from_agent(body)
        if not isinstance(message, AgentHello):
            self._known()
        self._speaker.check(message)
        if isinstance(message, AgentHello):
            hello = message.hello
            self._agent = self._agent or (hello.name, hello.incarnation)
            if self._agent != (hello.name, hello.incarnation):
                raise Refused("a connection speaks for one agent, and another one said hello before on this one")
            return message, self._reply
        if isinstance(message, Reports):
            for report in message.reports:
                if isinstance(report, Unknown):
                    _note(report.kind)
        return message, self._speaking

    def _is(self, worker: int, incarnation: str) -> bool:
        return self._agent is not None and (worker, incarnation) == (self._worker, self._agent[1])

    def _known(self) -> dict[str, str]:
        if not self._worker:
            raise Refused("say hello first, and wait for the welcome")
        return self._speaking

    async def _send(self, queue: Queue, body: bytes, headers: dict[str, str]) -> None:
        """Into the bus. While it takes nothing, nothing is read either; for long, and the agent is told why."""
        pause_s, began = SOON_S, time.monotonic()
        while True:
            try:
                self._bus.send(queue, body, headers)
                return
            except BusUnavailable as error:
                if time.monotonic() - began > PATIENCE_S:
                    raise Overloaded(f"the server cannot take this now: {error}") from error
                await asyncio.sleep(pause_s)
                pause_s = min(pause_s * 2, LATER_S)

    # To the agent -------------------------------------------------------------------------------------------------

    async def _outwards(self) -> Ended:
        mailbox = self._mailbox
        try:
            while True:
                messages = await mailbox.receive(MOST_AT_ONCE)
                if mailbox.dropped:
                    return Ended(OVERLOADED, "the agent is too slow for what it is sent: connect again")
                for message in messages:
                    await self._carry(message)
                if mailbox.closed:
                    return Ended(OVERLOADED, "the server is stopping: connect again")
        except WebSocketDisconnect:
            return GONE

    async def _carry(self, message: Message) -> None:
        if message.headers.get("kind") == "confirm":
            await self._socket.send({"type": "websocket.send", "bytes": message.body})
            return
        if "welcome" in message.headers:
            self._welcomed(message)
        await self._socket.send({"type": "websocket.send", "text": message.body.decode()})

    def _welcomed(self, message: Message) -> None:
        """From now on the connection also receives what is said to its worker wherever that is."""
        worker, incarnation = message.headers["worker"], message.headers["incarnation"]
        if self._worker != int(worker):  # also one that was deleted, and comes back as another
            self._mailbox.bind(f"worker.{worker}.{incarnation}")
        self._worker = int(worker)
        self._speaking = {**self._reply, "worker": worker}
        self._heard.note(self._worker, time.time_ns() // 1000)


def _note(kind: str) -> None:
    """Each word is told once in the log, by each process."""
    if _NEWS.is_first(kind):
        log.warning("a newer agent says what this release does not know; it is left out", extra={"kind": kind})


def _shortened(reason: str) -> str:
    return reason.encode()[:REASON_BYTES].decode(errors="ignore")


ROUTES = [
    Socket(
        "/workers/gateway",
        "worker",
        talk,
        "Where agents connect",
        subprotocol=PROTOCOLS[0],
        doc="Text frames carry the messages of domain/agent_wire.py, binary frames those of domain/output_wire.py.",
    )
]
