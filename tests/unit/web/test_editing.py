"""PUT of a task: several things at once, and nothing half done."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.web.whole import BEARER, Whole

KEY = {**BEARER, "Idempotency-Key": "my-key-0001"}


def events_since(server: Whole, position: int) -> list[str]:
    return [event["type"] for event in server.get("/events", {"after": position, "limit": 1_000}).json()]


def test_properties_change_and_what_was_not_named_stays(server: Whole) -> None:
    id = server.task("old", name="n", retry=1)
    task = server.put(f"/tasks/{id}", {"command": "new", "run_timeout": 60, "batch": "other"}).json()
    assert (task["command"], task["run_timeout"], task["batch"]) == ("new", 60, "other")
    assert (task["name"], task["retry"]) == ("n", 1)


def test_a_task_that_ended_is_relaunched_with_its_new_properties_in_one_event(server: Whole) -> None:
    id = server.task("old")
    agent = server.agent()
    agent.fail(id)
    server.put(f"/workers/{agent.worker}", {"status": "paused"})
    before = server.position
    task = server.put(f"/tasks/{id}", {"status": "pending", "command": "new", "retry": 4}).json()
    assert (task["status"], task["command"], task["retry"]) == ("pending", "new", 4)
    assert events_since(server, before) == ["task-edited", "task-relaunched"]


def test_a_task_that_ended_is_relaunched_as_it_was(server: Whole) -> None:
    id = server.task()
    agent = server.agent()
    agent.succeed(id)
    server.put(f"/workers/{agent.worker}", {"status": "paused"})
    assert server.put(f"/tasks/{id}", {"status": "pending"}).json()["status"] == "pending"


def test_pending_resumes_what_is_paused_and_releases_what_waits(server: Whole) -> None:
    paused = server.task(status="paused")
    waiting = server.task(required_task_ids=[paused])
    assert server.put(f"/tasks/{waiting}", {"status": "pending"}).json()["status"] == "pending"
    assert server.put(f"/tasks/{paused}", {"status": "pending"}).json()["status"] == "pending"


def test_a_paused_task_that_waits_goes_back_to_waiting(server: Whole) -> None:
    other = server.task(status="paused")
    id = server.task(required_task_ids=[other], status="paused")
    assert server.put(f"/tasks/{id}", {"status": "pending"}).json()["status"] == "waiting"


def test_what_is_on_its_way_already_is_left_alone(server: Whole) -> None:
    id = server.task()
    server.agent().start(id)
    before = server.position
    assert server.put(f"/tasks/{id}", {"status": "pending"}).json()["status"] == "running"
    assert server.position == before


def test_what_runs_is_started_again_with_the_change_that_comes_with_pending(server: Whole) -> None:
    id = server.task("old")
    server.agent().start(id)
    before = server.position
    task = server.put(f"/tasks/{id}", {"status": "pending", "command": "new"}).json()
    assert task["command"] == "new"
    assert events_since(server, before)[:3] == ["execution-cancelled", "task-edited", "task-relaunched"]


def test_a_task_given_to_a_worker_is_taken_back_and_changed_when_it_is_paused(server: Whole) -> None:
    first, id, other = server.task(), server.task("old"), server.task(status="paused")
    agent = server.agent(concurrency=1, prefetch=1)
    agent.start(first)
    agent.given(id)
    server.shown()
    task = server.put(f"/tasks/{id}", {"status": "paused", "command": "new", "required_task_ids": [other]}).json()
    assert (task["status"], task["command"], task["required_task_ids"]) == ("paused", "new", [other])


def test_several_things_happen_in_the_order_in_which_they_can(server: Whole) -> None:
    other = server.task(status="paused")
    id = server.task(status="paused")
    before = server.position
    task = server.put(f"/tasks/{id}", {"status": "pending", "priority": 9, "required_task_ids": [other]}).json()
    assert (task["status"], task["priority"], task["required_task_ids"]) == ("waiting", 9, [other])
    assert events_since(server, before) == ["task-requirements-changed", "task-edited", "task-resumed"]


def test_no_requirements_are_requirements_too(server: Whole) -> None:
    id = server.task(required_task_ids=[server.task()])
    task = server.put(f"/tasks/{id}", {"required_task_ids": []}).json()
    assert (task["required_task_ids"], task["status"]) == ([], "pending")


@pytest.mark.parametrize(
    "status", ["waiting", "running", "succeeded", "failed", "debug", "deleted", "nonsense", "PAUSED", ""]
)
def test_no_other_status_can_be_set_and_a_sentence_says_why(server: Whole, status: str) -> None:
    id = server.task()
    before = server.position
    answer = server.put(f"/tasks/{id}", {"status": status, "command": "new"})
    assert answer.status_code == 400
    assert "status" in answer.json()["errors"]
    assert server.position == before


RUNNING: list[dict[str, Any]] = [
    {"command": "new"},
    {"status": "paused", "command": "new"},
    {"required_task_ids": []},
    {"priority": 3, "required_task_ids": []},
    {"status": "pending", "priority": 3, "required_task_ids": []},
]
ENDED: list[dict[str, Any]] = [
    {"status": "paused", "command": "new"},
    {"status": "pending", "command": "new", "required_task_ids": []},
    {"required_task_ids": [], "priority": 1},
]
PENDING: list[dict[str, Any]] = [
    {"command": "new", "required_task_ids": [99]},
    {"status": "paused", "priority": 3, "required_task_ids": [1]},
    {"status": "paused", "required_task_ids": [2]},
]


@pytest.mark.parametrize(
    ("stage", "wanted"),
    [
        *(("running", one) for one in RUNNING),
        *(("ended", one) for one in ENDED),
        *(("pending", one) for one in PENDING),
    ],
    ids=str,
)
def test_an_obvious_mistake_is_seen_before_anything_is_done(server: Whole, stage: str, wanted: dict[str, Any]) -> None:
    id, gone = server.task("old"), server.task()
    assert (id, gone) == (1, 2)
    server.delete(f"/tasks/{gone}")
    if stage != "pending":
        agent = server.agent()
        agent.start(id) if stage == "running" else agent.succeed(id)
    before = server.position
    answer = server.put(f"/tasks/{id}", wanted)
    assert answer.status_code == 409
    assert answer.json()["message"]
    assert server.position == before


def test_a_deleted_task_cannot_change(server: Whole) -> None:
    id = server.task()
    server.delete(f"/tasks/{id}")
    answer = server.put(f"/tasks/{id}", {"priority": 3})
    assert (answer.status_code, answer.json()["message"]) == (409, f"task {id} was deleted")


def test_the_same_request_again_is_one_effect_though_the_task_has_moved_on(server: Whole) -> None:
    id = server.task("old")
    agent = server.agent()
    agent.fail(id)
    wanted = {"status": "pending", "command": "new"}
    assert server.put(f"/tasks/{id}", wanted, headers=KEY).status_code == 200
    agent.start(id)
    before = server.position
    again = server.put(f"/tasks/{id}", wanted, headers=KEY)
    assert (again.status_code, again.json()["status"]) == (200, "running")
    assert server.position == before


def test_the_same_request_again_finds_each_of_its_parts_done(server: Whole) -> None:
    other = server.task(status="paused")
    id = server.task(status="paused")
    wanted = {"status": "pending", "priority": 9, "required_task_ids": [other]}
    first = server.put(f"/tasks/{id}", wanted, headers=KEY)
    server.delete(f"/tasks/{other}")  # what the checks would now refuse
    before = server.position
    again = server.put(f"/tasks/{id}", wanted, headers=KEY)
    assert (first.status_code, again.status_code) == (200, 200)
    assert server.position == before
