"""How much of a stream there is, in bytes and in characters, as its chunks come in.

The text of a stream is its bytes decoded as UTF-8, what is not UTF-8 replaced. Where in that text a chunk begins
cannot be told from the chunk, because a character of several bytes may be split between two: so the bytes of a
character that has begun and not ended are carried along, at most three, and counted when they are complete.
"""

from __future__ import annotations

import codecs
from dataclasses import dataclass
from enum import IntEnum
from typing import Final, NamedTuple

from scitq.domain.output_wire import (
    Chunk as Chunk,
)  # what its sender counted as `chars_before`, the store counts for itself
from scitq.errors import Malformed

CHUNK_BYTES: Final = 64 * 1024
CUT: Final = b"\n[scitq: the output of this execution is cut off here, it is longer than is kept]\n"

_decoder = codecs.getincrementaldecoder("utf-8")


class Stream(IntEnum):
    stdout = 1
    stderr = 2


class Piece(NamedTuple):
    """What is stored of a chunk."""

    offset: int
    chars_before: int
    data: bytes


class Size(NamedTuple):
    """`bytes` and `chars` can be read; `seen` bytes have come: others, if the end was cut off for a marker."""

    bytes: int
    chars: int
    seen: int
    cut: bool


@dataclass(slots=True)
class Tally:
    """One stream of one execution."""

    seen: int = 0  # bytes that have come, without a gap
    size: int = 0  # bytes that are kept
    chars: int = 0  # characters complete in what is kept
    pending: bytes = b""  # the beginning of the next one
    cut: bool = False  # the marker is written, nothing more is kept

    def take(self, chunk: Chunk, room: int) -> list[Piece]:
        """What is new in a chunk, and fits.

        A chunk that came before changes nothing, of one that overlaps only the end is new. One behind a gap is
        left: `seen` tells its sender where to go on. What does not fit is dropped, and a marker says so, once.
        """
        if chunk.offset < 0 or len(chunk.data) > CHUNK_BYTES:
            raise Malformed(f"a chunk of output has at most {CHUNK_BYTES} bytes and an offset of 0 or more")
        end = chunk.offset + len(chunk.data)
        if chunk.offset > self.seen or end <= self.seen:
            return []
        new = chunk.data[self.seen - chunk.offset :]
        self.seen = end
        if self.cut:
            return []
        if len(new) <= room:
            return [self._keep(new)]
        self.cut = True
        kept = [self._keep(new[:room])] if room > 0 else []
        return [*kept, self._keep(CUT)]

    def _keep(self, data: bytes) -> Piece:
        piece = Piece(self.size, self.chars, data)
        text, self.pending = decode(self.pending, data)
        self.size += len(data)
        self.chars += len(text)
        return piece


def decode(pending: bytes, data: bytes, *, final: bool = False) -> tuple[str, bytes]:
    """The characters that are complete, and the bytes of one that is not."""
    decoder = _decoder("replace")
    decoder.setstate((pending, 0))
    text = decoder.decode(data, final)
    return text, decoder.getstate()[0]


def begun(before: bytes) -> bytes:
    """The unfinished character at the end of some bytes: three are enough to tell.

    A byte that begins a character is never taken for the middle of another, so what came earlier cannot matter.
    """
    for start in range(max(0, len(before) - 3), len(before)):
        tail = before[start:]
        if decode(b"", tail) == ("", tail):
            return tail
    return b""
