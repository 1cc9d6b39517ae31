"""Reading what is compressed, as a stream whose every byte is counted; gunzip itself.

pigz is used where it is installed, and zstd is needed for .zst; gzip, bzip2 and xz are Python's own otherwise.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import shutil
import subprocess
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Final, Protocol

from scitq.fetch.budget import Budget
from scitq.fetch.errors import Corrupt, UnsupportedError
from scitq.fetch.part import Part
from scitq.fetch.programs import missing
from scitq.fetch.watch import Cancellation

PIECE: Final = 1 << 18
_MEMORY_BYTES: Final = 1 << 30  # that a decompressor may take: what a file asks for is up to its author
_SAID_BYTES: Final = 300
_MAGICS: Final = {b"\x1f\x8b": "gz", b"BZh": "bz2", b"\xfd7zXZ\0": "xz", b"\x28\xb5\x2f\xfd": "zst"}


class Source(Protocol):
    def read(self, count: int = -1, /) -> bytes: ...


class Counted:
    """A stream that spends what it gives, and ends when it is called off."""

    def __init__(self, source: Source, budget: Budget, cancellation: Cancellation) -> None:
        self._source, self._budget, self._cancellation = source, budget, cancellation

    def read(self, count: int) -> bytes:
        self._cancellation.check()
        piece = self._source.read(min(count, PIECE) if count >= 0 else PIECE)
        self._budget.spend(len(piece))
        return piece

    def drain(self) -> None:
        """To its end, where checksums are."""
        while self.read(PIECE):
            pass


@contextmanager
def opened(path: str, budget: Budget, cancellation: Cancellation) -> Iterator[Counted]:
    """The bytes that were compressed, whatever the way; of a file that is not compressed, its own."""
    with open(path, "rb", buffering=0) as file:  # a program that reads it goes on where the file stands
        kind = kind_of(file.read(8))
        file.seek(0)
        try:
            with _reader(kind, file, cancellation) as source:
                yield Counted(source, budget, cancellation)
        except (EOFError, OSError, zlib.error, lzma.LZMAError) as error:
            if isinstance(error, OSError) and error.errno is not None:
                raise  # of the system, and not of gzip or bzip2
            raise Corrupt(f"{os.path.basename(path)} cannot be decompressed: {error}") from error


def kind_of(beginning: bytes) -> str | None:
    """By what it begins with: names are not to be relied on."""
    return next((kind for magic, kind in _MAGICS.items() if beginning.startswith(magic)), None)


def gunzip(path: str, budget: Budget, cancellation: Cancellation) -> None:
    """In its place, without the ending; a file of several members, as bgzip writes them, is one."""
    with open(path, "rb") as file:
        if kind_of(file.read(8)) != "gz":
            raise UnsupportedError(f"{os.path.basename(path)} is not compressed with gzip")
        about = os.fstat(file.fileno())
    base, ending = os.path.splitext(path)
    target = {".gz": base, ".tgz": base + ".tar"}.get(ending, path)
    with Part(target) as part:
        part.mode = about.st_mode
        part.expect(modified_ns=about.st_mtime_ns)
        with opened(path, budget, cancellation) as stream:
            while piece := stream.read(PIECE):
                part.write(memoryview(piece))
        os.unlink(path)
        part.land()


@contextmanager
def _reader(kind: str | None, file: IO[bytes], cancellation: Cancellation) -> Iterator[Source]:
    if kind == "gz" and shutil.which("pigz"):
        with _program(["pigz", "-dc"], file, cancellation) as source:
            yield source
    elif kind == "zst":
        if not shutil.which("zstd"):
            raise missing("zstd")
        with _program(["zstd", "-dcq", f"-M{_MEMORY_BYTES}"], file, cancellation) as source:
            yield source
    elif kind == "gz":
        with gzip.GzipFile(fileobj=file) as source:
            yield source
    elif kind == "bz2":
        with bz2.BZ2File(file) as source:
            yield source
    elif kind == "xz":
        yield io.BufferedReader(_Xz(file), PIECE)
    else:
        yield file


@contextmanager
def _program(command: list[str], file: IO[bytes], cancellation: Cancellation) -> Iterator[Source]:
    """What a program writes. It fails the stream when it fails, and is killed if nobody reads on."""
    with (
        tempfile.TemporaryFile() as said,
        subprocess.Popen(command, stdin=file, stdout=subprocess.PIPE, stderr=said) as process,
    ):
        try:
            with cancellation.cutting(process.kill):
                assert process.stdout is not None
                yield process.stdout
                if process.stdout.read(1):
                    return  # whoever reads has had enough
                code = process.wait()
        finally:
            process.kill()
        cancellation.check()
        if code != 0:
            said.seek(0)
            words = said.read(_SAID_BYTES).decode(errors="replace").strip()
            raise Corrupt(f"{command[0]} could not decompress it: {words or f'it ended with {code}'}")


class _Xz(io.RawIOBase):
    """xz that takes no more memory than it may; several streams in a row are one."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._stream = lzma.LZMADecompressor(lzma.FORMAT_XZ, _MEMORY_BYTES)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: object) -> int:
        target = memoryview(buffer)  # type: ignore[arg-type]
        while True:
            if self._stream.eof:
                rest = self._stream.unused_data
                while not (rest := rest.lstrip(b"\0")):  # padding
                    if not (rest := self._file.read(PIECE)):
                        return 0
                self._stream = lzma.LZMADecompressor(lzma.FORMAT_XZ, _MEMORY_BYTES)
                data = self._stream.decompress(rest, len(target))
            else:
                more = self._file.read(PIECE) if self._stream.needs_input else b""
                if self._stream.needs_input and not more:
                    raise EOFError("it ends too early")
                data = self._stream.decompress(more, len(target))
            if data:
                target[: len(data)] = data
                return len(data)
