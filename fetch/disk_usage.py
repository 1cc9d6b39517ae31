"""ncdu: what takes the room, of a folder anywhere, as a file that the program ncdu shows."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import tempfile
import time
from collections.abc import Iterable, Iterator
from itertools import takewhile
from typing import Any

from scitq.fetch.backend import Item
from scitq.fetch.part import Part
from scitq.fetch.places import Place, place
from scitq.fetch.programs import missing
from scitq.fetch.tries import PATIENT, Patience
from scitq.fetch.verbs import list_content
from scitq.fetch.watch import Cancellation


def ncdu(
    uri: Place,
    output_file: str | os.PathLike[str] | None = None,
    *,
    cancellation: Cancellation | None = None,
    patience: Patience = PATIENT,
) -> str:
    """Write what is below a folder, with sizes, to a file for `ncdu -f`; its path is returned.

    Without `output_file` it is a new one in the folder for temporary files, and belongs to the caller.
    """
    top = place(uri)
    items = list_content(top, cancellation=cancellation, patience=patience)
    if output_file is None:
        path = os.path.join(tempfile.gettempdir(), f"scitq-ncdu-{secrets.token_hex(6)}.json")
    else:
        path = os.path.abspath(os.fspath(output_file))
    with Part(path) as part:
        part.mode = 0o600
        for text in _export(top.shown, items):
            part.write(memoryview(text.encode("utf-8", "surrogateescape")))
        part.land()
    return path


def _export(name: str, items: Iterable[Item]) -> Iterator[str]:
    """The form in which ncdu exports: a folder is a list, its own entry first."""
    about = {"progname": "scitq", "progver": "2", "timestamp": int(time.time())}
    yield f"[1,0,{_text(about)},[{_text({'name': name})}"
    inside: tuple[str, ...] = ()
    for words, item in sorted(((tuple(item.rel_name.split("/")), item) for item in items), key=lambda pair: pair[0]):
        folder, last = words[:-1], words[-1]  # the name of a folder ends with a slash, so that its last word is empty
        common = len(list(takewhile(lambda pair: pair[0] == pair[1], zip(inside, folder, strict=False))))
        yield "]" * (len(inside) - common)
        yield "".join(f",\n[{_text({'name': word})}" for word in folder[common:])
        inside = folder
        if last:
            yield f",\n{_text(_entry(last, item))}"
    yield "]" * (len(inside) + 2) + "\n"


def _entry(name: str, item: Item) -> dict[str, Any]:
    if item.type != "file":
        return {"name": name, "notreg": True}
    entry: dict[str, Any] = {"name": name, "asize": item.size or 0, "dsize": item.size or 0}
    if item.modification_date is not None:
        entry["mtime"] = int(item.modification_date.timestamp())
    return entry


def _text(value: dict[str, Any]) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def viewer() -> str:
    """The program that shows such a file."""
    program = shutil.which("ncdu")
    if program is None:
        raise missing("ncdu")
    return program
