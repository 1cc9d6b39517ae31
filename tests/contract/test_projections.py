"""Every projection, in every database: what follows the log live is what a rebuild gives, and what plain dicts give."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import orjson
import pytest
from sqlalchemy import Engine, create_engine, inspect, select, text

from scitq.domain import execution as ex
from scitq.domain import task as tk
from scitq.domain.wire import Recorded, encode
from scitq.errors import StoreError, StoreUnavailable
from scitq.projections import database, runner, tasks
from scitq.projections.catalog import ALL
from scitq.projections.following import ProjectionStopped
from scitq.projections.memory import MemoryProjector
from scitq.projections.projection import Projection, Shown, table_of
from scitq.projections.runner import Projector, positions
from scitq.projections.together import Together
from tests.services.postgres import PrivatePostgres
from tests.unit.projections.world import World

EACH = pytest.mark.parametrize("projection", ALL, ids=[projection.name for projection in ALL])


class Killed(BaseException):
    """The process ends here, whatever it is doing."""


@pytest.fixture(params=["sqlite", "postgres"])
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    """An empty database, as a projector writes to it."""
    sqlite = request.param == "sqlite"
    url = f"sqlite:///{tmp_path / 'views.db'}" if sqlite else request.getfixturevalue("postgres").create_database()
    engine = database.writer(url)
    yield engine
    engine.dispose()


def opened(projection: Projection[Any], engine: Engine, world: World) -> Projector:
    projector = Projector(projection, engine, world)
    projector.open()
    return projector


def rows_in(engine: Engine, projection: Projection[Any]) -> list[dict[Any, Any]]:
    with engine.connect() as connection:
        return [
            {row[0]: shown.row_type._make(row) for row in connection.execute(select(shown.table))}
            for shown in projection.tables
        ]


def folded(projection: Projection[Any], world: World) -> list[dict[Any, Any]]:
    memory = MemoryProjector(projection, world.read_recorded)
    memory.catch_up()
    return list(memory.rows)


def stopped(engine: Engine, name: str) -> str | None:
    with engine.connect() as connection:
        return positions(connection)[name].stopped


def mangled(random: Random, late: list[Sequence[Recorded]], events: Sequence[Recorded]) -> Iterator[Sequence[Recorded]]:
    """The events as a bad network delivers them: cut, repeated, reordered, late, or not at all."""
    start = 0
    while start < len(events):
        size = random.choice((1, 1, 1, 2, 40))
        message = list(events[start : start + size])
        start += size
        fate = random.random()
        if fate < 0.1:
            continue
        if fate < 0.2:
            late.append(message)
            continue
        if fate < 0.3:
            random.shuffle(message)
        yield message
        if fate > 0.9:
            yield message
        if late and random.random() < 0.3:
            yield late.pop(random.randrange(len(late)))


@EACH
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_what_followed_live_is_what_a_rebuild_gives(projection: Projection[Any], engine: Engine, seed: int) -> None:
    world, random = World(seed), Random(seed)
    projector = opened(projection, engine, world)
    memory = MemoryProjector(projection, world.read_recorded)
    late: list[Sequence[Recorded]] = []
    for _ in range(12):
        seen = len(world.log)
        world.live_through(50)
        for message in mangled(random, late, world.log[seen:]):
            memory.receive(message)
            if random.random() < 0.05:
                projector = _killed_before_the_commit(projection, engine, world, message)
            else:
                projector.receive(message)
    projector.catch_up()
    memory.catch_up()
    live = rows_in(engine, projection)
    assert projector.position == memory.position == len(world.log)
    assert live == list(memory.rows)
    assert live == folded(projection, world)
    projector.rebuild()
    assert rows_in(engine, projection) == live


def _killed_before_the_commit(
    projection: Projection[Any], engine: Engine, world: World, message: Sequence[Recorded]
) -> Projector:
    def fold(rows: Any, events: Sequence[Recorded]) -> None:
        projection.fold(rows, events)
        raise Killed

    before = rows_in(engine, projection)
    doomed = opened(replace(projection, fold=fold), engine, world)
    position = doomed.position
    if any(event.position > position for event in message):
        with pytest.raises(Killed):
            doomed.receive(message)
    assert rows_in(engine, projection) == before
    projector = opened(projection, engine, world)
    assert projector.position == position
    return projector


@EACH
def test_two_processes_that_keep_the_same_projection_do_not_disturb_it(
    projection: Projection[Any], engine: Engine
) -> None:
    world = World(5).live_through(300)
    pair = [opened(projection, engine, world), opened(projection, engine, world)]
    for start in range(0, len(world.log), 20):
        for projector in pair if start % 40 else pair[::-1]:
            projector.receive(world.log[start : start + 20])
    pair[0].receive(world.log[-3:])
    assert rows_in(engine, projection) == folded(projection, world)


@EACH
def test_a_projection_that_a_power_cut_took_back_goes_on_from_there(
    projection: Projection[Any], engine: Engine
) -> None:
    world = World(6).live_through(200)
    projector = opened(projection, engine, world)
    projector.receive(world.log[:-1])
    opened(replace(projection, version=projection.version + 1), engine, world)
    opened(projection, engine, world)  # empty again, and at position 0: behind what the projector remembers
    projector.receive(world.log[-1:])
    assert rows_in(engine, projection) == folded(projection, world)


@EACH
def test_a_raised_version_begins_anew_and_drops_what_the_old_one_made(
    projection: Projection[Any], engine: Engine
) -> None:
    class Old(NamedTuple):
        id: int

    world = World(7).live_through(200)
    old = table_of("made_by_an_older_version", Old)
    shown = (*projection.tables, Shown(old, Old, lambda events, rows: ()))
    opened(replace(projection, version=0, tables=shown), engine, world)
    assert inspect(engine).has_table(old.name)
    projector = opened(projection, engine, world)
    assert projector.position == 0
    assert not inspect(engine).has_table(old.name)
    reached: list[int] = []
    projector.catch_up(reached.append)
    assert reached == [len(world.log)]
    assert rows_in(engine, projection) == folded(projection, world)


def test_after_a_long_rebuild_postgresql_knows_how_large_the_tables_are(
    postgres: PrivatePostgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "MANY", 100)
    engine = database.writer(postgres.create_database())
    world = World(15).live_through(300)
    opened(tasks.PROJECTION, engine, world).catch_up()
    with engine.connect() as connection:
        known = connection.scalar(text("SELECT reltuples FROM pg_class WHERE relname = 'tasks'"))
    engine.dispose()
    assert known == len(folded(tasks.PROJECTION, world)[0])


def test_a_process_of_the_older_version_writes_nothing_more(engine: Engine) -> None:
    world = World(7).live_through(50)
    old = opened(tasks.PROJECTION, engine, world)
    opened(replace(tasks.PROJECTION, version=tasks.VERSION + 1), engine, world)
    with pytest.raises(StoreUnavailable, match="another release has taken over"):
        old.receive(world.log)


def test_a_projection_that_is_ahead_of_the_log_begins_anew(engine: Engine) -> None:
    world = World(8).live_through(200)
    opened(tasks.PROJECTION, engine, world).catch_up()
    restored = World(8).live_through(100)
    projector = opened(tasks.PROJECTION, engine, restored)
    projector.catch_up()
    assert projector.position == len(restored.log)
    assert rows_in(engine, tasks.PROJECTION) == folded(tasks.PROJECTION, restored)


@EACH
def test_an_event_of_a_newer_release_stops_a_projection_right_before_it(
    projection: Projection[Any], engine: Engine
) -> None:
    world = World(9).live_through(100)
    good = len(world.stored)
    before = folded(projection, world)
    world.store("task-1", "task-teleported", 1, b"{}")
    projector = opened(projection, engine, world)
    with pytest.raises(ProjectionStopped, match=f"before event {good + 1}.*task-teleported"):
        projector.catch_up()
    assert (projector.position, rows_in(engine, projection)) == (good, before)
    assert "task-teleported" in (stopped(engine, projection.name) or "")

    world.stored[-1] = world.stored[-1]._replace(
        type="engine-started", payload=orjson.dumps({"holder": "a", "epoch": 2})
    )
    newer = opened(projection, engine, world)  # the release that knows it
    newer.catch_up()
    assert newer.position == good + 1
    assert stopped(engine, projection.name) is None


@EACH
def test_an_event_that_cannot_be_folded_stops_a_projection_right_before_it(
    projection: Projection[Any], engine: Engine
) -> None:
    world = World(10).live_through(100)
    good, before = len(world.log), folded(projection, world)
    world.record("task-999", ex.ExecutionStarted(999, 999))  # of a task that never was
    world.live_through(50)
    projector = opened(projection, engine, world)
    for _ in range(2):
        with pytest.raises(ProjectionStopped, match=rf"before event {good + 1}:.*'task-999'"):
            projector.receive(world.log)
        assert (projector.position, rows_in(engine, projection)) == (good, before)


def test_a_value_that_the_database_cannot_hold_stops_a_projection_right_before_it(engine: Engine) -> None:
    world = World(11).live_through(60)
    good = len(world.log)
    world.record("task-999", tk.TaskCreated(999, "true", priority=2**63))
    projector = opened(tasks.PROJECTION, engine, world)
    with pytest.raises(ProjectionStopped, match=f"before event {good + 1}"):
        projector.receive(world.log)
    assert projector.position == good


def test_a_nul_in_a_text_stops_nothing(engine: Engine) -> None:
    world = World(12)
    world.record("task-1", tk.TaskCreated(1, "printf a\0b", name="a \\u0000 that is none"))
    opened(tasks.PROJECTION, engine, world).catch_up()
    [found] = rows_in(engine, tasks.PROJECTION)
    assert found[1].command in ("printf a\0b", "printf a\ufffdb")
    assert found[1].name == "a \\u0000 that is none"


def test_a_message_of_another_log_is_refused(engine: Engine) -> None:
    world = World(13).live_through(40)
    projector = opened(tasks.PROJECTION, engine, world)
    foreign = [world.log[-1]._replace(position=len(world.log) + 5)]
    with pytest.raises(StoreError, match="but the journal ends at"):
        projector.receive(foreign)
    assert rows_in(engine, tasks.PROJECTION) == folded(tasks.PROJECTION, world)


def test_a_database_that_does_not_answer_is_trouble_of_the_store_and_not_of_an_event(tmp_path: Path) -> None:
    engine = database.writer(f"sqlite:///{tmp_path / 'no such folder' / 'views.db'}")
    with pytest.raises(StoreUnavailable, match="read models"):
        Projector(tasks.PROJECTION, engine, World(1)).open()


def test_events_survive_the_wire_that_these_tests_send_them_through() -> None:
    world = World(14).live_through(100)
    erased = {position for event in world.log for position in getattr(event.event, "positions", ())}
    for event, envelope in zip(world.log, world.stored, strict=True):
        assert envelope.payload == (None if event.position in erased else encode(event.event))  # type: ignore[arg-type]


# Together -----------------------------------------------------------------------------------------------------


def everybody(engine: Engine, world: World) -> tuple[list[Projector], Together]:
    projectors = [opened(projection, engine, world) for projection in ALL]
    return projectors, Together(engine, projectors)


def test_those_that_move_on_together_come_to_what_each_comes_to_by_itself(engine: Engine) -> None:
    world = World(21)
    projectors, together = everybody(engine, world)
    for _ in range(8):
        seen = len(world.log)
        world.live_through(60)
        assert together.receive(world.log[seen:])
    assert {one.position for one in projectors} == {len(world.log)}
    for one in projectors:
        assert rows_in(engine, one.projection) == folded(one.projection, world)
    with engine.connect() as connection:
        assert {found.position for found in positions(connection).values()} == {len(world.log)}


def test_where_one_cannot_go_on_nothing_is_changed_for_any(engine: Engine) -> None:
    world = World(22).live_through(60)
    projectors, together = everybody(engine, world)
    assert together.receive(world.log)
    good = len(world.log)
    world.record("task-999", ex.ExecutionStarted(999, 999))  # of a task that never was
    assert not together.receive(world.log[good:])
    assert {one.position for one in projectors} == {good}
    for one in projectors:
        assert rows_in(engine, one.projection) == folded(one.projection, World(22).live_through(60))


def test_they_part_as_soon_as_one_of_them_is_elsewhere(engine: Engine) -> None:
    world = World(23).live_through(200)
    projectors, together = everybody(engine, world)
    first = world.log[:20]
    projectors[0].receive(first)
    assert not together.receive(first), "one has these already"
    assert not together.receive(world.log[5:]), "what comes before is missing"
    for one in projectors[1:]:
        one.receive(first)
    assert together.receive(world.log[20:40])
    other, _ = everybody(engine, world)  # another process keeps them too, and is quicker
    for one in other:
        one.receive(world.log[40:50])
    assert not together.receive(world.log[40:45])
    assert {one.position for one in projectors} == {40}


def test_a_database_that_is_read_only_for_a_while_is_waited_for(postgres: PrivatePostgres) -> None:
    world, engine = World(1), database.writer(postgres.create_database())
    projector = opened(tasks.PROJECTION, engine, world)
    world.live_through(20)
    name = engine.url.database
    with create_engine(postgres.url, isolation_level="AUTOCOMMIT").connect() as admin:
        admin.execute(text(f"ALTER DATABASE {name} SET default_transaction_read_only = on"))
        engine.dispose()
        with pytest.raises(StoreUnavailable, match=r"read-only transaction$"):
            projector.catch_up()
        admin.execute(text(f"ALTER DATABASE {name} RESET default_transaction_read_only"))
    engine.dispose()
    projector.catch_up()
    assert projector.position == world.head().position
    engine.dispose()


def test_postgresql_too_knows_soon_that_we_are_gone(postgres: PrivatePostgres) -> None:
    url = postgres.create_database()
    for engine in (database.writer(url), database.reader(url)):
        with engine.connect() as connection:
            assert connection.execute(text("SHOW tcp_keepalives_idle")).scalar() == "3"
            assert connection.execute(text("SHOW tcp_user_timeout")).scalar() == "10000"
        engine.dispose()
