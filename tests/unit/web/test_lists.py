"""Lists of any length, in pages or in one stream."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from scitq.web import lists
from scitq.web.lists import NEXT
from scitq.web.routing import POSITION
from tests.unit.web.whole import Whole, whole

MANY = 25


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Whole]:
    """Twenty-five tasks; every fifth is of another batch."""
    with whole(tmp_path_factory.mktemp("store")) as server:
        tasks = [{"command": f"echo {n}", "batch": "fifth" if n % 5 == 0 else "rest"} for n in range(1, MANY + 1)]
        server.post("/tasks/bulk", {"tasks": tasks})
        server.shown()
        yield server


@pytest.fixture(params=[1, 3, 5, 24, 25, 26, 2_000])
def portion(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(lists, "PORTION", request.param)
    return int(request.param)


def ids(server: Whole, **filters: Any) -> list[int]:
    answer = server.get("/tasks/", filters)
    assert answer.status_code == 200
    assert int(answer.headers[POSITION]) == server.position
    return [task["task_id"] for task in answer.json()]


def test_without_a_limit_all_come_whatever_the_portion(full: Whole, portion: int) -> None:
    every = list(range(1, MANY + 1))
    assert ids(full) == every
    assert ids(full, reverse=True) == every[::-1]
    assert ids(full, after=7) == every[7:]
    assert ids(full, after=7, reverse=True) == every[:6][::-1]
    assert ids(full, batch="fifth") == [5, 10, 15, 20, 25]
    assert ids(full, after=MANY) == []


def test_many_ids_are_asked_for_in_parts(full: Whole, portion: int) -> None:
    wanted = [25, 3, 3, 9, 14, 1, 20, 99]
    assert ids(full, task_id=wanted) == [1, 3, 9, 14, 20, 25]
    assert ids(full, task_id=wanted, reverse=True) == [25, 20, 14, 9, 3, 1]
    assert ids(full, task_id=wanted, batch="fifth", after=20) == [25]
    assert ids(full, task_id=wanted, after=14, reverse=True) == [9, 3, 1]
    assert ids(full, task_id=[99]) == []
    assert ids(full, task_id=[]) == []


@pytest.mark.parametrize("limit", [1, 4, 5, 24, 25, 26])
@pytest.mark.parametrize("reverse", [False, True])
def test_pages_give_every_row_once_and_the_way_to_the_next(full: Whole, limit: int, reverse: bool) -> None:
    found: list[int] = []
    after = None
    while True:
        query: dict[str, Any] = {"limit": limit, "reverse": reverse} | ({} if after is None else {"after": after})
        answer = full.get("/tasks/", query)
        found += [task["task_id"] for task in answer.json()]
        after = answer.headers.get(NEXT)
        if after is None:
            break
    every = list(range(1, MANY + 1))
    assert found == (every[::-1] if reverse else every)


def test_a_page_of_filtered_rows_says_whether_there_may_be_more(full: Whole) -> None:
    answer = full.get("/tasks/?batch=fifth&limit=2&after=5")
    assert [task["task_id"] for task in answer.json()] == [10, 15]
    assert answer.headers[NEXT] == "15"
    assert NEXT not in full.get("/tasks/?batch=fifth&limit=2&after=20").headers
    assert [task["task_id"] for task in full.get("/tasks/?task_id=1,2,3&limit=2").json()] == [1, 2]


def test_executions_with_their_output_are_streamed_a_few_at_a_time(
    server: Whole, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lists, "AT_ONCE", 2)
    monkeypatch.setattr(lists, "PORTION", 3)
    agent = server.agent()
    executions = [agent.succeed(server.task()) for _ in range(7)]
    assert [one["execution_id"] for one in server.get("/executions/").json()] == executions
    page = server.get("/executions/", {"limit": 5})
    assert [one["execution_id"] for one in page.json()] == executions[:5]
    assert page.headers[NEXT] == str(executions[4])
    assert all(one["output"] == "" for one in page.json())
