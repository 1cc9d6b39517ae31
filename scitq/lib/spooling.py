"""A folder in which requests that wait to be sent survive the process, and the machine's power.

    <folder>/<name>.waiting       {"url": …}, then {"key", "method", "path"} TAB body for each, {"done": key} when it is
             <name>.lock          held by the process that sends them

What a process leaves there is taken over by the next one that sends to the same server. Each request keeps its key, by
which the server knows it again: however often it is sent, it is done once.
"""

from __future__ import annotations

import fcntl
import os
import re
import stat
import time
import uuid
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from threading import Lock
from typing import Final, NamedTuple

import orjson

from scitq.errors import AgentError
from scitq.journal import Journal, sync_folder

COMPACT_BYTES: Final = 4 * 1024 * 1024
"""How far the file grows before what is through is left out of it."""
WAITING, LOCK = ".waiting", ".lock"


class Kept(NamedTuple):
    """A request as it stands in the file."""

    key: str
    method: str
    path: str
    body: bytes

    def line(self) -> bytes:
        return orjson.dumps({"key": self.key, "method": self.method, "path": self.path}) + b"\t" + self.body


class SpoolFile:
    """The file of one process. `left`: what it and others of the same server hold from earlier ones.

    `sync` may be called from any thread, all else from one at a time.
    """

    def __init__(self, folder: Path, url: str) -> None:
        self._open: set[str] = set()
        self._added = self._safe = 0
        self._syncing = Lock()
        self._closed = False
        self._compact_at = COMPACT_BYTES
        self.left: list[Kept] = []
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._lock, path = _own(folder)
            self._journal = Journal(str(path))
            try:
                self._header = orjson.dumps({"url": url, "since": int(time.time())})
                self._journal.append(self._header)
                self._take_over_all(folder, url)
                sync_folder(str(folder))
            except BaseException:
                self.close()
                raise
        except OSError as error:
            raise AgentError(f"the folder {folder} cannot be used: {error.strerror}") from error

    def add(self, key: str, method: str, path: str, body: bytes) -> None:
        self._journal.append(Kept(key, method, path, body).line())
        self._open.add(key)
        self._added += 1

    def sync(self) -> None:
        """Have on the disk whatever was added before: threads that ask at once wait for one and the same writing."""
        wanted = self._added
        with self._syncing:
            if self._safe < wanted and not self._closed:
                added = self._added
                self._journal.sync()
                self._safe = added

    def forget(self, key: str) -> None:
        """It is through, or not wanted any more. It need not survive a power cut: asked again, the server knows it."""
        if key not in self._open:
            return
        self._open.discard(key)
        self._journal.append(orjson.dumps({"done": key}))
        if self._journal.size > self._compact_at:
            with self._syncing:
                self._compact()

    def _compact(self) -> None:
        now = Journal(self._journal.path)
        now.close()
        self._journal.replace([self._header, *(one.line() for one in _unfinished(now.left))])
        self._compact_at = max(COMPACT_BYTES, 2 * self._journal.size)

    def close(self) -> None:
        with self._syncing:
            self._closed = True
            self._journal.close()
        if not self._open:
            _remove(Path(self._journal.path))
        os.close(self._lock)

    def let_go(self) -> None:
        """In a process that was forked off: the lock is its parent's alone, and ends with that."""
        for one in (self._lock, self._journal):
            with suppress(OSError):
                os.close(one) if isinstance(one, int) else one.close()

    def _take_over_all(self, folder: Path, url: str) -> None:
        """Into our own file, and on the disk, before they go: who is killed in between has them twice, by one key."""
        taken = []
        try:
            for other in _of_earlier(folder, Path(self._journal.path)):
                lock = _locked(other)
                if lock is not None:
                    taken.append((other, lock, self._take_over(other, url)))
            if self._added:
                self._journal.sync()
            for other, _, ours in taken:
                if ours:
                    _remove(other)
        finally:
            for _, lock, _ in taken:
                os.close(lock)

    def _take_over(self, other: Path, url: str) -> bool:
        journal = Journal(str(other))
        journal.close()
        if journal.left and orjson.loads(journal.left[0])["url"] != url:
            return False
        for found in _unfinished(journal.left):
            self.add(*found)
            self.left.append(found)
        return True


def _of_earlier(folder: Path, own: Path) -> list[Path]:
    """The oldest first; none that another user has put there: its requests would be sent with our token."""
    found = []
    for path in folder.glob("*" + WAITING):
        if path != own and re.fullmatch("[0-9a-f]{32}", path.stem):
            with suppress(FileNotFoundError):  # somebody else has just finished it
                its = path.lstat()
                if stat.S_ISREG(its.st_mode) and its.st_uid == os.geteuid():
                    found.append((its.st_mtime_ns, path))
    return [path for _, path in sorted(found)]


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


def _unfinished(lines: list[bytes]) -> Iterator[Kept]:
    done = {said["done"] for line in lines if b"\t" not in line and "done" in (said := orjson.loads(line))}
    for line in lines:
        head, tab, body = line.partition(b"\t")
        if tab:
            said = orjson.loads(head)
            if said["key"] not in done:
                yield Kept(said["key"], said["method"], said["path"], body)
