"""What executions print, on our own output: as it was for programs, fit for a terminal for people; live if asked."""

from __future__ import annotations

import codecs
import sys
from collections.abc import Callable, Iterable, Iterator
from threading import Thread
from typing import TYPE_CHECKING, Any, Final, Literal, Protocol, TextIO

from scitq.cli.texts import KEPT, clean

if TYPE_CHECKING:
    from scitq.lib import Server

Stream = Literal["stdout", "stderr"]
BOTH: Final[tuple[Stream, ...]] = ("stdout", "stderr")
SHOWABLE: Final = frozenset({"running", "succeeded", "failed", "cancelled", "refused", "lost"})
SIGNALLED: Final = 128


def show(server: Server[Any], execution: int, streams: Iterable[Stream] = BOTH, lines: int | None = None) -> None:
    """Copy what an execution printed: its output to ours, its errors to our errors."""
    copies(server, execution, streams, lines=lines)


def copies(
    server: Server[Any],
    execution: int,
    streams: Iterable[Stream],
    follow: bool = False,
    lines: int | None = None,
    writer: Callable[[TextIO], Writer] | None = None,
) -> None:
    """`follow`: until it has ended; `lines`: so many at most of what is there; `writer`: what shows it."""
    threads = [_Copy(server, execution, stream, follow, lines, writer) for stream in streams]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
        if thread.error is not None:
            raise thread.error


def streams(output: bool, error: bool) -> tuple[Stream, ...]:
    """What -o and -e ask for: both when neither is given."""
    chosen: Iterable[tuple[Stream, bool]] = (("stdout", output or not error), ("stderr", error or not output))
    return tuple(stream for stream, wanted in chosen if wanted)


def exit_code(server: Server[Any], task: int, status: str) -> int:
    """What a shell would say of the command: 0, its return code, 128 + the signal that ended it, or 1."""
    if status == "succeeded":
        return 0
    latest = server.executions(task_id=task, latest=True, no_output=True) if status == "failed" else []
    code = latest[0]["return_code"] if latest else None
    if not isinstance(code, int) or code == 0:
        return 1
    return min(SIGNALLED - code, 255) if code < 0 else min(code, 255)


class Writer(Protocol):
    """Takes a stream piece by piece."""

    def take(self, piece: bytes) -> None: ...

    def end(self) -> None: ...


class _Copy(Thread):
    """One stream of one execution, on its way to ours."""

    def __init__(
        self,
        server: Server[Any],
        execution: int,
        stream: Stream,
        follow: bool,
        lines: int | None,
        writer: Callable[[TextIO], Writer] | None,
    ) -> None:
        super().__init__(daemon=True)
        self._pieces = server.output(execution, stream, follow, lines=lines)
        self._out = sys.stdout if stream == "stdout" else sys.stderr
        self._writer = None if writer is None else writer(self._out)
        self.error: BaseException | None = None

    def run(self) -> None:
        try:
            if self._writer is None:
                copy(self._pieces, self._out)
                return
            for piece in self._pieces:
                self._writer.take(piece)
            self._writer.end()
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
