"""What is served, compared with the log: what differs is found, and nothing else is said to differ."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from sqlalchemy import Engine, delete, insert, select, update

from scitq.domain import task as tk
from scitq.projections import batches, check, database, executions, tasks
from scitq.projections.catalog import ALL
from scitq.projections.runner import POSITIONS, Projector
from tests.unit.projections.world import World


class Views(NamedTuple):
    url: str
    engine: Engine

    def follow(self, world: World) -> None:
        for projection in ALL:
            projector = Projector(projection, self.engine, world)
            projector.open()
            projector.catch_up()

    def change(self, statement: Any) -> None:
        with self.engine.begin() as connection:
            assert connection.execute(statement).rowcount == 1


@pytest.fixture(params=["sqlite", "postgres"])
def views(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Views]:
    sqlite = request.param == "sqlite"
    url = f"sqlite:///{tmp_path / 'views.db'}" if sqlite else request.getfixturevalue("postgres").create_database()
    engine = database.writer(url)
    yield Views(url, engine)
    engine.dispose()


def texts(world: World, views: Views) -> dict[str, str]:
    """What is said of each projection that is not right."""
    found = check.check(world, views.url)
    assert len(found) == len(ALL)
    return {one.text.partition(":")[0]: one.text for one in found if not one.good}


@pytest.mark.parametrize("seed", range(3))
def test_what_follows_the_log_agrees_with_it_wherever_it_stands(views: Views, seed: int) -> None:
    world = World(seed).live_through(1_500)
    world.record("task-99999", tk.TaskCreated(99_999, "printf a\0b"))
    views.follow(world)
    assert texts(world, views) == {}
    world.live_through(100)  # the log goes on, the views do not yet
    late = {event.event for event in world.log[-400:] if event.stream == "engine"}
    found = texts(world, views)
    assert all("check it again in a moment" in text for text in found.values()) and (not found or late)


def test_a_row_that_differs_is_missing_or_is_too_many_is_named(views: Views) -> None:
    world = World(5).live_through(800)
    views.follow(world)
    id = max(world.tasks)
    with views.engine.connect() as connection:
        row = tasks.by_id(connection, [id])[id]
        gone = connection.scalars(select(executions.EXECUTIONS.c.id).limit(1)).one()
    views.change(update(tasks.TASKS).where(tasks.TASKS.c.id == id).values(priority=row.priority + 1))
    views.change(insert(tasks.TASKS).values(row._replace(id=10**9)._asdict()))
    views.change(delete(executions.EXECUTIONS).where(executions.EXECUTIONS.c.id == gone))
    found = texts(world, views)
    assert sorted(found) == ["executions", "tasks"]
    assert f"row {id} of tasks is not what the log says; row 1000000000 of tasks is not in the log" in found["tasks"]
    assert f"row {gone} of executions is not what the log says" in found["executions"]


def test_keys_that_are_texts_are_compared_whatever_their_order(views: Views) -> None:
    world = World(6)
    for number, name in enumerate(["b", "B", "ä", "A_", "a-", "Z", "é"] * 200, 1):
        world.record(f"task-{number}", tk.TaskCreated(number, "true", batch=f"{name}{number}"))
    views.follow(world)
    assert texts(world, views) == {}
    views.change(delete(batches.BATCHES).where(batches.BATCHES.c.name == "ä3"))
    assert "row 'ä3' of batches" in texts(world, views)["batches"]


def test_what_was_never_made_or_is_of_another_release_is_said(views: Views) -> None:
    world = World(7).live_through(50)
    found = texts(world, views)
    assert len(found) == len(ALL) and all("was never made" in text for text in found.values())
    views.follow(world)
    views.change(update(POSITIONS).where(POSITIONS.c.name == "workers").values(version=99))
    assert "is at version 99" in texts(world, views)["workers"]


def test_nothing_is_written_where_it_is_served(views: Views, tmp_path: Path) -> None:
    world = World(8).live_through(200)
    views.follow(world)
    views.engine.dispose()
    before = {path: path.read_bytes() for path in tmp_path.glob("views.db")}
    check.check(world, views.url)
    assert {path: path.read_bytes() for path in tmp_path.glob("views.db")} == before
