"""Requests that wait to be sent, in order: so many bytes of them in memory, and, where it is wished, in a folder too.

    <folder>/<name>.waiting       {"url": …}, then {"key", "method", "path"} TAB body for each, {"done": key} when it is
             <name>.lock          held by the process that sends them

What a process leaves there is taken over by the next one that sends to the same server. Each request keeps its key, by
which the server knows it again: however often it is sent, it is done once.
"""

from __future__ import annotations

import fcntl
import os
import time
import uuid
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Condition
from typing import Any, Final, Generic, NamedTuple, TypeVar

import orjson

from scitq.errors import AgentError, NotSent, QueueFull
from scitq.journal import Journal

OVERHEAD_BYTES: Final = 500
"""Of each request, beside its body."""
COMPACT_BYTES: Final = 4 * 1024 * 1024
"""How far the file grows before it is begun anew, once nothing waits."""
WAITING, LOCK = ".waiting", ".lock"

H = TypeVar("H")


class Letter(NamedTuple, Generic[H]):
    """One request, and whoever waits for its answer."""

    key: str
    method: str
    path: str
    body: bytes
    handle: H

    @property
    def size(self) -> int:
        return len(self.body) + OVERHEAD_BYTES


class Outbox(Generic[H]):
    """For many threads that put in, and one that takes out. `new_handle`: for what an earlier process has left."""

    def __init__(self, url: str, folder: Path | None, most_bytes: int, new_handle: Callable[[str], H]) -> None:
        self._most_bytes, self._bytes = most_bytes, 0
        self._letters: deque[Letter[H]] = deque()
        self._changed = Condition()
        self._closed = False
        self._spool = None if folder is None else SpoolFile(folder, url)
        for key, method, path, body in self._spool.left if self._spool else ():
            self._letters.append(Letter(key, method, path, body, new_handle(key)))
            self._bytes += self._letters[-1].size

    def __len__(self) -> int:
        return len(self._letters)

    def put(self, letter: Letter[H], wait_s: float | None) -> None:
        """Take it, once there is room: QueueFull when there was none for so long (None: however long it takes)."""
        room = f"{self._most_bytes} bytes"
        if letter.size > self._most_bytes:
            raise QueueFull(f"this request is larger than what may wait altogether: {room}")
        with self._changed:
            if not self._changed.wait_for(lambda: self._closed or self._has_room(letter), wait_s):
                raise QueueFull(
                    f"{len(self)} requests wait to be sent already, and there is room for {room}: "
                    "try again when the server is back"
                )
            if self._closed:
                raise NotSent("this sender is closed: make another one")
            if self._spool is not None:
                self._spool.add(letter)
            self._letters.append(letter)
            self._bytes += letter.size
            self._changed.notify_all()

    def _has_room(self, letter: Letter[H]) -> bool:
        return self._bytes + letter.size <= self._most_bytes

    def first(self) -> Letter[H] | None:
        """The next one to be sent, when there is one; None: it is closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._letters)
            return None if self._closed else self._letters[0]

    def done(self, *, keep: bool = False) -> None:
        """The first one is through. `keep`: not for the next process, which is to try it again."""
        with self._changed:
            letter = self._letters.popleft()
            self._bytes -= letter.size
            if self._spool is not None and not keep:
                self._spool.forget(letter.key)
            self._changed.notify_all()

    def empty(self, wait_s: float | None) -> bool:
        with self._changed:
            return self._changed.wait_for(lambda: not self._letters, wait_s)

    def close(self) -> list[Letter[H]]:
        """Take nothing any more; what is left."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
            return list(self._letters)

    def put_away(self) -> None:
        """After `close`, when nobody sends any more: leave in the folder what is left, and nothing if nothing is."""
        with self._changed:
            if self._spool is not None:
                self._spool.close()
                self._spool = None


class SpoolFile:
    """The file of one process. `left`: what it and others of the same server hold from earlier ones."""

    def __init__(self, folder: Path, url: str) -> None:
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._lock, path = _own(folder)
            self._journal = Journal(str(path))
            self._open: set[str] = set()
            self.left: list[tuple[str, str, str, bytes]] = []
            self._header = orjson.dumps({"url": url, "since": int(time.time())})
            self._journal.append(self._header)
            for other in sorted(folder.glob("*" + WAITING), key=lambda path: path.stat().st_mtime_ns):
                if other != path:
                    self._take_over(other, url)
        except OSError as error:
            raise AgentError(f"the folder {folder} cannot be used: {error.strerror}") from error

    def add(self, letter: Letter[Any]) -> None:
        self._write(letter.key, letter.method, letter.path, letter.body)

    def forget(self, key: str) -> None:
        self._open.discard(key)
        if not self._open and self._journal.size > COMPACT_BYTES:
            self._journal.replace([self._header])
        else:
            self._journal.append(orjson.dumps({"done": key}))

    def close(self) -> None:
        self._journal.close()
        if not self._open:
            _remove(Path(self._journal.path))
        os.close(self._lock)

    def _write(self, key: str, method: str, path: str, body: bytes) -> None:
        self._journal.append(orjson.dumps({"key": key, "method": method, "path": path}) + b"\t" + body)
        self._open.add(key)

    def _take_over(self, other: Path, url: str) -> None:
        """Into our own file first: whoever is killed in between has it twice, under the same keys."""
        lock = _locked(other)
        if lock is None:
            return
        try:
            journal = Journal(str(other))
            journal.close()
            if journal.left and orjson.loads(journal.left[0])["url"] != url:
                return
            for found in _unfinished(journal.left):
                self._write(*found)
                self.left.append(found)
            _remove(other)
        finally:
            os.close(lock)


def _own(folder: Path) -> tuple[int, Path]:
    path = folder / (uuid.uuid4().hex + WAITING)
    lock = _locked(path)
    assert lock is not None, "nobody else knows this name"
    return lock, path


def _locked(path: Path) -> int | None:
    """The lock ends with the process that holds it, whatever ended that. None: somebody holds it."""
    lock = os.open(path.with_suffix(LOCK), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        return None
    return lock


def _remove(path: Path) -> None:
    path.unlink(missing_ok=True)
    path.with_suffix(LOCK).unlink(missing_ok=True)


def _unfinished(lines: list[bytes]) -> Iterator[tuple[str, str, str, bytes]]:
    done = {said["done"] for line in lines if b"\t" not in line and "done" in (said := orjson.loads(line))}
    for line in lines:
        head, tab, body = line.partition(b"\t")
        if tab:
            said = orjson.loads(head)
            if said["key"] not in done:
                yield said["key"], said["method"], said["path"], body
