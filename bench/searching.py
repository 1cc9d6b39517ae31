"""How quickly queries of people are answered over a million tasks: `python -m bench.searching [--tasks N]`.

The rows are put into the tables as they would be after such a run (one in a hundred has failed, a few run, the last
wait), by the database itself; then each query is asked five times, as a page of 100, and the median counts. Beside it
stands a page of the plain list in the same minute.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from sqlalchemy import Connection, Engine, text

from bench.projections import NothingMore
from bench.table import Findings
from scitq.domain.query import parse
from scitq.projections import database, searching, tasks
from scitq.projections.catalog import ALL
from scitq.projections.runner import Projector
from scitq.projections.searching import Wanted, Within
from tests.services.postgres import PrivatePostgres

TASKS: Final = 1_000_000
PAGE: Final = 100
BAR_MS: Final = 100.0
QUERIES: Final = (
    "status:failed",
    "status:running",
    "status:failed batch:align-7",
    "status:failed batch:align-*",
    "status:failed -batch:align-7",
    "batch:align-7",
    "name:s500000",
    "id:500000..500100",
    "12-40 999990",
    "last:10",
    "last:10 status:failed",
    "worker:node3 status:failed",
    "since:1h status:failed",
    'text:"sample 777777" status:failed',
)
FREE: Final = ('text:"sample 777777"', "name:s50000*", "retry>0", "status:lost")
"""These have no index to go by, or nothing that they find: what they cost is to be known."""
_SERIES: Final = {
    "sqlite": "WITH RECURSIVE n(id) AS (SELECT 1 UNION ALL SELECT id + 1 FROM n WHERE id < :tasks)",
    "postgresql": "WITH n AS (SELECT generate_series(1, CAST(:tasks AS BIGINT)) AS id)",
}
_STATUS: Final = """CASE WHEN id > :tasks - 1000 THEN 'pending' WHEN id > :tasks - 1020 THEN 'running'
 WHEN id % 100 = 0 THEN 'failed' ELSE 'succeeded' END"""


def fill(engine: Engine, count: int) -> None:
    """A million tasks with one attempt each, on ten workers, in a hundred batches."""
    series, now = _SERIES[engine.dialect.name], time.time_ns() // 1_000
    concat = f"{series} INSERT INTO tasks (id, status, stage, paused, batch, name, command, priority, retry, use_cache,"
    rows = f"""{concat} requires, blocked_by, attempts, execution, worker, former_commands, created_at, modified_at,
 status_at) SELECT id, {_STATUS}, {_STATUS}, false, 'align-' || (id % 97), 's' || id,
 'bwa mem genome.fa sample ' || id || '.fastq', 0, 0, false, '[]', '[]', 1, id, 1 + id % 10, '[]',
 :now - (:tasks - id) * 10000, :now - (:tasks - id) * 10000, :now - (:tasks - id) * 10000 FROM n"""
    attempts = f"""{series} INSERT INTO executions (id, task, worker, status, position, assigned_at, modified_at)
 SELECT id, id, 1 + id % 10, {_STATUS}, id, :now, :now FROM n WHERE id <= :tasks - 1000"""
    workers = """INSERT INTO workers (id, name, status, contact, paused, concurrency, prefetch, batches, lost_after_s,
 incarnation, created_at, modified_at, status_at)
 SELECT 1 + id % 10, 'node' || (1 + id % 10), 'running', 'online', false, 4, 0, '["Default"]', 900, 'i', 1, 1, 1
 FROM tasks WHERE id <= 10"""
    counts = ("workers", "paused", "waiting", "pending", "assigned", "accepted", "running", "succeeded", "failed")
    batches = f"""INSERT INTO batches (name, stopped, {", ".join(counts)})
 SELECT DISTINCT batch, false, {", ".join("0" for _ in counts)} FROM tasks"""
    with engine.begin() as connection:
        for statement in (rows, attempts, workers, batches):
            wanted = {name: value for name, value in (("tasks", count), ("now", now)) if f":{name}" in statement}
            connection.execute(text(statement), wanted)
    if engine.dialect.name == "postgresql":
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text("ANALYZE"))


def median_ms(ask: Callable[[], object]) -> float:
    took = []
    for _ in range(5):
        began = time.perf_counter()
        ask()
        took.append(1_000 * (time.perf_counter() - began))
    return statistics.median(took)


def asked(connection: Connection, words: str) -> int:
    query = parse(words, datetime.now(UTC))
    return len(searching.page(connection, query, Within(), Wanted(limit=PAGE)))


def measure(findings: Findings, url: str, count: int) -> None:
    writer = database.writer(url)
    for projection in ALL:
        Projector(projection, writer, NothingMore()).open()
    name = writer.dialect.name
    fill(writer, count)
    writer.dispose()
    reader = database.reader(url)
    with reader.connect() as connection:
        plain = median_ms(lambda: tasks.page(connection, limit=PAGE))
        findings.row(f"{name}: a page of all", f"≤ {BAR_MS:.0f} ms", f"{plain:.1f} ms", plain <= BAR_MS)
        for words in QUERIES:
            took, found = median_ms(lambda w=words: asked(connection, w)), asked(connection, words)  # type: ignore[misc]
            seen = f"{took:.1f} ms ({found} rows)"
            findings.row(f"{name}: `{words}`", f"≤ {BAR_MS:.0f} ms", seen, took <= BAR_MS)
        for words in FREE:
            took, found = median_ms(lambda w=words: asked(connection, w)), asked(connection, words)  # type: ignore[misc]
            findings.row(f"{name}: `{words}`", "", f"{took:.1f} ms ({found} rows)")
    reader.dispose()


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--tasks", type=int, default=TASKS)
    count = arguments.parse_args().tasks
    findings = Findings("searching", f"python -m bench.searching --tasks {count}")
    with findings.part("SQLite"), tempfile.TemporaryDirectory() as folder:
        measure(findings, f"sqlite:///{Path(folder, 'views.db')}", count)
    with findings.part("PostgreSQL"), PrivatePostgres() as postgres:
        measure(findings, postgres.create_database(), count)
    print(findings.write())
    return findings.code


if __name__ == "__main__":
    raise SystemExit(main())
