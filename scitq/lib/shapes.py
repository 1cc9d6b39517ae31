"""Answers as programs get them: dates are dates, and things are dicts or objects, as the server was asked for."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from functools import lru_cache
from types import SimpleNamespace
from typing import Any, Final, Literal

import orjson

from scitq.errors import Malformed
from scitq.lib.things import Row, Rows

Style = Literal["dict", "object"]
STYLES: Final = ("dict", "object")


def shaped(content: Any, style: Style, thing: type[Any] = SimpleNamespace) -> Any:
    """JSON, made what `style` says, all the way down; objects are `thing`s, and what is in these has no class.

    What is given is changed: nobody else has it.
    """
    kind = type(content)
    if kind is list:
        for index, item in enumerate(content):
            if type(item) is dict or type(item) is list:
                content[index] = shaped(item, style, thing)
    elif kind is dict:
        for name in _dates(tuple(content)):
            if isinstance(content[name], str):
                content[name] = _date(content[name])
        for name, value in content.items():
            if type(value) is dict or (type(value) is list and value):
                content[name] = shaped(value, style)
        return content if style == "dict" else thing(**content)
    return content


def answer_of(content: Any, style: Style, thing: type[Any]) -> Any:
    """A whole answer, `shaped`; where it is known what it is about, a notebook can show it."""
    made = shaped(content, style, thing)
    if thing is SimpleNamespace:
        return made
    if type(made) is list:
        return Rows(made, thing.__name__)
    return Row(made, thing.__name__) if type(made) is dict else made


@lru_cache(1_000)
def _dates(names: tuple[str, ...]) -> tuple[str, ...]:
    """Of these keys, those of dates: rows of one list have the same keys, and there may be a million of them."""
    return tuple(name for name in names if "_date" in name)


def _date(text: str) -> datetime | str:
    try:
        return datetime.fromisoformat(text)
    except ValueError:  # a key that is called so by somebody else
        return text


def encoded(body: Any) -> bytes:
    """What is sent, as JSON."""
    try:
        return orjson.dumps(body)
    except TypeError as error:  # half a character, a number of 40 digits, an object of somebody's own
        raise Malformed(f"that cannot be sent: {str(error)[:200]}") from error


def given(**fields: Any) -> dict[str, Any]:
    """What was given: None means that nothing is said about a field."""
    return {name: value for name, value in fields.items() if value is not None}


def joined(uris: object) -> str | None:
    """One or many URIs, or things that are written as one, as the text that a server takes."""
    if uris is None or isinstance(uris, str):
        return uris
    if isinstance(uris, (list, tuple)):
        return " ".join(str(uri) for uri in uris)
    return str(uris)


def id_of(thing: Any, name: str = "task_id") -> int:
    """An id, or that of a task as the library gives it."""
    if isinstance(thing, Mapping):
        thing = thing[name]
    return int(getattr(thing, name, thing))
