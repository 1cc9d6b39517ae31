"""Every point of an append is cut in three ways on both stores; the same append is then sent again.

Nothing may be lost and nothing doubled, whatever the point and whoever died.
"""

from __future__ import annotations

import copy
import inspect
import multiprocessing
import os
import re
import signal
from collections.abc import Callable

import pytest
import sqlalchemy as sa

from scitq.domain.envelope import Append
from scitq.errors import OutcomeUnknown, StoreUnavailable
from scitq.store import database as database_module
from scitq.store import journal as journal_module
from scitq.store.chain import verify
from scitq.store.database import nothing
from scitq.store.journal import APPEND_POINTS, Journal, open_journal
from tests.contract.stores import Engine, Store
from tests.services.cut import CutAtCommit
from tests.services.waiting import eventually

CHILDREN = multiprocessing.get_context("forkserver")
CHILDREN.set_forkserver_preload(["tests.contract.test_crash_points"])


class Cut(Exception):
    """The process ends here, as far as the append is concerned."""


def full_turn(engine: Engine) -> Append:
    """An append that has everything: events of old and new streams, answers, an erasure."""
    engine.write(engine.turn("task-1", "task-2", payload=b"secret", answers=["before"]))
    plain = engine.turn("task-1", "task-3", answers=["c1", "c2"])
    after = copy.copy(engine)
    after.versions = dict(engine.versions)
    after.wrote(plain)
    eraser = after.erasing(2)
    return plain._replace(events=plain.events + eraser.events, erasures=eraser.erasures)


def send_again(engine: Engine, turn: Append) -> None:
    """As the engine does: the same bytes until the store answers."""

    def sent() -> bool | None:
        try:
            engine.journal.append(turn)
        except (StoreUnavailable, OutcomeUnknown):
            return None
        return True

    assert eventually(sent)
    engine.wrote(turn)


def check(store: Store, engine: Engine, turn: Append) -> None:
    journal = store.journal()
    log = journal.read(0, 100)
    assert [event.position for event in log] == [1, 2, 3, 4, 5]
    assert log[2:] == turn.events
    assert log[1].payload is None and log[0].payload == b"secret"
    assert set(journal.answers(["before", "c1", "c2"])) == {"before", "c1", "c2"}
    assert verify(log) == journal.head() == engine.head
    send_again(engine, engine.turn("task-1", "task-9"))
    assert verify(journal.read(0, 100)) == engine.head


def at(point: str, action: Callable[[], None], hits: list[str]) -> Callable[[str], None]:
    def hook(reached: str) -> None:
        if reached == point:
            hits.append(reached)
            action()

    return hook


def test_the_points_are_all_there_are_and_a_full_append_passes_each(database: Store) -> None:
    source = inspect.getsource(journal_module) + inspect.getsource(database_module)
    assert set(re.findall(r'points\("([a-z ]+)"\)', source)) == set(APPEND_POINTS)
    engine = Engine(database.journal())
    turn = full_turn(engine)
    passed: list[str] = []
    assert isinstance(engine.journal, Journal)
    engine.journal.database.points = passed.append
    engine.write(turn)
    assert tuple(passed) == APPEND_POINTS


@pytest.mark.parametrize("point", APPEND_POINTS)
def test_an_append_cut_by_an_exception_is_sent_again(database: Store, point: str) -> None:
    engine = Engine(database.journal())
    turn, hits = full_turn(engine), list[str]()
    assert isinstance(engine.journal, Journal)

    def cut() -> None:
        raise Cut

    engine.journal.database.points = at(point, cut, hits)
    with pytest.raises(Cut):
        engine.journal.append(turn)
    assert database.journal().head().position == (5 if point == "after commit" else 2)
    engine.journal.database.points = nothing
    send_again(engine, turn)
    assert hits == [point]
    check(database, engine, turn)


@pytest.mark.parametrize("point", APPEND_POINTS)
def test_an_append_whose_connection_is_killed_is_sent_again(database: Store, point: str) -> None:
    engine = Engine(database.journal())
    turn, hits = full_turn(engine), list[str]()
    assert isinstance(engine.journal, Journal)
    mine = engine.journal.database

    def kill() -> None:
        assert mine._writer is not None
        driver = mine._writer.connection.driver_connection
        assert driver is not None
        if database.kind == "sqlite":
            driver.close()
            return
        pid = {"pid": driver.info.backend_pid}
        with database.raw() as other:
            other.execute(sa.text("SELECT pg_terminate_backend(:pid)"), pid)

        def gone() -> bool | None:
            with database.raw() as other:  # a new one each time: a transaction goes on seeing who was there
                alive = other.execute(sa.text("SELECT 1 FROM pg_stat_activity WHERE pid = :pid"), pid).scalar()
            return True if alive is None else None

        assert eventually(gone)

    mine.points = at(point, kill, hits)
    commit_is_next = point in ("after erasures", "before commit")
    try:
        engine.journal.append(turn)
    except OutcomeUnknown:
        assert commit_is_next and database.kind == "postgres"
    except StoreUnavailable:
        assert point != "after commit" and not (commit_is_next and database.kind == "postgres")
    else:
        assert point == "after commit"
    mine.points = nothing
    send_again(engine, turn)
    assert hits == [point]
    check(database, engine, turn)


def append_and_die(url: str, turn: Append, point: str) -> None:
    """The child: killed at the point, so that it can neither roll back nor say goodbye."""
    journal = open_journal(url)

    def die() -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    journal.database.points = at(point, die, [])
    journal.append(turn)


@pytest.mark.parametrize("point", APPEND_POINTS)
def test_an_append_whose_process_is_killed_is_sent_again(database: Store, point: str) -> None:
    engine = Engine(database.journal())
    turn = full_turn(engine)
    child = CHILDREN.Process(target=append_and_die, args=(database.url, turn, point))
    child.start()
    child.join(30)
    assert child.exitcode == -signal.SIGKILL, "the point was not reached"
    send_again(engine, turn)
    check(database, engine, turn)


@pytest.mark.parametrize("heard", [True, False], ids=["the answer is lost", "the question is lost"])
def test_an_append_whose_commit_got_no_answer_is_sent_again(postgres_store: Store, heard: bool) -> None:
    assert postgres_store.url is not None
    with CutAtCommit(postgres_store.url, heard=heard) as wire:
        journal = open_journal(wire.url)
        engine = Engine(journal)
        turn = full_turn(engine)
        wire.armed = True
        with pytest.raises(OutcomeUnknown):
            engine.journal.append(turn)
        assert wire.cuts == 1
        if heard:
            assert postgres_store.journal().head().position == 5
        send_again(engine, turn)
        check(postgres_store, engine, turn)
        journal.close()
