"""One day of a server over HTTP, the same on every store."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from scitq.store.output import open_output
from scitq.store.tally import Chunk
from tests.unit.web.whole import Whole, whole


@pytest.fixture(params=["sqlite", "postgresql"])
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Whole]:
    setting: Path | str = tmp_path / "store"
    if request.param == "postgresql":
        setting = request.getfixturevalue("postgres").create_database()
    with whole(setting) as started:
        yield started


def test_what_is_submitted_is_run_shown_changed_and_deleted(server: Whole) -> None:
    tasks = [{"command": f"echo {n}", "batch": "mine", "name": f"n{n}"} for n in range(1, 3_001)]
    ids = server.post("/tasks/bulk", {"tasks": tasks}).json()["task_ids"]
    agent = server.agent(batches=("mine",))
    done, failed, running = agent.succeed(ids[0]), agent.fail(ids[1]), agent.start(ids[2])

    assert [task["task_id"] for task in server.get("/tasks/").json()] == ids
    assert [task["task_id"] for task in server.get("/tasks/", {"task_id": ids[::-1]}).json()] == ids
    assert [task["task_id"] for task in server.get("/tasks/?name=n7,n9&status=pending").json()] == [ids[6], ids[8]]
    assert server.get("/tasks/status", {"task_id": ids[:4]}).json() == [7, 6, 5, 2]
    page = server.get("/tasks/", {"limit": 2, "reverse": True, "status": "pending"})
    assert page.headers["X-Next-After"] == str(ids[-2])

    log = open_output(server.store.output)
    log.append([Chunk(done, 1, 0, 0, "grün\n".encode())])
    log.close()
    executions = server.get("/executions/", {"task_id": ids, "latest": True, "batch": "mine", "trunc": 3}).json()
    assert [(one["execution_id"], one["output"]) for one in executions] == [(done, "ün\n"), (failed, ""), (running, "")]

    assert server.put(f"/tasks/{ids[1]}", {"status": "pending", "command": "new"}).json()["command"] == "new"
    assert server.put("/workers/1", {"concurrency": 0, "status": "paused"}).json()["status"] == "paused"
    assert server.put("/batch/mine/stop", {"signal": 15}).status_code == 200
    (batch,) = server.get("/batch/").json()
    assert (batch["stopped"], batch["succeeded"], batch["tasks"]) == (True, 1, 3_000)

    before = server.get("/tasks/").json()
    assert server.post("/projections/tasks/rebuild").status_code == 200
    assert server.get("/tasks/").json() == before
    assert server.delete("/batch/mine").status_code == 200
    assert server.get("/tasks/").json() == []
    assert {one["lag"] for one in server.get("/projections").json()} == {0}
