"""Files of settings: `KEY=value` lines, `#` comments on lines of their own, quotes where wanted."""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path
from typing import NamedTuple

from scitq.errors import Malformed

MAX_BYTES = 65_536
KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,99}")


class Line(NamedTuple):
    number: int
    value: str


class Contents(NamedTuple):
    lines: dict[str, Line]
    open_to_others: bool


def read(path: Path) -> Contents | None:
    """What a file says; nothing if there is no such file. PermissionError is the caller's to judge."""
    try:
        data, mode = _bytes(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except PermissionError:
        raise
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise Malformed(f"{str(path)!r} cannot be read as a file of settings: {reason}") from error
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise Malformed(f"{path} is not a text in UTF-8, so it is no file of settings") from error
    return Contents(_lines(path, text), bool(mode & stat.S_IROTH))


def _bytes(path: Path) -> tuple[bytes, int]:
    with open(path, "rb", opener=_without_waiting) as file:
        mode = os.fstat(file.fileno()).st_mode
        if not stat.S_ISREG(mode):
            raise ValueError("it is not a regular file")
        data = file.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise ValueError(f"it is longer than {MAX_BYTES} bytes")
    return data, mode


def _without_waiting(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK)  # a named pipe would hold us up


def _lines(path: Path, text: str) -> dict[str, Line]:
    """No sentence here shows a line: it may hold a password."""
    found: dict[str, Line] = {}
    for count, raw in enumerate(text.split("\n"), start=1):
        line = raw.strip(" \t\r")
        if not line or line.startswith("#"):
            continue
        where = f"{path} line {count}"
        key, equals, value = (part.strip(" \t") for part in line.partition("="))
        if not equals or not KEY.fullmatch(key):
            raise Malformed(f"{where} is not KEY=value; a comment begins with #")
        if key in found:
            raise Malformed(f"{where} sets {key} again; line {found[key].number} has set it already")
        found[key] = Line(count, _unquoted(where, value))
    return found


def _unquoted(where: str, value: str) -> str:
    if value[:1] in ("'", '"'):
        if len(value) < 2 or value.find(value[0], 1) != len(value) - 1:
            raise Malformed(f"{where} has a quote that does not end at the end of the line")
        return value[1:-1]
    if re.search(r"\s#", value):
        raise Malformed(f"{where} has a comment behind its value: give it a line of its own, or quote the value")
    return value
