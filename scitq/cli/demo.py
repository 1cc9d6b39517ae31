"""make demo: everything that there is to see, on this machine, in a folder that is gone afterwards.

It types the commands that a user would type, and shows each of them. It ends with 0 when all ended as it should. In a
terminal it stays, for the page to be looked at, until Ctrl-C.
"""

from __future__ import annotations

import os
import queue
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from threading import Thread
from typing import Any, Final, NamedTuple

from scitq.cli.program import say
from scitq.cli.texts import KEPT, clean
from scitq.errors import Rejected, ScitqError

START_S: Final = 30.0
TASKS_S: Final = 60.0
STOP_S: Final = 15.0
PROGRAMS: Final = {"scitq": "main", "scitq-launch": "launch", "scitq-manage": "manage"}
READY: Final = re.compile(r"(http://(\S+?:\d+)/ui/#token=\S+)")


class Wish(NamedTuple):
    """A task, and how it should end."""

    words: tuple[str, ...]
    status: str
    attempts: int
    prints: str


class Demo:
    """A server with a worker, and a shell whose commands speak to it."""

    def __init__(self, folder: Path) -> None:
        kept = {name: text for name, text in os.environ.items() if not name.startswith("SCITQ_")}
        own = {"XDG_CONFIG_HOME": "config", "SCITQ_DATA": "data", "BASE_WORKDIR": "work"}
        self.environ = kept | {name: str(folder / under) for name, under in own.items()}
        self._flag = folder / "been-here"
        self._log = folder / "log"

    @contextmanager
    def server(self) -> Iterator[str]:
        """`scitq up`, as long as it is needed; the address of its page."""
        words = ("scitq", "up", "--port", "0", "--concurrency", "2", "--name", "demo")
        print(f"$ {shlex.join(words)}", flush=True)
        with self._log.open("wb") as log:
            process = subprocess.Popen(
                self._command(words), env=self.environ, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log,
                start_new_session=True, text=True,
            )  # fmt: skip
        try:
            address, place = self._ready(process)
            # For this process too, which looks at what the commands do.
            self.environ |= {"SCITQ_SERVER": place}
            os.environ.update({name: self.environ[name] for name in ("XDG_CONFIG_HOME", "SCITQ_SERVER")})
            yield address
        finally:
            _stop(process)

    def run(self, *words: str) -> str:
        """Type a command: it is shown, with what it prints. It may fail: that is for whoever looks at it."""
        print(f"\n$ {shlex.join(words)}", flush=True)
        done = subprocess.run(
            self._command(words), env=self.environ, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, errors="replace", timeout=TASKS_S, check=False,
        )  # fmt: skip
        print(clean(done.stdout, KEPT), end="", flush=True)
        return done.stdout

    def launch(self, wish: Wish, after: int | None = None) -> int:
        """Queue a task with scitq-launch; its id."""
        needs = () if after is None else ("-R", str(after))
        said = self.run("scitq-launch", *needs, *wish.words)
        found = re.search(r"Task queued with task id: (\d+)", said)
        if found is None:
            raise Rejected("the task was not queued")
        return int(found[1])

    def play(self) -> bool:
        """Some tasks, from their submission to their end; whether each ended as it should."""
        from scitq.lib import Server

        hello = Wish(("-n", "hello", "echo", "Hello world!"), "succeeded", 1, "Hello world!\n")
        fails = Wish(("-n", "fails", "sh", "-c", 'echo "This cannot work." >&2; exit 3'), "failed", 1, "")
        script = f'mkdir {shlex.quote(str(self._flag))} 2>&- && echo "Not yet." && exit 1; echo "Better now."'
        again = Wish(("-n", "again", "--retry", "1", "sh", "-c", script), "succeeded", 2, "Better now.\n")
        first = Wish(
            ("-n", "first", "sh", "-c", 'sleep 2; echo "I am the first."'), "succeeded", 1, "I am the first.\n"
        )
        left = Wish(("-n", "left", "echo", "I came after it."), "succeeded", 1, "I came after it.\n")
        right = Wish(("-n", "right", "echo", "So did I."), "succeeded", 1, "So did I.\n")
        wishes = {self.launch(wish): wish for wish in (hello, fails, again)}
        needed = self.launch(first)
        wishes |= {needed: first, **{self.launch(wish, needed): wish for wish in (left, right)}}
        print("\nThey end, one after the other:", flush=True)
        with Server() as server:
            names = {task: wish.words[1] for task, wish in wishes.items()}
            server.wait(wishes, timeout=TASKS_S, on_progress=_Told(names).tell)
            for task in wishes:
                self.run("scitq-manage", "task", "output", "-i", str(task))
            self.run("scitq-manage", "task", "list")
            self.run("scitq-manage", "worker", "list")
            wrong = [text for task, wish in wishes.items() for text in _wrong(server, task, wish)]
            wrong += _too_early(server, needed, [task for task, wish in wishes.items() if wish in (left, right)])
        for text in wrong:
            say("demo", text)
        return not wrong

    def _command(self, words: tuple[str, ...]) -> list[str]:
        return [sys.executable, "-m", f"scitq.cli.{PROGRAMS[words[0]]}", *words[1:]]

    def _ready(self, process: subprocess.Popen[str]) -> tuple[str, str]:
        """Where the page is, and the server, once it has said so."""
        lines: queue.SimpleQueue[str] = queue.SimpleQueue()

        def read() -> None:
            assert process.stdout is not None
            for line in process.stdout:  # to its end, so that the server can always write
                lines.put(line)
            lines.put("")

        Thread(target=read, daemon=True).start()
        end = time.monotonic() + START_S
        try:
            while line := lines.get(timeout=max(0.0, end - time.monotonic())):
                print(line, end="", flush=True)
                if found := READY.search(line):
                    return found[1], found[2]
        except queue.Empty:
            pass
        raise Rejected(f"the server did not start: {self._log.read_text(errors='replace')[-2_000:]}")


class _Told:
    """Says each change of status once."""

    def __init__(self, names: Mapping[int, str]) -> None:
        self._names = names
        self._known: dict[int, str] = {}

    def tell(self, statuses: Mapping[int, str]) -> None:
        for task, status in statuses.items():
            if self._known.get(task) != status:
                self._known[task] = status
                print(f"  task {task} ({self._names[task]}) is {status}", flush=True)


def _wrong(server: Any, task: int, wish: Wish) -> Iterator[str]:
    row = server.task_get(task)
    executions = server.executions(task_id=task)
    prints = executions[-1]["output"] if executions else None
    for what, wanted, found in (
        ("status", wish.status, row["status"]),
        ("number of attempts", wish.attempts, row["attempts"]),
        ("output", wish.prints, prints),
    ):
        if wanted != found:
            yield f"the {what} of task {task} should be {wanted!r}, and is {found!r}"


def _too_early(server: Any, needed: int, others: list[int]) -> list[str]:
    ended = server.executions(task_id=needed)[-1]["ended_date"]
    begun = {task: server.executions(task_id=task)[0]["started_date"] for task in others}
    return [f"task {task} began before task {needed} had ended" for task, time in begun.items() if time < ended]


def _stop(process: subprocess.Popen[str]) -> None:
    """As Ctrl-C does: the worker ends its tasks, and the server follows."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL):
        if process.poll() is None:
            process.send_signal(number)
        try:
            process.wait(STOP_S)
            return
        except subprocess.TimeoutExpired:
            say("demo", f"the server takes longer than {STOP_S:g} s to end")


def main() -> int:
    folder = Path(tempfile.mkdtemp(prefix="scitq-demo-"))
    demo = Demo(folder)
    try:
        with demo.server() as page:
            good = demo.play()
            print(f"\nLook at it: {page}", flush=True)
            if sys.stdin.isatty():
                print("It stays until Ctrl-C.", flush=True)
                signal.pause()
    except KeyboardInterrupt:
        return 0
    except (ScitqError, OSError, subprocess.TimeoutExpired) as error:
        say("demo", str(error))
        return 1
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
