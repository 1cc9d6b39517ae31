"""What an agent and the server say to each other over one connection after the other.

Reports that come together go together: the first few go at once, the next some milliseconds later with all that came
meanwhile. They are on the disk before they go. How much output is under way is bounded, and more so the slower the
server answers: behind more of it a heartbeat would come too late.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing, suppress
from typing import Final

from scitq.agents.link import OTHER_FOR_S, Connection, Disconnected, Heard, Link
from scitq.agents.work import Work
from scitq.domain.agent_wire import News, encode_from_agent, parse_post
from scitq.domain.messages import Goodbye, Look
from scitq.domain.output_wire import Chunk, encode_chunk, parse_confirms
from scitq.domain.telemetry import Telemetry
from scitq.domain.worker import Hello
from scitq.errors import AgentError, Malformed, OtherLog

log = logging.getLogger(__name__)

HEARTBEAT_S = HELLO_S = ANSWER_S = 5.0
TOGETHER_S: Final = 0.01
MOST_ALONE: Final = 4  # messages that go at once after a while of silence: a short task's start and end do not wait
REFUSED_FOR_S = OTHER_FOR_S
MOST_FLYING: Final = 16  # chunks of output, a megabyte
SLOW_S, QUICK_S = 2.0, 0.5


class Conversation:
    """One agent's. `on_connected` is told once, with the number of the worker."""

    def __init__(self, link: Link, work: Work, hello: Hello, on_connected: Callable[[int], None] | None) -> None:
        self._link, self._work, self._agent, self._hello = link, work, work.agent, hello
        self._on_connected = on_connected
        self.is_open = False  # whether the server listens to us
        work.tell = self.tell
        self._connection: Connection | None = None
        self._wake = asyncio.Event()
        self._disk = ThreadPoolExecutor(1, "spool")
        self._window = MOST_FLYING // 4
        self._probe: tuple[int, int, int, float] | None = None  # a chunk: execution, stream, its end, when it went
        self._refused_since: float | None = None
        self._hello_at = self._beat_at = self._together_at = self._again_at = 0.0
        self._news = News()

    def tell(self) -> None:
        """There may be something to say."""
        self._wake.set()

    async def hold(self) -> None:
        """For ever. AgentError, with a sentence, when it is no use."""
        self._time = asyncio.get_running_loop().time
        async with aclosing(self._link.connections()) as connections:
            async for connection in connections:
                self._connection = connection
                self._begin()
                useless: AgentError | None = None
                try:
                    async with asyncio.TaskGroup() as group:
                        group.create_task(self._listen(connection))
                        group.create_task(self._speak(connection))
                except* Disconnected:
                    pass
                except* AgentError as errors:
                    useless = next(error for error in errors.exceptions if isinstance(error, AgentError))
                except* Exception:  # the outermost loop: a new connection begins anew with what the spool says
                    log.exception("the conversation with the server broke down; it is begun anew")
                finally:
                    self.is_open = False
                    self._work.wake()
                if useless is not None:
                    raise useless

    def _begin(self) -> None:
        self._agent.must_say_hello = True
        self._work.outputs.send_again()
        self._hello_at, self._probe = 0.0, None

    async def say_goodbye(self) -> None:
        """We hold nothing any more, and are not to be given more."""
        if self.is_open and self._connection is not None:
            goodbye = Goodbye(self._agent.worker, self._agent.incarnation)
            with suppress(Disconnected):
                await self._connection.say(encode_from_agent(goodbye))

    # Listening -----------------------------------------------------------------------------------------------------

    async def _listen(self, connection: Connection) -> None:
        while True:
            heard = await connection.hear()
            try:
                self._take(heard)
            except Malformed as error:
                log.error("what the server says is not understood and left out", extra={"error": str(error)})

    def _take(self, heard: Heard) -> None:
        if heard.confirms:
            self._hear_confirms(heard.body)
        else:
            self._hear(heard.body)

    def _hear(self, post: bytes) -> None:
        was_stranger, floor = self._agent.must_say_hello, self._agent.spool.floor
        epoch, worker, incarnation, messages = parse_post(post, self._note)
        now = self._time()
        looks = [message for message in messages if isinstance(message, Look)]
        if looks:  # a web process says so: it is not the engine's turn
            if incarnation == self._agent.incarnation:
                self._work.telling.look(looks, now)
                self._wake.set()
            return
        self._work.on_post(epoch, worker, incarnation, messages)
        if self._agent.spool.floor > floor:
            self._again_at = now + ANSWER_S
        if was_stranger and not self._agent.must_say_hello:
            self._welcomed()
        elif self._agent.must_say_hello and not was_stranger:
            self._hello_at = 0.0
        elif self._agent.refused is not None:
            self._refused(now)

    def _note(self, kind: str) -> None:
        if self._news.is_first(kind):
            log.warning("a newer server says what this release does not know; it is left out", extra={"kind": kind})

    def _welcomed(self) -> None:
        self._work.keep_log()
        self._beat_at = self._again_at = 0.0
        self._refused_since, self.is_open = None, True
        if not self._link.worked and self._on_connected is not None:
            self._on_connected(self._agent.worker)
        self._link.understood()
        log.info("the worker is connected", extra={"worker": self._agent.worker})

    def _refused(self, now: float) -> None:
        reason, self._agent.refused = self._agent.refused, None
        if self._agent.must_begin_anew:
            raise OtherLog(f"the server says: {reason}")
        if self._refused_since is None:
            self._refused_since = now
            log.warning("the server has no place for this worker; it is asked again", extra={"reason": reason})
        if not self._link.worked and now - self._refused_since >= REFUSED_FOR_S:
            raise AgentError(f"the server has no place for this worker: {reason}")

    def _hear_confirms(self, frame: bytes) -> None:
        confirms = parse_confirms(frame)
        if self._probe is not None:
            execution, stream, end, sent_at = self._probe
            if any(each[:2] == (execution, stream) and each.seen >= end for each in confirms):
                self._probe, took = None, self._time() - sent_at
                if took > SLOW_S:
                    self._window = max(self._window // 2, 1)
                elif took < QUICK_S:
                    self._window = min(self._window + 2, MOST_FLYING)
        self._work.on_confirms(confirms)

    # Speaking ------------------------------------------------------------------------------------------------------

    async def _speak(self, connection: Connection) -> None:
        loop = asyncio.get_running_loop()
        while True:
            self._wake.clear()
            due = await (self._say_hello if self._agent.must_say_hello else self._say)(connection)
            if due <= loop.time():
                await asyncio.sleep(0)  # the others' turn
                continue
            timer = loop.call_at(due, self._wake.set)
            await self._wake.wait()
            timer.cancel()

    async def _say_hello(self, connection: Connection) -> float:
        if self._time() >= self._hello_at:
            await connection.say(encode_from_agent(self._agent.hello(self._hello)))
            self._hello_at = self._time() + HELLO_S
        return self._hello_at

    async def _say(self, connection: Connection) -> float:
        """Say what is due; tell when something will be."""
        if self._time() >= self._beat_at:
            self._work.end_strays()
            self._work.return_what_waits()
            if self._work.outputs.send_late_again():
                log.info("output was not confirmed and is sent again")
                self._window, self._probe = 1, None
            await connection.say(encode_from_agent(self._agent.heartbeat()))
            self._beat_at = self._time() + HEARTBEAT_S
            await self._tell(connection, self._work.telling.beat(self._agent.worker, self._agent.incarnation))
        live = self._work.telling.live(self._agent.worker, self._agent.incarnation, self._time())
        await self._tell(connection, live)
        await self._say_reports(connection)
        chunks = await self._say_output(connection)
        return 0.0 if chunks else self._next_due()

    @staticmethod
    async def _tell(connection: Connection, moment: Telemetry | None) -> None:
        if moment is not None:
            await connection.say(encode_from_agent(moment))

    async def _say_reports(self, connection: Connection) -> None:
        agent, now = self._agent, self._time()
        if agent.to_send > agent.spool.floor and now >= self._again_at:
            if self._again_at:
                log.info("reports were not answered and are sent again", extra={"first": agent.spool.floor})
            agent.send_again()
        if now < self._together_at or agent.to_send > agent.spool.last or not self._work.writer.is_written:
            return
        if agent.to_send == agent.spool.floor:
            self._again_at = now + ANSWER_S
        message = agent.reports()
        if message is None:
            return
        try:
            await asyncio.get_running_loop().run_in_executor(self._disk, self._work.writer.sync)
        except AgentError as error:
            log.error("the spool is not safe on the disk; it is written anew", extra={"error": str(error)})
            agent.send_again()
            self._again_at = self._together_at = self._time() + 1.0
            return self._work.wake()
        await connection.say(encode_from_agent(message))
        self._together_at = max(self._together_at, self._time() - MOST_ALONE * TOGETHER_S) + TOGETHER_S

    async def _say_output(self, connection: Connection) -> list[Chunk]:
        outputs = self._work.outputs
        room = self._window - outputs.flying
        if room <= 0:
            return []
        chunks = outputs.next(self._time(), room)
        for chunk in chunks:
            if self._probe is None:
                self._probe = (chunk.execution, chunk.stream, chunk.offset + len(chunk.data), self._time())
            await connection.carry(encode_chunk(chunk))
        if chunks and self._agent.over:
            self._work.wake()
        return chunks

    def _next_due(self) -> float:
        agent, outputs, due = self._agent, self._work.outputs, self._beat_at
        looked_at = self._work.telling.due()
        if looked_at is not None:
            due = min(due, looked_at)
        if agent.to_send <= agent.spool.last and self._work.writer.is_written:
            due = min(due, self._together_at)
        if agent.to_send > agent.spool.floor:
            due = min(due, self._again_at)
        if outputs.flying < self._window:  # else a confirmation wakes us
            now = self._time()
            pause = outputs.pause(now)
            if pause is not None:
                due = min(due, now + pause)
        return due
