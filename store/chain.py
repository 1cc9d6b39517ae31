"""The chain of hashes: following it while appending, and proving a whole log.

    hash = SHA-256(previous hash ‖ header ‖ SHA-256(payload))

The chain proves that nothing before a known hash was changed. Whoever can rewrite the whole file can rewrite every
hash behind the change too: against that, a checkpoint is exported and kept somewhere else.
"""

from __future__ import annotations

import gc
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any, Final, NamedTuple

import orjson

from scitq.domain.envelope import GENESIS, Envelope, Head
from scitq.errors import Corrupt, Malformed, VersionConflict

EMPTY: Final = Head(0, GENESIS)
"""The head of a log without events."""

COLUMNS: Final = Envelope._fields[:9]
ERASES: Final = "payload-erased"


class Checkpoint(NamedTuple):
    """What the hash at a position was at some time, kept outside the database."""

    position: int
    hash: bytes
    time: str  # ISO 8601, when it was exported


def extend(head: Head, events: Iterable[Envelope]) -> Head:
    """The head after these events; refuses the first that does not follow the one before it."""
    position, link = head
    for event in events:
        position += 1
        if event.position != position:
            raise VersionConflict(f"event {event.position} does not follow position {position - 1}")
        if sha256(link + event.header + event.digest).digest() != event.hash:
            raise VersionConflict(f"event {position} is not chained to the hash of position {position - 1}")
        link = event.hash
    return Head(position, link)


def verify(envelopes: Iterable[Envelope], *, checkpoints: Sequence[Checkpoint] = (), start: Head = EMPTY) -> Head:
    """Prove every event from `start` to the end of the log, or raise Corrupt with the first that is not as written.

    An empty payload is found right only at the event that erased it, so the log has to be given to its end.
    """
    expected, previous = start
    last_epoch = last_time = 0
    versions: dict[str, int] = {}
    empty: set[int] = set()
    erased: dict[int, int] = {}
    marks: dict[int, set[bytes]] = {}
    for mark in checkpoints:
        marks.setdefault(mark.position, set()).add(mark.hash)
    whole = start == EMPTY
    _compare(marks, start)
    for event in envelopes:
        # Unpacked once, because this loop is what the proof of a long log costs.
        position, stream, version, kind, schema, time, actor, command, cause, header, digest, link, payload = event
        expected += 1
        if position != expected:
            raise Corrupt(expected, f"it is missing: position {position} comes behind {expected - 1}")
        if sha256(previous + header + digest).digest() != link:
            raise Corrupt(position, "its hash does not follow from the one before it, its header and its digest")
        if payload is None:
            empty.add(position)
        elif sha256(payload).digest() != digest:
            raise Corrupt(position, "its payload is not the one that was written")
        says = _header(header, position)
        if says[:9] != [position, stream, version, kind, schema, time, actor, command, cause]:
            raise Corrupt(position, f"its columns differ from its header: {_differing(says, event)}")
        if version != (versions.get(stream, 0) if whole else versions.get(stream, version - 1)) + 1:
            raise Corrupt(position, f"stream {stream} goes from version {versions.get(stream, 0)} to {version}")
        versions[stream] = version
        if time < last_time or says[9] < last_epoch:
            raise Corrupt(position, "its time or its epoch is before that of the event in front of it")
        last_time, last_epoch, previous = time, says[9], link
        if position in marks and marks[position] != {link}:
            raise Corrupt(position, "its hash is not the one it had before: the log was rewritten up to here")
        if kind == ERASES:
            erased.update(dict.fromkeys(_named(payload, position), position))
    head = Head(expected, previous)
    if marks and max(marks) > head.position:
        raise Corrupt(expected + 1, f"it is missing: the log once reached position {max(marks)}")
    _erasures(empty, erased, after=start.position)
    return head


@contextmanager
def in_bulk() -> Iterator[None]:
    """For reading a whole log: millions of tuples and not one cycle, through which the collector would only wade."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def _compare(marks: dict[int, set[bytes]], start: Head) -> None:
    if marks.get(start.position, {start.hash}) != {start.hash}:
        raise Corrupt(start.position, "its hash is not the one it had before")


def _header(header: bytes, position: int) -> list[Any]:
    try:
        says = orjson.loads(header)
    except orjson.JSONDecodeError as error:
        raise Corrupt(position, "its header cannot be read") from error
    if not isinstance(says, list) or len(says) != 11 or not isinstance(says[9], int):
        raise Corrupt(position, "its header is not one")
    return says


def _differing(says: list[Any], event: Envelope) -> str:
    return ", ".join(name for name, said, is_ in zip(COLUMNS, says, event, strict=False) if said != is_)


def _named(payload: bytes | None, position: int) -> list[int]:
    """The positions whose payload this event erased."""
    if payload is None:
        raise Corrupt(position, "it says what was erased, and is empty itself")
    try:
        positions = orjson.loads(payload)["positions"]
    except (orjson.JSONDecodeError, KeyError, TypeError) as error:
        raise Corrupt(position, "it does not say which payloads were erased") from error
    if not isinstance(positions, list) or not all(isinstance(named, int) for named in positions):
        raise Corrupt(position, "it does not say which payloads were erased")
    return positions


def _erasures(empty: set[int], erased: dict[int, int], *, after: int) -> None:
    for position in sorted(empty ^ {named for named in erased if named > after}):
        if position in empty:
            raise Corrupt(position, "its payload is missing, and no event says that it was erased")
        raise Corrupt(position, f"its payload is there, although event {erased[position]} says that it was erased")


def write_checkpoint(file: Path, checkpoint: Checkpoint) -> None:
    fields = {"position": checkpoint.position, "hash": checkpoint.hash.hex(), "time": checkpoint.time}
    file.write_bytes(orjson.dumps(fields, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))


def read_checkpoint(file: Path) -> Checkpoint:
    try:
        fields = orjson.loads(file.read_bytes())
        position, link, time = int(fields["position"]), bytes.fromhex(fields["hash"]), str(fields["time"])
    except (ValueError, KeyError, TypeError) as error:
        raise Malformed(f"{file} is not a checkpoint") from error
    if position < 0 or len(link) != 32:
        raise Malformed(f"{file} is not a checkpoint")
    return Checkpoint(position, link, time)
