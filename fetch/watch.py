"""How a transfer is followed, and how it is called off.

A caller makes a `Cancellation` and a callback; the verbs make one `Watch` of them for all of a call, and hand each
backend the `FileWatch` of the file it moves. All of it may be used from any thread.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Final

from scitq.fetch.errors import Cancelled, TimedOut

TELL_EVERY_S: Final = 0.1
STALL_S: Final = 60.0
"""How long a source may say nothing."""
GRACE_S: Final = 600.0
SLOWEST_BYTES_PER_S: Final = 20_000


@dataclass(frozen=True, slots=True)
class Moving:
    """One file that is on its way."""

    name: str
    done_bytes: int
    total_bytes: int | None


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a call is: what its callback is given, ten times a second at most, and once more at the end."""

    file: str
    """The one that moved last, by the name it has below its folder."""
    done_bytes: int
    total_bytes: int | None
    """None while it is not known: a server need not say, and a long listing comes piece by piece."""
    done_files: int
    total_files: int | None
    files: tuple[Moving, ...] = ()
    """Those that are on their way, a few at a time."""


class Cancellation:
    """Set once, by whoever started a call; the call ends with `Cancelled`, within moments also where it waits."""

    def __init__(self) -> None:
        self._set = threading.Event()
        self._lock = threading.Lock()
        self._cuts: dict[object, Callable[[], object]] = {}

    def cancel(self) -> None:
        with self._lock:
            self._set.set()
            cuts = list(self._cuts.values())
        for cut in cuts:
            cut()

    @property
    def cancelled(self) -> bool:
        return self._set.is_set()

    def check(self) -> None:
        if self._set.is_set():
            raise Cancelled("it was called off")

    def wait(self, seconds: float) -> None:
        """Sleep, unless it is cancelled."""
        if self._set.wait(seconds):
            self.check()

    @contextmanager
    def cutting(self, cut: Callable[[], object]) -> Iterator[None]:
        """While it lasts, a cancellation calls `cut`: to end what blocks, such as a read from a network."""
        key = object()
        with self._lock:
            self.check()
            self._cuts[key] = cut
        try:
            yield
        finally:
            with self._lock:
                del self._cuts[key]


class Watch:
    """All of one call: adds up what its files have moved, tells the callback, and stops at a cancellation."""

    def __init__(
        self,
        tell: Callable[[Progress], object] | None = None,
        cancellation: Cancellation | None = None,
        stall_s: float = STALL_S,
    ) -> None:
        self.cancellation = cancellation or Cancellation()
        self.stall_s = stall_s
        self._tell = tell
        self._lock = threading.Lock()
        self._done_bytes = self._total_bytes = 0
        self._done_files = self._files = self._unmeasured = 0
        self._all_begun = False
        self._told_at = 0.0
        self._moving: dict[int, FileWatch] = {}
        self._moving_together: tuple[Moving, ...] = ()

    def check(self) -> None:
        self.cancellation.check()

    @contextmanager
    def attempt(self) -> Iterator[Watch]:
        """One way of several to do the same, counted from nothing: its failure calls off what it began, and no more."""
        own = Cancellation()
        with self.cancellation.cutting(own.cancel):
            yield Watch(self._tell, own, self.stall_s)

    def file(self, name: str, size: int | None = None) -> FileWatch:
        """One more file, of that size if it is known."""
        with self._lock:
            self._files += 1
            self._total_bytes += size or 0
            self._unmeasured += size is None
        return FileWatch(self, name, size)

    def measured(self, size: int) -> None:
        """The size of a file that began without one."""
        with self._lock:
            self._total_bytes += size
            self._unmeasured -= 1

    def all_begun(self) -> None:
        """No more files come: the totals are those of the whole call."""
        with self._lock:
            self._all_begun = True

    def folder(self, name: str, *, listed: bool) -> FolderWatch:
        """Files that something else moves together; `listed` if each of them is known here as a `file` already."""
        return FolderWatch(self, name, listed)

    def folder_moved(self, before: Progress, now: Progress, *, listed: bool) -> None:
        with self._lock:
            self._moving_together = now.files
            if not listed:
                self._files += (now.total_files or 0) - (before.total_files or 0)
                self._total_bytes += (now.total_bytes or 0) - (before.total_bytes or 0)
        self.moved(now.file, now.done_bytes - before.done_bytes, files=now.done_files - before.done_files)

    def moved(self, name: str, count: int, *, files: int = 0, of: FileWatch | None = None) -> None:
        """So many bytes more, and so many files are done; both may be taken back."""
        self.check()
        with self._lock:
            if of is not None and files:
                self._moving.pop(id(of), None)
            elif of is not None:
                self._moving[id(of)] = of
            self._done_bytes += count
            self._done_files += files
            at_end = self._all_begun and self._done_files == self._files
            now = time.monotonic()
            if self._tell is not None and (at_end or now - self._told_at >= TELL_EVERY_S):
                self._told_at = now
                self._tell(self._progress(name))

    def _progress(self, name: str) -> Progress:
        total_bytes = self._total_bytes if self._all_begun and not self._unmeasured else None
        total_files = self._files if self._all_begun else None
        alone = tuple(Moving(one.name, one.done_bytes, one.size) for one in self._moving.values())
        files = alone + self._moving_together
        return Progress(name, self._done_bytes, total_bytes, self._done_files, total_files, files)


class _InCall:
    """What belongs to a call, and ends with it."""

    def __init__(self, whole: Watch) -> None:
        self._whole = whole

    @property
    def cancellation(self) -> Cancellation:
        return self._whole.cancellation

    @property
    def stall_s(self) -> float:
        return self._whole.stall_s


class FileWatch(_InCall):
    """One file of a call. `moved` is called for each piece, and raises when the call is cancelled or far too slow."""

    def __init__(self, whole: Watch, name: str, size: int | None) -> None:
        super().__init__(whole)
        self.name = name
        self.size = size
        self._done = 0
        self._began = time.monotonic()

    @property
    def done_bytes(self) -> int:
        return self._done

    def moved(self, count: int) -> None:
        self._done += count
        self._whole.moved(self.name, count, of=self)
        allowed_s = GRACE_S + self._done / SLOWEST_BYTES_PER_S
        if time.monotonic() - self._began > allowed_s:
            raise TimedOut(f"less than {SLOWEST_BYTES_PER_S} bytes a second arrive")

    def again(self, done: int = 0) -> None:
        """Another try begins, with that many bytes in place already."""
        more, self._done, self._began = done - self._done, done, time.monotonic()
        self._whole.moved(self.name, more, of=self)

    def has_size(self, size: int) -> None:
        """What was not known before it began."""
        if self.size is None:
            self.size = size
            self._whole.measured(size)

    def done(self) -> None:
        """It is whole and has its name."""
        self._whole.moved(self.name, 0, files=1, of=self)


class FolderWatch(_InCall):
    """The files of a folder that something else moves, which tells now and then how far all of them are."""

    def __init__(self, whole: Watch, name: str, listed: bool) -> None:
        super().__init__(whole)
        self._listed = listed
        self._nothing = self._last = Progress(name, 0, 0, 0, 0)

    def now(self, progress: Progress) -> None:
        """Counted from when it began."""
        before, self._last = self._last, progress
        self._whole.folder_moved(before, progress, listed=self._listed)

    def again(self) -> None:
        """Another try begins, and counts from nothing."""
        self.now(self._nothing)


def cut(line: socket.socket) -> None:
    """Ends what another thread waits for at a socket."""
    with suppress(OSError):  # it is closed already
        line.shutdown(socket.SHUT_RDWR)
