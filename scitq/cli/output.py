"""What executions print, on our own output: as it was for programs, fit for a terminal for people; live if asked."""

from __future__ import annotations

import codecs
import queue
import sys
from collections.abc import Iterable, Iterator, Mapping
from threading import Thread
from typing import TYPE_CHECKING, Any, Final, Literal, TextIO

from scitq.cli.texts import KEPT, clean

if TYPE_CHECKING:
    from scitq.lib import Server

Stream = Literal["stdout", "stderr"]
BOTH: Final[tuple[Stream, ...]] = ("stdout", "stderr")
SHOWABLE: Final = frozenset({"running", "succeeded", "failed", "cancelled", "refused", "lost"})
SIGNALLED: Final = 128


def show(server: Server[Any], execution: int, streams: Iterable[Stream] = BOTH, follow: bool = False) -> None:
    """Copy what an execution printed: its output to ours, its errors to our errors. `follow`: until it has ended."""
    copies = [_Copy(server, execution, stream, follow) for stream in streams]
    for copy in copies:
        copy.start()
    for copy in copies:
        copy.join()
        if copy.error is not None:
            raise copy.error


def follow_task(server: Server[Any], task: int, streams: Iterable[Stream] = BOTH, live: bool = True) -> str:
    """Show every attempt at a task, as it goes on, until the task has ended: how it stands then."""
    shower = _Shower(server, tuple(streams))
    seen: set[int] = set()

    def look(statuses: Mapping[int, str]) -> None:
        for one in server.executions(task_id=task, no_output=True):
            if one["status"] in SHOWABLE and one["execution_id"] not in seen:
                seen.add(one["execution_id"])
                shower.waiting.put(one["execution_id"])

    shower.start()
    status = server.wait([task], on_progress=look if live else None)[task]
    if status != "deleted":
        look({})
    shower.waiting.put(None)
    shower.join()
    if shower.error is not None:
        raise shower.error
    return status


def exit_code(server: Server[Any], task: int, status: str) -> int:
    """What a shell would say of the command: 0, its return code, 128 + the signal that ended it, or 1."""
    if status == "succeeded":
        return 0
    latest = server.executions(task_id=task, latest=True, no_output=True) if status == "failed" else []
    code = latest[0]["return_code"] if latest else None
    if not isinstance(code, int) or code == 0:
        return 1
    return min(SIGNALLED - code, 255) if code < 0 else min(code, 255)


class _Copy(Thread):
    """One stream of one execution, on its way to ours."""

    def __init__(self, server: Server[Any], execution: int, stream: Stream, follow: bool) -> None:
        super().__init__(daemon=True)
        self._pieces = server.output(execution, stream, follow)
        self._out = sys.stdout if stream == "stdout" else sys.stderr
        self.error: BaseException | None = None

    def run(self) -> None:
        try:
            copy(self._pieces, self._out)
        except BaseException as error:  # raised again by whoever joins us
            self.error = error


class _Shower(Thread):
    """Shows one execution after the other."""

    def __init__(self, server: Server[Any], streams: tuple[Stream, ...]) -> None:
        super().__init__(daemon=True)
        self._server, self._streams = server, streams
        self.waiting: queue.SimpleQueue[int | None] = queue.SimpleQueue()
        self.error: BaseException | None = None

    def run(self) -> None:
        try:
            while (execution := self.waiting.get()) is not None:
                show(self._server, execution, self._streams, follow=True)
        except BaseException as error:  # raised again by whoever joins us
            self.error = error


def copy(pieces: Iterator[bytes], out: TextIO) -> None:
    """Bytes as they are; in a terminal, text that cannot steer it."""
    out.flush()
    if not out.isatty():
        for piece in pieces:
            out.buffer.write(piece)
            out.buffer.flush()
        return
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    for piece in pieces:
        out.write(clean(decoder.decode(piece).replace("\r\n", "\n").replace("\r", "\n"), KEPT))
        out.flush()
    out.write(clean(decoder.decode(b"", True), KEPT))
    out.flush()
