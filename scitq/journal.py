"""A file of lines that only grows, in which the end that a crash tore is told from damage.

    3f9a2b01 {"content": …}        CRC-32 of the content in hex, the content, a newline

A process that is killed leaves at most a part of its last line, a power cut a piece of the end that was never written:
whatever follows the last good line and holds none itself is cut off. A bad line with a good one behind it is damage,
and nothing is guessed. Standard library only: the shim uses this too, and must stay small.
"""

from __future__ import annotations

import errno
import os
from binascii import crc32
from collections.abc import Iterable
from typing import Final

from scitq.errors import AgentError, Damaged, DiskFull

_FULL: Final = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


class Journal:
    """One file and its one writer."""

    def __init__(self, path: str) -> None:
        """Open it, or begin it; `left` is what it holds, and is the caller's to take."""
        self.path = path
        self._fd = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            with open(self._fd, "rb", closefd=False) as file:
                content = file.read()
            self.left, self.size = _read(path, content)
            self.broken = False  # nothing more can be written until it is replaced
            if self.size < len(content):
                os.ftruncate(self._fd, self.size)
        except BaseException:
            os.close(self._fd)
            raise

    def append(self, *contents: bytes) -> None:
        """Add lines, in one write: they survive the death of this process, and after `sync` that of the machine."""
        if self.broken:
            raise AgentError(f"{self.path} cannot be written any more since an error; replace it, or open it again")
        lines = b"".join(map(_line, contents))
        try:
            written = os.write(self._fd, lines)
            if written < len(lines):  # the disk, or a quota, had room for a part of it
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError as error:
            self._take_back()
            raise _in_words(error, self.path) from error
        self.size += len(lines)

    def _take_back(self) -> None:
        """Cut off the part of a line, so that the next one does not follow on it."""
        try:
            os.ftruncate(self._fd, self.size)
        except OSError:
            self.broken = True

    def sync(self) -> None:
        """Have all lines so far on the disk. After an error nobody knows what is, so nothing more is accepted."""
        try:
            os.fdatasync(self._fd)
        except OSError as error:
            self.broken = True
            raise _in_words(error, self.path) from error

    def replace(self, contents: Iterable[bytes]) -> None:
        """Begin anew with these lines: at every moment the file is the old one or the new one, and whole."""
        fresh = self.path + ".new"
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
        try:
            fd = os.open(fresh, flags, 0o600)
        except OSError as error:
            raise _in_words(error, fresh) from error
        try:
            with open(fd, "wb", closefd=False) as file:
                file.writelines(_line(content) for content in contents)
            os.fsync(fd)
            size = os.fstat(fd).st_size
            os.rename(fresh, self.path)
        except BaseException as error:
            os.close(fd)
            _unlink(fresh)
            if isinstance(error, OSError):
                raise _in_words(error, fresh) from error
            raise
        os.close(self._fd)
        self._fd, self.size, self.broken = fd, size, False
        sync_folder(os.path.dirname(self.path))

    def close(self) -> None:
        os.close(self._fd)


def sync_folder(folder: str) -> None:
    """Have the names in a folder on the disk: a renamed file is safe only then."""
    fd = os.open(folder or ".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _line(content: bytes) -> bytes:
    return b"%08x %b\n" % (crc32(content), content)


def _read(path: str, content: bytes) -> tuple[list[bytes], int]:
    """The lines, and how many bytes of the file they are."""
    lines: list[bytes] = []
    good = place = 0
    bad: int | None = None
    for number, line in enumerate(_split(content), 1):
        place += len(line)
        if line[8:9] == b" " and line[-1:] == b"\n" and line[:8] == b"%08x" % crc32(line[9:-1]):
            if bad is not None:
                raise Damaged(
                    f"{path} is damaged in line {bad}, and goes on behind it: this is not what a crash leaves. "
                    "Keep the folder for inquiry and use an empty one instead"
                )
            lines.append(line[9:-1])
            good = place
        elif bad is None:
            bad = number
    return lines, good


def _split(content: bytes) -> list[bytes]:
    """By newline only: `splitlines` takes a carriage return for the end of a line as well."""
    whole, _, torn = content.rpartition(b"\n")
    return [*(line + b"\n" for line in whole.split(b"\n") if whole), torn]


def _in_words(error: OSError, path: str) -> AgentError:
    if error.errno in _FULL:
        return DiskFull(f"no space is left to write {path}: {error.strerror}")
    return AgentError(f"{path} cannot be written: {error.strerror}")


def _unlink(path: str) -> None:
    try:
        os.unlink(path)
    except FileNotFoundError:
        return
