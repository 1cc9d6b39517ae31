"""Rows for whoever reads them: a table in a terminal, aligned columns in a pipe, JSON for programs."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any, Final, Protocol

import orjson
import typer

from scitq.cli import texts
from scitq.cli.texts import clean

CELL_CHARS: Final = 50
TEXTS: Final = frozenset({"command", "name", "batch", "workers", "blocked_by", "output", "error", "stopped"})
"""What may be cut to any length in a terminal."""
FIRST_TO_GO: Final = ("modification_date", "creation_date", "status_date")

AsJson = Annotated[bool, typer.Option("--json", help="JSON, under a versioned schema: see docs/query.md.")]
AsLines = Annotated[bool, typer.Option("--ndjson", help="JSON, each row on a line of its own, as it comes.")]
NoHeaders = Annotated[bool, typer.Option("-H", "--no-header", help="Without the line of headings.")]
Long = Annotated[bool, typer.Option("-L", "--long", help="All columns, and nothing cut off.")]

Rows = Sequence[Mapping[str, Any]]


def show(
    found: Iterable[Mapping[str, Any]],
    columns: Sequence[str],
    *,
    json: bool = False,
    ndjson: bool = False,
    header: bool = True,
    long: bool = False,
    schema: str = "",
) -> None:
    """Print rows. `columns` are the keys that people are shown; JSON has them all."""
    if ndjson:
        lines(found, schema)
        return
    rows = found if isinstance(found, list) else list(found)
    if json:
        dump({"rows": rows}, schema)
        return
    right = [_is_number(rows, column) for column in columns]
    if sys.stdout.isatty():
        _for_people(rows, columns, right, header, long)
    else:
        _lines([[cell(row.get(column), long) for column in columns] for row in rows], columns, right, header)


def dump(content: Mapping[str, Any], schema: str) -> None:
    """JSON, as the server gives it, under the name and the version of its form."""
    sys.stdout.flush()
    named = {"schema": schema, **content}
    sys.stdout.buffer.write(orjson.dumps(named, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))


def lines(rows: Iterable[Mapping[str, Any]], schema: str) -> None:
    """Each row as JSON on a line of its own, as it comes: there may be a million."""
    sys.stdout.flush()
    for row in rows:
        sys.stdout.buffer.write(orjson.dumps({"schema": schema, **row}, option=orjson.OPT_APPEND_NEWLINE))


class Finding(Protocol):
    @property
    def good(self) -> bool: ...

    @property
    def text(self) -> str: ...


def found(findings: Sequence[Finding], json: bool) -> bool:
    """Print what was looked over: what is wrong goes to our errors. Whether all is well."""
    good = all(one.good for one in findings)
    if json:
        rows = [{"good": one.good, "text": one.text} for one in findings]
        dump({"good": good, "findings": rows}, "scitq.findings/1")
    else:
        for one in findings:
            print(one.text, file=sys.stdout if one.good else sys.stderr)
    return good


def cell(value: Any, long: bool) -> str:
    """A value in few words."""
    if value is None or value is False:
        return ""
    if value is True:
        return "X"
    text = clean(",".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value))
    return text if long or len(text) <= CELL_CHARS else text[: CELL_CHARS - 1] + "..."


def _is_number(rows: Rows, column: str) -> bool:
    values = [row.get(column) for row in rows]
    return all(value is None or (isinstance(value, (int, float)) and not isinstance(value, bool)) for value in values)


def _lines(cells: list[list[str]], columns: Sequence[str], right: list[bool], header: bool) -> None:
    lines = [list(columns), *cells] if header else cells
    widths = [max((texts.cells(line[index]) for line in lines), default=0) for index in range(len(columns))]
    coloured = _coloured()  # where somebody insists
    for line in lines:
        aligned = "  ".join(
            texts.right(text, width) if to_right else texts.left(text, width)
            for text, width, to_right in zip(line, widths, right, strict=True)
        ).rstrip()
        for word in {text for text in line if text in STYLES} if coloured else ():
            aligned = re.sub(rf"(?<!\S){word}(?!\S)", f"\x1b[{ANSI[STYLES[word]]}m{word}\x1b[0m", aligned)
        print(aligned)


def _for_people(rows: Rows, columns: Sequence[str], right: list[bool], header: bool, long: bool) -> None:
    from scitq.cli import terminal

    def text(value: Any) -> str:
        return terminal.ago(value) if isinstance(value, datetime) and not long else cell(value, long=True)

    cells = [[text(row.get(column)) for column in columns] for row in rows]
    terminal.table(cells, columns, right, header=header, long=long, texts=TEXTS, first_to_go=FIRST_TO_GO, styles=STYLES)


def _coloured() -> bool:
    from scitq.lib.progress import coloured

    return coloured(sys.stdout)


STYLES: Final = {
    "succeeded": "green",
    "failed": "red",
    "running": "cyan",
    "paused": "yellow",
    "offline": "yellow",
    "lost": "red",
}
"""Colours for words that say how something stands."""
ANSI: Final = {"green": 32, "red": 31, "cyan": 36, "yellow": 33}
