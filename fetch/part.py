"""A file on its way: under a temporary name beside its target until it is whole, then renamed.

It outlives the tries: what arrived in one is there for the next, and the backend keeps in `memory` what it needs to go
on, such as an ETag. Size and MD5 that a source declares are verified here, once for all protocols.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import shutil
import stat
from typing import Final, Self

from scitq.fetch import faults
from scitq.fetch.errors import Corrupt, UnsupportedError

MARK: Final = ".scitq-part"
_PIECE: Final = 1 << 20
_UMASK: Final = 0o666


class Part:
    """Use it in a `with`: left without `land`, nothing of it stays."""

    def __init__(self, target: str) -> None:
        self.target = target
        self.path = os.path.join(os.path.dirname(target), f".{secrets.token_hex(6)}{MARK}")
        self.memory: dict[str, str] = {}
        self.size = 0
        self.expected_bytes: int | None = None
        self.expected_md5: str | None = None
        self.modified_ns: int | None = None
        self.mode: int | None = None
        self._md5 = hashlib.md5(usedforsecurity=False)
        self._hashed = 0
        self._landed = False
        self._beside: set[str] = set()
        with faults.of_files(target):
            self.fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, _UMASK)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *about: object) -> None:
        os.close(self.fd)
        if not self._landed:
            self.keep(self.path)  # a program that found its MD5 wrong may have removed it
        self._forget()

    def keep(self, beside: str) -> None:
        """What a program needs to go on is there, a file or a folder: it goes when this one does, or begins anew."""
        self._beside.add(beside)

    def expect(self, *, size: int | None = None, md5: str | None = None, modified_ns: int | None = None) -> None:
        """What the source says of it; what it does not say is left as it was."""
        self.expected_bytes = self.expected_bytes if size is None else size
        self.expected_md5 = self.expected_md5 if md5 is None else md5.lower()
        self.modified_ns = self.modified_ns if modified_ns is None else modified_ns

    def write(self, data: memoryview) -> None:
        """The next bytes. They are hashed on the way where a checksum is expected."""
        if self.expected_md5 is not None and self._hashed == self.size:
            self._md5.update(data)
            self._hashed += len(data)
        self.size += len(data)
        with faults.of_files(self.target):
            while data:
                data = data[os.write(self.fd, data) :]

    def arrived(self) -> None:
        """A program wrote it whole to `path`, where there may be another file now than the one we opened."""
        with faults.of_files(self.target):
            there = os.open(self.path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
            os.close(self.fd)
            self.fd = there
            self.size = os.fstat(self.fd).st_size

    def restart(self) -> None:
        """What is there belongs to something else, or is worth nothing."""
        with faults.of_files(self.target):
            os.ftruncate(self.fd, 0)
            os.lseek(self.fd, 0, os.SEEK_SET)
        self._forget()
        self.size = self._hashed = 0
        self._md5 = hashlib.md5(usedforsecurity=False)
        self.expected_bytes = self.expected_md5 = self.modified_ns = None
        self.memory.clear()

    def verify(self) -> None:
        """Raises `Corrupt`, and begins anew, where it is not what the source has."""
        with faults.of_files(self.target):
            size = os.fstat(self.fd).st_size
        if self.expected_bytes not in (None, size):
            wrong = Corrupt(f"{self.target}: {size} bytes arrived, and the source has {self.expected_bytes}")
            self.restart()
            raise wrong
        if self.expected_md5 is not None and (got := self._digest()) != self.expected_md5:
            wrong = Corrupt(f"{self.target}: the MD5 of what arrived is {got}, and not {self.expected_md5}")
            self.restart()
            raise wrong

    def land(self) -> None:
        """It gets its name, in place of what had it before."""
        with faults.of_files(self.target):
            if self.mode is not None:
                os.fchmod(self.fd, stat.S_IMODE(self.mode) & 0o777)
            if self.modified_ns is not None:
                os.utime(self.fd, ns=(self.modified_ns, self.modified_ns))
            try:
                os.rename(self.path, self.target)
            except IsADirectoryError as error:
                raise UnsupportedError(f"{self.target} is a folder: a file cannot take its place") from error
        self._landed = True

    def _forget(self) -> None:
        for path in self._beside:
            if os.path.isdir(path):
                shutil.rmtree(path)
            elif os.path.lexists(path):
                os.unlink(path)

    def _digest(self) -> str:
        """Of all of it; what was not hashed on the way is read again."""
        if self._hashed != os.fstat(self.fd).st_size:
            self._md5 = hashlib.md5(usedforsecurity=False)
            os.lseek(self.fd, 0, os.SEEK_SET)
            while piece := os.read(self.fd, _PIECE):
                self._md5.update(piece)
        return self._md5.hexdigest()
