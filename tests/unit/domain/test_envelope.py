"""The bytes that are kept for ever: a change of any of these expectations is a change of history."""

from __future__ import annotations

from hashlib import sha256
from typing import Any

import pytest

from scitq.domain.envelope import GENESIS, Envelope, Header, Mark, read_header, seal

CIRCUMSTANCES: dict[str, Any] = {
    "position": 7,
    "stream": "task-3",
    "version": 2,
    "type": "task-paused",
    "schema": 1,
    "time": 1_800_000_000_000_000,
    "actor": "user:ada",
    "command": 6,
    "cause": 5,
    "epoch": 4,
    "mark": None,
    "payload": b'{"task":3}',
}


def sealed(previous: bytes = GENESIS, **changes: Any) -> Envelope:
    return seal(previous, **(CIRCUMSTANCES | changes))


def test_the_header_is_written_in_one_form_for_ever() -> None:
    assert sealed().header == b'[7,"task-3",2,"task-paused",1,1800000000000000,"user:ada",6,5,4,null]'
    with_mark = sealed(mark=Mark(2, "spool", 9)).header
    assert with_mark == b'[7,"task-3",2,"task-paused",1,1800000000000000,"user:ada",6,5,4,[2,"spool",9]]'


def test_the_hash_chains_the_header_and_the_content_to_all_before() -> None:
    one = sealed(b"p" * 32)
    assert one.digest == sha256(b'{"task":3}').digest()
    assert one.hash == sha256(b"p" * 32 + one.header + one.digest).digest()


def test_the_very_same_bytes_come_of_the_very_same_event() -> None:
    assert sealed().hash.hex() == "2ccc62513c7f4de834fa30fa829c10952b6f9eadbc19e61667422a61222f2376"


@pytest.mark.parametrize(
    ("field", "other"),
    [
        ("position", 8), ("stream", "task-4"), ("version", 3), ("type", "task-resumed"), ("schema", 2),
        ("time", 1), ("actor", "user:eve"), ("command", 7), ("cause", 6), ("epoch", 5), ("mark", Mark(1, "s", 1)),
        ("payload", b'{"task":4}'),
    ],
)  # fmt: skip
def test_the_hash_knows_every_circumstance(field: str, other: Any) -> None:
    assert sealed(**{field: other}).hash != sealed().hash


def test_an_erased_content_leaves_the_hash_as_it_was() -> None:
    one = sealed()
    emptied = one._replace(payload=None)
    assert sha256(GENESIS + emptied.header + emptied.digest).digest() == one.hash


@pytest.mark.parametrize("mark", [None, Mark(2, "spool", 9), Mark(2, 'sp"oöl,]', 2**53)])
def test_a_header_is_read_as_it_was_written(mark: Mark | None) -> None:
    actor = 'user:"ö\n'
    header = read_header(sealed(mark=mark, actor=actor).header)
    assert header == Header(7, "task-3", 2, "task-paused", 1, 1_800_000_000_000_000, actor, 6, 5, 4, mark)
    assert header.mark is None or isinstance(header.mark, Mark)
