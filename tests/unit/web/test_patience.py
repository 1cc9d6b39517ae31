"""A store that is away, or slow to answer, is said in time; nobody waits for it, and nothing piles up behind it."""

from __future__ import annotations

import asyncio
import logging
import threading
from pathlib import Path

import httpx
import pytest

from scitq.errors import StoreUnavailable
from scitq.web import commands, outputs, status, threads, views
from scitq.web.commands import Commands
from tests.services.waiting import eventually
from tests.unit.web.site import running
from tests.unit.web.whole import Whole, whole

BUSY = threads.COUNT + 4


def test_reads_that_the_store_does_not_answer_are_refused_in_time_and_health_needs_none(
    server: Whole, monkeypatch: pytest.MonkeyPatch
) -> None:
    id, answers = server.task(), threading.Event()

    def stuck(*_: object) -> None:
        answers.wait(30)

    monkeypatch.setattr(threads, "PATIENCE_S", 0.5)
    monkeypatch.setattr(status, "MOMENT_S", 0.5)

    async def ask() -> list[httpx.Response]:
        stuck_ones = [asyncio.ensure_future(_quietly(server.services.run(stuck))) for _ in range(BUSY)]
        sent = [server.ask_async("GET", path) for path in (f"/tasks/{id}", "/tasks/", "/ready", "/health")]
        found = await asyncio.gather(*sent)
        await asyncio.gather(*stuck_ones)
        return list(found)

    try:
        one, several, ready, health = server.wait(ask())
    finally:
        answers.set()
    for answer in (one, several):
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
        assert answer.json()["message"] == "the store cannot be read now: try again in a moment"
    assert (ready.status_code, ready.json()["message"]) == (503, "the store cannot be read")
    assert health.status_code == 200
    eventually(lambda: server.get(f"/tasks/{id}").status_code == 200)


async def _quietly(doing: object) -> None:
    with pytest.raises(StoreUnavailable):
        await doing  # type: ignore[misc]


def _unavailable(*_: object) -> None:
    raise StoreUnavailable("the views cannot be read: it is away")


def test_a_task_that_was_created_is_answered_although_the_views_are_away(
    server: Whole, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as away:
        away.setattr(views, "looking", _unavailable)
        answer = server.post("/tasks/", {"command": "echo once"})
        assert (answer.status_code, answer.json()["command"]) == (201, "echo once")
        assert server.get("/tasks/").status_code == 503
    server.shown()
    assert [one["task_id"] for one in server.get("/tasks/").json()] == [answer.json()["task_id"]]


def test_a_stream_whose_store_goes_away_ends_in_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with running(tmp_path) as site, site.client() as client:
        execution = site.execution(1)
        site.print(execution, b"hello")
        monkeypatch.setattr(outputs, "_read", _unavailable)
        with caplog.at_level(logging.WARNING, "scitq"), pytest.raises(httpx.RemoteProtocolError):
            client.get(f"/executions/{execution}/stdout?follow=true")
        eventually(lambda: caplog.messages)
    assert [one.getMessage() for one in caplog.records if one.name != "uvicorn.error"] == [
        "an answer could not be sent to its end"
    ]
    assert not any(one.exc_info for one in caplog.records)


def test_commands_that_wait_for_an_engine_do_not_fill_the_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commands, "MOST_WAITING_BYTES", 1_000)
    with whole(tmp_path / "store", engine=False) as server:
        monkeypatch.setattr(server.services.commands, "_patience_s", 0.5)

        async def flood() -> list[httpx.Response]:
            sent = [server.ask_async("POST", "/tasks/", json={"command": "x" * 300}) for _ in range(10)]
            return list(await asyncio.gather(*sent))

        answers = server.wait(flood())
        said = [answer.json()["message"] for answer in answers]
        assert {answer.status_code for answer in answers} == {503}
        assert {answer.headers["retry-after"] for answer in answers} == {"1"}
        assert 0 < sum("has not answered" in one for one in said) < 4
        assert sum("as many requests as the server can hold" in one for one in said) > 6
        waiting: Commands = server.services.commands
        assert waiting._waiting_bytes == 0
