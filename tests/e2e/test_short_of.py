"""Broker and database short of room, connections, speed or the right to write: back-pressure, 503, and recovery."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Iterator

import pytest
from sqlalchemy import text

from tests.conftest import miss
from tests.e2e.short import HEALED_S, Place, growth, place
from tests.services.figures import note
from tests.services.postgres import PostgresMissing
from tests.services.rabbit_programs import RabbitMissing
from tests.services.waiting import eventually

CAMPAIGN = bool(os.environ.get("SCITQ_CAMPAIGN"))
HAMMER_S = 60.0 if CAMPAIGN else 2.0
LOCKED_S = 20.0 if CAMPAIGN else 6.0
MOST_GROWTH = 2.0
"""A server that has done nothing yet grows by its caches; what eight clients send in a minute would be far more."""


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    try:
        with place(tmp_path_factory.mktemp("place")) as made:
            made.submit(20)
            made.heal()
            yield made
            made.prove()
    except (PostgresMissing, RabbitMissing) as reason:
        miss(str(reason))


@pytest.mark.parametrize(
    ("alarm", "tight", "normal"),
    [
        ("disk", ("set_disk_free_limit", "1000000GB"), ("set_disk_free_limit", "50MB")),
        ("memory", ("set_vm_memory_high_watermark", "0.000001"), ("set_vm_memory_high_watermark", "absolute", "1GB")),
    ],
)
def test_a_broker_without_room(shared: Place, alarm: str, tight: tuple[str, ...], normal: tuple[str, ...]) -> None:
    if alarm == "memory" and not CAMPAIGN:
        pytest.skip("to the server it is the same as the other alarm, and takes as long: the campaign does it")
    shared.submit(40, 0.2)
    eventually(lambda: shared.count() >= len(shared.tasks) - 30, "the work goes on")
    shared.rabbit.ctl(*tight)
    try:
        eventually(lambda: shared.ask("POST", "/tasks/", json={"command": "true"}).status_code == 503, "it is refused")
        said = shared.ask("POST", "/tasks/", json={"command": "true"}).json()["message"]
        assert f"low on {alarm}" in said
        grown = growth(shared.server.rss_bytes, lambda: shared.hammer(HAMMER_S))
        assert shared.ask("GET", "/tasks/").status_code == shared.ask("GET", "/health").status_code == 200
    finally:
        shared.rabbit.ctl(*normal)
    assert grown < MOST_GROWTH
    note(f"{alarm} alarm ({said}): memory grew to {grown:.2f}, healed in {shared.heal():.1f} s")


def test_a_database_that_gives_no_more_connections(shared: Place) -> None:
    with shared.all_connections_taken() as taken:
        assert taken > 3
        tasks = shared.submit(10)
        eventually(lambda: shared.count() == len(shared.tasks), "what is connected goes on working")
        codes = {shared.ask("GET", path).status_code for path in ("/tasks/", "/executions/", f"/tasks/{tasks[0]}") * 8}
        assert codes <= {200, 503}
        late = shared.system.server("engine")
        eventually(lambda: "waits for its store" in late.said(), "a server that starts now waits")
        assert "too many clients already" in late.said()
    healed_s = shared.heal()
    eventually(lambda: "holds epoch" in shared.system.machine.run("manage", "db", "check"), "the store is whole")
    assert late.running() and "Traceback" not in late.said()
    late.end()
    note(f"no connections ({taken} taken by others, reads answered {sorted(codes)}): healed in {healed_s:.1f} s")


def test_a_slow_database(shared: Place) -> None:
    codes: Counter[int] = Counter()
    shared.wire.commit_s = 0.3
    try:
        began = time.monotonic()
        shared.submit(60, 0.0)
        slowest = 0.0
        while shared.count() < len(shared.tasks):
            assert time.monotonic() - began < HEALED_S
            asked = time.monotonic()
            assert shared.ask("GET", "/tasks/?limit=10").status_code == 200
            slowest = max(slowest, time.monotonic() - asked)
        took_s = time.monotonic() - began
        grown = growth(shared.server.rss_bytes, lambda: codes.update(shared.hammer(HAMMER_S, 1_000)))
    finally:
        shared.wire.commit_s = 0.0
    assert grown < MOST_GROWTH
    note(
        f"300 ms a commit: 60 tasks in {took_s:.1f} s, reads within {slowest:.2f} s, hammered: {dict(codes)}, "
        f"memory grew to {grown:.2f}, healed in {shared.heal():.1f} s"
    )


def test_a_table_that_somebody_locks(shared: Place) -> None:
    with shared.admin() as admin, admin.execution_options(isolation_level="READ COMMITTED").begin():
        admin.execute(text("LOCK TABLE events IN ACCESS EXCLUSIVE MODE"))
        end = time.monotonic() + LOCKED_S
        while time.monotonic() < end:
            shared.ask("POST", "/tasks/", json={"command": "true", "batch": "nobody"})
            shared.ask("GET", "/events?limit=1")
            assert shared.ask("GET", "/tasks/").status_code == 200
    note(f"events locked for {LOCKED_S:.0f} s: healed in {shared.heal():.1f} s")


def test_a_database_that_is_read_only_for_a_while(shared: Place) -> None:
    if not CAMPAIGN:
        pytest.skip("the contract of the projections tries it in a second: the whole server is for the campaign")
    with shared.admin() as admin:
        name = admin.scalar(text("SELECT current_database()"))
        others = f"pg_stat_activity WHERE pid <> pg_backend_pid() AND datname = '{name}'"
        admin.execute(text(f"ALTER DATABASE {name} SET default_transaction_read_only = on"))
        try:
            admin.execute(text(f"SELECT pg_terminate_backend(pid) FROM {others}"))
            eventually(lambda: shared.ask("POST", "/tasks/", json={"command": "true"}).status_code == 503, "refused")
            eventually(lambda: shared.ask("GET", "/tasks/").status_code == 200, "reads go on")
            says = "cannot execute UPDATE in a read-only transaction"
            eventually(lambda: says in shared.server.said(), "the log says why")
        finally:
            admin.execute(text(f"ALTER DATABASE {name} RESET default_transaction_read_only"))
            admin.execute(text(f"SELECT pg_terminate_backend(pid) FROM {others}"))
    note(f"read-only: healed in {shared.heal():.1f} s")


def test_a_database_without_room_on_its_disk(shared: Place) -> None:
    if not shared.disk.mounted:
        miss("only root may mount a small disk")
    shared.submit(10)
    shared.disk.fill()
    try:
        codes = shared.hammer(HAMMER_S)
        assert codes[503] > 0
        assert shared.ask("GET", "/tasks/?limit=10").status_code == 200
        assert "No space left on device" in shared.server.said()
    finally:
        shared.disk.free()
    note(f"disk of the database full (hammered: {dict(codes)}): healed in {shared.heal():.1f} s")


def test_a_database_that_starts_again_under_load(shared: Place) -> None:
    for _ in range(10 if CAMPAIGN else 1):
        shared.submit(20)
        shared.postgres.kill()
        shared.postgres.start()
        note(f"database killed: healed in {shared.heal():.1f} s after its start")
