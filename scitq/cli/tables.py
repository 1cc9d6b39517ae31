"""Rows for whoever reads them: a table in a terminal, aligned columns in a pipe, JSON for programs."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Final

import orjson
import typer

from scitq.cli.texts import clean

CELL_CHARS: Final = 50
TEXT_CHARS: Final = 20
GAP: Final = 2
TEXTS: Final = frozenset({"command", "name", "batch", "workers", "blocked_by", "output", "error", "stopped"})
"""What may be cut to any length in a terminal."""
FIRST_TO_GO: Final = ("modification_date", "creation_date", "status_date")
DATE: Final = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(\.\d+)?")

AsJson = Annotated[bool, typer.Option("--json", help="JSON, with everything the server says.")]
NoHeaders = Annotated[bool, typer.Option("-H", "--no-header", help="Without the line of headings.")]
Long = Annotated[bool, typer.Option("-L", "--long", help="All columns, and nothing cut off.")]

Rows = Sequence[Mapping[str, Any]]


def show(
    rows: Rows,
    columns: Sequence[str],
    *,
    json: bool = False,
    header: bool = True,
    long: bool = False,
) -> None:
    """Print rows. `columns` are the keys that people are shown; JSON has them all."""
    if json:
        dump(rows)
        return
    cells = [[cell(row.get(column), long) for column in columns] for row in rows]
    right = [_is_number(rows, column) for column in columns]
    if sys.stdout.isatty():
        _table(cells, columns, right, header, long)
    else:
        _lines(cells, columns, right, header)


def dump(content: Any) -> None:
    """JSON, as the server gives it."""
    sys.stdout.flush()
    sys.stdout.buffer.write(orjson.dumps(content, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))


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
    widths = [max((len(line[index]) for line in lines), default=0) for index in range(len(columns))]
    for line in lines:
        aligned = (
            text.rjust(width) if to_right else text.ljust(width)
            for text, width, to_right in zip(line, widths, right, strict=True)
        )
        print("  ".join(aligned).rstrip())


def _table(cells: list[list[str]], columns: Sequence[str], right: list[bool], header: bool, long: bool) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(highlight=False)
    chosen = range(len(columns)) if long else _that_fit(cells, columns, console.width)
    grid = Table(box=None, pad_edge=False, header_style="bold", show_header=header, padding=(0, GAP, 0, 0))
    for index in chosen:
        grid.add_column(
            columns[index],
            justify="right" if right[index] else "left",
            no_wrap=not long,
            overflow="fold" if long else "ellipsis",
            min_width=None if long or columns[index] in TEXTS else _width(cells, columns, index),
        )
    for line in cells:
        grid.add_row(*(Text(_short(line[index]), style=STYLES.get(line[index], "")) for index in chosen))
    console.print(grid)


def _that_fit(cells: list[list[str]], columns: Sequence[str], room: int) -> list[int]:
    """Which columns are shown: where there is no room for all, those go first that say the least, then the last."""
    widths = [
        min(_width(cells, columns, one), TEXT_CHARS if columns[one] in TEXTS else room) for one in range(len(columns))
    ]
    chosen = list(range(len(columns)))
    to_go = [columns.index(name) for name in FIRST_TO_GO if name in columns]
    to_go += [one for one in reversed(chosen[1:]) if one not in to_go]
    for one in to_go:
        if sum(widths[each] + GAP for each in chosen) > room:
            chosen.remove(one)
    return chosen


def _width(cells: list[list[str]], columns: Sequence[str], index: int) -> int:
    return max(len(columns[index]), *(len(_short(line[index])) for line in cells), 0)


def _short(text: str) -> str:
    """Dates to the second: for people."""
    return text[:19] if DATE.fullmatch(text) else text


STYLES: Final = {
    "succeeded": "green",
    "failed": "red",
    "running": "cyan",
    "paused": "yellow",
    "offline": "yellow",
    "lost": "red",
}
"""Colours for words that say how something stands."""
