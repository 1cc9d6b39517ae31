"""A table that a service of the web answers with: fetched with tries and pauses, and looked at before it is believed.

What comes may be anything: a page that says sorry, half of a table, a line without end. Each is refused in a sentence.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from typing import Final
from urllib.parse import urlencode

from scitq.fetch.errors import FetchErrorNoRepeat, Unreachable
from scitq.fetch.http_request import request
from scitq.fetch.tries import PATIENT, Patience, persistently
from scitq.fetch.uri import URI
from scitq.fetch.watch import Cancellation

MOST_BYTES: Final = 512 << 20
"""Of a project with a million runs."""
LONGEST_LINE: Final = 1 << 20
_PIECE: Final = 1 << 18


def read(
    address: str, asked: Mapping[str, str], cancellation: Cancellation, patience: Patience = PATIENT
) -> tuple[str, URI]:
    """The text of the answer, and where it came from."""
    uri = _uri(address, asked)
    return persistently(lambda: _once(uri, cancellation, patience.stall_s), uri.shown, cancellation, patience), uri


def ask(
    address: str,
    asked: Mapping[str, str],
    needed: Sequence[str],
    cancellation: Cancellation,
    patience: Patience = PATIENT,
    separator: str = "\t",
) -> list[dict[str, str]]:
    """The rows of the table that is the answer, by the names of its columns; an answer without a word has none.

    Of one that breaks off, or lacks a column, nothing is believed: a project with half of its samples would look whole.
    """
    uri = _uri(address, asked)

    def once() -> list[dict[str, str]]:
        return _table(_once(uri, cancellation, patience.stall_s), uri, needed, separator)

    return persistently(once, uri.shown, cancellation, patience)


def _uri(address: str, asked: Mapping[str, str]) -> URI:
    return URI(f"{address}?{urlencode(asked)}")


def _table(text: str, uri: URI, needed: Sequence[str], separator: str) -> list[dict[str, str]]:
    if not text.strip():
        return []
    if text.lstrip()[:1] in ("<", "{", "["):  # services that are down say so in pages, and call that success
        raise Unreachable(f"{uri.shown} answers with no table, but with {_short(text)}")
    # Tables with tabs have no quotes around a field, and quotes in it are its own.
    try:
        if separator == "\t":
            rows = [line.split(separator) for line in text.split("\n") if line]
        else:
            rows = list(csv.reader(text.split("\n"), delimiter=separator, strict=True))
    except csv.Error as error:
        raise Unreachable(f"{uri.shown} answers with a table that cannot be read: {error}") from error
    names, *rest = [row for row in rows if row]
    if missing := [name for name in needed if name not in names]:
        raise FetchErrorNoRepeat(f"{uri.shown} answers without the column {missing[0]}: {_short(text)}")
    found = []
    for row in rest:
        if row == names:
            continue  # a table in pieces has its head again before each
        if len(row) != len(names):
            raise Unreachable(f"{uri.shown}: the table breaks off: a line has {len(row)} fields of {len(names)}")
        found.append(dict(zip(names, row, strict=True)))
    return found


def _once(uri: URI, cancellation: Cancellation, stall_s: float) -> str:
    pieces, total, line = [], 0, 0
    with request(uri, cancellation, stall_s) as response:
        while piece := response.read(_PIECE):
            cancellation.check()
            pieces.append(piece)
            total += len(piece)
            first = piece.find(b"\n")
            line = line + len(piece) if first < 0 else len(piece) - piece.rfind(b"\n") - 1
            if line > LONGEST_LINE:
                raise FetchErrorNoRepeat(f"{uri.shown} answers with a line of more than {LONGEST_LINE} bytes: no table")
            if total > MOST_BYTES:
                raise FetchErrorNoRepeat(f"{uri.shown} answers with more than {MOST_BYTES} bytes")
    try:
        return b"".join(pieces).decode().replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        raise Unreachable(f"{uri.shown} answers with what is no text") from error


def _short(text: str) -> str:
    words = " ".join(text[:400].split())
    return repr(words if len(words) <= 80 else words[:79] + "…")
