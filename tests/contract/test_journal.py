"""What every event store promises, the one in memory included."""

import threading
from contextlib import AbstractContextManager, nullcontext

import pytest

from scitq.domain.envelope import Append, Erasure
from scitq.errors import LeaseLost, StoreError, VersionConflict
from scitq.store.chain import EMPTY, verify
from tests.contract.stores import START, TTL_S, Engine, Store, sealed
from tests.services.waiting import eventually

# --- the lease ---------------------------------------------------------------------------------------------------


def test_only_one_of_two_engines_gets_the_lease(store: Store) -> None:
    one, other = store.open(), store.open()
    assert one.acquire("one", TTL_S) == (1, EMPTY)
    assert other.acquire("other", TTL_S) is None


def test_each_new_holder_gets_the_next_epoch_and_the_head(store: Store) -> None:
    engine = Engine(store.open(), "one")
    turn = engine.write(engine.turn("task-1", "task-2"))
    engine.journal.release(1)
    assert store.open().acquire("other", TTL_S) == (2, (2, turn.events[-1].hash))


def test_the_same_holder_asking_again_gets_a_new_epoch_and_loses_the_old(store: Store) -> None:
    journal = store.open()
    assert journal.acquire("one", TTL_S) == (1, EMPTY)
    assert journal.acquire("one", TTL_S) == (2, EMPTY)
    with pytest.raises(LeaseLost):
        journal.renew(1)
    journal.renew(2)


def test_a_lease_that_nobody_renews_is_taken_over(store: Store) -> None:
    frozen = Engine(store.open(), "frozen")
    heir = store.open()
    taken = eventually(lambda: heir.acquire("heir", 0.05))
    assert taken.epoch == 2
    with pytest.raises(LeaseLost):
        frozen.journal.renew(1)
    with pytest.raises(LeaseLost):
        frozen.journal.release(1)


def test_a_renewed_lease_is_not_taken_over(store: Store) -> None:
    journal, other = store.open(), store.open()
    assert journal.acquire("one", TTL_S)
    for _ in range(3):
        journal.renew(1)
        assert other.acquire("other", 5.0) is None


def test_appending_renews_the_lease(store: Store) -> None:
    engine, other = Engine(store.open()), store.open()
    for number in range(3):
        engine.write(engine.turn(f"task-{number}"))
        assert other.acquire("other", 5.0) is None


def test_a_deposed_leader_can_write_nothing(store: Store) -> None:
    deposed = Engine(store.open(), "deposed")
    deposed.write(deposed.turn("task-1"))
    heir = store.open()
    eventually(lambda: heir.acquire("heir", 0.0))
    for turn in (deposed.turn("task-2", answers=["c"]), deposed.turn(answers=["c"]), Append(1, [], [], [])):
        with pytest.raises(LeaseLost):
            deposed.journal.append(turn)
    assert heir.head().position == 1 and heir.answers(["c"]) == {}


def test_nobody_appends_under_a_released_lease_or_without_one(store: Store) -> None:
    engine = Engine(store.open())
    engine.journal.release(1)
    with pytest.raises(LeaseLost):
        engine.journal.append(engine.turn("task-1"))
    with pytest.raises(LeaseLost):
        engine.journal.append(engine.turn("task-1")._replace(epoch=0))
    assert store.open().head() == EMPTY


# --- appending ---------------------------------------------------------------------------------------------------


def test_what_was_appended_is_read_back_unchanged(store: Store) -> None:
    engine = Engine(store.open())
    payload = bytes(range(256)) + "\N{GREEK SMALL LETTER MU}\t\\N".encode()
    stream = "task-\N{GREEK SMALL LETTER MU}\t\\.'\"%(x)s:y"
    first = engine.write(engine.turn(stream, "task-2", payload=payload))
    second = engine.write(engine.turn(stream, payload=b""))
    assert store.open().read(0, 10) == first.events + second.events
    assert store.open().head() == engine.head


@pytest.mark.parametrize("wrong", ["behind a gap", "over the last", "on another hash", "with a gap inside"])
def test_an_append_that_does_not_follow_the_head_is_refused(store: Store, wrong: str) -> None:
    engine = Engine(store.open())
    engine.write(engine.turn("task-1", "task-2"))
    link = engine.head.hash
    events = {
        "behind a gap": [sealed(link, 4, "task-3", 1)],
        "over the last": [sealed(link, 2, "task-3", 1)],
        "on another hash": [sealed(bytes(32), 3, "task-3", 1)],
        "with a gap inside": [sealed(link, 3, "task-3", 1), sealed(link, 5, "task-4", 1)],
    }[wrong]
    with pytest.raises(VersionConflict):
        engine.journal.append(Append(1, events, [], []))
    assert store.open().head() == engine.head
    engine.write(engine.turn("task-3"))
    verify(store.open().read(0, 10))


@pytest.mark.parametrize("version", [1, 2, 4])
def test_a_stream_at_another_version_than_expected_is_a_conflict(store: Store, version: int) -> None:
    engine = Engine(store.open())
    engine.write(engine.turn("task-1", "task-1"))
    with pytest.raises(VersionConflict):
        engine.journal.append(Append(1, [sealed(engine.head.hash, 3, "task-1", version)], [], []))
    assert store.open().head() == engine.head
    engine.write(engine.turn("task-1"))


def test_a_stream_begins_at_version_one_even_inside_one_append(store: Store) -> None:
    engine = Engine(store.open())
    first = sealed(bytes(32), 1, "task-1", 1)
    with pytest.raises(VersionConflict):
        engine.journal.append(Append(1, [first, sealed(first.hash, 2, "task-1", 3)], [], []))
    assert store.open().head() == EMPTY


def test_a_failure_in_the_last_statement_leaves_nothing(store: Store) -> None:
    engine = Engine(store.open())
    engine.write(engine.turn("task-1", answers=["known"]))
    with pytest.raises(VersionConflict):
        engine.journal.append(engine.turn("task-2", "task-3", answers=["new", "known"]))
    reader = store.open()
    assert reader.head() == engine.head and len(reader.read(0, 10)) == 1
    assert set(reader.answers(["known", "new"])) == {"known"}


def test_an_event_without_a_payload_is_refused(store: Store) -> None:
    engine = Engine(store.open())
    turn = engine.turn("task-1")
    with pytest.raises(StoreError):
        engine.journal.append(turn._replace(events=[turn.events[0]._replace(payload=None)]))
    assert store.open().head() == EMPTY


def test_the_same_append_again_is_success_and_writes_nothing(store: Store) -> None:
    engine = Engine(store.open())
    turn = engine.write(engine.turn("task-1", "task-2", answers=["c"]))
    later = engine.write(engine.turn("task-1"))
    engine.journal.append(turn)
    engine.journal.append(later)
    assert store.open().read(0, 10) == turn.events + later.events


def test_the_same_append_from_another_connection_of_the_epoch_is_success(store: Store) -> None:
    engine = Engine(store.open())
    turn = engine.write(engine.turn("task-1", answers=["c"]))
    store.open().append(turn)
    assert store.open().read(0, 10) == turn.events


def test_another_append_in_the_same_place_is_a_conflict(store: Store) -> None:
    engine = Engine(store.open())
    other = engine.turn("task-1", payload=b"other")
    engine.write(engine.turn("task-1"))
    with pytest.raises(VersionConflict):
        engine.journal.append(other)


def test_an_append_of_answers_only_is_remembered_and_repeatable(store: Store) -> None:
    engine = Engine(store.open())
    turn = engine.write(engine.turn(answers=["a", "b"]))
    engine.journal.append(turn)
    assert store.open().answers(["a", "b", "unknown"]) == {answer.id: answer for answer in turn.answers}
    with pytest.raises(VersionConflict):
        engine.journal.append(turn._replace(answers=[turn.answers[0]._replace(answer=b"different")]))


def test_many_answers_are_found_by_their_ids(store: Store) -> None:
    engine = Engine(store.open())
    engine.write(engine.turn("task-1", answers=[f"command-{number}" for number in range(1_200)]))
    asked = [f"command-{number}" for number in range(100, 1_300)]
    assert set(store.open().answers(asked)) == set(asked[:1_100])
    assert store.open().answers([]) == {}


def test_five_thousand_events_are_one_append(store: Store) -> None:
    engine = Engine(store.open())
    engine.write(engine.turn(*(f"task-{number % 1_700}" for number in range(5_000))))
    assert store.open().head() == engine.head
    assert verify(store.open().read(0, 6_000)) == engine.head


def test_of_two_threads_that_race_every_acknowledged_append_is_there_once(store: Store) -> None:
    acknowledged: dict[str, list[str]] = {"one": [], "two": []}
    start = threading.Barrier(2)
    # The store in memory is one object: its callers take turns.
    turns: AbstractContextManager[object] = threading.Lock() if store.kind == "memory" else nullcontext()

    def race(name: str) -> None:
        journal = store.open()
        start.wait()
        while len(acknowledged[name]) < 20:
            with turns:
                lease = journal.acquire(name, 0.0)
            if lease is None:
                continue
            position, link = lease.head
            stream = f"{name}-{len(acknowledged[name])}"
            turn = Append(lease.epoch, [sealed(link, position + 1, stream, 1, epoch=lease.epoch)], [], [])
            try:
                with turns:
                    journal.append(turn)
            except LeaseLost:
                continue
            acknowledged[name].append(stream)
        journal.close()

    threads = [threading.Thread(target=race, args=(name,)) for name in acknowledged]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    log = store.open().read(0, 1_000)
    assert sorted(event.stream for event in log) == sorted(acknowledged["one"] + acknowledged["two"])
    assert verify(log) == store.open().head()


# --- reading -----------------------------------------------------------------------------------------------------


def test_reading_goes_on_behind_a_position(store: Store) -> None:
    engine = Engine(store.open())
    turn = engine.write(engine.turn(*(f"task-{number}" for number in range(10))))
    journal = store.open()
    assert journal.read(0, 3) == turn.events[:3]
    assert journal.read(7, 100) == turn.events[7:]
    assert journal.read(10, 100) == []


def test_streams_are_read_together_in_position_order(store: Store) -> None:
    engine = Engine(store.open())
    names = [f"task-{number}" for number in range(700)]
    created = engine.write(engine.turn(*names)).events
    ended = engine.write(engine.turn(*reversed(names), type="task-ended")).events
    journal = store.open()
    assert journal.read_streams([*names, "task-0", "nobody"]) == created + ended
    assert journal.read_streams(["task-699", "task-0"], ["task-ended"]) == [ended[0], ended[-1]]
    assert journal.read_streams(["task-0"], []) == []
    assert journal.read_streams([]) == []


def test_events_are_selected_by_what_they_are_about(store: Store) -> None:
    engine = Engine(store.open())
    created = engine.write(engine.turn("task-1", "task-2")).events
    ended = engine.write(engine.turn("task-1", type="task-ended")).events
    worker = engine.write(engine.turn("worker-1", type="worker-joined")).events
    journal = store.open()
    assert journal.select() == created + ended + worker
    assert journal.select(stream="task-1") == [created[0], *ended]
    assert journal.select(type="task-ended") == ended
    assert journal.select(type="task-*") == created + ended
    assert journal.select(type="*") == journal.select(type=None)
    assert journal.select(type="TASK-*") == [] and journal.select(stream_prefix="task_") == []
    assert journal.select(stream_prefix="worker-") == worker
    assert journal.select(since=START + 2, until=START + 4) == [created[1], *ended]
    assert journal.select(after=2, limit=1) == ended
    assert journal.select(limit=2, newest_first=True) == [*worker, *ended]


# --- snapshots and erasure ---------------------------------------------------------------------------------------


def test_the_newest_snapshot_of_the_same_code_is_loaded(store: Store) -> None:
    engine = Engine(store.open())
    engine.write(engine.turn(*(f"task-{number}" for number in range(5))))
    journal = store.open()
    assert journal.load_snapshot("code") is None
    journal.save_snapshot(2, "code", b"two")
    journal.save_snapshot(4, "code", b"four" * 100_000)
    assert store.open().load_snapshot("code") == (4, b"four" * 100_000)
    assert (journal.newest_snapshot("code"), journal.newest_snapshot("other code")) == (4, 0)
    assert store.open().load_snapshot("other code") is None
    journal.save_snapshot(4, "code", b"again")
    assert store.open().load_snapshot("code") == (4, b"again")


def test_two_snapshots_are_kept(store: Store) -> None:
    engine = Engine(store.open())
    engine.write(engine.turn(*(f"task-{number}" for number in range(5))))
    journal = store.open()
    journal.save_snapshot(1, "first", b"1")
    journal.save_snapshot(2, "second", b"2")
    journal.save_snapshot(3, "third", b"3")
    kept = [journal.load_snapshot(code) for code in ("first", "second", "third")]
    assert kept == [None, (2, b"2"), (3, b"3")]


def test_a_snapshot_beyond_the_head_is_as_if_absent(store: Store) -> None:
    engine = Engine(store.open())
    engine.write(engine.turn("task-1"))
    engine.journal.save_snapshot(1, "code", b"one")
    engine.journal.save_snapshot(2, "code", b"two")
    assert store.open().load_snapshot("code") == (1, b"one")


def test_an_erasure_empties_the_payload_and_keeps_the_chain(store: Store) -> None:
    engine = Engine(store.open())
    engine.write(engine.turn("task-1", "task-2", "task-3", payload=b"secret"))
    turn = engine.write(engine.erasing(1, 3))
    engine.journal.append(turn)
    log = store.open().read(0, 10)
    assert [event.payload for event in log[:3]] == [None, b"secret", None]
    assert verify(log) == engine.head
    engine.write(engine.erasing(3))
    assert verify(store.open().read(0, 10)) == engine.head


@pytest.mark.parametrize(("position", "by"), [(1, 2), (3, 3), (4, 3), (0, 4), (1, 9), (3, 4)])
def test_an_erasure_that_no_event_stands_for_is_refused(store: Store, position: int, by: int) -> None:
    engine = Engine(store.open())
    engine.write(engine.turn("task-1", "task-2", payload=b"kept"))
    engine.write(engine.turn("audit", type="payload-erased", payload=b'{"positions":[]}'))
    turn = engine.turn("audit", type="payload-erased", payload=b'{"positions":[]}')
    with pytest.raises(StoreError):
        engine.journal.append(turn._replace(erasures=[Erasure(position, by)]))
    assert all(event.payload is not None for event in store.open().read(0, 10))
    assert store.open().head() == engine.head
