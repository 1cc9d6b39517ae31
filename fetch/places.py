"""How a place is named where a URI is expected, and the names of scitq 1 for taking URIs apart."""

from __future__ import annotations

import os
from collections.abc import Iterable
from fnmatch import fnmatchcase

from scitq.fetch.errors import UnsupportedError
from scitq.fetch.uri import URI

Place = str | URI | os.PathLike[str]


def place(where: Place) -> URI:
    """A URI as it is; anything else is a path of this machine."""
    if isinstance(where, URI):
        return where
    name = os.fspath(where)
    return URI(name) if "://" in name else URI.of_file(name)


def included(rel_name: str, include: str | Iterable[str]) -> bool:
    """Whether one of the patterns is that of the whole name, or of its last word; no pattern means all."""
    patterns = [include] if isinstance(include, str) else list(include)
    base = rel_name.rpartition("/")[2]
    return not patterns or any(fnmatchcase(rel_name, pattern) or fnmatchcase(base, pattern) for pattern in patterns)


def no_actions(target: URI) -> None:
    if target.actions:
        raise UnsupportedError(f"{target.shown}: actions are for what is fetched, and only there")


def get_file_uri(uri: str | URI) -> str | None:
    """The local path that a URI stands for, if it is one of this machine."""
    where = URI(uri)
    return where.path if where.protocol == "file" else None


def pathjoin(*items: str) -> str:
    """Joined with one slash between each two; a protocol at the beginning keeps its own."""
    head, mark, first = items[0].partition("://") if items else ("", "", "")
    words = [first if mark else head, *items[1:]]
    joined = "/".join(word.strip("/") if number else word.rstrip("/") for number, word in enumerate(words) if word)
    end = "/" if words[-1].endswith("/") and not joined.endswith("/") else ""
    while "/./" in joined:
        joined = joined.replace("/./", "/")
    return (head + mark if mark else "") + joined + end
