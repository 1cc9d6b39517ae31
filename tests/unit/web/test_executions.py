"""Executions over HTTP."""

from __future__ import annotations

from typing import Any, get_type_hints

from scitq.store.output import open_output
from scitq.store.tally import Chunk
from scitq.web import shapes
from tests.unit.web.whole import Whole


def print_(server: Whole, execution: int, stdout: bytes, stderr: bytes = b"") -> None:
    log = open_output(server.store.output)
    log.append([Chunk(execution, 1, 0, 0, stdout), Chunk(execution, 2, 0, 0, stderr)])
    log.close()


def test_an_execution_has_every_field_it_always_had_and_those_that_came_later(server: Whole) -> None:
    id = server.task("sort", name="numbers", batch="mine")
    execution = server.agent(batches=("mine",)).fail(id)
    print_(server, execution, b"out\n", b"err\n")
    found = server.get(f"/executions/{execution}").json()
    assert set(found) == set(get_type_hints(shapes.Execution))
    assert (found["task_id"], found["worker_id"], found["status"], found["return_code"]) == (id, 1, "failed", 1)
    assert (found["output"], found["error"], found["pid"], found["command"]) == ("out\n", "err\n", "77", "sort")
    assert (found["batch"], found["task_name"], found["reason"]) == ("mine", "numbers", "exit code 1")
    assert found["latest"] is True
    assert (found["output_files"], found["freeze"]) == (None, None)
    assert found["creation_date"] <= found["started_date"] <= found["ended_date"] == found["modification_date"]
    assert server.get("/executions/").json() == [found]


def test_filters_narrow_the_list_together(server: Whole) -> None:
    agent = server.agent()
    again, once = server.task(batch="Default", name="again", retry=1), server.task(name="once", status="paused")
    first = agent.fail(again)
    second = agent.succeed(again)
    server.put(f"/tasks/{once}", {"status": "pending"})
    third = agent.start(once)
    cases: list[tuple[dict[str, Any], list[int]]] = [
        ({}, [first, second, third]),
        ({"task_id": again}, [first, second]),
        ({"task_id": [again, once], "latest": True}, [second, third]),
        ({"latest": False}, [first]),
        ({"latest": "false"}, [first]),
        ({"status": ["failed", "running"]}, [first, third]),
        ({"worker_id": agent.worker, "task_name": "once"}, [third]),
        ({"worker_id": 99}, []),
        ({"execution_id": [third, first]}, [first, third]),
        ({"batch": "Default", "task_id": again, "status": "failed", "latest": False}, [first]),
        ({"reverse": True, "limit": 2}, [third, second]),
        ({"after": first, "limit": "1"}, [second]),
    ]
    for filters, expected in cases:
        for more in ({}, {"no_output": True}):
            found = server.get("/executions/", {**filters, **more}).json()
            assert [one["execution_id"] for one in found] == expected, filters


def test_a_list_holds_as_much_output_as_was_asked_for(server: Whole) -> None:
    execution = server.agent().succeed(server.task())
    print_(server, execution, "häßlich".encode(), b"")
    (whole,) = server.get("/executions/").json()
    assert (whole["output"], whole["error"]) == ("häßlich", "")
    (end,) = server.get("/executions/", {"trunc": 5}).json()
    assert end["output"] == "ßlich"
    (none,) = server.get("/executions/", {"trunc": 0}).json()
    assert none["output"] == ""
    (left_out,) = server.get("/executions/", {"no_output": True, "trunc": 5}).json()
    assert (left_out["output"], left_out["error"]) == (None, None)
    assert left_out["return_code"] == 0


def test_a_signal_is_sent_to_what_runs(server: Whole) -> None:
    agent = server.agent()
    execution = agent.start(server.task())
    answer = server.post(f"/executions/{execution}/signals", {"signal": "15"})
    assert (answer.status_code, answer.json()) == (200, {"result": "Ok"})
    agent.listen()
    assert agent.signals == [(execution, 15)]


def test_a_signal_to_what_has_ended_is_refused_and_to_nothing_not_found(server: Whole) -> None:
    execution = server.agent().succeed(server.task())
    answer = server.post(f"/executions/{execution}/signals", {"signal": 9})
    assert (answer.status_code, answer.json()["message"]) == (409, f"execution {execution} is not running")
    assert server.post("/executions/99/signals", {"signal": 9}).status_code == 404


def test_an_execution_of_a_deleted_task_is_shown_when_it_is_asked_for(server: Whole) -> None:
    id = server.task()
    execution = server.agent().succeed(id)
    server.delete(f"/tasks/{id}")
    assert server.get("/executions/").json() == []
    assert server.get(f"/executions/{execution}").json()["task_id"] == id
