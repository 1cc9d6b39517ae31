"""file:// – this machine's own files, and what is mounted here.

A link that is named is followed. Of the links inside a folder, those to a file of the same folder are copied as that
file; all others (out of it, to folders, to nothing) are listed as links and left out, as are pipes, sockets and
devices: what a task leaves behind may point anywhere. Mode and time of change are kept; setuid and owners are not.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
from collections.abc import Iterator
from datetime import UTC, datetime

from scitq.fetch import faults
from scitq.fetch.backend import Backend, Item, Kind
from scitq.fetch.errors import Changed, UnsupportedError
from scitq.fetch.file_copy import copy_bytes
from scitq.fetch.part import Part
from scitq.fetch.uri import URI
from scitq.fetch.watch import Cancellation, FileWatch

_PIECE = 1 << 20


class LocalFiles(Backend):
    def stat(self, uri: URI, cancellation: Cancellation, *, md5: bool = False) -> Item:
        with faults.of_files(uri.path):
            found = _status(uri.path)
            return _item(uri, os.path.basename(uri.path.rstrip("/")), uri.path, found, cancellation if md5 else None)

    def list(
        self, uri: URI, cancellation: Cancellation, *, recursive: bool = True, md5: bool = False
    ) -> Iterator[Item]:
        hashing = cancellation if md5 else None
        with faults.of_files(uri.path):
            if not stat.S_ISDIR(os.stat(uri.path).st_mode):
                yield self.stat(uri, cancellation, md5=md5)
                return
            top = os.path.realpath(uri.path)
            waiting = [""]
            while waiting:
                cancellation.check()
                below = waiting.pop()
                folders = []
                for entry in sorted(os.scandir(os.path.join(uri.path, below)), key=lambda entry: entry.name):
                    rel_name = below + entry.name
                    try:
                        found = _status_inside(entry, top)
                        yield _item(uri.child(rel_name), rel_name, entry.path, found, hashing)
                    except FileNotFoundError:
                        continue  # gone since it was named
                    if recursive and stat.S_ISDIR(found.st_mode):
                        folders.append(rel_name + "/")
                waiting.extend(reversed(folders))

    def get(self, uri: URI, part: Part, watch: FileWatch) -> None:
        with faults.of_files(uri.path):
            source = os.open(uri.path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)  # opening a pipe does not wait
            try:
                _copy(source, part, uri.path, watch)
            finally:
                os.close(source)

    def put(self, source: str, uri: URI, watch: FileWatch) -> None:
        with faults.of_files(uri.path):
            os.makedirs(os.path.dirname(uri.path), exist_ok=True)
        with Part(uri.path) as part:
            self.get(URI.of_file(source), part, watch)
            part.land()

    def delete(self, uri: URI, cancellation: Cancellation) -> None:
        name = uri.path.rstrip("/")
        with faults.of_files(name), contextlib.suppress(FileNotFoundError):
            if stat.S_ISDIR(os.lstat(name).st_mode):
                os.rmdir(name)
            else:
                os.unlink(name)


def _copy(source: int, part: Part, name: str, watch: FileWatch) -> None:
    before = os.fstat(source)
    if stat.S_ISDIR(before.st_mode):
        raise UnsupportedError(f"{name} is a folder: end its name with a slash")
    if not stat.S_ISREG(before.st_mode):
        raise UnsupportedError(f"{name} is not a file, but a {_kind_in_words(before.st_mode)}")
    watch.has_size(before.st_size)
    if part.size:
        part.restart()
        watch.again()
    part.size = copy_bytes(source, part.fd, before, watch)
    after = os.fstat(source)
    # One that only grows is whole as it was when the copy began.
    if part.size < before.st_size or (after.st_mtime_ns != before.st_mtime_ns and after.st_size <= before.st_size):
        raise Changed(f"{name} was changed while it was copied")
    part.expect(size=part.size, modified_ns=before.st_mtime_ns)
    part.mode = before.st_mode


def _status(path: str) -> os.stat_result:
    """Of what a link leads to; of the link where that is nothing."""
    try:
        return os.stat(path)
    except FileNotFoundError:
        return os.lstat(path)


def _status_inside(entry: os.DirEntry[str], top: str) -> os.stat_result:
    """The same, for what is in a folder: links to files of that folder are followed, and no others."""
    itself = entry.stat(follow_symlinks=False)
    if not stat.S_ISLNK(itself.st_mode):
        return itself
    target = os.path.realpath(entry.path)
    if not target.startswith(top.rstrip("/") + "/"):
        return itself
    try:
        reached = os.stat(target, follow_symlinks=False)
    except OSError:
        return itself  # it leads to nothing, or into a circle
    return reached if stat.S_ISREG(reached.st_mode) else itself


def _item(uri: URI, rel_name: str, path: str, found: os.stat_result, hashing: Cancellation | None) -> Item:
    kind = _kind(found.st_mode)
    changed = datetime.fromtimestamp(found.st_mtime, UTC)
    if kind == "dir":
        return Item(uri.as_folder, rel_name + "/", "dir", modification_date=changed)
    md5 = _md5(path, hashing) if hashing is not None and kind == "file" else None
    return Item(uri, rel_name, kind, found.st_size if kind == "file" else None, None, changed, md5)


def _kind(mode: int) -> Kind:
    if stat.S_ISREG(mode):
        return "file"
    if stat.S_ISDIR(mode):
        return "dir"
    return "link" if stat.S_ISLNK(mode) else "unknown"


def _kind_in_words(mode: int) -> str:
    for test, word in ((stat.S_ISFIFO, "pipe"), (stat.S_ISSOCK, "socket")):
        if test(mode):
            return word
    return "device"


def _md5(path: str, cancellation: Cancellation) -> str:
    digest = hashlib.md5(usedforsecurity=False)
    with open(path, "rb", buffering=0) as file:
        buffer = memoryview(bytearray(_PIECE))
        while count := file.readinto(buffer):
            cancellation.check()
            digest.update(buffer[:count])
    return digest.hexdigest()
