"""What executions print, read from their files as chunks, while they print it.

A chunk has at most 64 KiB; at most four of an execution are under way, so that a flood starves nobody, and none is kept
here: what has to be sent again is read again. The reader's place is what the engine confirmed. That survives us there:
a successor begins anew, and the answer to its first chunk tells how far the engine had come.

Files are watched by looking at their size, more and more rarely while nothing comes: a look costs two microseconds, and
comes twice a second. Inotify would wake us for each write of a command that prints single letters.

A command that opens /dev/stdout anew may empty its file. What it prints afterwards follows what was confirmed before.
"""

from __future__ import annotations

import codecs
import logging
import os
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NamedTuple

from scitq.domain.output_wire import MOST_DATA, Chunk

log = logging.getLogger(__name__)

CHUNK_BYTES: Final = MOST_DATA
IN_FLIGHT: Final = 4
CAP_BYTES: Final = 1024**3
CUT: Final = b"\n[scitq: the output of this execution is cut off here, it is longer than is kept]\n"
STDOUT, STDERR = 1, 2
_KINDS: Final = {STDOUT: "out", STDERR: "err"}
_SOON_S, _RARELY_S = 0.02, 0.5
_AT_ONCE: Final = 32  # chunks a round: two megabytes
_SKIP_AT_ONCE: Final = 64  # pieces passed over in a row: four megabytes
_SLACK_BYTES: Final = 64 * 1024 * 1024
_MOST_LOOKS: Final = 64

_decoder = codecs.getincrementaldecoder("utf-8")


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


@dataclass(slots=True, eq=False)
class _Stream:
    path: str
    sent: _Mark = field(default_factory=_Mark)
    flying: deque[_Mark] = field(default_factory=deque)  # where each chunk that is under way begins
    shift: int = 0  # where in the stream the file begins: not at 0 once it was emptied
    cut: int | None = None  # where the marker begins, and the rest is left
    known: int = 0  # what the engine has from an earlier life of ours: not sent again
    unreadable: bool = False
    awaited: int | None = None  # where the first chunk under way began, at the last look at what is late
    looks: int = 0  # at it since
    patience: int = 1

    @property
    def confirmed(self) -> _Mark:
        return self.flying[0] if self.flying else self.sent

    @property
    def kept(self) -> int:
        """How much was sent, without the marker."""
        return self.sent.offset if self.cut is None else min(self.sent.offset, self.cut)

    def size(self) -> int:
        """How long the stream is by now."""
        if self.unreadable:
            return self.sent.offset
        try:
            size = os.stat(self.path).st_size
        except FileNotFoundError:  # it has not started
            return self.shift
        except OSError as error:
            self.leave_out(error)
            return self.sent.offset
        if self.cut is not None:
            if size + self.shift > self.cut + _SLACK_BYTES:  # nobody will read it, and the disk is not endless
                os.truncate(self.path, max(self.cut - self.shift, 0))
            return self.cut + len(CUT)
        if size + self.shift < self.sent.offset:
            self.back()
            self.shift = self.sent.offset
        return size + self.shift

    def leave_out(self, error: OSError) -> None:
        """A report of the end must not wait for ever for what cannot be read."""
        self.unreadable = True
        log.error("output cannot be read and is left out", extra={"path": self.path, "error": str(error)})

    def back(self) -> None:
        """Go on behind what was confirmed."""
        self.sent = self.confirmed
        self.flying.clear()
        if self.cut is not None and self.sent.offset <= self.cut:
            self.cut = None

    def is_late(self) -> bool:
        """The same chunk is the first under way as at the last look; when it is not sent for the first time, as at the
        last two, four, up to sixty-four looks: a server that only is slow must not be given ever more."""
        if not self.flying:
            return False
        if self.awaited != self.flying[0].offset:
            self.awaited, self.looks, self.patience = self.flying[0].offset, 0, 1
            return False
        self.looks += 1
        if self.looks < self.patience:
            return False
        self.looks, self.patience = 0, min(2 * self.patience, _MOST_LOOKS)
        return True

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
        with open(self.path, "rb", buffering=0) as file:
            file.seek(self.sent.offset - self.shift)
            return file.read(min(CHUNK_BYTES, room))

    def is_sent(self) -> bool:
        return self.sent.offset >= max(self.size(), self.known)

    def skip(self) -> bool:
        """Pass over a part of what is known, for how many characters it is only the file can tell; False when done."""
        size = self.size()
        for _ in range(_SKIP_AT_ONCE):
            if self.sent.offset >= self.known:
                return False
            if self.known > size or self.cut is not None:  # it was emptied, or nothing is read behind it
                self.sent, self.shift = _Mark(self.known), self.known if self.cut is None else self.shift
                return False
            with open(self.path, "rb", buffering=0) as file:
                file.seek(self.sent.offset - self.shift)
                data = file.read(min(CHUNK_BYTES, self.known - self.sent.offset))
            if not data:  # emptied this moment: the next look sees it
                return True
            self.sent = self.sent.behind(data)
        return True


@dataclass(slots=True)
class _Output:
    streams: dict[int, _Stream]
    ended: bool = False
    look_at: float = 0.0
    pause_s: float = _SOON_S
    counts: tuple[int, int] | None = None  # in all, once that is known


class Outputs:
    """The output of the executions that are held. `path` tells where an execution prints to."""

    def __init__(self, path: Callable[[int, str], Path | str], *, cap_bytes: int = CAP_BYTES) -> None:
        self._path, self._cap = path, cap_bytes
        self._held: dict[int, _Output] = {}

    @property
    def flying(self) -> int:
        """How many chunks are under way."""
        return sum(len(one.flying) for output in self._held.values() for one in output.streams.values())

    def __contains__(self, execution: int) -> bool:
        return execution in self._held

    def watch(self, execution: int, look_at: float = 0.0) -> None:
        """Read it, from then on."""
        streams = {stream: _Stream(str(self._path(execution, kind))) for stream, kind in _KINDS.items()}
        self._held[execution] = _Output(streams, look_at=look_at)

    def ended(self, execution: int) -> None:
        """It prints no more: the rest is read without waiting."""
        if (output := self._held.get(execution)) is not None:
            output.ended, output.look_at = True, 0.0

    def next(self, now: float, most: int = _AT_ONCE) -> list[Chunk]:
        """What is to be sent, a bounded lot: call again after `pause`, which is none if there was something."""
        found: list[Chunk] = []
        for execution, output in list(self._held.items()):
            if len(found) >= most:
                break
            if output.look_at > now or output.counts is not None:
                continue
            before = len(found)
            skipping = [self._read(execution, output, stream, found, most) for stream in output.streams]
            if len(found) > before or any(skipping):
                output.pause_s, output.look_at = _SOON_S, 0.0
                self._held[execution] = self._held.pop(execution)  # the others are first next time
            else:
                output.look_at = now + output.pause_s
                output.pause_s = min(2 * output.pause_s, _RARELY_S)
        return found

    def _read(self, execution: int, output: _Output, stream: int, found: list[Chunk], most: int) -> bool:
        """Take what there is to be sent; True when it has to be called again at once."""
        one = output.streams[stream]
        try:
            if one.known > one.sent.offset and one.skip():
                return True
            while sum(len(each.flying) for each in output.streams.values()) < IN_FLIGHT and len(found) < most:
                data = one.read(self._cap - sum(each.kept for each in output.streams.values()))
                if not data:
                    return False
                found.append(Chunk(execution, stream, one.sent.offset, one.sent.chars, data))
                one.flying.append(one.sent)
                one.sent = one.sent.behind(data)
        except OSError as error:
            one.leave_out(error)
        return False

    def pause(self, now: float) -> float | None:
        """How many seconds nothing has to be looked at; None when there is nothing to be watched."""
        dues = [output.look_at for id, output in self._held.items() if self.counts(id) is None]
        return max(min(dues) - now, 0.0) if dues else None

    def confirm(self, execution: int, stream: int, seen: int) -> None:
        """The engine has this stream up to there."""
        output = self._held.get(execution)
        if output is None or stream not in output.streams:
            return
        one = output.streams[stream]
        while one.flying and (one.flying[1] if len(one.flying) > 1 else one.sent).offset <= seen:
            one.flying.popleft()
            output.look_at = 0.0
        if seen > max(one.sent.offset, one.known) and output.counts is None:
            self._is_known(output, one, seen)

    def _is_known(self, output: _Output, one: _Stream, seen: int) -> None:
        """The engine has more than we sent: an earlier life of ours did. Where that ended with a marker, all ends."""
        one.known, output.look_at = seen, 0.0
        known = {each: max(each.known, each.sent.offset) for each in output.streams.values()}
        if sum(known.values()) > self._cap:
            for each, offset in known.items():
                each.known, each.cut = offset, offset - len(CUT)

    def send_again(self) -> None:
        """The connection was lost, and perhaps what was under way: go on behind what was confirmed."""
        for output in self._held.values():
            for one in output.streams.values():
                if one.flying:
                    one.back()
                    output.look_at, output.counts = 0.0, None

    def send_late_again(self) -> bool:
        """To be called now and then: what was under way the last time too may be lost, in a broker that was wiped clean
        for one, though the connection still stands. Whether there was any."""
        any_late = False
        for output in self._held.values():
            for one in output.streams.values():
                if one.is_late():
                    one.back()
                    output.look_at, output.counts, any_late = 0.0, None, True
        return any_late

    def counts(self, execution: int) -> tuple[int, int] | None:
        """How many bytes of standard output and error there are in all, once it has ended and all was sent."""
        output = self._held.get(execution)
        if output is None or not output.ended:
            return None
        if output.counts is None and all(map(_Stream.is_sent, output.streams.values())):
            output.counts = output.streams[STDOUT].sent.offset, output.streams[STDERR].sent.offset
        return output.counts

    def is_confirmed(self, execution: int) -> bool:
        """Whether the engine has all there will ever be."""
        output = self._held.get(execution)
        flying = output is not None and any(one.flying for one in output.streams.values())
        return not flying and self.counts(execution) is not None

    def forget(self, execution: int) -> None:
        self._held.pop(execution, None)
