"""The two real databases refuse by themselves whatever is not an append, and survive what happens to databases."""

import io
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
import sqlalchemy as sa

from scitq.domain.envelope import Append, Lease
from scitq.errors import LeaseLost, SchemaMismatch, StoreError, StoreFull, StoreUnavailable, VersionConflict
from scitq.store.chain import EMPTY, verify
from scitq.store.database import nothing
from scitq.store.journal import Journal, open_journal, wall_clock
from tests.contract.stores import Engine, Store
from tests.services.waiting import eventually

BLOB = {"sqlite": "zeroblob(32)", "postgres": "decode(repeat('00', 32), 'hex')"}
ROW = "({position}, '{stream}', {version}, 'task-created', 1, 1, 'a', 1, 0, {blob}, {blob}, {blob})"
EMPTIED = "UPDATE payloads SET data = NULL, erased_by ="

FORBIDDEN = {
    "an event is changed": "UPDATE events SET actor = 'mallory' WHERE position = 2",
    "an event is changed to itself": "UPDATE events SET actor = actor",
    "an event is deleted": "DELETE FROM events WHERE position = 4",
    "all events are deleted": "DELETE FROM events",
    "an event is inserted in an old place": f"INSERT INTO events VALUES {ROW}",
    "an event is inserted behind a gap": "INSERT INTO events VALUES "
    + ROW.replace("{position}", "9").replace("{stream}", "new").replace("{version}", "1"),
    "an event is inserted at another version": "INSERT INTO events VALUES "
    + ROW.replace("{position}", "5").replace("{stream}", "new").replace("{version}", "2"),
    "an event is inserted at a known version": "INSERT INTO events VALUES "
    + ROW.replace("{position}", "5").replace("{version}", "1"),
    "an event is updated on conflict": f"INSERT INTO events VALUES {ROW} "
    "ON CONFLICT (position) DO UPDATE SET actor = 'mallory'",
    "a payload is changed": "UPDATE payloads SET data = {blob} WHERE position = 2",
    "a payload is moved": "UPDATE payloads SET position = 9 WHERE position = 4",
    "a payload is emptied without saying why": "UPDATE payloads SET data = NULL WHERE position = 2",
    "a payload is emptied by another type of event": f"{EMPTIED} 4 WHERE position = 2",
    "a payload is emptied by an event that does not exist": f"{EMPTIED} 9 WHERE position = 2",
    "a payload is emptied by an event before it": f"{EMPTIED} 3 WHERE position = 4",
    "a payload is emptied by the event itself": f"{EMPTIED} 2 WHERE position = 2",
    "a payload is emptied and stays": "UPDATE payloads SET erased_by = 3 WHERE position = 2",
    "an erased payload is filled again": "UPDATE payloads SET data = {blob}, erased_by = NULL WHERE position = 1",
    "an erased payload gets another eraser": "UPDATE payloads SET erased_by = 4 WHERE position = 1",
    "what was erased is itself erased": "UPDATE payloads SET data = NULL, erased_by = 5 WHERE position = 3",
    "a payload is deleted": "DELETE FROM payloads WHERE position = 4",
    "a payload is replaced on conflict": "INSERT INTO payloads VALUES (2, {blob}, NULL) "
    "ON CONFLICT (position) DO UPDATE SET data = {blob}",
    "a payload is inserted again": "INSERT INTO payloads VALUES (2, {blob}, NULL)",
    "a payload is born erased": "INSERT INTO payloads VALUES (6, NULL, 5)",
    "an answer is changed": "UPDATE answers SET answer = {blob}",
    "an answer is deleted": "DELETE FROM answers",
    "an answer is replaced on conflict": "INSERT INTO answers VALUES ('c', 1, 1, {blob}) "
    "ON CONFLICT (id) DO UPDATE SET answer = {blob}",
    "a second lease": "INSERT INTO lease (id, epoch, renewed_at, position, hash) VALUES (2, 0, 0, 0, {blob})",
}
FORBIDDEN_IN = {
    "sqlite": {
        "an event is replaced": f"INSERT OR REPLACE INTO events VALUES {ROW}",
        "an event is replaced by its stream": "REPLACE INTO events VALUES " + ROW.replace("{position}", "5"),
        "an event is updated by force": "UPDATE OR REPLACE events SET position = 2 WHERE position = 1",
        "a payload is replaced": "INSERT OR REPLACE INTO payloads VALUES (2, {blob}, NULL)",
        "an answer is replaced": "INSERT OR REPLACE INTO answers VALUES ('c', 1, 1, {blob})",
    },
    "postgres": {
        "all events are truncated": "TRUNCATE events CASCADE",
        "all payloads are truncated": "TRUNCATE payloads",
        "all answers are truncated": "TRUNCATE answers",
        "ordinary triggers are off": "SET session_replication_role = replica; DELETE FROM payloads",
    },
}


def test_every_statement_that_is_not_an_append_is_refused(database: Store) -> None:
    engine = Engine(database.open())
    engine.write(engine.turn("task-1", "task-2", payload=b"x", answers=["c"]))
    engine.write(engine.erasing(1))
    engine.write(engine.turn("task-4"))
    engine.write(engine.turn("audit", type="payload-erased", payload=b'{"positions":[]}'))
    engine.write(engine.turn("task-6"))
    before = dump(database)
    for what, template in (FORBIDDEN | FORBIDDEN_IN[database.kind]).items():
        statement = template.format(position=2, stream="task-2", version=1, blob=BLOB[database.kind])
        with pytest.raises(sa.exc.DBAPIError), database.raw() as connection:
            connection.exec_driver_sql("PRAGMA foreign_keys = ON" if database.kind == "sqlite" else "SELECT 1")
            connection.exec_driver_sql(statement)
            pytest.fail(f"allowed: {what}")
        assert dump(database) == before, what
    assert verify(database.open().read(0, 10)) == engine.head


def dump(store: Store) -> list[list[tuple[object, ...]]]:
    with store.raw() as connection:
        return [
            [tuple(bytes(value) if isinstance(value, memoryview) else value for value in row) for row in rows]
            for table in ("events", "payloads", "answers", "lease")
            for rows in [connection.exec_driver_sql(f"SELECT * FROM {table} ORDER BY 1").all()]
        ]


@pytest.mark.parametrize("frozen_at", ["after begin", "after lease", "after payloads", "before commit"])
def test_a_leader_frozen_inside_its_transaction_is_ended_by_its_successor(
    postgres_store: Store, frozen_at: str
) -> None:
    leader, heir = Engine(postgres_store.open(), "leader"), postgres_store.journal()
    heads = []

    def freeze(point: str) -> None:
        if point == frozen_at:
            assert isinstance(leader.journal, Journal)
            leader.journal.database.points = nothing
            taken = heir.acquire("heir", 0.0)  # waits for the row until the server has ended the leader
            assert taken is not None and taken.epoch == 2
            heads.append(taken.head)

    assert isinstance(leader.journal, Journal)
    leader.journal.database.points = freeze
    turn = leader.turn("task-1", answers=["c"])
    refused = LeaseLost if frozen_at == "after begin" else StoreError
    with pytest.raises(refused):
        leader.journal.append(turn)
    with pytest.raises(LeaseLost):
        leader.journal.append(turn)
    assert heads == [EMPTY] and heir.head() == EMPTY and heir.answers(["c"]) == {}


def test_a_leader_frozen_in_the_middle_of_a_copy_is_ended_by_its_successor(
    postgres_store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    leader, thaw, frozen = Engine(postgres_store.journal(), "leader"), threading.Event(), threading.Event()

    class Frozen(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            frozen.set()
            thaw.wait(60)
            return super().read(size)

    monkeypatch.setattr("scitq.store.postgres.io.BytesIO", Frozen)
    turn, said = leader.turn("task-1"), list[StoreError]()

    def append() -> None:
        try:
            leader.write(turn)
        except StoreError as error:
            said.append(error)

    thread = threading.Thread(target=append)
    thread.start()
    assert frozen.wait(20)
    successor = postgres_store.journal()

    def acquired() -> Lease | None:
        with suppress(StoreUnavailable):
            return successor.acquire("successor", 0.5)
        return None

    try:
        assert eventually(acquired, within_s=30.0) == (2, EMPTY)
    finally:
        thaw.set()
        thread.join()
    assert [type(error) for error in said] == [StoreUnavailable]
    with pytest.raises(LeaseLost):
        leader.write(turn)


def test_the_calendar_of_a_leader_does_not_matter_where_the_database_has_one(postgres_store: Store) -> None:
    hours = 3_600_000_000
    url = str(postgres_store.url)
    wrong, right = open_journal(url, clock=lambda: wall_clock() - hours), postgres_store.journal()
    assert wrong.acquire("wrong", 60.0) is not None
    assert right.acquire("right", 60.0) is None
    wrong.renew(1)
    assert right.acquire("right", 60.0) is None
    wrong.close()


def test_a_leader_frozen_inside_its_transaction_keeps_a_sqlite_file_to_itself(
    sqlite_store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("scitq.store.sqlite.WAIT_S", 0.1)
    leader, heir = Engine(sqlite_store.open(), "leader"), sqlite_store.open()
    assert isinstance(leader.journal, Journal)

    def freeze(point: str) -> None:
        if point == "after lease":
            with pytest.raises(StoreUnavailable, match="another process has been writing"):
                heir.acquire("heir", 0.0)

    leader.journal.database.points = freeze
    leader.write(leader.turn("task-1"))
    assert heir.head() == leader.head


def test_a_full_disk_is_told_and_leaves_nothing(database: Store) -> None:
    engine = Engine(database.open())
    journal = engine.journal
    assert isinstance(journal, Journal)
    full = journal.database

    def fill(point: str) -> None:
        if point == "after begin" and database.kind == "sqlite":
            assert full._writer is not None
            full._writer.exec_driver_sql("PRAGMA max_page_count = 1")

    if database.kind == "postgres":
        with database.raw() as connection:
            connection.exec_driver_sql(
                "CREATE FUNCTION fill() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'no space left' "
                "USING ERRCODE = 'disk_full'; END $$; "
                "CREATE TRIGGER fill BEFORE INSERT ON answers EXECUTE FUNCTION fill()"
            )
    full.points = fill
    turn = engine.turn("task-1", answers=["c"], payload=bytes(1_000_000))
    with pytest.raises(StoreFull):
        journal.append(turn)
    assert journal.head() == EMPTY
    full.points = nothing
    if database.kind == "postgres":
        with database.raw() as connection:
            connection.exec_driver_sql("DROP TRIGGER fill ON answers")
    engine.write(turn)
    assert journal.head() == engine.head


@pytest.mark.parametrize("column", ["position", "fingerprint", "digest", "data"])
def test_a_damaged_snapshot_is_as_if_absent(database: Store, column: str) -> None:
    engine = Engine(database.open())
    engine.write(engine.turn(*(f"task-{number}" for number in range(9))))
    data = bytes(range(256)) * 40
    damages: list[Callable[[bytes], bytes]] = [
        lambda old: bytes([old[0] ^ 1]) + old[1:],
        lambda old: old[: len(old) // 2] + bytes([old[len(old) // 2] ^ 128]) + old[len(old) // 2 + 1 :],
        lambda old: old[:-1] + bytes([old[-1] ^ 1]),
        lambda old: old[:-1],
        lambda old: old + b"\0",
        lambda old: b"",
    ]
    for damage in damages if column in ("digest", "data") else [damages[0]]:
        engine.journal.save_snapshot(4, "older", b"older")
        engine.journal.save_snapshot(6, "code", data)
        with database.raw() as connection:
            old = connection.execute(sa.text(f"SELECT {column} FROM snapshots WHERE position = 6")).scalar_one()
            new = 7 if column == "position" else "kode" if column == "fingerprint" else damage(bytes(old))
            connection.execute(sa.text(f"UPDATE snapshots SET {column} = :new WHERE position = 6"), {"new": new})
        assert engine.journal.load_snapshot("code") is None
        assert engine.journal.load_snapshot("kode") is None
        assert engine.journal.load_snapshot("older") == (4, b"older")
        with database.raw() as connection:
            connection.execute(sa.text("DELETE FROM snapshots"))


def test_a_large_snapshot_is_one_row(database: Store) -> None:
    engine = Engine(database.open())
    engine.write(engine.turn("task-1"))
    data = bytes(32 * 1024 * 1024)
    engine.journal.save_snapshot(1, "code", data)
    assert engine.journal.load_snapshot("code") == (1, data)


def test_a_journal_without_schema_or_with_another_one_is_refused_with_the_command_to_run(
    database: Store, tmp_path: Path
) -> None:
    assert database.url is not None
    with database.raw() as connection:
        connection.exec_driver_sql("UPDATE alembic_version_journal SET version_num = '0000'")
    with pytest.raises(SchemaMismatch, match=r"revision 0000.*scitq-manage db upgrade"):
        open_journal(database.url)
    with database.raw() as connection:
        connection.exec_driver_sql("DROP TABLE alembic_version_journal")
    with pytest.raises(SchemaMismatch, match="scitq-manage db upgrade"):
        open_journal(database.url)
    with pytest.raises(SchemaMismatch, match="scitq-manage db init"):
        open_journal(f"sqlite:///{tmp_path / 'nothing' / 'here.db'}")


def test_a_server_that_is_not_there_is_unavailable() -> None:
    with pytest.raises(StoreUnavailable):
        open_journal("postgresql://nobody@127.0.0.1:9/nothing")


def test_the_writing_session_has_its_safety_belts_on(database: Store) -> None:
    journal = Engine(database.open()).journal
    assert isinstance(journal, Journal)
    belts: dict[str, dict[str, object]] = {
        "postgres": {
            "SHOW idle_in_transaction_session_timeout": "3s", "SHOW statement_timeout": "1min",
            "SHOW tcp_keepalives_idle": "3", "SHOW lock_timeout": "5s", "SHOW synchronous_commit": "on",
            "SHOW application_name": "scitq writer",
        },
        "sqlite": {
            "PRAGMA journal_mode": "wal", "PRAGMA synchronous": 2, "PRAGMA foreign_keys": 1,
            "PRAGMA busy_timeout": 5000, "PRAGMA secure_delete": 1,
        },
    }  # fmt: skip
    wanted = belts[database.kind]
    with journal.database.writing() as connection:
        found = {statement: connection.exec_driver_sql(statement).scalar() for statement in wanted}
    assert found == wanted
    journal.renew(1)


def test_a_reading_connection_cannot_write(database: Store) -> None:
    journal = database.journal()
    with pytest.raises(StoreUnavailable), journal.database.reading() as connection:
        connection.exec_driver_sql("UPDATE lease SET epoch = 7")
    assert journal.acquire("one", 1.0) == (1, EMPTY)


def test_a_lost_connection_is_told_and_the_next_call_opens_another(postgres_store: Store) -> None:
    engine = Engine(postgres_store.open())
    assert isinstance(engine.journal, Journal)
    database_of_engine = engine.journal.database
    engine.journal.read(0, 1)
    for connection in (database_of_engine._writer, database_of_engine._reader):
        assert connection is not None and connection.connection.dbapi_connection is not None
        connection.connection.dbapi_connection.close()
    turn = engine.turn("task-1")
    with pytest.raises(StoreUnavailable):
        engine.journal.append(turn)
    with pytest.raises(StoreUnavailable):
        engine.journal.head()
    engine.write(turn)
    assert engine.journal.head() == engine.head


def test_a_lease_of_the_future_does_not_keep_everybody_out(sqlite_store: Store) -> None:
    url = str(sqlite_store.url)
    hours = 3_600_000_000
    late, early = open_journal(url, clock=lambda: 9 * hours), open_journal(url, clock=lambda: 8 * hours)
    assert late.acquire("late", 60.0) is not None
    assert early.acquire("early", 60.0) == (2, EMPTY)
    with pytest.raises(LeaseLost):
        late.append(Append(1, [], [], []))
    late.close()
    early.close()


def test_a_log_that_is_not_the_one_the_leader_knows_is_not_appended_to(database: Store) -> None:
    engine = Engine(database.open())
    engine.write(engine.turn("task-1"))
    with database.raw() as connection:  # as a backup of another log would have it
        connection.exec_driver_sql(f"UPDATE lease SET hash = {BLOB[database.kind]}")
    with pytest.raises(VersionConflict, match="does not end at position 1"):
        engine.journal.append(engine.turn("task-2"))
    assert len(engine.journal.read(0, 10)) == 1
