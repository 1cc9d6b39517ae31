"""Tasks over HTTP, as clients old and new meet them."""

from __future__ import annotations

from datetime import datetime
from typing import Any, get_type_hints

import pytest

from scitq.web import shapes
from scitq.web.routing import POSITION
from tests.services.waiting import eventually
from tests.unit.web.whole import BEARER, Whole


def test_a_task_is_submitted_with_all_it_can_have(server: Whole) -> None:
    other = server.task()
    sent = {
        "command": "sort -n", "name": "numbers", "status": "paused", "batch": "mine", "input": "s3://a/in",
        "output": "s3://a/out", "container": "debian", "container_options": "--cpus 2", "resource": "s3://a/db|untar",
        "required_task_ids": [other], "retry": 3, "download_timeout": 10, "run_timeout": 20, "use_cache": True,
        "priority": -5,
    }  # fmt: skip
    answer = server.post("/tasks/", sent)
    assert answer.status_code == 201
    task = answer.json()
    assert {name: task[name] for name in sent} == sent
    assert int(answer.headers[POSITION]) == server.position
    assert server.get(f"/tasks/{task['task_id']}").json() == task


def test_a_task_has_every_field_it_always_had_and_those_that_came_later(server: Whole) -> None:
    task = server.get(f"/tasks/{server.task()}").json()
    assert set(task) == set(get_type_hints(shapes.Task))
    old = (
        "task_id name status command creation_date modification_date status_date batch input output container "
        "container_options resource required_task_ids retry download_timeout run_timeout use_cache"
    )
    assert set(old.split()) <= set(task)
    assert task["status"] == "pending"
    assert task["batch"] == "Default"


def test_dates_are_naive_and_utc_with_all_their_digits(server: Whole) -> None:
    task = server.get(f"/tasks/{server.task()}").json()
    for name in ("creation_date", "modification_date", "status_date"):
        assert len(task[name]) == len("2026-11-20T18:36:21.153899")
        assert datetime.fromisoformat(task[name]).tzinfo is None
    assert shapes.date(1_700_000_000_000_000) == "2023-11-14T22:13:20.000000"
    assert shapes.date(None) is None


def test_numbers_may_come_as_texts_as_old_clients_send_them(server: Whole) -> None:
    first = server.task()
    id = server.task(retry="2", run_timeout="60", required_task_ids=[str(first)], priority="-3", use_cache="true")
    task = server.get(f"/tasks/{id}").json()
    assert (task["retry"], task["run_timeout"], task["priority"], task["use_cache"]) == (2, 60, -3, True)
    assert task["required_task_ids"] == [first]
    assert server.get("/tasks/", {"task_id": [str(first)]}).json()[0]["task_id"] == first
    assert server.get("/tasks/", {"task_id": first}).json()[0]["task_id"] == first


def test_a_null_is_a_field_that_was_not_sent(server: Whole) -> None:
    nulls: dict[str, Any] = dict.fromkeys(
        ("name", "status", "batch", "input", "output", "container", "container_options", "resource",
         "required_task_ids", "retry", "download_timeout", "run_timeout", "use_cache", "priority")
    )  # fmt: skip
    id = server.task(**nulls)
    task = server.get(f"/tasks/{id}").json()
    assert (task["batch"], task["retry"], task["use_cache"]) == ("Default", 0, False)
    before = server.position
    assert server.put(f"/tasks/{id}", {**nulls, "command": None}).status_code == 200
    assert server.position == before


def test_a_task_waits_for_what_it_requires_and_says_what_blocks_it(server: Whole) -> None:
    first = server.task()
    second = server.task(required_task_ids=[first])
    assert server.get(f"/tasks/{second}").json()["status"] == "waiting"
    server.agent().fail(first)
    task = server.get(f"/tasks/{second}").json()
    assert task["blocked_by"] == [f"it requires task {first}, which has failed"]
    third = server.task(required_task_ids=[second])
    assert server.delete(f"/tasks/{second}").status_code == 200
    assert server.get(f"/tasks/{third}").json()["blocked_by"] == [f"it requires task {second}, which was deleted"]


def test_ten_thousand_tasks_come_in_one_request(server: Whole) -> None:
    tasks = [{"command": f"echo {n}", "required_task_ids": [-n] if n else []} for n in range(10_000)]
    answer = server.post("/tasks/bulk", {"tasks": tasks})
    assert answer.status_code == 201
    assert answer.json()["task_ids"] == list(range(1, 10_001))
    assert answer.json()["position"] == int(answer.headers[POSITION]) == server.position
    reached = position(answer.json()["position"])  # on a busy machine the views may need longer than a read waits
    eventually(lambda: server.get("/tasks/10000", headers=reached).status_code == 200)
    last = server.get("/tasks/10000", headers=reached)
    assert last.json()["required_task_ids"] == [9_999]


def test_what_was_submitted_a_moment_ago_can_be_changed_and_deleted_at_once(server: Whole) -> None:
    for _ in range(5):
        ids = server.post("/tasks/bulk", {"tasks": [{"command": "x", "batch": "mine"}] * 500}).json()["task_ids"]
        assert server.put(f"/tasks/{ids[-1]}", {"priority": 7}).json()["priority"] == 7
        assert server.delete("/batch/mine").status_code == 200
        assert server.get("/tasks/").json() == []


def test_of_many_tasks_all_or_none_are_made(server: Whole) -> None:
    before = server.position
    answer = server.post("/tasks/bulk", {"tasks": [{"command": "a"}, {"command": "b", "required_task_ids": [-3]}]})
    assert answer.status_code == 409
    assert "number 3 of it" in answer.json()["message"]
    assert server.position == before


def test_the_statuses_come_as_the_numbers_they_always_were(server: Whole) -> None:
    paused = server.task(status="paused")
    done, failed, running, given = (server.task() for _ in range(4))
    waiting = server.task(required_task_ids=[paused])
    agent = server.agent(concurrency=1, prefetch=1)
    agent.succeed(done)
    agent.fail(failed)
    agent.start(running)
    agent.given(given)
    pending = server.task()
    server.shown()
    ids = [pending, paused, done, failed, done, running, given, waiting]
    assert server.get("/tasks/status", {"task_id": ids}).json() == [2, 0, 7, 6, 7, 5, 3, 1]
    assert server.get(f"/tasks/status?task_id={done},{paused}&task_id={failed}").json() == [7, 0, 6]
    assert server.get("/tasks/status", {"task_id": []}).json() == []


def test_the_status_of_one_that_is_not_there_is_not_found(server: Whole) -> None:
    gone = server.task()
    server.delete(f"/tasks/{gone}")
    assert server.get("/tasks/status", {"task_id": [99]}).json()["message"] == "there is no task 99"
    answer = server.get("/tasks/status", {"task_id": [gone]})
    assert (answer.status_code, answer.json()["message"]) == (404, f"task {gone} was deleted")
    assert server.get("/tasks/status", {}).status_code == 400


def test_a_deleted_task_is_shown_when_it_is_asked_for(server: Whole) -> None:
    kept, gone = server.task(), server.task()
    assert server.delete(f"/tasks/{gone}").json()["status"] == "deleted"
    assert server.delete(f"/tasks/{gone}").status_code == 200
    assert [task["task_id"] for task in server.get("/tasks/").json()] == [kept]
    assert [task["task_id"] for task in server.get("/tasks/", {"status": "deleted"}).json()] == [gone]
    assert server.get(f"/tasks/{gone}").json()["status"] == "deleted"


def test_filters_narrow_the_list_together(server: Whole) -> None:
    one = server.task(batch="a", name="n")
    two = server.task(batch="a", name="m", status="paused")
    three = server.task(batch="b", name="n")
    cases: list[tuple[dict[str, Any], list[int]]] = [
        ({}, [one, two, three]),
        ({"batch": "a"}, [one, two]),
        ({"batch": ["a", "b"], "name": "n"}, [one, three]),
        ({"status": ["paused"]}, [two]),
        ({"status": ["paused", "debug", "pending"], "task_id": [two, three]}, [two, three]),
        ({"status": "debug"}, []),
        ({"task_id": []}, []),
        ({"name": []}, []),
        ({"task_id": [one, one, 99]}, [one]),
        ({"batch": "a", "name": "n", "status": "pending", "task_id": one}, [one]),
        ({"reverse": True}, [three, two, one]),
    ]
    for filters, expected in cases:
        found = [task["task_id"] for task in server.get("/tasks/", filters).json()]
        assert found == expected, filters


def test_the_body_of_a_get_wins_over_its_query(server: Whole) -> None:
    one, two = server.task(batch="a"), server.task(batch="b")
    assert [task["task_id"] for task in server.get("/tasks/?batch=a,b&reverse=true").json()] == [two, one]
    assert [task["task_id"] for task in server.get("/tasks/?batch=a", {"batch": "b"}).json()] == [two]
    assert [task["task_id"] for task in server.get("/tasks/?batch=a", {}).json()] == [one]


def test_actions_say_what_was_done_and_what_was_refused(server: Whole) -> None:
    one, two, done = server.task(), server.task(), server.task()
    server.put(f"/tasks/{one}", {"status": "paused"})
    server.put(f"/tasks/{two}", {"status": "paused"})
    server.agent().succeed(done)
    before = server.position
    answer = server.post("/tasks/actions", {"action": "resume", "task_ids": [one, one, done, two, 99]})
    assert answer.status_code == 200
    assert answer.json()["done"] == [one, two]
    assert set(answer.json()["refused"]) == {str(done), "99"}
    assert "relaunch it to run it again" in answer.json()["refused"][str(done)]
    assert answer.json()["position"] == before + 2


def test_when_all_is_refused_so_is_the_request(server: Whole) -> None:
    done = server.task()
    server.agent().succeed(done)
    answer = server.post("/tasks/actions", {"action": "pause", "task_ids": [done]})
    assert (answer.status_code, answer.json()["message"].startswith(f"task {done} has already succeeded")) == (
        409,
        True,
    )


@pytest.mark.parametrize("action", ["pause", "resume", "release", "relaunch", "delete"])
def test_every_action_is_possible(server: Whole, action: str) -> None:
    id = server.task()
    assert server.post("/tasks/actions", {"action": action, "task_ids": [id]}).json()["done"] == [id]


def position(number: int) -> dict[str, str]:
    return {**BEARER, POSITION: str(number)}
