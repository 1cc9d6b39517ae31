"""An agent and a gateway in one loop: what is said, when, and what is done when the disk or the server fails."""

from __future__ import annotations

import asyncio
import itertools
import logging
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from scitq.agents import conversation as talk
from scitq.agents import work as working
from scitq.agents.conversation import Conversation
from scitq.agents.gateway_link import GatewayLink
from scitq.agents.shim_client import ShimClient
from scitq.agents.work import Work
from scitq.domain.execution import Started, Succeeded
from scitq.domain.messages import Cancel, SayHello, Settings
from scitq.domain.worker import Hello
from scitq.errors import AgentError, DiskFull, ShimUnavailable
from scitq.journal import Journal
from tests.unit.agents.gateway import TOKEN, WORKER, Gateway


class Talking:
    """An agent in this loop."""

    def __init__(self, folder: Path, port: int) -> None:
        self.work = Work(folder / "agent", folder / "base")
        self.connected: list[int] = []
        self.link = GatewayLink(f"http://127.0.0.1:{port}", TOKEN)
        hello = Hello("one", self.work.agent.incarnation, 4, 4)
        self.conversation = Conversation(self.link, self.work, hello, self.connected.append)


@asynccontextmanager
async def talking(folder: Path, gateway: Gateway) -> AsyncIterator[Talking]:
    one = Talking(folder, await gateway.start())
    one.work.begin(asyncio.get_running_loop())
    holding = asyncio.ensure_future(one.conversation.hold())
    try:
        yield one
    finally:
        holding.cancel()
        await asyncio.wait([holding])
        for execution in list(one.work.shim.running()):
            one.work.shim.kill(execution, 0.0)
        one.work.shim.leave()
        one.work.close()
        await gateway.stop()


def test_a_worker_says_hello_then_at_once_that_it_lives(tmp_path: Path) -> None:
    async def live() -> None:
        gateway = Gateway()
        async with talking(tmp_path, gateway) as one:
            await gateway.until(lambda: gateway.heartbeats and one.connected)
            assert gateway.frames == ["AgentHello", "Heartbeat"] and one.connected == [WORKER]
            hello = gateway.hellos[0].hello
            assert (hello.name, hello.concurrency, hello.prefetch) == ("one", 4, 4)
            await gateway.until(lambda: one.work.agent.concurrency == 4)
            await gateway.cut()
            await gateway.until(lambda: len(gateway.heartbeats) == 2)
            assert gateway.heartbeats[1].settings == 1 and one.connected == [WORKER], "it is told once"
            await gateway.say(SayHello())
            await gateway.until(lambda: len(gateway.heartbeats) == 3)
            assert len(gateway.hellos) == 3

    asyncio.run(live())


def test_a_server_that_does_not_answer_a_hello_is_told_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(talk, "HELLO_S", 0.01)

    async def live() -> None:
        gateway = Gateway()
        gateway.mute = True
        async with talking(tmp_path, gateway):
            await gateway.until(lambda: len(gateway.hellos) > 3)
            gateway.mute = False
            await gateway.until(lambda: gateway.heartbeats)

    asyncio.run(live())


def test_reports_that_are_not_answered_are_sent_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(talk, "ANSWER_S", 0.02)

    async def live() -> None:
        gateway = Gateway()
        gateway.deaf = True
        gateway.give(1, "true")
        async with talking(tmp_path, gateway) as one:
            await gateway.until(lambda: gateway.frames.count("Reports") > 5)
            gateway.deaf = False
            await gateway.until(lambda: gateway.ends == {1: Succeeded(1)})
            await gateway.until(lambda: not one.work.spool.reports)
            assert [type(report) for report in gateway.reports] == [Started, Succeeded]

    asyncio.run(live())


def test_output_whose_confirmation_was_lost_is_sent_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(talk, "HEARTBEAT_S", 0.02)

    async def live() -> None:
        gateway = Gateway()
        gateway.confirms = False
        gateway.give(1, "seq 1 100")
        async with talking(tmp_path, gateway) as one:
            await gateway.until(lambda: gateway.chunks >= 3)
            gateway.confirms = True
            await gateway.until(lambda: gateway.ends and not one.work.workshop.left())
            assert gateway.has(1).split() == [b"%d" % number for number in range(1, 101)] and len(gateway.hellos) == 1

    asyncio.run(live())


def test_output_that_got_lost_behind_the_connection_is_sent_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(talk, "HEARTBEAT_S", 0.05)

    async def live() -> None:
        gateway = Gateway()
        gateway.loses_output = True
        for id in range(1, 9):  # more than may be under way: what is lost must not hold up the rest for ever
            gateway.give(id, f"sh -c 'echo {id}; echo error {id} >&2'")
        async with talking(tmp_path, gateway):
            await gateway.until(lambda: gateway.lost)
            count = len(gateway.heartbeats)
            await gateway.until(lambda: len(gateway.heartbeats) > count + 5)
            gateway.loses_output = False
            await gateway.until(lambda: len(gateway.ends) == 8 and all(gateway.has(id, 2) for id in range(1, 9)))
            assert gateway.has(8, 1) == b"8\n" and gateway.has(8, 2) == b"error 8\n"
            assert len(gateway.hellos) == 1, "over the same connection"

    asyncio.run(live())


def test_what_happens_together_is_said_together(tmp_path: Path) -> None:
    async def live() -> None:
        gateway = Gateway(concurrency=8, prefetch=100)
        for id in range(1, 301):
            gateway.give(id, "true")
        async with talking(tmp_path, gateway):
            await gateway.until(lambda: len(gateway.ends) == 300)
        assert gateway.frames.count("Reports") < 300 < len(gateway.reports) == 600

    asyncio.run(live())


def test_rubbish_from_the_server_is_left_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def live() -> None:
        gateway = Gateway()
        async with talking(tmp_path, gateway):
            await gateway.until(lambda: gateway.heartbeats)
            for frame in ("no json", "{}", b"odd", b""):
                await gateway.send(frame)
            gateway.give(1, "true")
            await gateway.offer()
            await gateway.until(lambda: gateway.ends)
            assert len(gateway.hellos) == 1

    asyncio.run(live())
    assert sum("is not understood" in record.message for record in caplog.records) == 3


def test_the_slower_the_server_the_less_is_under_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(talk, "SLOW_S", 0.0)
    data = os.urandom(2_000_000)
    (tmp_path / "data").write_bytes(data)

    async def live() -> None:
        gateway = Gateway()
        for id in (1, 2, 3):
            gateway.give(id, f"cat {tmp_path}/data")
        async with talking(tmp_path, gateway) as one:
            await gateway.until(lambda: len(gateway.ends) == 3)
            await gateway.until(lambda: [len(gateway.has(id)) for id in (1, 2, 3)] == [len(data)] * 3)
            assert one.conversation._window == 1 and gateway.has(2) == data

    asyncio.run(live())


def test_a_command_that_was_taken_back_and_could_not_be_ended_is_ended_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(talk, "HEARTBEAT_S", 0.02)

    async def live() -> None:
        gateway = Gateway()
        async with talking(tmp_path, gateway) as one:
            gateway.give(1, "sleep 1000")
            await gateway.until(lambda: one.work.shim.pid(1))
            error = ShimUnavailable("the shim cannot be started")
            monkeypatch.setattr(ShimClient, "kill", failing(2, error, ShimClient.kill))
            del gateway.active[1]
            await gateway.say(Cancel(1))
            await gateway.until(lambda: not list(one.work.shim.running()))
            await gateway.until(lambda: not one.work.workshop.left())
            assert 1 not in gateway.ends

    asyncio.run(live())


# What fails here ----------------------------------------------------------------------------------------------


def failing(times: int, error: Exception, real: Callable[..., None]) -> Callable[..., None]:
    """Does what it did before after so many times."""
    count = itertools.count()

    def call(*arguments: object) -> None:
        if next(count) < times:
            raise error
        real(*arguments)

    return call


def test_on_a_full_disk_nothing_is_done_until_it_is_written_down(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(working, "AGAIN_S", 0.05)
    did = tmp_path / "did"

    async def live() -> None:
        gateway = Gateway()
        async with talking(tmp_path, gateway) as one:
            await gateway.until(lambda: one.work.agent.concurrency)
            full = True

            def append(self: Journal, *contents: bytes) -> None:
                if full:
                    raise DiskFull("no space is left to write the spool")
                real(self, *contents)

            real = Journal.append
            monkeypatch.setattr(Journal, "append", append)
            gateway.give(1, f"touch {did}")
            await gateway.offer()
            await gateway.until(lambda: caplog.records)
            assert one.work.spool.held == {1: "pending"} and not did.exists() and gateway.started == {}
            full = False
            await gateway.until(lambda: gateway.ends == {1: Succeeded(1)})
            assert did.exists()

    asyncio.run(live())
    assert len([record for record in caplog.records if record.levelno == logging.ERROR]) == 1


@pytest.mark.parametrize(
    ("where", "name", "error"),
    [
        (os, "mkdir", OSError(28, "No space left on device")),
        (ShimClient, "_connect", ShimUnavailable("the shim cannot be started")),
        (os, "fdatasync", OSError(5, "Input/output error")),
    ],
)
def test_what_does_not_work_now_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: object, name: str, error: Exception
) -> None:
    monkeypatch.setattr(working, "AGAIN_S", 0.05)

    async def live() -> None:
        gateway = Gateway()
        async with talking(tmp_path, gateway) as one:
            await gateway.until(lambda: one.work.agent.concurrency)
            monkeypatch.setattr(where, name, failing(2, error, getattr(where, name)))
            for id in (1, 2, 3):
                gateway.give(id, "true")
            await gateway.offer()
            await gateway.until(lambda: gateway.ends == {id: Succeeded(id) for id in (1, 2, 3)})
            assert len(gateway.reports) == 6

    asyncio.run(live())


def test_a_bug_in_a_conversation_costs_a_connection_and_no_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def live() -> None:
        gateway = Gateway()
        async with talking(tmp_path, gateway) as one:
            await gateway.until(lambda: one.work.agent.concurrency)
            wrong = failing(1, RuntimeError("a bug"), one.work.on_confirms)
            monkeypatch.setattr(one.work, "on_confirms", wrong)
            gateway.give(1, "echo x")
            await gateway.offer()
            await gateway.until(lambda: len(gateway.hellos) == 2 and gateway.ends == {1: Succeeded(1, 2, 0)})
            await gateway.say(Settings(2, 4, 4, True))
            await gateway.until(lambda: one.work.agent.paused)

    asyncio.run(live())
    assert any("is begun anew" in record.message for record in caplog.records)


def test_a_place_that_stays_taken_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(talk, "HELLO_S", 0.01)
    monkeypatch.setattr(talk, "REFUSED_FOR_S", 0.1)

    async def live() -> None:
        gateway = Gateway()
        gateway.unwelcome = "another agent is connected as 'one'"
        one = Talking(tmp_path, await gateway.start())
        one.work.begin(asyncio.get_running_loop())
        with pytest.raises(AgentError, match="no place for this worker: another agent is connected as 'one'"):
            await asyncio.wait_for(one.conversation.hold(), 30)
        one.work.close()
        await gateway.stop()

    asyncio.run(live())
