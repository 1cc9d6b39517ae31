"""Types what a page shows, terminal by terminal, and compares what comes with what the page says comes.

    <!-- typed: laptop 1, stays -->    the next block goes to that terminal; `stays`: it goes on until Ctrl-C;
                                       `until it is as shown`: somebody types it again and again
    <!-- file: laptop count.py -->     the next block is what somebody writes into that file there
    <!-- ctrl-c: laptop 1 -->          somebody presses it

A block of ```text after a typed one is its output: `…` stands for anything in a line, a line of `…` for any lines. What
somebody has to fill in, in capitals, is given as `filled` or taken from the output (`found`).
"""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, NamedTuple

from tests.services.scitq import Machine, Process
from tests.services.waiting import SOON_S, eventually

ROOT: Final = Path(__file__).resolve().parents[2]
PROGRAMS: Final = {"scitq": "main", "scitq-launch": "launch", "scitq-manage": "manage", "scitq-worker": "worker"}
_STEP = re.compile(
    r"<!-- (?P<kind>typed|file|ctrl-c): (?P<where>[^>]*?) -->\n"
    r"(?:```\w*\n(?P<block>.*?)^```\n)?(?:\s*```text\n(?P<output>.*?)^```\n)?",
    re.DOTALL | re.MULTILINE,
)


class Step(NamedTuple):
    """One thing that somebody does."""

    kind: str
    machine: str
    terminal: str  # or the name of a file
    how: str
    block: str
    output: str


def steps(page: str) -> Iterator[Step]:
    for found in _STEP.finditer(page):
        where, _, how = found["where"].partition(", ")
        machine, _, terminal = where.rpartition(" ")
        block, output = found["block"] or "", found["output"] or ""
        yield Step(found["kind"], machine, terminal, how, block, output)


def install(machine: Machine) -> None:
    """The programs as an installation has them, for a shell of that machine."""
    programs = machine.folder / "bin"
    programs.mkdir(exist_ok=True)
    commands = {name: f"-m scitq.cli.{module}" for name, module in PROGRAMS.items()} | {"python": ""}
    for name, words in commands.items():
        program = programs / name
        program.write_text(f'#!/bin/sh\nexec {sys.executable} {words} "$@"\n')
        program.chmod(0o755)
    machine.environ |= {"PATH": f"{programs}:{machine.environ['PATH']}", "PYTHONPATH": str(ROOT)}
    for name in ("SCITQ_DATA", "BASE_WORKDIR"):  # as nobody has set them who begins
        machine.environ.pop(name, None)


class Typist:
    """At the terminals of some machines. `enter` makes a command one that runs on a machine."""

    def __init__(self, machines: dict[str, Machine], enter: Callable[[str, list[str]], list[str]]) -> None:
        self._machines, self._enter = machines, enter
        self._staying: dict[tuple[str, str], Process] = {}
        self.filled: dict[str, str] = {}
        self.found: dict[str, str] = {}  # a word to be filled in → a pattern in whose group it is
        for machine in machines.values():
            install(machine)

    def follow(self, page: str) -> int:
        """Do all of it, in order; how many steps there were."""
        found = list(steps(page))
        for step in found:
            {"typed": self._type, "file": self._write, "ctrl-c": self._interrupt}[step.kind](step)
        return len(found)

    def close(self) -> None:
        for process in self._staying.values():
            process.end(signal.SIGINT)

    def _type(self, step: Step) -> None:
        machine = self._machines[step.machine]
        place = (step.machine, step.terminal)
        assert place not in self._staying, f"terminal {place} is taken: press Ctrl-C there before {step.block!r}"
        block = self._with_words(step.block)
        folder = machine.folder / "tutorial"
        there = f"cd {folder if folder.is_dir() else machine.folder}\n"
        if step.how == "stays":
            command = self._enter(step.machine, ["bash", "-c", f"{there}exec {block}"])
            log = machine.folder / f"terminal-{step.terminal}-{len(list(machine.folder.glob('terminal-*')))}.log"
            process = self._staying[place] = Process(command, machine.environ, log)
            eventually(lambda: _fits(step.output, process.said()) or not process.running(), f"{step}")
            said = process.said()
        else:
            said = self._said(step.machine, there + block)
            if step.how == "until it is as shown":
                deadline = time.monotonic() + SOON_S
                while not _fits(step.output, said) and time.monotonic() < deadline:
                    said = self._said(step.machine, there + block)
        assert not step.output or _fits(step.output, said), f"{step.block}shown:\n{step.output}said:\n{said}"
        for word, pattern in self.found.items():
            if found := re.search(pattern, said):
                self.filled[word] = found[1]

    def _said(self, machine: str, block: str) -> str:
        """What comes when that is typed into a shell, errors too."""
        done = subprocess.run(
            self._enter(machine, ["bash", "-c", block]), env=self._machines[machine].environ, text=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=120, check=False,
        )  # fmt: skip
        assert "Traceback" not in done.stdout, done.stdout
        return done.stdout

    def _write(self, step: Step) -> None:
        (self._machines[step.machine].folder / "tutorial" / step.terminal).write_text(step.block)

    def _interrupt(self, step: Step) -> None:
        process = self._staying.pop((step.machine, step.terminal))
        assert process.end(signal.SIGINT) in (0, 130), process.said()

    def _with_words(self, block: str) -> str:
        for word, text in self.filled.items():
            block = re.sub(rf"\b{word}\b", text, block)
        return block


def _fits(shown: str, said: str) -> bool:
    """Line by line, whatever the width of the columns."""
    pattern = ""
    for line in shown.splitlines():
        if line.strip() == "…":
            pattern += r"(?:[^\n]*\n)*?"
            continue
        words = [".*?".join(map(re.escape, word.split("…"))) for word in line.split()]
        between = r"[ \t]+".join(words).replace(r"[ \t]+.*?", ".*?").replace(r".*?[ \t]+", ".*?")
        pattern += rf"[ \t]*{between}[ \t]*\n"
    return re.fullmatch(pattern, said if said.endswith("\n") else f"{said}\n") is not None
