"""Output on its way from an agent to the store: chunks, and how far each stream has come without a gap, as bytes."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from typing import Final, NamedTuple

from scitq.errors import Malformed

MOST_DATA: Final = 64 * 1024
STREAMS: Final = (1, 2)
_CHUNK: Final = struct.Struct(">QBQQ")
_CONFIRM: Final = struct.Struct(">QBQ")
_MOST: Final = 2**62


class Chunk(NamedTuple):
    """A piece of a stream (1: standard output, 2: standard error), and what of the stream comes before it."""

    execution: int
    stream: int
    offset: int
    chars_before: int
    data: bytes


class Confirm(NamedTuple):
    """So many bytes of the stream have been stored, from its beginning and without a gap."""

    execution: int
    stream: int
    seen: int


def encode_chunk(chunk: Chunk) -> bytes:
    return _CHUNK.pack(*chunk[:4]) + chunk.data


def parse_chunk(frame: bytes) -> Chunk:
    """What an agent sent; Malformed when it is no chunk."""
    if not _CHUNK.size < len(frame) <= _CHUNK.size + MOST_DATA:
        raise Malformed(f"a chunk of output has 1 to {MOST_DATA} bytes of data behind its head of {_CHUNK.size}")
    execution, stream, offset, chars_before = _CHUNK.unpack_from(frame)
    if stream not in STREAMS or not 0 < execution < 2**48 or offset > _MOST or chars_before > offset:
        raise Malformed("the head of a chunk of output makes no sense")
    return Chunk(execution, stream, offset, chars_before, frame[_CHUNK.size :])


def encode_confirms(confirms: Iterable[Confirm]) -> bytes:
    return b"".join(_CONFIRM.pack(*confirm) for confirm in confirms)


def parse_confirms(frame: bytes) -> list[Confirm]:
    if len(frame) % _CONFIRM.size:
        raise Malformed("what the server says it has of an output cannot be read")
    return [Confirm._make(found) for found in _CONFIRM.iter_unpack(frame)]
