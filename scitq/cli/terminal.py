"""Tables for people: as wide as their terminal, in colours if they like, and through a pager when they are long."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, Final, Literal

import typer
from typer.core import TyperGroup

from scitq.cli.texts import cells as cells_of
from scitq.cli.texts import middle

GAP: Final = 2
TEXT_CHARS: Final = 20
"""What may be cut is given at least so much, and what is left over."""
Colour = Literal["auto", "always", "never"]
ColourOption = Annotated[
    Colour, typer.Option("--color", help="Colours: in a terminal (also NO_COLOR is heeded), always, or never.")
]
NoPager = Annotated[bool, typer.Option("--no-pager", help="Long lists as they are, and not through $PAGER.")]


class Anywhere(TyperGroup):
    """A program whose --color and --no-pager may stand wherever one thinks of them."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        return super().parse_args(ctx, to_the_front(args))


def to_the_front(args: list[str]) -> list[str]:
    """Those two before all other words, but for what is behind `--`."""
    front: list[str] = []
    rest: list[str] = []
    words = iter(args)
    for word in words:
        if word == "--":
            return [*front, *rest, word, *words]
        if word == "--no-pager" or word.startswith("--color="):
            front.append(word)
        elif word == "--color":
            front += [word, *([value] if (value := next(words, None)) is not None else [])]
        else:
            rest.append(word)
    return [*front, *rest]


def choose(colour: Colour, no_pager: bool) -> None:
    """Heed what was wished for, in the variables that everything which draws heeds."""
    if colour == "never":
        os.environ["NO_COLOR"] = "1"
    elif colour == "always":
        os.environ.pop("NO_COLOR", None)
        os.environ["FORCE_COLOR"] = "1"
    if no_pager:
        os.environ["PAGER"] = ""


def table(
    cells: Sequence[Sequence[str]],
    columns: Sequence[str],
    right: Sequence[bool],
    *,
    header: bool,
    long: bool,
    texts: frozenset[str],
    first_to_go: Sequence[str],
    styles: Mapping[str, str],
) -> None:
    """Rows in a terminal. `texts`: columns that may be cut; `first_to_go`: those for which there is room last."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(highlight=False)
    widths = [max(len(name), *(cells_of(line[at]) for line in cells), 0) for at, name in enumerate(columns)]
    if long:
        chosen = list(range(len(columns)))
    else:
        chosen, widths = fitted(widths, columns, console.width, texts, first_to_go)
    grid = Table(box=None, pad_edge=False, header_style="bold", show_header=header, padding=(0, GAP, 0, 0))
    for at in chosen:
        grid.add_column(
            columns[at],
            justify="right" if right[at] else "left",
            no_wrap=not long,
            overflow="fold" if long else "ellipsis",
            min_width=None if long else widths[at],
        )
    for line in cells:
        shown = ((line[at] if long else middle(line[at], widths[at]), styles.get(line[at], "")) for at in chosen)
        grid.add_row(*(Text(text, style=style) for text, style in shown))
    with console.capture() as captured:
        console.print(grid)
    paged(captured.get(), console.height)


def fitted(
    widths: Sequence[int], columns: Sequence[str], room: int, texts: frozenset[str], first_to_go: Sequence[str]
) -> tuple[list[int], list[int]]:
    """Which columns are shown, and how wide each is. Where there is no room for all, those go first that say the least,
    then the last; what room is left over is for the texts, so that the short ones are whole."""
    least = [min(width, TEXT_CHARS) if columns[at] in texts else width for at, width in enumerate(widths)]
    chosen = list(range(len(columns)))
    to_go = [columns.index(name) for name in first_to_go if name in columns]
    to_go += [one for one in reversed(chosen[1:]) if one not in to_go]
    for one in to_go:
        if sum(least[each] + GAP for each in chosen) - GAP > room:
            chosen.remove(one)
    over = room - sum(least[each] + GAP for each in chosen) + GAP
    given = list(least)
    hungry = sorted((at for at in chosen if widths[at] > least[at]), key=lambda at: widths[at])
    for number, at in enumerate(hungry):
        more = max(0, min(widths[at] - least[at], over // (len(hungry) - number)))
        given[at] += more
        over -= more
    return chosen, given


def ago(at: datetime) -> str:
    """A moment (UTC) as people say it."""
    from scitq.lib.progress import span

    seconds = (datetime.now(UTC).replace(tzinfo=None) - at.replace(tzinfo=None)).total_seconds()
    return f"{span(seconds)} ago" if seconds >= 1 else "now"


def paged(text: str, height: int) -> None:
    """Print it, through a pager if it is longer than the terminal."""
    pager = shlex.split(os.environ.get("PAGER", "less"))
    if not pager or not sys.stdout.isatty() or text.count("\n") < height:
        sys.stdout.write(text)
        return
    sys.stdout.flush()
    environ = {"LESS": "FRX", "LESSCHARSET": "utf-8"} | os.environ
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # it is for the pager
    try:
        with subprocess.Popen(pager, stdin=subprocess.PIPE, env=environ, text=True, encoding="utf-8") as process:
            process.communicate(text)
    except OSError:  # there is no such program
        sys.stdout.write(text)
    finally:
        signal.signal(signal.SIGINT, before)
