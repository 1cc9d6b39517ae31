"""What executions print, read from their files as chunks, while they print it.

A chunk has at most 64 KiB; at most four of an execution are under way, so that a flood starves nobody, and none is kept
here: what has to be sent again is read again. The reader's place is what the engine confirmed, which survives us.

Files are watched by looking at their size, more and more rarely while nothing comes: a look costs two microseconds, and
comes twice a second. Inotify would wake us for each write of a command that prints single letters.

A command that opens /dev/stdout anew may empty its file. What it prints afterwards follows what was confirmed before.
"""

from __future__ import annotations

import codecs
import os
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NamedTuple

CHUNK_BYTES: Final = 64 * 1024
IN_FLIGHT: Final = 4
CAP_BYTES: Final = 1024**3
CUT: Final = b"\n[scitq: the output of this execution is cut off here, it is longer than is kept]\n"
STDOUT, STDERR = 1, 2
_KINDS: Final = {STDOUT: "out", STDERR: "err"}
_SOON_S, _RARELY_S = 0.02, 0.5
_AT_ONCE: Final = 32  # chunks a round: two megabytes
_SLACK_BYTES: Final = 64 * 1024 * 1024

_decoder = codecs.getincrementaldecoder("utf-8")


class Chunk(NamedTuple):
    """A piece of output, and how many bytes and characters of the stream come before it."""

    execution: int
    stream: int
    offset: int
    chars_before: int
    data: bytes


class _Mark(NamedTuple):
    """A place in a stream, with the beginning of a character that goes on behind it."""

    offset: int = 0
    chars: int = 0
    begun: bytes = b""

    def behind(self, data: bytes) -> _Mark:
        decoder = _decoder("replace")
        decoder.setstate((self.begun, 0))
        chars = self.chars + len(decoder.decode(data))
        return _Mark(self.offset + len(data), chars, decoder.getstate()[0])


@dataclass(slots=True)
class _Stream:
    path: Path
    sent: _Mark = field(default_factory=_Mark)
    flying: deque[_Mark] = field(default_factory=deque)  # where each chunk that is under way begins
    shift: int = 0  # where in the stream the file begins: not at 0 once it was emptied
    cut: int | None = None  # where the marker begins, and the rest is left

    @property
    def confirmed(self) -> _Mark:
        return self.flying[0] if self.flying else self.sent

    @property
    def kept(self) -> int:
        """How much was sent, without the marker."""
        return self.sent.offset if self.cut is None else min(self.sent.offset, self.cut)

    def size(self) -> int:
        """How long the stream is by now."""
        try:
            size = os.stat(self.path).st_size
        except FileNotFoundError:  # it has not started
            return self.shift
        if self.cut is not None:
            if size + self.shift > self.cut + _SLACK_BYTES:  # nobody will read it, and the disk is not endless
                os.truncate(self.path, self.cut - self.shift)
            return self.cut + len(CUT)
        if size + self.shift < self.sent.offset:
            self.back()
            self.shift = self.sent.offset
        return size + self.shift

    def back(self) -> None:
        """Go on behind what was confirmed."""
        self.sent = self.confirmed
        self.flying.clear()
        if self.cut is not None and self.sent.offset <= self.cut:
            self.cut = None

    def read(self, room: int) -> bytes:
        """What comes next; the marker when there is more than room for it."""
        size = self.size()
        if self.cut is not None:
            return CUT if self.sent.offset == self.cut else b""
        if self.sent.offset >= size:
            return b""
        if room <= 0:
            self.cut = self.sent.offset
            return CUT
        with self.path.open("rb", buffering=0) as file:
            file.seek(self.sent.offset - self.shift)
            return file.read(min(CHUNK_BYTES, room))

    def skip(self, offset: int) -> None:
        """Begin behind what was sent in an earlier life. How many characters that is, the file knows."""
        size = self.size()
        if offset > size:
            self.sent, self.shift = _Mark(offset), offset
            return
        with self.path.open("rb", buffering=0) if offset else open(os.devnull, "rb", buffering=0) as file:
            while self.sent.offset < offset:
                data = file.read(min(CHUNK_BYTES, offset - self.sent.offset))
                if not data:  # emptied this moment
                    self.sent, self.shift = _Mark(offset), offset
                    return
                self.sent = self.sent.behind(data)


@dataclass(slots=True)
class _Output:
    streams: dict[int, _Stream]
    ended: bool = False
    look_at: float = 0.0
    pause_s: float = _SOON_S


class Outputs:
    """The output of the executions that are held. `path` tells where an execution prints to."""

    def __init__(self, path: Callable[[int, str], Path], *, cap_bytes: int = CAP_BYTES) -> None:
        self._path, self._cap = path, cap_bytes
        self._held: dict[int, _Output] = {}

    def watch(self, execution: int, stdout: int = 0, stderr: int = 0) -> None:
        """Read it from there on: so many bytes of each stream are confirmed."""
        output = _Output({stream: _Stream(self._path(execution, kind)) for stream, kind in _KINDS.items()})
        for stream, offset in ((STDOUT, stdout), (STDERR, stderr)):
            output.streams[stream].skip(offset)
        if stdout + stderr > self._cap:
            for one in output.streams.values():
                one.cut = one.sent.offset - len(CUT)
        self._held[execution] = output

    def ended(self, execution: int) -> None:
        """It prints no more: the rest is read without waiting."""
        if (output := self._held.get(execution)) is not None:
            output.ended, output.look_at = True, 0.0

    def next(self, now: float) -> list[Chunk]:
        """What is to be sent, a bounded lot: call again at once if it is not empty, else after `pause`."""
        found: list[Chunk] = []
        for execution, output in list(self._held.items()):
            if len(found) >= _AT_ONCE:
                break
            if output.look_at > now:
                continue
            before = len(found)
            for stream in output.streams:
                self._read(execution, output, stream, found)
            if len(found) > before:
                output.pause_s = _SOON_S
                self._held[execution] = self._held.pop(execution)  # the others are first next time
            else:
                output.look_at = now + output.pause_s
                output.pause_s = min(2 * output.pause_s, _RARELY_S)
        return found

    def _read(self, execution: int, output: _Output, stream: int, found: list[Chunk]) -> None:
        one = output.streams[stream]
        while sum(len(each.flying) for each in output.streams.values()) < IN_FLIGHT and len(found) < _AT_ONCE:
            data = one.read(
                self._cap - sum(min(s.sent.offset, s.cut or s.sent.offset) for s in output.streams.values())
            )
            if not data:
                return
            found.append(Chunk(execution, stream, one.sent.offset, one.sent.chars, data))
            one.flying.append(one.sent)
            one.sent = one.sent.behind(data)

    def pause(self, now: float) -> float | None:
        """How many seconds nothing has to be looked at; None when there is nothing to be watched."""
        dues = [output.look_at for output in self._held.values() if not (output.ended and self._is_sent(output))]
        return max(min(dues) - now, 0.0) if dues else None

    def confirm(self, execution: int, stream: int, seen: int) -> None:
        """The engine has this stream up to there."""
        output = self._held.get(execution)
        if output is None:
            return
        one = output.streams[stream]
        while one.flying and (one.flying[1] if len(one.flying) > 1 else one.sent).offset <= seen:
            one.flying.popleft()
            output.look_at = 0.0

    def send_again(self) -> None:
        """The connection was lost, and perhaps what was under way: go on behind what was confirmed."""
        for output in self._held.values():
            output.look_at = 0.0
            for one in output.streams.values():
                one.back()

    def counts(self, execution: int) -> tuple[int, int] | None:
        """How many bytes of standard output and error there are in all, once it has ended and all was sent."""
        output = self._held.get(execution)
        if output is None or not output.ended or not self._is_sent(output):
            return None
        return output.streams[STDOUT].sent.offset, output.streams[STDERR].sent.offset

    def is_confirmed(self, execution: int) -> bool:
        """Whether the engine has all there will ever be."""
        output = self._held.get(execution)
        flying = output is not None and any(one.flying for one in output.streams.values())
        return not flying and self.counts(execution) is not None

    def forget(self, execution: int) -> None:
        self._held.pop(execution, None)

    def _is_sent(self, output: _Output) -> bool:
        return all(one.sent.offset >= one.size() for one in output.streams.values())
