"""Pages of long lists come from an index: what a page costs does not grow with how much there is."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import Connection, event, text

from scitq.projections import database, executions, tasks
from scitq.projections.executions import EXECUTIONS
from scitq.projections.tasks import TASKS
from tests.services.postgres import PrivatePostgres

MANY = 60_000
PAGE = 100
LOOKED_AT = 20 * PAGE
"""So many rows may be looked at for a page."""


@pytest.fixture(scope="module")
def views(postgres: PrivatePostgres) -> Iterator[Connection]:
    """Tasks of which nearly all are pending and of one batch; all that ran have succeeded."""
    url = postgres.create_database()
    writer, reader = database.writer(url), database.reader(url)
    with writer.begin() as connection:
        for table in (TASKS, EXECUTIONS):
            table.create(connection)
        fill(connection)
    with reader.connect() as connection:
        yield connection
    for engine in (writer, reader):
        engine.dispose()


def fill(connection: Connection) -> None:
    constant = "false, 'x', 0, 0, false, '[]', '[]', 0, '[]', '[]', 1, 1, 1 FROM generate_series(1, :many) AS id"
    columns = (
        "paused, command, priority, retry, use_cache, requires, blocked_by, attempts, former_commands, refused_by, "
        "created_at, modified_at, status_at"
    )
    connection.execute(
        text(
            f"INSERT INTO tasks (id, status, stage, batch, name, {columns}) SELECT id, s.status, s.status, "
            "CASE WHEN id % 10000 = 7 THEN 'rare' ELSE 'big' END, CASE WHEN id % 9000 = 5 THEN 'named' END, "
            f"{constant}, "
            "LATERAL (SELECT CASE WHEN id % 9999 = 3 THEN 'failed' ELSE 'pending' END) AS s(status)"
        ),
        {"many": MANY},
    )
    connection.execute(
        text(
            "INSERT INTO executions (id, task, worker, status, phase, position, assigned_at, modified_at) "
            "SELECT id, id, 1 + id % 2, CASE WHEN id % 9999 = 3 THEN 'failed' ELSE 'succeeded' END, 'done', id, 1, 1 "
            "FROM generate_series(1, :many) AS id"
        ),
        {"many": MANY},
    )
    connection.execute(text("ANALYZE tasks"))
    connection.execute(text("ANALYZE executions"))


LISTS: list[tuple[Any, dict[str, Any]]] = [
    (tasks.page, {}),
    (tasks.page, {"newest_first": True}),
    (tasks.page, {"after": MANY - 500}),
    (tasks.page, {"statuses": ["pending"]}),
    (tasks.page, {"statuses": ["failed"]}),
    (tasks.page, {"statuses": ["running"], "newest_first": True}),
    (tasks.page, {"statuses": ["failed", "running"], "newest_first": True}),
    (tasks.page, {"statuses": ["pending"], "after": MANY - 500}),
    (tasks.page, {"batches": ["big"]}),
    (tasks.page, {"batches": ["rare"]}),
    (tasks.page, {"batches": ["nowhere"], "newest_first": True}),
    (tasks.page, {"batches": ["big"], "statuses": ["failed"]}),
    (tasks.page, {"batches": ["rare"], "statuses": ["pending"]}),
    (tasks.page, {"names": ["named"]}),
    (tasks.page, {"names": ["nobody", "named"], "statuses": ["pending"]}),
    (executions.page, {}),
    (executions.page, {"newest_first": True}),
    (executions.page, {"statuses": ["failed"]}),
    (executions.page, {"statuses": ["running"]}),
    (executions.page, {"latest": True}),
    (executions.page, {"tasks": [17, 18]}),
    (executions.page, {"batches": ["big"], "newest_first": True}),
    (executions.page, {"batches": ["rare"]}),
    (executions.page, {"task_names": ["named"]}),
    (executions.page, {"workers": [1], "statuses": ["failed"]}),
]


@pytest.mark.parametrize(("page", "asked"), LISTS, ids=lambda value: str(value) if isinstance(value, dict) else "")
def test_a_page_looks_at_few_rows(views: Connection, page: Any, asked: dict[str, Any]) -> None:
    said: list[tuple[str, Any]] = []

    def note(connection: Any, cursor: Any, statement: str, parameters: Any, context: Any, many: bool) -> None:
        said.append((statement, parameters))

    event.listen(views, "before_cursor_execute", note)
    try:
        page(views, limit=PAGE, **asked)
    finally:
        event.remove(views, "before_cursor_execute", note)
    ((statement, parameters),) = said
    found = views.exec_driver_sql(f"EXPLAIN (ANALYZE, FORMAT JSON) {statement}", parameters).scalar_one()
    looked_at = rows(found[0]["Plan"])
    assert looked_at < LOOKED_AT, f"{looked_at} rows for {statement}: {found}"


def rows(plan: dict[str, Any]) -> int:
    """How many rows the plan's scans came by."""
    here = plan["Actual Rows"] + plan.get("Rows Removed by Filter", 0) + plan.get("Rows Removed by Index Recheck", 0)
    mine = here * plan["Actual Loops"] if "Scan" in plan["Node Type"] else 0
    return int(mine) + sum(rows(part) for part in plan.get("Plans", ()))
