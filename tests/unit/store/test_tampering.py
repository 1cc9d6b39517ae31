"""Whatever is changed in a log before its last exported checkpoint is found, and the right position named."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest

from scitq.domain.envelope import Envelope, Head, Mark, seal
from scitq.errors import Corrupt, Malformed, StoreError
from scitq.store.chain import EMPTY, ERASES, Checkpoint, read_checkpoint, verify, write_checkpoint
from scitq.store.journal import open_journal
from scitq.store.upgrade import upgrade
from tests.contract.stores import Engine

LENGTH = 60
ERASED = (5, 17)
ERASER = 30


def a_log() -> list[Envelope]:
    """Sixty events of seven streams and two epochs; two payloads are erased."""
    log: list[Envelope] = []
    versions: dict[str, int] = {}
    link = EMPTY.hash
    for position in range(1, LENGTH + 1):
        erases = position == ERASER
        stream = "audit" if erases else f"task-{position % 7}"
        versions[stream] = versions.get(stream, 0) + 1
        event = seal(
            link, position=position, stream=stream, version=versions[stream], type=ERASES if erases else "task-created",
            schema=1, time=10**15 + position // 3, actor="alice", command=position, cause=position - 1,
            epoch=1 + position // 40, mark=Mark(1, "incarnation", position) if position % 5 == 0 else None,
            payload=orjson.dumps({"positions": ERASED} if erases else {"n": position}),
        )  # fmt: skip
        link = event.hash
        log.append(event._replace(payload=None) if position in ERASED else event)
    return log


LOG = a_log()
CHECKPOINTS = [Checkpoint(event.position, event.hash, "") for event in (LOG[19], LOG[-1])]


def resealed(log: list[Envelope], begin: int, **changes: object) -> list[Envelope]:
    """What somebody does who owns the file: change one event, and every hash behind it."""
    result, link = list(log), log[begin - 1].hash if begin else EMPTY.hash
    for index in range(begin, len(log)):
        event = log[index]
        fields = orjson.loads(event.header)
        payload = event.payload if event.payload is not None else b""
        if index == begin and "payload" in changes:
            payload = bytes(str(changes["payload"]), "ascii")
        names = ("position", "stream", "version", "type", "schema", "time", "actor", "command", "cause", "epoch")
        known = dict(zip(names, fields, strict=False))
        if index == begin:
            known |= {name: value for name, value in changes.items() if name in known}
        mark = Mark(*fields[10]) if fields[10] else None
        new = seal(link, mark=mark, payload=payload, **known)
        result[index] = new if event.payload is not None else new._replace(payload=None)
        link = new.hash
    return result


def flip_bit(value: int | str | bytes, dice: random.Random) -> int | str | bytes:
    if isinstance(value, int):
        return value ^ (1 << dice.randrange(40))
    data = bytearray(value.encode("latin-1") if isinstance(value, str) else value)
    if not data:
        return b"\0"
    data[dice.randrange(len(data))] ^= 1 << dice.randrange(8)
    return data.decode("latin-1") if isinstance(value, str) else bytes(data)


def flipped(log: list[Envelope], dice: random.Random) -> int:
    index, name = dice.randrange(LENGTH), dice.choice(Envelope._fields)
    old = getattr(log[index], name)
    new: Any = b"restored" if old is None else flip_bit(old, dice)
    log[index] = log[index]._replace(**{name: new})
    return index + 1


def deleted(log: list[Envelope], dice: random.Random) -> int:
    index = dice.randrange(LENGTH)
    del log[index : index + dice.randint(1, 3)]
    return index + 1


def inserted(log: list[Envelope], dice: random.Random) -> int:
    index = dice.randrange(1, LENGTH + 1)
    forged = seal(
        log[index - 1].hash, position=index + 1, stream="forged", version=1, type="task-created", schema=1,
        time=log[index - 1].time, actor="mallory", command=0, cause=0, epoch=2, mark=None, payload=b"{}",
    )  # fmt: skip
    log.insert(index, forged if dice.random() < 0.5 and index < LENGTH else log[index - 1])
    # A well-made event is a link of the chain; the true one behind it is not any more.
    if log[index] is not forged or any(mark.position == index + 1 for mark in CHECKPOINTS):
        return index + 1
    return index + 2


def swapped(log: list[Envelope], dice: random.Random) -> int:
    first, second = sorted(dice.sample(range(LENGTH), 2))
    log[first], log[second] = log[second], log[first]
    return first + 1


def swapped_payloads(log: list[Envelope], dice: random.Random) -> int:
    first, second = sorted(dice.sample([index for index in range(LENGTH) if index + 1 not in ERASED], 2))
    one, other = log[first], log[second]
    log[first], log[second] = one._replace(payload=other.payload), other._replace(payload=one.payload)
    return first + 1


def emptied(log: list[Envelope], dice: random.Random) -> int:
    index = dice.choice([index for index in range(LENGTH) if index + 1 not in (*ERASED, ERASER)])
    log[index] = log[index]._replace(payload=None)
    return index + 1


def rewritten(log: list[Envelope], dice: random.Random) -> int:
    index = dice.randrange(LENGTH)
    log[:] = resealed(log, index, actor="mallory")
    return next(mark.position for mark in CHECKPOINTS if mark.position > index)


TAMPERINGS: list[Callable[[list[Envelope], random.Random], int]] = [
    flipped, flipped, flipped, deleted, inserted, swapped, swapped_payloads, emptied, rewritten,
]  # fmt: skip


def test_the_log_itself_is_whole() -> None:
    assert verify(LOG, checkpoints=CHECKPOINTS) == Head(LENGTH, LOG[-1].hash)
    assert verify(LOG[20:], start=Head(20, LOG[19].hash), checkpoints=CHECKPOINTS) == Head(LENGTH, LOG[-1].hash)
    assert verify([]) == EMPTY
    assert resealed(LOG, 0)[-1].position == LENGTH


@pytest.mark.parametrize("block", range(10))
def test_a_thousand_tamperings_are_all_found_where_they_are(block: int) -> None:
    for seed in range(block * 100, block * 100 + 100):
        dice, log = random.Random(seed), list(LOG)
        tampering = TAMPERINGS[seed % len(TAMPERINGS)]
        expected = tampering(log, dice)
        with pytest.raises(Corrupt) as found:
            verify(log, checkpoints=CHECKPOINTS)
        assert found.value.position == expected, f"seed {seed}, {tampering.__name__}: {found.value}"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"version": 9}, "version"),
        ({"time": 1}, "time"),
        ({"epoch": 0}, "epoch"),
        ({"type": ERASES, "payload": "{}"}, "erased"),
        ({"type": ERASES, "payload": '{"positions":["1"]}'}, "erased"),
    ],
)
def test_a_well_chained_log_can_still_be_nonsense(changes: dict[str, object], reason: str) -> None:
    with pytest.raises(Corrupt, match=reason) as found:
        verify(resealed(LOG, 50, **changes))
    assert found.value.position == 51


def test_an_erased_payload_that_is_there_again_is_found() -> None:
    last = LOG[-1]
    says = orjson.dumps({"positions": [40]})
    eraser = seal(
        last.hash, position=61, stream="audit", version=2, type=ERASES, schema=1, time=last.time, actor="a",
        command=0, cause=0, epoch=2, mark=None, payload=says,
    )  # fmt: skip
    with pytest.raises(Corrupt, match="event 61 says that it was erased") as found:
        verify([*LOG, eraser])
    assert found.value.position == 40


def test_a_log_that_ends_before_its_checkpoint_is_found() -> None:
    with pytest.raises(Corrupt, match="the log once reached position 60") as found:
        verify(LOG[:50], checkpoints=CHECKPOINTS)
    assert found.value.position == 51
    with pytest.raises(Corrupt):
        verify(LOG[20:], start=Head(20, bytes(32)), checkpoints=CHECKPOINTS)


def test_a_checkpoint_survives_its_file_and_a_bad_file_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "checkpoint.json"
    checkpoint = Checkpoint(7, bytes(range(32)), "2026-11-20T18:00:00Z")
    write_checkpoint(file, checkpoint)
    assert read_checkpoint(file) == checkpoint
    for text in ("", "[]", "{}", '{"position":1,"hash":"00","time":""}', '{"position":-1,"hash":"zz","time":""}'):
        file.write_text(text)
        with pytest.raises(Malformed):
            read_checkpoint(file)


# --- real files --------------------------------------------------------------------------------------------------


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A SQLite log of 300 events whose guards are off."""
    path = tmp_path / "events.db"
    upgrade(str(path))
    journal = open_journal(f"sqlite:///{path}")
    engine = Engine(journal)
    for number in range(30):
        engine.write(engine.turn(*(f"task-{number}-{i}" for i in range(10)), payload=b'{"n":"%d"}' % number))
    engine.write(engine.erasing(7))
    journal.close()
    with sqlite3.connect(path) as connection:
        for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            connection.execute(f"DROP TRIGGER {name}")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    return path


def verified(path: Path) -> Head:
    journal = open_journal(f"sqlite:///{path}")
    try:
        return verify(journal.stream())
    finally:
        journal.close()


@pytest.mark.parametrize(
    ("statement", "position"),
    [
        ("UPDATE events SET actor = 'mallory' WHERE position = 123", 123),
        ("UPDATE events SET header = CAST(header || x'20' AS BLOB) WHERE position = 299", 299),
        ("UPDATE events SET hash = zeroblob(32) WHERE position = 1", 1),
        ("UPDATE payloads SET data = x'7b7d' WHERE position = 200", 200),
        ("UPDATE payloads SET data = NULL, erased_by = 301 WHERE position = 8", 8),
        ("UPDATE payloads SET data = x'7b7d', erased_by = NULL WHERE position = 7", 7),
        ("DELETE FROM payloads WHERE position = 12", 12),
        ("DELETE FROM events WHERE position = 44", 44),
        ("UPDATE events SET position = 1000 WHERE position = 50", 50),
    ],
)
def test_a_file_that_was_tampered_with_is_found(file: Path, statement: str, position: int) -> None:
    assert verified(file).position == 301
    with sqlite3.connect(file) as connection:
        connection.execute(statement)
    connection.close()
    with pytest.raises(Corrupt) as found:
        verified(file)
    assert found.value.position == position


def test_a_flipped_bit_of_the_file_is_found_or_harmless(file: Path) -> None:
    whole, truth = file.read_bytes(), verified(file)
    found = 0
    for seed in range(60):
        dice = random.Random(seed)
        damaged = bytearray(whole)
        damaged[dice.randrange(len(damaged))] ^= 1 << dice.randrange(8)
        file.write_bytes(damaged)
        for companion in ("-wal", "-shm"):
            file.with_name(file.name + companion).unlink(missing_ok=True)
        try:
            assert verified(file) == truth
        except StoreError:
            found += 1
    assert found > 10
