"""A bar in the terminal: how much of how much, how fast, how long still. Where no terminal is, nothing is printed."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, TextColumn, TimeRemainingColumn, TransferSpeedColumn
from rich.progress import Progress as Bars

from scitq.fetch.watch import Progress

_NAME_WIDTH: Final = 30


@contextmanager
def bars(also: Callable[[Progress], object] | None) -> Iterator[Callable[[Progress], object]]:
    """A callback that moves the bar, and tells whoever else wants to know."""
    columns = (
        TextColumn("{task.fields[files]}", markup=False),
        BarColumn(),
        DownloadColumn(binary_units=True),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[file]}", markup=False),
    )
    console = Console(file=sys.stderr)
    with Bars(*columns, console=console, disable=not console.is_terminal, transient=False) as shown:
        bar = shown.add_task("", total=None, files="", file="")

        def tell(progress: Progress) -> None:
            files = "" if progress.total_files in (None, 1) else f"{progress.done_files}/{progress.total_files}"
            shown.update(
                bar,
                completed=progress.done_bytes,
                total=progress.total_bytes,
                files=files,
                file=_printable(progress.file),
            )
            if also is not None:
                also(progress)

        yield tell


def _printable(name: str) -> str:
    """Names come from anywhere: none of them may steer the terminal."""
    clean = "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in name)
    return clean if len(clean) <= _NAME_WIDTH else "…" + clean[1 - _NAME_WIDTH :]
