"""Commands: sent with an id, answered once, and safe to send again."""

from __future__ import annotations

import asyncio
from pathlib import Path

import orjson
import pytest

from scitq.bus.local import LocalBus
from scitq.domain.requests import MOST_BYTES
from scitq.web.commands import Commands
from scitq.web.editing import derived
from scitq.web.errors import Refusal
from tests.unit.web.whole import BEARER, Whole, whole

KEY = {**BEARER, "Idempotency-Key": "my-key-0001"}


def test_the_same_key_again_is_one_effect_and_one_answer(server: Whole) -> None:
    first = server.post("/tasks/", {"command": "echo"}, headers=KEY)
    before = server.position
    again = server.post("/tasks/", {"command": "echo"}, headers=KEY)
    assert first.status_code == again.status_code == 201
    assert first.json() == again.json()
    assert server.position == before


def test_the_same_key_at_once_is_one_effect_and_both_are_answered(server: Whole) -> None:
    async def both() -> list[str]:
        sent = [server.ask_async("POST", "/tasks/", headers=KEY, json={"command": "echo"}) for _ in range(5)]
        return [answer.text for answer in await asyncio.gather(*sent)]

    assert len(set(server.wait(both()))) == 1
    assert len(server.get("/tasks/").json()) == 1


def test_without_a_key_the_same_request_is_another_one(server: Whole) -> None:
    assert server.task() != server.task()


def test_a_key_used_for_something_else_is_refused_in_words(server: Whole) -> None:
    assert server.put("/batch/mine/stop", headers=KEY).status_code == 200
    answer = server.post("/tasks/", {"command": "echo"}, headers=KEY)
    assert (answer.status_code, "was used before" in answer.json()["message"]) == (409, True)
    assert server.get("/tasks/").json() == []


def test_a_refusal_is_not_remembered(server: Whole) -> None:
    later = {"command": "echo", "required_task_ids": [1]}
    assert server.post("/tasks/", later, headers=KEY).status_code == 409
    server.task()
    assert server.post("/tasks/", later, headers=KEY).status_code == 201


def test_no_answer_in_time_is_said_with_the_key_to_try_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with whole(tmp_path / "store", engine=False) as server:
        server.services.commands._patience_s = 0.05
        answer = server.post("/tasks/", {"command": "echo"})
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
        assert "same Idempotency-Key" in answer.json()["message"]
        assert len(answer.headers["idempotency-key"]) == 32
        assert server.post("/tasks/", {"command": "x"}, headers=KEY).headers["idempotency-key"] == "my-key-0001"


def test_a_full_bus_is_said(tmp_path: Path) -> None:
    with whole(tmp_path / "store", engine=False) as server:
        server.bus._queues["commands"]._most_bytes = 10
        server.bus.send("commands", b"{}")
        answer = server.post("/tasks/", {"command": "echo"})
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
        assert "full" in answer.json()["message"]


def test_who_waits_when_the_server_stops_is_told() -> None:
    async def story() -> str:
        bus = LocalBus()
        sender = Commands(bus)
        await sender.start()
        waiting = asyncio.ensure_future(sender.send({"type": "x"}, id="some-key", actor="user"))
        await asyncio.sleep(0)
        await sender.close()
        with pytest.raises(Refusal) as refusal:
            await waiting
        bus.close()
        return refusal.value.message

    assert asyncio.run(story()) == "the server is stopping"


def test_an_answer_that_cannot_be_read_harms_nobody(caplog: pytest.LogCaptureFixture) -> None:
    async def story() -> dict[str, object]:
        bus = LocalBus()
        sender = Commands(bus)
        await sender.start()
        consumer = bus.consume("commands")
        waiting = asyncio.ensure_future(sender.send({"type": "x"}, id="some-key", actor="user:ada"))
        (delivery,) = await consumer.receive(10)
        headers = delivery.message.headers
        assert (headers["actor"], headers["request"]) == ("user:ada", "some-key")
        for body in (b"", b"7", b"{}", b'{"request": [], "answer": null}', b'{"request": "other", "answer": {}}'):
            bus.post(headers["reply_to"], body)
        bus.post(headers["reply_to"], orjson.dumps({"request": "some-key", "answer": {"last": 3}, "refusal": None}))
        answer = await waiting
        await sender.close()
        bus.close()
        return answer

    assert asyncio.run(story()) == {"last": 3}
    assert caplog.text.count("an answer of the engine cannot be read") == 4


def test_a_command_too_long_for_the_engine_is_not_sent() -> None:
    async def story() -> int:
        bus = LocalBus()
        sender = Commands(bus)
        await sender.start()
        with pytest.raises(Refusal) as refusal:
            await sender.send({"type": "x" * MOST_BYTES}, id="some-key", actor="user")
        await sender.close()
        bus.close()
        return refusal.value.status

    assert asyncio.run(story()) == 413


def test_a_derived_id_is_always_an_id() -> None:
    assert derived("my-key-0001", 1) == "my-key-0001.1"
    long = derived("k" * 64, 10)
    assert len(long) == 64
    assert long != derived("k" * 64, 11)
