"""What measurements find: rows, printed as they come, and written with date and machine to `bench/results/`.

A part that fails is a row that says so; the others keep theirs.
"""

from __future__ import annotations

import os
import platform
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import psutil

RESULTS: Final = Path(__file__).parent / "results"


class Findings:
    """One table. `code` is 1 once a part has failed; a bar that is missed is shown, and fails nothing."""

    def __init__(self, name: str, command: str, **versions: str) -> None:
        self.began = datetime.now(UTC)
        self.name, self.command, self.versions = name, command, versions
        self.load = os.getloadavg()[0]
        self.code = 0
        self._began = time.monotonic()
        self._rows: list[tuple[str, str, str]] = []

    def row(self, what: str, bar: str, seen: str, holds: bool = True) -> None:
        self._rows.append((what, bar, seen if holds else f"**{seen}**"))
        self.say(f"{what:84} {seen}" + (f"   (bar: {bar}{'' if holds else ', MISSED'})" if bar else ""))

    def say(self, words: str) -> None:
        print(f"[{time.monotonic() - self._began:6.0f} s] {words}", flush=True)

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """What fails here does not keep the other parts from being measured."""
        self.say(f"-- {name}")
        try:
            yield
        except Exception as error:
            traceback.print_exc()
            self.code = 1
            first = str(error).partition("\n")[0][:200].replace("|", "/")
            self.row(name, "", f"could not be measured: {type(error).__name__}: {first}", holds=False)

    def write(self) -> Path:
        """One file for a day and a name: a later run of the same day replaces it."""
        memory = psutil.virtual_memory().total / 2**30
        versions = "".join(f", {name} {version}" for name, version in self.versions.items())
        lines = [
            f"# {self.name.capitalize()}, {self.began:%Y-%m-%d}",
            "",
            f"{self.began:%H:%M} UTC, {os.cpu_count()} cores, {memory:.0f} GiB, load {self.load:.1f} at the beginning, "
            f"Python {platform.python_version()}{versions}; {self.command}, "
            f"{(time.monotonic() - self._began) / 60:.0f} minutes. In bold: a bar that was missed.",
            "",
            "| what | bar | seen |",
            "|---|---|---|",
            *(f"| {what} | {bar} | {seen} |" for what, bar, seen in self._rows),
            "",
        ]
        RESULTS.mkdir(exist_ok=True)
        file = RESULTS / f"{self.began:%Y-%m-%d}-{self.name}.md"
        file.write_text("\n".join(lines))
        self.say(f"written to {file}")
        return file
