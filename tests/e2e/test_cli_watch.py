"""scitq-manage watch in a real terminal: drawn, resized, steered, and there again after the server was restarted."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.services.scitq import Embedded, embedded
from tests.services.waiting import eventually

WATCH = [sys.executable, "-m", "scitq.cli.manage", "watch"]


class Tmux:
    """One terminal, with a socket of its own."""

    def __init__(self, folder: Path) -> None:
        self._command = ["tmux", "-S", str(folder / "tmux"), "-f", "/dev/null"]

    def run(self, *words: str) -> str:
        done = subprocess.run([*self._command, *words], capture_output=True, text=True, timeout=30, check=True)
        return done.stdout

    def screen(self) -> str:
        return self.run("capture-pane", "-p")

    def shows(self, *texts: str) -> None:
        eventually(lambda: all(text in self.screen() for text in texts), f"the terminal shows {texts}", 20)

    def press(self, *keys: str) -> None:
        self.run("send-keys", *keys)


@pytest.fixture
def system(tmp_path: Path) -> Iterator[Embedded]:
    if shutil.which("tmux") is None:
        pytest.skip("tmux is not installed")
    with embedded(tmp_path / "system") as system:
        yield system


def watching(system: Embedded, folder: Path) -> Tmux:
    """A terminal in which it runs; `pid` in the folder tells who it is, and the terminal with what it ended."""
    environ = {name: system.machine.environ[name] for name in ("HOME", "SCITQ_SERVER", "SCITQ_DATA")}
    line = shlex.join(["env", *(f"{name}={text}" for name, text in environ.items()), *WATCH])
    line = f"sh -c {shlex.quote(f'echo $$ > {folder}/pid; exec {line}')}; code=$?; stty -a; echo ended $code; cat"
    tmux = Tmux(folder)
    tmux.run("new-session", "-d", "-x", "80", "-y", "24", "-c", os.getcwd(), line)
    return tmux


def test_whoever_ends_it_from_elsewhere_gets_the_terminal_back(system: Embedded, tmp_path: Path) -> None:
    system.server()
    system.client()
    tmux = watching(system, tmp_path)
    try:
        tmux.shows("NEWEST FAILURES")
        os.kill(int((tmp_path / "pid").read_text()), signal.SIGTERM)
        tmux.shows("ended 143", " echo")
        assert "NEWEST" not in tmux.screen()
    finally:
        tmux.run("kill-server")


def test_it_is_drawn_resized_steered_and_survives_a_restart(system: Embedded, tmp_path: Path) -> None:
    server = system.server()
    client = system.client()
    client.tasks_create([{"command": "true", "name": f"s{number}", "batch": "samples"} for number in range(30)])
    tmux = watching(system, tmp_path)
    try:
        tmux.shows("BATCHES 1", "samples", "0/30", "no worker serves it", "NEWEST FAILURES")
        tmux.press("p")
        tmux.shows("paused")
        assert client.batches()[0]["stopped"]
        tmux.press("Enter")
        tmux.shows("TASKS OF samples", "s29", "pending")
        tmux.press("/", "s", "1", "7", "Enter")
        eventually(lambda: "s29" not in tmux.screen() and "s17" in tmux.screen(), "only what has these letters")
        tmux.run("resize-window", "-x", "60", "-y", "10")
        eventually(lambda: len(tmux.screen().rstrip("\n").split("\n")) == 10 and "q leave" in tmux.screen(), "it fits")
        tmux.press("Escape", "Escape")
        server.end()
        tmux.shows("reconnecting", "samples")
        system.server()
        eventually(client.ready, "the server is back")
        eventually(lambda: "reconnecting" not in tmux.screen(), "it is connected again")
        client.batch_go("samples")
        eventually(lambda: "paused" not in tmux.screen(), "it shows what happens now")
        tmux.press("q")
        tmux.shows("ended 0")
    finally:
        tmux.run("kill-server")
