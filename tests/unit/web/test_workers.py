"""Workers over HTTP: how they are, what they hold, and how they are set."""

from __future__ import annotations

from typing import Any, get_type_hints

import pytest

from scitq.web import shapes
from tests.unit.web.whole import BEARER, Whole

KEY = {**BEARER, "Idempotency-Key": "my-key-0001"}


def test_a_worker_has_every_field_it_always_had_and_those_that_came_later(server: Whole) -> None:
    agent = server.agent("node1", concurrency=3, prefetch=2, batches=("a", "b"), hostname="node1.example")
    server.shown()
    worker = server.get(f"/workers/{agent.worker}").json()
    assert set(worker) == set(get_type_hints(shapes.Worker))
    assert worker["name"] == "node1"
    assert worker["hostname"] == "node1.example"
    assert (worker["concurrency"], worker["prefetch"], worker["status"]) == (3, 2, "running")
    assert (worker["batch"], worker["batches"]) == ("a,b", ["a", "b"])
    assert (worker["task_properties"], worker["permanent"], worker["flavor"]) == ("{}", True, None)
    assert worker["last_contact_date"] is None


def test_when_it_was_last_heard_is_told_by_who_heard_it(server: Whole) -> None:
    agent = server.agent()
    server.shown()
    server.services.heard.note(agent.worker, 1_700_000_000_123_456)
    assert server.get(f"/workers/{agent.worker}").json()["last_contact_date"] == "2023-11-14T22:13:20.123456"


def test_a_worker_tells_how_much_it_holds(server: Whole) -> None:
    done, failed, running, given = (server.task() for _ in range(4))
    agent = server.agent(prefetch=1)
    agent.succeed(done)
    agent.fail(failed)
    agent.start(running)
    agent.given(given)
    server.shown()
    worker = server.get(f"/workers/{agent.worker}").json()
    counts = {name: worker[name] for name in ("assigned", "accepted", "running", "succeeded", "failed")}
    assert counts == {"assigned": 1, "accepted": 0, "running": 1, "succeeded": 1, "failed": 1}
    told = {one["status"]: one["count"] for one in server.get("/workers/tasks").json()}
    assert told == {"pending": 1, "running": 1, "succeeded": 1, "failed": 1}
    held = server.get(f"/workers/{agent.worker}/executions").json()
    assert [(one["task_id"], one["status"], one["taskstatus"]) for one in held] == [
        (running, "running", "running"),
        (given, "pending", "assigned"),
    ]
    ended = server.get(f"/workers/{agent.worker}/executions/failed").json()
    assert [one["task_id"] for one in ended] == [failed]
    assert server.get(f"/workers/{agent.worker}/executions/nonsense").status_code == 404


def test_filters_narrow_the_list(server: Whole) -> None:
    one, two = server.agent("one", batches=("a",)), server.agent("two", batches=("a", "b"))
    server.shown()
    server.put(f"/workers/{two.worker}", {"status": "paused"})
    cases: list[tuple[dict[str, Any], list[int]]] = [
        ({}, [one.worker, two.worker]),
        ({"name": "two"}, [two.worker]),
        ({"batch": "a"}, [one.worker, two.worker]),
        ({"batch": "b", "status": "paused"}, [two.worker]),
        ({"worker_id": [one.worker], "name": "two"}, []),
        ({"status": ["running"]}, [one.worker]),
    ]
    for filters, expected in cases:
        assert [worker["worker_id"] for worker in server.get("/workers/", filters).json()] == expected, filters


def test_a_worker_is_set_in_one_request(server: Whole) -> None:
    agent = server.agent()
    server.shown()
    wanted = {"concurrency": "8", "prefetch": 2, "batch": "a, b,a", "status": "paused"}
    worker = server.put(f"/workers/{agent.worker}", wanted).json()
    assert (worker["concurrency"], worker["prefetch"], worker["status"]) == (8, 2, "paused")
    assert worker["batches"] == ["a", "b"]
    worker = server.put(f"/workers/{agent.worker}", {"batches": ["c"], "status": "running"}).json()
    assert (worker["batch"], worker["status"]) == ("c", "running")


def test_nothing_asked_is_nothing_done(server: Whole) -> None:
    agent = server.agent()
    server.shown()
    before = server.position
    assert server.put(f"/workers/{agent.worker}", {}).json()["worker_id"] == agent.worker
    assert server.position == before


@pytest.mark.parametrize(
    "wanted",
    [
        {"concurrency": -1}, {"concurrency": 10_001}, {"concurrency": 1.5}, {"prefetch": "many"}, {"batch": "a/b"},
        {"batch": ""}, {"batch": "a,,b"}, {"batches": []}, {"batches": ["a/b"]}, {"batch": "a", "batches": ["b"]},
        {"status": "lost"}, {"name": "other"}, {"status": "running", "concurrency": -1},
    ],
    ids=str,
)  # fmt: skip
def test_what_a_worker_cannot_be_set_to_is_refused(shared: Whole, wanted: dict[str, Any]) -> None:
    if not shared.get("/workers/").json():
        shared.agent()
        shared.shown()
    before = shared.position
    answer = shared.put("/workers/1", wanted)
    assert answer.status_code == 400, answer.text
    assert answer.json()["message"]
    assert shared.position == before


def test_a_deleted_worker_is_off_the_list_and_cannot_be_set(server: Whole) -> None:
    id = server.agent().worker
    server.shown()
    assert server.delete(f"/workers/{id}").json()["status"] == "deleted"
    assert server.get("/workers/").json() == []
    assert server.get("/workers/tasks").json() == []
    assert [one["worker_id"] for one in server.get("/workers/", {"status": "deleted"}).json()] == [id]
    assert server.get(f"/workers/{id}").json()["status"] == "deleted"
    assert server.delete(f"/workers/{id}").status_code == 200
    answer = server.put(f"/workers/{id}", {"concurrency": 3})
    assert (answer.status_code, answer.json()["message"]) == (409, f"worker {id} was deleted")


def test_the_same_request_again_is_one_effect(server: Whole) -> None:
    id = server.agent().worker
    server.shown()
    wanted = {"concurrency": 5, "status": "paused"}
    server.put(f"/workers/{id}", wanted, headers=KEY)
    server.put(f"/workers/{id}", {"concurrency": 6, "status": "running"})
    before = server.position
    assert server.put(f"/workers/{id}", wanted, headers=KEY).json()["concurrency"] == 6
    assert server.position == before


def test_a_signal_reaches_the_execution_through_its_worker(server: Whole) -> None:
    agent, other = server.agent("one"), server.agent("two", batches=("none",))
    execution = agent.start(server.task())
    answer = server.post(f"/workers/{agent.worker}/signals", {"execution_id": execution, "signal": 9})
    assert (answer.status_code, answer.json()) == (200, None)
    agent.listen()
    assert agent.signals == [(execution, 9)]
    answer = server.post(f"/workers/{other.worker}/signals", {"execution_id": execution, "signal": 9})
    assert answer.status_code == 404
    for nobody in ({"signal": 9}, {"execution_id": None, "signal": 0}, {"execution_id": execution, "signal": -1}):
        assert server.post(f"/workers/{agent.worker}/signals", nobody).status_code == 400


def test_an_order_goes_to_the_worker_itself(server: Whole) -> None:
    agent = server.agent()
    assert server.post(f"/workers/{agent.worker}/signals", {"signal": -1}).status_code == 200
    assert server.post("/workers/77/signals", {"signal": -1}).status_code == 404
    types = [event["type"] for event in server.get("/events", params={"stream": f"worker-{agent.worker}"}).json()]
    assert types[-1] == "worker-ordered"
