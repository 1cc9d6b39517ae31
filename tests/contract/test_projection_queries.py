"""What people ask the read models, in every database."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from scitq.domain import batch as bt
from scitq.domain import execution as ex
from scitq.domain import task as tk
from scitq.domain import worker as wk
from scitq.domain.engine_log import PayloadErased
from scitq.domain.wire import Event
from scitq.projections import batches, database, executions, tasks, workers
from scitq.projections.catalog import ALL
from scitq.projections.loads import Load
from scitq.projections.runner import Projector, positions
from tests.unit.projections.given import stream_of
from tests.unit.projections.world import World

HAPPENED: tuple[Event, ...] = (
    wk.WorkerDeclared(1, "node1", "spool", 8, 0, ("a",)),
    wk.WorkerDeclared(2, "node2", "spool", 8, 0, ("a", "b")),
    wk.WorkerDeclared(3, "node3", "spool", 8, 0, ("a",)),
    wk.WorkerDeleted(3),
    bt.BatchStopped("b"),
    tk.TaskCreated(1, "one", "a", "first"),
    tk.TaskCreated(2, "two", "b", "second"),
    tk.TaskCreated(3, "three", "a", "third", requires=(2,), waits_for=(2,)),
    tk.TaskCreated(4, "four", "a", "gone"),
    tk.TaskCreated(5, "five", "a", "secret"),
    ex.ExecutionAssigned(1, 1, 1),
    ex.ExecutionFailed(1, 1, 2),
    tk.TaskEdited(1, {"command": "one again"}),
    tk.TaskRelaunched(1, 4, "a", 0, 0),
    ex.ExecutionAssigned(1, 2, 2),
    ex.ExecutionAssigned(2, 3, 2),
    ex.ExecutionStarted(2, 3, 99),
    ex.ExecutionAssigned(4, 4, 1),
    ex.ExecutionCancelled(4, 4, "task deleted"),
    tk.TaskDeleted(4),
    ex.ExecutionAssigned(5, 5, 1),
    ex.ExecutionSucceeded(5, 5),
    tk.TaskBlocked(3, 2, "failed"),
)


@pytest.fixture(params=["sqlite", "postgres"])
def connection(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Connection]:
    """A reader's connection to read models of what happened; the last is that task 5 was erased."""
    sqlite = request.param == "sqlite"
    url = f"sqlite:///{tmp_path / 'views.db'}" if sqlite else request.getfixturevalue("postgres").create_database()
    world = World(0)
    for event in HAPPENED:
        world.record(stream_of(event), event)
    world.record("engine", PayloadErased(5, (10,), "asked to"))
    writer, reader = database.writer(url), database.reader(url)
    for projection in ALL:
        projector = Projector(projection, writer, world)
        projector.open()
        projector.receive(world.log)
    with reader.connect() as connection:
        yield connection
    reader.dispose()
    writer.dispose()


def ids(found: list[tasks.Task]) -> list[int]:
    return [task.id for task in found]


def test_tasks_are_listed_by_id_without_those_that_were_deleted_or_erased(connection: Connection) -> None:
    assert ids(tasks.page(connection)) == [1, 2, 3]
    assert ids(tasks.page(connection, newest_first=True)) == [3, 2, 1]
    assert ids(tasks.page(connection, statuses=["deleted"])) == [4]


def test_a_page_goes_on_after_the_last_task_of_the_one_before(connection: Connection) -> None:
    assert ids(tasks.page(connection, limit=2)) == [1, 2]
    assert ids(tasks.page(connection, limit=2, after=2)) == [3]
    assert ids(tasks.page(connection, limit=2, after=3, newest_first=True)) == [2, 1]


def test_tasks_are_found_by_all_that_is_asked_at_once(connection: Connection) -> None:
    assert ids(tasks.page(connection, batches=["a"])) == [1, 3]
    assert ids(tasks.page(connection, batches=["a"], statuses=["waiting", "running"])) == [3]
    assert ids(tasks.page(connection, names=["second", "third"])) == [2, 3]
    assert ids(tasks.page(connection, ids=[3, 2, 99], batches=["b"])) == [2]
    assert ids(tasks.page(connection, statuses=[])) == []
    assert ids(tasks.page(connection, ids=[])) == []


def test_any_task_is_found_by_its_id(connection: Connection) -> None:
    found = tasks.by_id(connection, [1, 3, 4, 5, 99])
    assert [found[id].status for id in found] == ["assigned", "waiting", "deleted", "erased"]
    assert (found[3].requires, found[3].blocked_by) == ((2,), ((2, "failed"),))
    assert (found[5].command, found[5].name) == (None, None)
    assert tasks.by_id(connection, []) == {}


def test_thousands_of_statuses_are_one_question(connection: Connection) -> None:
    assert tasks.statuses(connection, range(1, 40_000)) == {
        1: "assigned", 2: "running", 3: "waiting", 4: "deleted", 5: "erased",
    }  # fmt: skip
    assert tasks.statuses(connection, []) == {}


def test_an_attempt_shows_what_it_ran_and_whether_it_is_the_latest(connection: Connection) -> None:
    first, second = executions.page(connection, tasks=[1])
    assert (first.latest, first.command, first.execution.return_code) == (False, "one", 2)
    assert (second.latest, second.command, second.execution.status) == (True, "one again", "pending")
    assert (second.batch, second.task_name, second.task_status) == ("a", "first", "assigned")


def test_an_attempt_at_an_erased_task_keeps_its_worker_and_not_its_command(connection: Connection) -> None:
    [attempt] = executions.page(connection, tasks=[5])
    assert (attempt.execution.worker, attempt.execution.status, attempt.command) == (1, "succeeded", None)


def test_attempts_are_found_by_all_that_is_asked_at_once(connection: Connection) -> None:
    def found(**asked: object) -> list[int]:
        return [attempt.execution.id for attempt in executions.page(connection, **asked)]  # type: ignore[arg-type]

    assert found() == [1, 2, 3, 5]
    assert found(deleted=True) == [1, 2, 3, 4, 5]
    assert found(latest=True) == [2, 3, 5]
    assert found(latest=False) == [1]
    assert found(workers=[2], statuses=["pending", "accepted"]) == [2]
    assert found(batches=["b"]) == [3]
    assert found(task_names=["first"], newest_first=True, limit=1) == [2]
    assert found(ids=[3, 5], after=3) == [5]


def test_workers_come_with_what_they_hold(connection: Connection) -> None:
    found = workers.every(connection)
    assert [loaded.worker.name for loaded in found] == ["node1", "node2"]
    assert [loaded.load for loaded in found] == [Load(1), Load(2, pending=1, running=1)]
    assert [loaded.worker.id for loaded in workers.every(connection, batch="b")] == [2]
    assert [loaded.worker.id for loaded in workers.every(connection, names=["node1"], statuses=["running"])] == [1]
    assert [loaded.worker.status for loaded in workers.every(connection, ids=[3])] == ["deleted"]


def test_batches_come_with_their_counts_and_the_names_of_their_workers(connection: Connection) -> None:
    first, second = batches.every(connection)
    assert first == (batches.Batch("a", workers=2, assigned=1, waiting=1), ("node1", "node2"))
    assert second == (batches.Batch("b", stopped=True, workers=1, running=1), ("node2",))
    assert batches.every(connection, names=["b"]) == [second]


def test_every_projection_says_how_far_it_is(connection: Connection) -> None:
    reached = {name: position.position for name, position in positions(connection).items()}
    assert reached == {projection.name: len(HAPPENED) + 1 for projection in ALL}


def test_a_reader_cannot_write(connection: Connection) -> None:
    with pytest.raises(DBAPIError, match=r"read-?only"):
        connection.execute(tasks.TASKS.delete())
