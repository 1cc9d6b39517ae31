"""Tasks by a query of people: the same over HTTP as in words, and found by an index."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from sqlalchemy import select
from sqlalchemy.dialects import sqlite

from scitq.domain.query import parse
from scitq.projections import searching
from scitq.projections.tasks import TASKS
from tests.unit.web.whole import Whole


def found(server: Whole, query: str, **more: object) -> list[int]:
    answer = server.get("/tasks/", {"q": query, **more})
    assert answer.status_code == 200, answer.text
    ids = [row["task_id"] for row in answer.json()]
    assert server.get("/tasks/ids", {"q": query, **more}).json() == ids
    return ids


def test_a_query_means_what_it_says(server: Whole) -> None:
    one, two = server.agent("node1", batches=("align",)), server.agent("node22", batches=("count",))
    a = server.task("bwa mem", batch="align", name="s1")
    b = server.task("bwa index", batch="align", name="S1", retry=0, priority=-1)
    c = server.task("wc -l 50%_x", batch="count", name="a b")
    one.succeed(a)
    one.fail(b)
    two.start(c)
    d = server.task("true", batch="other", status="paused")
    e = server.task("true", batch="other")
    server.delete(f"/tasks/{e}")
    for query, meant in {
        "": [a, b, c, d],
        "status:failed": [b],
        "status:done": [a, b],
        "-status:done": [c, d],
        "batch:a*": [a, b],
        "batch:a* -batch:align": [],
        "batch:align,other": [a, b, d],
        "worker:node1": [a, b],
        "worker:node*": [a, b, c],
        "-worker:node1": [c, d],
        "name:s1": [a],
        "name:?1": [],
        "-name:s1": [b, c, d],
        'name:"a b"': [c],
        'text:"BWA i"': [b],
        "bwa": [a, b],
        "exit": [b],
        "50%_": [c],
        "5%x": [],
        "5*x": [c],
        f"{b}-{c}": [b, c],
        f"id:{c}..": [c, d],
        f"-{a}": [b, c, d],
        "last": [d],
        "last:2 status:done,running": [b, c],
        "attempts>0": [a, b, c],
        "priority<0": [b],
        "ended<1h": [a, b],
        "ended>1h": [],
        "since:1h": [a, b, c, d],
        "status:deleted": [e],
        "status:lost": [],
        "-status:lost": [a, b, c, d],
        "command:bwa*": [a, b],
    }.items():
        assert found(server, query) == meant, query
    assert found(server, "bwa", batch=["align"], name="s1") == [a]
    assert found(server, "", limit=2, after=a) == [b, c]
    assert found(server, "last:3", reverse=True, limit=2) == [d, c]
    assert found(server, "bwa", task_id=[b, c]) == [b]


def test_as_many_as_may_be_asked_for_are_answered(server: Whole) -> None:
    """A database refuses what is too deep or has too many parameters."""
    a, b = server.task("one"), server.task("two")
    for query, meant in (
        (" ".join(map(str, range(1, 2_200))), [a, b]),
        ("id:" + ",".join(map(str, range(b, 2_000))), [b]),
        ("name:" + ",".join(f"s{number}" for number in range(1_500)), []),
        ("o " * 200, [a, b]),
        ("-x " * 200, [a, b]),
        ("id:" + ",".join(f"{number}..{number + 1}" for number in range(b, b + 200)), [b]),
        ("attempts:0,1,2", [a, b]),
        ("text:" + "*a" * 4_000, []),
    ):
        assert found(server, query) == meant, query[:20]
    assert server.get("/tasks/", {"q": "x" * 100_000}).status_code in (400, 422)


def test_a_query_that_makes_no_sense_is_refused_with_its_place(server: Whole) -> None:
    for path in ("/tasks/", "/tasks/ids"):
        answer = server.get(path, {"q": "status:faild"})
        assert answer.status_code == 400 and "at sign 8" in answer.json()["message"], answer.text
        assert "did you mean failed?" in answer.json()["message"]


@pytest.mark.parametrize(
    ("query", "index"),
    [
        ("status:failed", "tasks_by_status_id"),
        ("batch:x", "tasks_by_batch_id"),
        ("batch:x* status:failed", "INDEX tasks_by_"),
        ("name:s1", "tasks_by_name_id"),
        ("12-40", "id>? AND id<?"),
        ("worker:node3", "executions_by_worker_status_id"),
        ("status:lost", "executions_by_status_id"),
    ],
)
def test_what_is_asked_often_is_found_by_an_index(server: Whole, query: str, index: str) -> None:
    conditions = searching.conditions(parse(query, datetime.now(UTC)), "sqlite")
    statement = select(TASKS).where(*conditions).order_by(TASKS.c.id).limit(500)
    text = str(statement.compile(dialect=sqlite.dialect(), compile_kwargs={"literal_binds": True}))
    with server.views.connect() as connection:
        plan = [row[-1] for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {text}")]
    assert any(index in step for step in plan), plan
