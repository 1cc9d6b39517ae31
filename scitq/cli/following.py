"""What tasks print while they print it: one as it is, several line by line under their names; every attempt at each."""

from __future__ import annotations

import sys
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from queue import SimpleQueue
from threading import Event, Lock, Thread
from typing import TYPE_CHECKING, Any, Final, TextIO

from scitq.cli.output import BOTH, SHOWABLE, Stream, copies
from scitq.cli.texts import cells, clean, left
from scitq.errors import Unreachable
from scitq.lib.progress import ENDED, coloured

if TYPE_CHECKING:
    from scitq.lib import Server

AT_ONCE: Final = 40
"""So many are shown at a time: each is two connections, of which a server gives 200 away."""
LOOK_S: Final = 0.3
AWAY_S: Final = 1.0
LINE_BYTES: Final = 64 * 1024
"""A longer line is shown in parts: what has no end does not fill our memory."""
KEPT: Final = "\t"
TITLE_CHARS: Final = 24
COLOURS: Final = tuple(f"\x1b[{number}m" for number in (36, 33, 32, 35, 34, 96, 93, 92, 95, 94))
RED, PLAIN = "\x1b[31m", "\x1b[0m"


def follow_task(server: Server[Any], task: int, streams: Iterable[Stream] = BOTH, lines: int | None = None) -> str:
    """Show every attempt at a task, as it goes on, until the task has ended: how it stands then."""
    return _Following(server, {task: ""}, tuple(streams), lines).run()[task]


def follow_tasks(
    server: Server[Any], tasks: Sequence[Mapping[str, Any]], streams: Iterable[Stream] = BOTH, lines: int | None = None
) -> dict[int, str]:
    """The same of several, as the server lists them. `lines`: so many at most of what each has printed before."""
    return _Following(server, _titles(tasks), tuple(streams), lines).run()


def show_all(
    server: Server[Any], tasks: Sequence[Mapping[str, Any]], streams: Iterable[Stream], lines: int | None
) -> None:
    """What the latest attempts at several tasks have printed so far, one after the other."""
    titles, writing = _titles(tasks), Lock()
    latest = server.executions(task_id=list(titles), latest=True, no_output=True)
    found = {row["task_id"]: row["execution_id"] for row in latest}
    for number, (task, text) in enumerate(titles.items()):
        if task in found:
            copies(server, found[task], streams, False, lines, _writer(text, number, writing))


def _titles(tasks: Sequence[Mapping[str, Any]]) -> dict[int, str]:
    """All of the same width."""
    titles = {int(row["task_id"]): title(row) for row in tasks}
    width = max(map(cells, titles.values()), default=0)
    return {task: left(text, width) for task, text in titles.items()}


def _writer(title: str, number: int, writing: Lock) -> Callable[[TextIO], Lines]:
    """Puts a title before each line; the number chooses its colour."""

    def prefix(out: TextIO) -> str:
        if not coloured(out):
            return f"{title} | "
        return f"{COLOURS[number % len(COLOURS)]}{title} {RED if out is sys.stderr else ''}|{PLAIN} "

    return lambda out: Lines(out, prefix(out), writing)


def title(row: Mapping[str, Any]) -> str:
    """What stands before each line of a task."""
    name = clean(str(row["name"] or ""))
    text = f"{row['task_id']} {name}".rstrip()
    return text if len(text) <= TITLE_CHARS else text[: TITLE_CHARS - 1] + "\N{HORIZONTAL ELLIPSIS}"


class _Following:
    """Three things go on beside each other: waiting for the tasks, looking for new attempts, and showing those."""

    def __init__(
        self, server: Server[Any], titles: Mapping[int, str], streams: tuple[Stream, ...], lines: int | None
    ) -> None:
        self._server, self._titles, self._streams, self._lines = server, titles, streams, lines
        self._alone = not any(titles.values())
        self._statuses: Mapping[int, str] = {}
        self._stirred, self._over = Event(), Event()
        self._found: dict[int, deque[int]] = {task: deque() for task in titles}  # attempts that are to be shown
        self._showing: set[int] = set()
        self._attempts = dict.fromkeys(titles, 0)
        self._told: set[int] = set()
        self._looked, self._newest, self._not_yet = False, 0, set[int]()  # executions
        self._lock, self._writing = Lock(), Lock()
        self._writers = {
            task: _writer(text, number, self._writing) for number, (task, text) in enumerate(titles.items()) if text
        }
        self._shows = ThreadPoolExecutor(AT_ONCE, "scitq-show")
        self._result: SimpleQueue[dict[int, str] | BaseException] = SimpleQueue()

    def run(self) -> dict[int, str]:
        """How each stands in the end. Whatever goes wrong in any thread, as a reader that has gone, ends it at once."""
        for part in (self._wait, self._look_on):
            Thread(target=self._guarded, args=(part,), daemon=True).start()
        try:
            result = self._result.get()
        finally:
            self._over.set()
            self._shows.shutdown(wait=False, cancel_futures=True)
        if isinstance(result, BaseException):
            raise result
        return result

    def _guarded(self, part: Any, *given: Any) -> None:
        try:
            part(*given)
        except BaseException as error:  # raised again by `run`
            self._result.put(error)

    def _wait(self) -> None:
        def moved(statuses: Mapping[int, str]) -> None:
            self._statuses = statuses
            self._stirred.set()

        self._statuses = self._server.wait(list(self._titles), on_progress=moved)
        self._over.set()
        self._stirred.set()

    def _look_on(self) -> None:
        while not self._over.is_set():
            self._stirred.wait()
            self._stirred.clear()
            self._look(dict(self._statuses))
            self._over.wait(LOOK_S)
        self._look(dict(self._statuses))
        self._shows.shutdown(wait=True)
        self._result.put(dict(self._statuses))

    def _look(self, statuses: dict[int, str]) -> None:
        """Find the attempts that began. `statuses`: how the tasks stood before."""
        asked = [task for task, status in statuses.items() if status != "deleted"]
        rows = self._executions(task_id=asked, after=self._newest) if asked else []
        if self._not_yet:
            rows += self._executions(execution_id=sorted(self._not_yet))
        if self._lines is not None and not self._newest:  # what is over is not gone through from its beginning
            rows = list({row["task_id"]: row for row in rows}.values())
        over: set[int] = set()
        if self._lines == 0 and not self._looked:  # from now on: what is over is neither shown nor told
            over = {task for task, status in statuses.items() if status in ENDED}
        self._told |= over
        self._looked = True
        self._newest = max([self._newest, *(row["execution_id"] for row in rows)])
        self._not_yet = {row["execution_id"] for row in rows if row["status"] in ("pending", "accepted")}
        for row in rows:
            if row["status"] in SHOWABLE and row["task_id"] not in over:
                self._add(row["task_id"], row["execution_id"])
        for task, status in statuses.items():
            if status in ENDED:
                self._settle(task)

    def _executions(self, **filters: Any) -> list[dict[str, Any]]:
        """While the server is away it is asked again, as long as it is waited for."""
        while True:
            try:
                return list(self._server.executions(**filters, no_output=True))
            except Unreachable:
                time.sleep(AWAY_S)

    def _add(self, task: int, execution: int) -> None:
        with self._lock:
            self._found[task].append(execution)
            if task in self._showing:
                return
            self._showing.add(task)
        self._shows.submit(self._guarded, self._show, task)

    def _show(self, task: int) -> None:
        """One attempt after the other."""
        while True:
            with self._lock:
                if not self._found[task]:
                    self._showing.discard(task)
                    break
                execution = self._found[task].popleft()
            self._attempts[task] += 1
            if self._attempts[task] > 1:
                self._say(task, f"attempt {self._attempts[task]} begins")
            copies(self._server, execution, self._streams, True, self._lines, self._writers.get(task))
        self._settle(task)

    def _settle(self, task: int) -> None:
        """Tell once how a task has ended: behind all that it printed."""
        status = self._statuses.get(task, "")
        with self._lock:
            if task in self._showing or task in self._told or status not in ENDED:
                return
            self._told.add(task)
        if not self._alone:
            self._say(task, f"it has {status}" if status != "deleted" else "it was deleted")

    def _say(self, task: int, text: str) -> None:
        with self._writing:
            what = f"task {task}" if self._alone else self._titles[task].rstrip()
            print(f"{what}: {text}", file=sys.stderr, flush=True)


class Lines:
    """Whole lines with something before each: bytes as they are, or, in a terminal, text that cannot steer it."""

    def __init__(self, out: TextIO, prefix: str, lock: Lock) -> None:
        self._out, self._prefix, self._lock = out, prefix, lock
        self._is_terminal = out.isatty()
        self._rest = b""

    def take(self, piece: bytes) -> None:
        *lines, rest = (self._rest + piece).split(b"\n")
        while len(rest) > LINE_BYTES:
            lines.append(rest[:LINE_BYTES])
            rest = rest[LINE_BYTES:]
        self._rest = rest
        self._write(lines)

    def end(self) -> None:
        """What has no end of line gets one."""
        if self._rest:
            self._write([self._rest])
            self._rest = b""

    def _write(self, lines: list[bytes]) -> None:
        if not lines:
            return
        with self._lock:
            if self._is_terminal:
                # What a terminal would have shown of a line that was drawn again and again.
                texts = (line.removesuffix(b"\r").rpartition(b"\r")[2].decode(errors="replace") for line in lines)
                self._out.write("".join(f"{self._prefix}{clean(text, KEPT)}\n" for text in texts))
            else:
                before = self._prefix.encode()
                self._out.buffer.write(b"".join(b"%b%b\n" % (before, line) for line in lines))
            self._out.flush()
