"""Batches over HTTP."""

from __future__ import annotations

from typing import get_type_hints
from urllib.parse import quote

import pytest

from scitq.web import batches, shapes
from tests.unit.web.whole import BEARER, Whole


def test_a_batch_counts_its_tasks_with_null_for_none(server: Whole) -> None:
    done = server.task(batch="b")
    server.task(batch="b", status="paused")
    server.task(batch="a")
    server.agent("two", batches=("b",)).succeed(done)
    server.agent("one", batches=("b", "c"))
    server.shown()
    first = server.get("/batch/").json()
    assert [one["batch"] for one in first] == ["a", "b", "c"]
    assert set(first[0]) == set(get_type_hints(shapes.Batch))
    assert (first[0]["pending"], first[0]["paused"], first[0]["workers"], first[0]["tasks"]) == (1, None, None, 1)
    assert (first[1]["succeeded"], first[1]["paused"], first[1]["workers"]) == (1, 1, "two, one")
    assert (first[1]["tasks"], first[2]["tasks"]) == (2, 0)


@pytest.mark.parametrize("name", ["mine", "with space", "grün", "100%", "?#&", "..", "a.b"])
def test_a_batch_of_any_name_is_stopped_and_started(server: Whole, name: str) -> None:
    server.task(batch=name)
    quoted = quote(name, safe="").replace(".", "%2E")
    assert server.put(f"/batch/{quoted}/stop", {}).json() == {"result": "Ok"}
    assert server.get("/batch/").json()[0]["stopped"] is True
    assert server.put(f"/batch/{quoted}/go").json() == {"result": "Ok"}
    assert server.get("/batch/").json()[0]["stopped"] is False


def test_a_stop_signals_what_runs(server: Whole) -> None:
    agent = server.agent()
    execution = agent.start(server.task())
    assert server.put("/batch/Default/stop", {"signal": 15}).status_code == 200
    agent.listen()
    assert (execution, 15) in agent.signals
    assert server.put("/batch/Default/go", {"signal": None}).status_code == 200


def test_a_batch_is_emptied_portion_by_portion(server: Whole, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches, "PORTION", 3)
    mine = server.post("/tasks/bulk", {"tasks": [{"command": "x", "batch": "mine"}] * 8}).json()["task_ids"]
    other = server.task(batch="other")
    answer = server.delete("/batch/mine")
    assert (answer.status_code, answer.json()) == (200, {"result": "Ok"})
    assert [task["task_id"] for task in server.get("/tasks/").json()] == [other]
    assert [one["batch"] for one in server.get("/batch/").json()] == ["other"]
    assert [task["task_id"] for task in server.get("/tasks/", {"status": "deleted"}).json()] == mine


def test_emptying_again_with_the_same_key_goes_on_where_it_was_cut_off(
    server: Whole, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batches, "PORTION", 3)
    key = {**BEARER, "Idempotency-Key": "my-key-0001"}
    server.post("/tasks/bulk", {"tasks": [{"command": "x", "batch": "mine"}] * 3})
    assert server.delete("/batch/mine", headers=key).status_code == 200
    server.post("/tasks/bulk", {"tasks": [{"command": "x", "batch": "mine"}] * 4})
    assert server.delete("/batch/mine", headers=key).status_code == 200
    assert server.get("/tasks/").json() == []


def test_emptying_what_is_empty_is_done_at_once(server: Whole) -> None:
    before = server.position
    assert server.delete("/batch/nobody").json() == {"result": "Ok"}
    assert server.position == before
