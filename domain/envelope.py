"""How an event is kept for ever: its header, its digest, and the hash that chains it to all before it.

    hash = SHA-256(previous hash ‖ header ‖ SHA-256(payload))

The id of an event is its position. The header is the canonical form of everything that is known about the
event but its content; the content is bytes in a side table, so that an erasure can empty it and the chain still
holds. Nothing here is random, and nothing here may ever change for events already written.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from hashlib import sha256
from typing import Any, Final, NamedTuple

import orjson

from scitq.errors import Malformed

GENESIS = bytes(32)
"""The hash before the first event."""


class Mark(NamedTuple):
    """The last report of a worker that is contained in the log up to here."""

    worker: int
    incarnation: str
    sequence: int


class Envelope(NamedTuple):
    """One event as it is stored. Times are microseconds since 1970, UTC; `payload` is None once erased."""

    position: int
    stream: str
    version: int
    type: str
    schema: int
    time: int
    actor: str
    command: int  # position of the first event its command led to; 0: the engine acted by itself
    cause: int  # position of the event that led to this one; 0: none
    header: bytes
    digest: bytes
    hash: bytes
    payload: bytes | None


class Header(NamedTuple):
    """What the header bytes say: the columns beside them, and two facts that have no column."""

    position: int
    stream: str
    version: int
    type: str
    schema: int
    time: int
    actor: str
    command: int
    cause: int
    epoch: int
    mark: Mark | None


def read_header(header: bytes) -> Header:
    """Take header bytes apart again."""
    return Header._make(orjson.loads(header))._replace(mark=read_mark(header))


def read_mark(header: bytes) -> Mark | None:
    """The mark in header bytes."""
    mark = orjson.loads(header)[-1]
    return None if mark is None else Mark(*mark)


def json_bytes(content: Any) -> bytes:
    """As JSON, in no more memory than it needs: what orjson gives away sits in a page of its own, and a turn of ten
    thousand tasks keeps twice as many of these."""
    return b"%b" % orjson.dumps(content)


def seal(
    previous: bytes,
    *,
    position: int,
    stream: str,
    version: int,
    type: str,
    schema: int,
    time: int,
    actor: str,
    command: int,
    cause: int,
    epoch: int,
    mark: Mark | None,
    payload: bytes,
) -> Envelope:
    """Give an event its place in the chain, behind the one whose hash is `previous`."""
    latest = None if mark is None else tuple(mark)  # orjson refuses subclasses of tuple
    header = json_bytes((position, stream, version, type, schema, time, actor, command, cause, epoch, latest))
    digest = sha256(payload).digest()
    link = sha256(previous + header + digest).digest()
    return Envelope(position, stream, version, type, schema, time, actor, command, cause, header, digest, link, payload)


_LENGTHS: Final = struct.Struct(">II")
_ERASED: Final = 2**32 - 1


def is_chained(previous: bytes, envelope: Envelope) -> bool:
    """Whether it was written right behind the event with that hash."""
    return sha256(previous + envelope.header + envelope.digest).digest() == envelope.hash


def pack(envelopes: Iterable[Envelope]) -> bytes:
    """Events as one message: for each its lengths, its hash, its header and its payload."""
    parts: list[bytes] = []
    for one in envelopes:
        size = _ERASED if one.payload is None else len(one.payload)
        parts += (_LENGTHS.pack(len(one.header), size), one.digest, one.hash, one.header, one.payload or b"")
    return b"".join(parts)


def unpack(message: bytes) -> list[Envelope]:
    """The events in a message that `pack` made; Malformed when it is none."""
    found: list[Envelope] = []
    at = 0
    try:
        while at < len(message):
            header_size, size = _LENGTHS.unpack_from(message, at)
            at += _LENGTHS.size
            digest, link = message[at : at + 32], message[at + 32 : at + 64]
            at += 64
            header = message[at : at + header_size]
            at += header_size
            payload = None if size == _ERASED else message[at : at + size]
            at += len(payload or b"")
            if payload is not None and len(payload) != size:
                raise ValueError("it is cut off")
            fields = orjson.loads(header)
            found.append(Envelope._make((*fields[:9], header, digest, link, payload)))
    except (struct.error, ValueError, TypeError) as error:
        raise Malformed(f"a message of events cannot be read: {error}") from error
    return found


class Answer(NamedTuple):
    """What a command was answered, kept with the append for ever: the same command again gets the same answer."""

    id: str
    first: int  # positions of the events it led to; 0, 0 when it changed nothing
    last: int
    answer: bytes


class Erasure(NamedTuple):
    """The payload at `position` is emptied because the event at `by` says so."""

    position: int
    by: int


class Append(NamedTuple):
    """What one turn writes, all of it or nothing: one transaction."""

    epoch: int
    events: list[Envelope]
    answers: list[Answer]
    erasures: list[Erasure]


class Head(NamedTuple):
    """Where the log ends."""

    position: int
    hash: bytes


class Lease(NamedTuple):
    """The right to append: what an engine got when it became the one that does."""

    epoch: int
    head: Head
