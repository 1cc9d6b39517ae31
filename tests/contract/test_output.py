"""What the output log promises on both databases."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterator
from itertools import pairwise

import pytest

from scitq.errors import Malformed, SchemaMismatch
from scitq.store.output import OutputLog, open_output
from scitq.store.tally import CHUNK_BYTES, CUT, Chunk, Stream, begun, decode
from scitq.store.urls import store_urls
from tests.contract.stores import Store

OUT, ERR = Stream.stdout, Stream.stderr
HARD = (
    "plain \N{GREEK SMALL LETTER MU}\N{EURO SIGN}\N{GRINNING FACE} ".encode() * 3
    + b"\xff\xc3(\xe2\x82 \xf0\x9f\x98 \xed\xa0\x80 \xf4\x90\x80\x80 \xc0\xaf \x80\x80 end\xe2\x82"
)
Open = Callable[[int], OutputLog]


@pytest.fixture
def opening(database: Store) -> Iterator[Open]:
    """Opens the output log of one store, with a cap."""
    opened: list[OutputLog] = []

    def opens(cap_bytes: int = 1 << 30) -> OutputLog:
        opened.append(open_output(store_urls(database.url).output, cap_bytes=cap_bytes))
        return opened[-1]

    yield opens
    for log in opened:
        log.close()


@pytest.fixture
def log(opening: Open) -> OutputLog:
    return opening(1 << 30)


def pieces(data: bytes, *cuts: int, execution: int = 1, stream: int = OUT) -> list[Chunk]:
    edges = [0, *cuts, len(data)]
    return [
        Chunk(execution, stream, begin, len(decode(b"", data[:begin])[0]), data[begin:end])
        for begin, end in pairwise(edges)
    ]


def test_output_is_read_back_by_byte_range(log: OutputLog) -> None:
    data = bytes(range(256)) * 4
    assert log.append(pieces(data, 100, 500, 501)) == {(1, OUT): 1024}
    for start, length in [(0, 1024), (99, 2), (100, 400), (500, 1), (0, 0), (1000, 100), (1024, 5), (5000, 5)]:
        assert log.read(1, OUT, start, length) == data[start : start + length]
    assert log.size(1, OUT) == (1024, len(data.decode(errors="replace")), 1024, False)
    assert log.size(1, ERR) == log.size(2, OUT) == (0, 0, 0, False)
    assert log.read(1, ERR, 0, 10) == b"" and log.read_chars(2, OUT, 0, 10) == ""


def test_the_ends_of_many_outputs_are_read_together_whatever_their_length(log: OutputLog) -> None:
    long, short = bytes(range(256)) * 600, b"short\n"
    log.append(pieces(long, 60_000, 120_000, execution=1) + pieces(short, execution=1, stream=ERR))
    log.append(pieces(short, 1, 3, execution=2) + pieces(b"e", execution=3, stream=ERR))
    for most in (1, 4, 6, 100_000, 10**6):
        wanted = {(1, OUT): long, (1, ERR): short, (2, OUT): short, (3, ERR): b"e"}
        assert log.ends([1, 2, 3, 4], most) == {key: data[-most:] for key, data in wanted.items()}
    assert log.ends([4], 10) == log.ends([], 10) == {}


def test_the_tail_is_the_end(log: OutputLog) -> None:
    log.append(pieces(b"0123456789" * 30_000, CHUNK_BYTES, 2 * CHUNK_BYTES, 3 * CHUNK_BYTES, 4 * CHUNK_BYTES))
    assert log.tail(1, OUT, 12) == b"890123456789"
    assert log.tail(1, OUT, 10**9) == b"0123456789" * 30_000
    assert log.tail(1, ERR, 12) == b""


def test_streams_and_executions_are_kept_apart(log: OutputLog) -> None:
    mixed = [*pieces(b"aa", 1), *pieces(b"bb", 1, stream=ERR), *pieces(b"cc", 1, execution=2)]
    assert log.append(mixed[::2] + mixed[1::2]) == {(1, OUT): 2, (1, ERR): 2, (2, OUT): 2}
    assert [log.read(1, OUT, 0, 9), log.read(1, ERR, 0, 9), log.read(2, OUT, 0, 9)] == [b"aa", b"bb", b"cc"]


def test_the_same_chunk_again_changes_nothing(log: OutputLog) -> None:
    chunks = pieces(b"some output", 4, 7)
    for _ in range(3):
        assert log.append(chunks) == {(1, OUT): 11}
    assert log.append([chunks[1], chunks[1]]) == {(1, OUT): 11}
    assert log.read(1, OUT, 0, 99) == b"some output"


def test_of_an_overlapping_chunk_only_the_new_part_is_kept(log: OutputLog) -> None:
    log.append([Chunk(1, OUT, 0, 0, b"some o")])
    assert log.append([Chunk(1, OUT, 2, 2, b"me outp"), Chunk(1, OUT, 0, 0, b"some output")]) == {(1, OUT): 11}
    assert log.read(1, OUT, 0, 99) == b"some output"


def test_a_chunk_behind_a_gap_is_left_and_its_sender_told_where_to_go_on(log: OutputLog) -> None:
    first, second, third = pieces(b"some output", 4, 7)
    assert log.append([first, third]) == {(1, OUT): 4}
    assert log.append([third]) == {(1, OUT): 4}
    assert log.read(1, OUT, 0, 99) == b"some"
    assert log.append([second, third]) == {(1, OUT): 11}
    assert log.read(1, OUT, 0, 99) == b"some output"


def test_an_empty_chunk_or_none_is_nothing(log: OutputLog) -> None:
    assert log.append([]) == {}
    assert log.append([Chunk(1, OUT, 0, 0, b"")]) == {(1, OUT): 0}
    assert log.read(1, OUT, 0, 9) == b""


@pytest.mark.parametrize(
    "chunk",
    [Chunk(1, OUT, 0, 0, bytes(CHUNK_BYTES + 1)), Chunk(1, OUT, -1, 0, b"x"), Chunk(1, 3, 0, 0, b"x")],
)
def test_a_chunk_that_is_none_is_refused_with_all_that_came_with_it(log: OutputLog, chunk: Chunk) -> None:
    with pytest.raises(Malformed):
        log.append([Chunk(1, OUT, 0, 0, b"good"), chunk])
    assert log.size(1, OUT).seen == 0


# --- characters --------------------------------------------------------------------------------------------------


def test_characters_split_between_chunks_keep_their_numbers(log: OutputLog) -> None:
    whole = HARD.decode(errors="replace")
    log.append(pieces(HARD, *range(1, len(HARD))))  # one byte a chunk: every split there is
    for start in range(len(whole) + 2):
        assert log.read_chars(1, OUT, start, 3, ended=True) == whole[start : start + 3]
    assert log.read_chars(1, OUT, 0, 10**6, ended=True) == whole


@pytest.mark.parametrize("seed", range(5))
def test_any_cutting_overlapping_and_repeating_gives_the_same_text(log: OutputLog, seed: int) -> None:
    dice = random.Random(seed)
    data = bytes(dice.choice(HARD) for _ in range(3_000))
    whole = data.decode(errors="replace")
    sent = 0
    while sent < len(data):
        begin = max(0, sent - dice.randrange(20))
        end = min(len(data), sent + dice.randrange(1, 90))
        log.append([Chunk(1, OUT, begin, 0, data[begin:end])] * dice.randint(1, 2))
        sent = end
    assert log.read(1, OUT, 0, 10**6) == data
    assert log.read_chars(1, OUT, 0, 10**6, ended=True) == whole
    for _ in range(40):
        start, length = dice.randrange(len(whole)), dice.randrange(200)
        assert log.read_chars(1, OUT, start, length, ended=True) == whole[start : start + length]


def test_a_character_whose_end_has_not_come_waits_for_it(log: OutputLog) -> None:
    euro = "\N{EURO SIGN}".encode()
    log.append([Chunk(1, OUT, 0, 0, b"a" + euro[:2])])
    assert log.read_chars(1, OUT, 0, 9) == "a" and log.size(1, OUT).chars == 1
    assert (
        log.read_chars(1, OUT, 1, 9) == "" and log.read_chars(1, OUT, 1, 9, ended=True) == "\N{REPLACEMENT CHARACTER}"
    )
    log.append([Chunk(1, OUT, 3, 1, euro[2:] + b"b")])
    assert log.read_chars(1, OUT, 1, 9) == "\N{EURO SIGN}b" and log.size(1, OUT).chars == 3


def test_the_beginning_of_a_character_is_seen_from_three_bytes() -> None:
    for end in range(len(HARD)):
        assert begun(HARD[max(0, end - 3) : end]) == decode(b"", HARD[:end])[1]


# --- the cap -----------------------------------------------------------------------------------------------------


def test_what_is_over_the_cap_is_cut_with_a_marker_and_still_acknowledged(opening: Open) -> None:
    log = opening(10)
    assert log.append([Chunk(1, OUT, 0, 0, b"1234"), Chunk(1, ERR, 0, 0, b"5678")]) == {(1, OUT): 4, (1, ERR): 4}
    assert log.append([Chunk(1, OUT, 4, 4, b"abcdef")]) == {(1, OUT): 10}
    assert log.append([Chunk(1, ERR, 4, 4, b"more"), Chunk(1, ERR, 8, 8, b"and more")]) == {(1, ERR): 16}
    assert log.read(1, OUT, 0, 999) == b"1234ab" + CUT
    assert log.read(1, ERR, 0, 999) == b"5678" + CUT
    assert log.size(1, OUT) == (6 + len(CUT), 6 + len(CUT), 10, True)
    for offset in range(10, 10 + 2 * len(CUT)):
        assert log.append([Chunk(1, OUT, offset, offset, b"x")]) == {(1, OUT): offset + 1}
    assert log.read(1, OUT, 0, 999) == b"1234ab" + CUT
    assert log.read_chars(1, OUT, 4, 3) == "ab\n"
    assert log.append([Chunk(2, OUT, 0, 0, b"another")]) == {(2, OUT): 7}
    assert not log.size(2, OUT).cut


def test_exactly_as_much_as_the_cap_is_not_cut(opening: Open) -> None:
    log = opening(4)
    log.append([Chunk(1, OUT, 0, 0, b"1234")])
    assert log.size(1, OUT) == (4, 4, 4, False)


def test_deleted_output_is_gone_and_other_output_stays(log: OutputLog) -> None:
    for execution in range(1, 700):
        log.append([Chunk(execution, OUT, 0, 0, b"x")])
    log.delete(list(range(1, 699)))
    log.delete([])
    assert log.size(1, OUT).seen == log.size(698, OUT).seen == 0 and log.read(1, OUT, 0, 9) == b""
    assert log.read(699, OUT, 0, 9) == b"x"


def test_two_recorders_of_one_stream_take_turns(opening: Open) -> None:
    data = bytes(range(256)) * 8

    def record() -> None:
        log = opening(1 << 30)
        for begin in range(0, len(data), 64):
            while log.append([Chunk(1, OUT, begin, 0, data[begin : begin + 64])])[1, OUT] < begin + 64:
                pass
        log.close()

    threads = [threading.Thread(target=record) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert opening(1 << 30).read(1, OUT, 0, 10**6) == data


def test_an_output_log_without_its_tables_is_refused(database: Store) -> None:
    output = store_urls(database.url).output
    with Store(database.kind, database.open, output).raw() as connection:
        connection.exec_driver_sql("UPDATE alembic_version_output SET version_num = '0000'")
    with pytest.raises(SchemaMismatch, match="scitq-manage db upgrade"):
        open_output(output)
