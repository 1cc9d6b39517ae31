"""Health, readiness, projections."""

from __future__ import annotations

import time
from pathlib import Path

import orjson
import pytest
from sqlalchemy import update

from scitq.bus.local import LocalBus
from scitq.projections import catalog, database
from scitq.projections.runner import POSITIONS
from scitq.web import freshness, processes
from scitq.web.routing import POSITION
from tests.services.waiting import eventually
from tests.unit.web.whole import BEARER, Whole, whole


def test_health_and_readiness_need_no_token(shared: Whole) -> None:
    before, health = time.time(), shared.get("/health", headers={}).json()
    assert before <= health.pop("time") <= time.time()
    assert health == {"status": "ok", "version": "0-test"}
    ready = shared.get("/ready", headers={})
    assert ready.status_code == 200
    assert ready.json()["ready"] is ready.json()["engine"] is True


def test_without_an_engine_the_server_is_not_ready_but_shows_what_there_is(tmp_path: Path) -> None:
    with whole(tmp_path / "store", engine=False) as server:
        answer = server.get("/ready")
        assert (answer.status_code, answer.json()["message"]) == (503, "no engine leads")
        assert server.get("/tasks/").json() == []


def test_a_broker_that_is_away_is_named(server: Whole, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(LocalBus, "trouble", "connection refused")
    answer = server.get("/ready")
    assert answer.status_code == 503
    assert answer.json()["message"].startswith("the broker cannot be used: connection refused")


def test_what_is_behind_is_told_in_events_and_seconds(server: Whole) -> None:
    server.task()
    server.shown()
    server._projections.stop()
    assert server._projections.join(20)
    before = {one["name"]: one for one in server.get("/ready").json()["projections"]}
    assert all((one["lag"], one["behind_s"]) == (0, 0) for one in before.values())
    assert server.post("/tasks/bulk", {"tasks": [{"command": "x"}] * 3}).status_code == 201
    eventually(lambda: all(one["behind_s"] > 0.1 for one in server.get("/ready").json()["projections"]))
    ready = server.get("/ready").json()
    assert ready["ready"] and ready["lag"] == 3 and {one["lag"] for one in ready["projections"]} == {3}
    assert {one["name"] for one in ready["queues"]} == {"reports", "commands", "output"} and ready["parked"] == 0


def test_the_processes_of_the_server_are_known_and_forgotten(server: Whole, monkeypatch: pytest.MonkeyPatch) -> None:
    def process(id: str, epoch: int | None, **more: object) -> None:
        engine = {"leads": epoch is not None, "epoch": epoch, "position": 7}
        said = {"id": id, "host": "node", "pid": 7, "roles": ["engine"], "version": "1", "started": 1, "engine": engine}
        server.bus.publish("processes", orjson.dumps(said | more))

    process("a", 3)
    process("b", None)
    process("c", 4, pid=8)  # the one before it was killed a moment ago
    server.bus.publish("processes", b"nonsense")
    eventually(lambda: len(server.get("/status").json()["processes"]) == 3)
    found = server.get("/status").json()
    assert found["engine"] == {"leads": True, "epoch": 4, "holder": "node:8"} and found["standbys"] == 1
    ready = server.get("/ready")
    assert (ready.json()["epoch"], ready.json()["standbys"]) == (4, 1) and "node" not in ready.text
    process("b", None, ended=True)
    eventually(lambda: server.get("/ready").json()["standbys"] == 0)
    monkeypatch.setattr(processes, "SILENCE_S", -1.0)
    assert server.get("/status").json()["processes"] == []


def test_an_engine_that_fell_silent_does_not_lead(server: Whole, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(freshness, "BEAT_S", -1.0)
    assert server.get("/ready").json()["engine"] is False


def test_a_projection_that_stopped_makes_the_server_unready_and_says_why(server: Whole) -> None:
    server.task()
    server.shown()  # a projection that goes on takes the note away
    writer = database.writer(server.store.views)
    with writer.begin() as connection:
        connection.execute(update(POSITIONS).where(POSITIONS.c.name == "batches").values(stopped="it could not go on"))
    writer.dispose()
    ready = server.get("/ready")
    assert (ready.status_code, ready.json()["stopped"]) == (503, ["batches"])
    told = {one["name"]: one["stopped"] for one in server.get("/projections").json()}
    assert told == {projection.name: None for projection in catalog.ALL} | {"batches": "it could not go on"}


def test_the_projections_tell_how_far_they_are(server: Whole) -> None:
    server.task()
    server.shown()
    for one in server.get("/projections").json():
        assert (one["position"], one["lag"], one["stopped"]) == (server.position, 0, None)


def test_a_projection_is_folded_anew(server: Whole) -> None:
    id = server.task()
    assert server.post("/projections/tasks/rebuild").json() == {"result": "Ok"}
    assert server.rebuilt == ["tasks"]
    assert server.get(f"/tasks/{id}").json()["task_id"] == id
    answer = server.post("/projections/nonsense/rebuild")
    assert (answer.status_code, "there are tasks, executions" in answer.json()["message"]) == (404, True)


def test_a_read_waits_for_the_position_it_is_to_reflect(server: Whole) -> None:
    ids = server.post("/tasks/bulk", {"tasks": [{"command": "x"}] * 2_000}).json()
    asked = server.get(f"/tasks/{ids['task_ids'][-1]}", headers={**BEARER, POSITION: str(ids["position"])})
    assert asked.status_code == 200
    assert int(asked.headers[POSITION]) >= ids["position"]


def test_a_read_for_a_position_that_never_comes_is_answered_with_what_there_is(
    server: Whole,
) -> None:
    server.services.freshness.wait_s = 0.01
    server.task()
    server.shown()
    answer = server.get("/tasks/", headers={**BEARER, POSITION: "999999"})
    assert answer.status_code == 200
    assert int(answer.headers[POSITION]) == server.position


def test_a_process_that_was_told_nothing_yet_looks_for_itself(server: Whole) -> None:
    server.task()
    server.shown()
    server.services.freshness.views = 0
    assert int(server.get("/tasks/", headers={**BEARER, POSITION: "2"}).headers[POSITION]) >= 2


def test_views_that_are_not_there_are_said_to_come(tmp_path: Path) -> None:
    with whole(tmp_path / "store") as server:
        server._projections.stop()
        assert server._projections.join(20)
        server.views.dispose()
        views = Path(str(server.views.url.database))
        for path in views.parent.glob(f"{views.name}*"):
            path.unlink()
        answer = server.get("/tasks/")
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
        assert "store" in answer.json()["message"]
        assert server.get("/ready").status_code == 503


def test_a_created_task_is_answered_though_the_views_are_behind(server: Whole) -> None:
    """A 503 would make an old client submit it twice."""
    server.services.freshness.wait_s = 0.01
    server._projections.stop()
    assert server._projections.join(20)
    answer = server.post("/tasks/", {"command": "echo", "batch": "mine", "retry": 2, "status": "paused"})
    assert answer.status_code == 201
    task = answer.json()
    assert (task["task_id"], task["batch"], task["retry"], task["status"]) == (1, "mine", 2, "paused")
    assert task["creation_date"] is not None
    eventually(lambda: server.position >= 2)
