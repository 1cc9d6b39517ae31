"""Output as chunks: each byte once, in order, however it is cut, confirmed, lost and read again."""

from __future__ import annotations

import os
import random
import tracemalloc
from pathlib import Path

import pytest

from scitq.agents.output import CHUNK_BYTES, CUT, IN_FLIGHT, STDERR, STDOUT, Outputs
from scitq.domain.output_wire import Chunk


class Engine:
    """It keeps what comes without a gap, and tells how far that goes."""

    def __init__(self) -> None:
        self.kept: dict[tuple[int, int], bytearray] = {}

    def take(self, outputs: Outputs, chunks: list[Chunk]) -> None:
        for chunk in chunks:
            kept = self.kept.setdefault((chunk.execution, chunk.stream), bytearray())
            if chunk.offset <= len(kept):
                kept += chunk.data[len(kept) - chunk.offset :]
            outputs.confirm(chunk.execution, chunk.stream, len(kept))

    def drain(self, outputs: Outputs, now: float = 0.0) -> None:
        while (chunks := outputs.next(now)) or outputs.pause(now) == 0:
            self.take(outputs, chunks)

    def has(self, execution: int, stream: int = STDOUT) -> bytes:
        return bytes(self.kept.get((execution, stream), b""))


@pytest.fixture
def outputs(tmp_path: Path) -> Outputs:
    return anew(tmp_path)


def anew(folder: Path, **options: int) -> Outputs:
    return Outputs(lambda execution, kind: folder / f"{execution}.{kind}", **options)


def put(folder: Path, execution: int, data: bytes, kind: str = "out") -> None:
    with (folder / f"{execution}.{kind}").open("ab") as file:
        file.write(data)


def test_both_streams_come_as_they_are(outputs: Outputs, tmp_path: Path) -> None:
    binary = bytes(range(256)) * 700
    put(tmp_path, 1, binary)
    put(tmp_path, 1, b"no newline", "err")
    outputs.watch(1)
    engine = Engine()
    engine.drain(outputs)
    assert (engine.has(1), engine.has(1, STDERR)) == (binary, b"no newline")
    assert outputs.counts(1) is None and not outputs.is_confirmed(1), "it may print more"
    outputs.ended(1)
    assert outputs.counts(1) == (len(binary), 10) and outputs.is_confirmed(1)


def test_what_is_printed_later_follows(outputs: Outputs, tmp_path: Path) -> None:
    outputs.watch(1)
    engine, now = Engine(), 0.0
    for line in (b"one\n", b"two\n", b"three"):
        put(tmp_path, 1, line)
        now += outputs.pause(now) or 0.0
        engine.drain(outputs, now)
    assert engine.has(1) == b"one\ntwo\nthree"


def test_while_nothing_is_printed_it_is_looked_at_more_rarely_and_at_least_twice_a_second(outputs: Outputs) -> None:
    outputs.watch(1)
    now, pauses = 0.0, []
    for _ in range(10):
        assert outputs.next(now) == []
        pause = outputs.pause(now)
        assert pause is not None
        pauses.append(pause)
        now += pause
    assert pauses == sorted(pauses) and 0.01 < pauses[0] < 0.05 and pauses[-1] == 0.5
    outputs.ended(1)
    assert outputs.pause(now) is None, "it printed nothing, and never will"


def test_at_most_four_chunks_of_an_execution_are_under_way(outputs: Outputs, tmp_path: Path) -> None:
    for execution in (1, 2):
        put(tmp_path, execution, b"x" * CHUNK_BYTES * 9)
        put(tmp_path, execution, b"y" * CHUNK_BYTES * 9, "err")
        outputs.watch(execution)
    flying = outputs.next(0.0)
    assert [chunk.execution for chunk in flying] == [1] * IN_FLIGHT + [2] * IN_FLIGHT
    assert all(len(chunk.data) <= CHUNK_BYTES for chunk in flying) and outputs.next(0.0) == []
    outputs.confirm(1, STDOUT, 2 * CHUNK_BYTES)
    assert [chunk.offset for chunk in outputs.next(0.0)] == [4 * CHUNK_BYTES, 5 * CHUNK_BYTES]
    outputs.confirm(1, STDOUT, CHUNK_BYTES)  # old
    outputs.confirm(9, STDOUT, CHUNK_BYTES)  # unknown
    assert outputs.next(0.0) == []


def test_a_flood_starves_nobody(outputs: Outputs, tmp_path: Path) -> None:
    for execution in range(1, 21):
        put(tmp_path, execution, b"x" * CHUNK_BYTES * 8)
        outputs.watch(execution)
    put(tmp_path, 99, b"a line\n")
    outputs.watch(99)
    engine = Engine()
    for _ in range(4):
        engine.take(outputs, outputs.next(0.0))
    assert engine.has(99) == b"a line\n"


@pytest.mark.parametrize("seed", range(20))
def test_characters_are_counted_as_a_decoder_of_the_whole_counts_them(tmp_path: Path, seed: int) -> None:
    """In pieces of any size, with characters split and with what is no text at all."""
    chance = random.Random(seed)
    pieces = ["a", "é", "€", "😀", "\n"]
    text = b"".join(chance.choice(pieces).encode() for _ in range(60_000))
    data = bytearray(text)
    for _ in range(seed * 20):
        data[chance.randrange(len(data))] = chance.randrange(256)
    outputs, chunks, at = anew(tmp_path), [], 0
    outputs.watch(1)
    while at < len(data):
        step = chance.choice((1, 2, 3, 1_000, 100_000))
        put(tmp_path, 1, bytes(data[at : at + step]))
        at += step
        outputs.ended(1)  # looked at without waiting
        chunks += (new := outputs.next(0.0))
        for chunk in new:
            outputs.confirm(1, STDOUT, chunk.offset + len(chunk.data))
    Engine().drain(outputs)
    for chunk in chunks:
        before = bytes(data[: chunk.offset])
        whole = before.decode("utf-8", "replace")
        unfinished = next((n for n in (1, 2, 3) if n <= len(before) and is_begun(before[-n:])), 0)
        assert chunk.chars_before == len(whole) - bool(unfinished)


def is_begun(tail: bytes) -> bool:
    """Whether these bytes are the beginning of a character and nothing else."""
    try:
        tail.decode()
    except UnicodeDecodeError as error:
        return error.reason == "unexpected end of data" and error.start == 0
    return False


def test_what_was_lost_on_the_way_is_read_again(outputs: Outputs, tmp_path: Path) -> None:
    data = os.urandom(CHUNK_BYTES * 20)
    put(tmp_path, 1, data)
    outputs.watch(1)
    outputs.ended(1)
    engine, chance = Engine(), random.Random(4)
    while not outputs.is_confirmed(1):
        chunks = outputs.next(0.0)
        if chance.random() < 0.4:
            engine.take(outputs, chunks[: chance.randrange(3)])
            outputs.send_again()
        else:
            engine.take(outputs, chunks)
    assert engine.has(1) == data and outputs.counts(1) == (len(data), 0)


@pytest.mark.parametrize("start", [0, 1, 2, 3, 70_001, 200_000, 250_000])
def test_a_successor_goes_on_behind_what_the_engine_has_and_counts_as_the_first(tmp_path: Path, start: int) -> None:
    """It learns that from the answer to its first chunk."""
    data = ("é€" * 50_000).encode()
    put(tmp_path, 1, data)
    put(tmp_path, 1, b"error", "err")
    whole = anew(tmp_path)
    whole.watch(1)
    places = {chunk.offset: chunk.chars_before for chunk in whole.next(0.0)}
    again = anew(tmp_path)
    again.watch(1)
    again.ended(1)
    engine = Engine()
    engine.kept[1, STDOUT] = bytearray(data[:start])
    first = again.next(0.0, 1)
    engine.take(again, first)
    more: list[Chunk] = []
    while (chunks := again.next(0.0)) or again.pause(0.0) == 0:
        more += chunks
        engine.take(again, chunks)
    assert engine.has(1) == data and again.counts(1) == (len(data), 5) and again.is_confirmed(1)
    out = [chunk for chunk in more if chunk.stream == STDOUT]
    assert all(chunk.offset >= min(start, len(data)) for chunk in out), "what is known is not sent again"
    assert all(chunk.chars_before == places.get(chunk.offset, chunk.chars_before) for chunk in out)
    if start == 70_001:
        assert out[0].chars_before == len(data[:start].decode("utf-8", "ignore"))


def test_a_successor_of_one_that_cut_off_sends_nothing_more(tmp_path: Path) -> None:
    put(tmp_path, 1, b"o" * 90_000)
    put(tmp_path, 1, b"e" * 30_000, "err")
    engine = Engine()
    engine.kept = {(1, STDOUT): bytearray(b"o" * 90_000), (1, STDERR): bytearray(b"e" * 10_000 + CUT)}
    before = {place: bytes(kept) for place, kept in engine.kept.items()}
    outputs = anew(tmp_path, cap_bytes=100_000)
    outputs.watch(1)
    outputs.ended(1)
    engine.drain(outputs)
    assert engine.kept == before and outputs.counts(1) == (90_000, 10_000 + len(CUT)) and outputs.is_confirmed(1)


def test_output_that_cannot_be_read_does_not_hold_up_the_end(tmp_path: Path) -> None:
    (tmp_path / "1.out").mkdir()
    put(tmp_path, 1, b"e", "err")
    outputs = anew(tmp_path)
    outputs.watch(1)
    outputs.ended(1)
    engine = Engine()
    engine.drain(outputs)
    assert outputs.counts(1) == (0, 1) and engine.has(1, STDERR) == b"e"


def test_no_more_is_under_way_than_is_asked_for(outputs: Outputs, tmp_path: Path) -> None:
    for execution in (1, 2, 3):
        put(tmp_path, execution, b"x" * CHUNK_BYTES * 3)
        outputs.watch(execution)
    assert len(outputs.next(0.0, 4)) == 4 == outputs.flying
    outputs.confirm(1, STDOUT, CHUNK_BYTES)
    outputs.forget(2)
    outputs.send_again()
    assert outputs.flying == 0


def test_what_is_under_way_for_long_is_sent_again_more_and_more_rarely(outputs: Outputs, tmp_path: Path) -> None:
    put(tmp_path, 1, b"lost in a broker that was wiped")
    outputs.watch(1)
    outputs.ended(1)
    assert outputs.next(0.0) and not outputs.send_late_again(), "it has only just been sent"
    looks = []
    for look in range(40):
        if outputs.send_late_again():
            looks.append(look)
            assert [chunk.offset for chunk in outputs.next(0.0)] == [0]
    assert looks == [0, 2, 6, 14, 30]
    assert outputs.counts(1) is not None and not outputs.is_confirmed(1)
    Engine().take(outputs, [Chunk(1, STDOUT, 0, 0, b"lost in a broker that was wiped")])
    assert outputs.is_confirmed(1) and not outputs.send_late_again()


def test_what_goes_on_is_not_late(outputs: Outputs, tmp_path: Path) -> None:
    outputs.watch(1)
    engine = Engine()
    for _ in range(5):
        put(tmp_path, 1, b"x" * CHUNK_BYTES)
        chunks = outputs.next(0.0)
        assert chunks and not outputs.send_late_again()
        engine.take(outputs, chunks)


def test_what_is_longer_than_the_cap_ends_with_a_marker(tmp_path: Path) -> None:
    outputs, engine = anew(tmp_path, cap_bytes=100_000), Engine()
    outputs.watch(1)
    put(tmp_path, 1, b"o" * 90_000)
    put(tmp_path, 1, b"e" * 30_000, "err")
    outputs.ended(1)
    engine.drain(outputs)
    assert engine.has(1) == b"o" * 90_000 and engine.has(1, STDERR) == b"e" * 10_000 + CUT
    assert outputs.counts(1) == (90_000, 10_000 + len(CUT)) and outputs.is_confirmed(1)
    put(tmp_path, 1, b"more", "err")
    outputs.send_again()
    engine.drain(outputs)
    assert engine.has(1, STDERR).endswith(CUT)


def test_exactly_the_cap_needs_no_marker(tmp_path: Path) -> None:
    outputs, engine = anew(tmp_path, cap_bytes=70_000), Engine()
    put(tmp_path, 1, b"o" * 70_000)
    outputs.watch(1)
    outputs.ended(1)
    engine.drain(outputs)
    assert outputs.counts(1) == (70_000, 0) and engine.has(1) == b"o" * 70_000


def test_a_marker_that_was_lost_on_the_way_is_sent_again(tmp_path: Path) -> None:
    outputs, engine = anew(tmp_path, cap_bytes=10), Engine()
    put(tmp_path, 1, b"o" * 20)
    outputs.watch(1)
    assert [chunk.data for chunk in outputs.next(0.0)] == [b"o" * 10, CUT]
    outputs.send_again()
    engine.drain(outputs)
    outputs.ended(1)
    assert engine.has(1) == b"o" * 10 + CUT and outputs.is_confirmed(1)


def test_beyond_the_cap_a_file_does_not_fill_the_disk(tmp_path: Path) -> None:
    outputs, engine = anew(tmp_path, cap_bytes=10), Engine()
    put(tmp_path, 1, b"o" * 20)
    outputs.watch(1)
    engine.drain(outputs)
    os.truncate(tmp_path / "1.out", 2**30)  # a hole, which costs nothing
    outputs.ended(1)
    engine.drain(outputs)
    assert (tmp_path / "1.out").stat().st_size == 10 and engine.has(1) == b"o" * 10 + CUT


def test_a_file_that_was_emptied_goes_on_behind_what_was_confirmed(outputs: Outputs, tmp_path: Path) -> None:
    engine, now = Engine(), 0.0
    put(tmp_path, 1, b"before\n")
    outputs.watch(1)
    engine.drain(outputs)
    os.truncate(tmp_path / "1.out", 0)
    now += outputs.pause(now) or 0.0
    engine.drain(outputs, now)
    put(tmp_path, 1, b"behind\n")
    outputs.ended(1)
    engine.drain(outputs, now)
    assert engine.has(1) == b"before\nbehind\n" and outputs.is_confirmed(1)


def test_what_was_never_started_has_no_output(outputs: Outputs) -> None:
    outputs.watch(1)
    outputs.ended(1)
    assert outputs.next(0.0) == [] and outputs.counts(1) == (0, 0) and outputs.is_confirmed(1)
    outputs.forget(1)
    assert outputs.counts(1) is None and outputs.pause(0.0) is None


def test_200_mb_pass_through_little_memory(outputs: Outputs, tmp_path: Path) -> None:
    block = os.urandom(1024 * 1024)
    with (tmp_path / "1.out").open("wb") as file:
        for _ in range(200):
            file.write(block)
    outputs.watch(1)
    outputs.ended(1)
    tracemalloc.start()
    seen = 0
    while not outputs.is_confirmed(1):
        for chunk in outputs.next(0.0):
            assert chunk.offset == seen
            at = chunk.offset % len(block)
            assert chunk.data == (block + block[:CHUNK_BYTES])[at : at + len(chunk.data)]
            seen += len(chunk.data)
        outputs.confirm(1, STDOUT, seen)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert seen == 200 * len(block) and peak < 20 * 1024 * 1024
