"""Chunks and confirmations as bytes, and events as one message."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scitq.domain.envelope import GENESIS, Envelope, pack, seal, unpack
from scitq.domain.output_wire import (
    MOST_DATA,
    Chunk,
    Confirm,
    encode_chunk,
    encode_confirms,
    parse_chunk,
    parse_confirms,
)
from scitq.errors import Malformed


@given(st.binary(max_size=300))
def test_any_bytes_are_a_chunk_or_are_refused(frame: bytes) -> None:
    with contextlib.suppress(Malformed):
        assert encode_chunk(parse_chunk(frame)) == frame


def test_a_chunk_comes_back_as_it_was() -> None:
    chunk = Chunk(7, 2, 65_536, 60_000, bytes(MOST_DATA))
    assert parse_chunk(encode_chunk(chunk)) == chunk


@pytest.mark.parametrize(
    "chunk",
    [
        Chunk(0, 1, 0, 0, b"x"),
        Chunk(1, 3, 0, 0, b"x"),
        Chunk(1, 1, 0, 1, b"x"),
        Chunk(1, 1, 2**63, 0, b"x"),
        Chunk(1, 1, 0, 0, b""),
        Chunk(1, 1, 0, 0, bytes(MOST_DATA + 1)),
    ],
)
def test_a_chunk_that_makes_no_sense_is_refused(chunk: Chunk) -> None:
    with pytest.raises(Malformed):
        parse_chunk(encode_chunk(chunk))


def test_confirmations_come_back_as_they_were() -> None:
    confirms = [Confirm(1, 1, 0), Confirm(2**40, 2, 2**50)]
    assert parse_confirms(encode_confirms(confirms)) == confirms
    with pytest.raises(Malformed):
        parse_confirms(encode_confirms(confirms)[:-1])


def _events() -> list[Envelope]:
    found: list[Envelope] = []
    for position in range(1, 4):
        previous = found[-1].hash if found else GENESIS
        found.append(
            seal(
                previous, position=position, stream="task-1", version=position, type="task-created", schema=1, time=9,
                actor="ada", command=1, cause=0, epoch=1, mark=None, payload=b"" if position == 2 else b'{"task": 1}',
            )
        )  # fmt: skip
    return [*found, found[0]._replace(payload=None)]


def test_events_come_back_as_they_were_also_erased_ones() -> None:
    assert unpack(pack(_events())) == _events()
    assert unpack(b"") == []


@given(st.integers(min_value=1), st.binary(max_size=20))
def test_a_message_of_events_that_was_cut_or_changed_is_refused_or_read_but_never_raises_otherwise(
    cut: int, more: bytes
) -> None:
    whole = pack(_events())
    with contextlib.suppress(Malformed):
        unpack(whole[: cut % len(whole)] + more)
