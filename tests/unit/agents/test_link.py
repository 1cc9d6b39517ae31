"""The way to the server: addresses, refusals in words, and what is tried again."""

from __future__ import annotations

import asyncio
import logging
from contextlib import aclosing

import pytest

from scitq.agents import link as links
from scitq.agents.gateway_link import GatewayLink, gateway_of
from scitq.agents.link import Link
from scitq.errors import AgentError
from tests.unit.agents.gateway import TOKEN, Gateway


@pytest.mark.parametrize(
    ("url", "gateway"),
    [
        ("http://host:5000", "ws://host:5000/workers/gateway"),
        ("https://host/", "wss://host/workers/gateway"),
        ("https://host/behind/", "wss://host/behind/workers/gateway"),
        ("host:5000", "ws://host:5000/workers/gateway"),
        ("http://[::1]:5000", "ws://[::1]:5000/workers/gateway"),
    ],
)
def test_the_gateway_of_a_server(url: str, gateway: str) -> None:
    assert gateway_of(url) == gateway


@pytest.mark.parametrize("url", ["ftp://host", "http://", "http://x:a-secret@host"])
def test_what_is_no_address_is_refused_without_showing_secrets(url: str) -> None:
    with pytest.raises(AgentError, match="is not the address of a server") as found:
        gateway_of(url)
    assert "a-secret" not in str(found.value)


async def connect(link: Link, times: int = 1) -> None:
    async with asyncio.timeout(30):
        async with aclosing(link.connections()) as connections:
            async for _ in connections:
                times -= 1
                if times == 0:
                    return


def test_a_wrong_token_ends_an_agent_that_never_got_in() -> None:
    async def live() -> None:
        gateway = Gateway()
        link = GatewayLink(f"http://127.0.0.1:{await gateway.start()}", "wrong")
        with pytest.raises(AgentError, match=r"does not accept this worker.*the token is another.*SCITQ_TOKEN"):
            await connect(link)
        await gateway.stop()

    asyncio.run(live())


def test_a_wrong_token_is_tried_again_by_one_that_did(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(links, "REFUSED_S", 0.01)

    async def live() -> None:
        gateway = Gateway()
        link = GatewayLink(f"http://127.0.0.1:{await gateway.start()}", TOKEN)
        await connect(link)
        link.understood()
        gateway.token = "another"
        waiting = asyncio.ensure_future(connect(link))
        await gateway.until(lambda: caplog.records)
        await gateway.until(lambda: gateway.refused > 5)
        gateway.token = TOKEN
        await waiting
        await gateway.stop()

    asyncio.run(live())
    warnings = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert len(warnings) == 1, "the same words are said once"


def test_a_server_that_is_not_there_is_waited_for(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(links, "LONGEST_S", 0.05)

    async def live() -> None:
        gateway = Gateway()
        port = await gateway.start()
        await gateway.stop()
        waiting = asyncio.ensure_future(connect(GatewayLink(f"http://127.0.0.1:{port}", TOKEN)))
        await gateway.until(lambda: caplog.records)
        await gateway.start(port)
        await waiting
        await gateway.stop()

    asyncio.run(live())
    assert "cannot be reached" in caplog.records[0].__dict__["reason"]


def test_whoever_is_no_server_of_ours_is_said_to_be(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(links, "LONGEST_S", 0.01)
    answers = [b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", b"SSH-2.0-x\r\n", b"HTTP/1.1 503 No\r\n\r\n"]

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answers.pop(0) if len(answers) > 1 else answers[0])
        writer.close()
        await writer.wait_closed()

    async def live() -> None:
        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        waiting = asyncio.ensure_future(connect(GatewayLink(f"http://127.0.0.1:{port}", TOKEN)))
        async with asyncio.timeout(30):
            while len(caplog.records) < 3:
                await asyncio.sleep(0.005)
        waiting.cancel()
        await asyncio.wait([waiting])
        server.close()
        await server.wait_closed()

    with caplog.at_level(logging.WARNING):
        asyncio.run(live())
    reasons = [record.__dict__["reason"] for record in caplog.records]
    for reason, words in zip(reasons, ("has no gateway for workers", "does not speak HTTP", "503"), strict=False):
        assert words in reason
