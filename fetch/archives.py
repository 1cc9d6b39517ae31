"""untar and unzip: what archives of each form say, told to an `Extraction`."""

from __future__ import annotations

import calendar
import lzma
import os
import re
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from typing import IO, Final, Self, cast

from scitq.fetch.budget import Budget
from scitq.fetch.compressed import PIECE, Counted, opened
from scitq.fetch.errors import Corrupt, NotSafe, UnsupportedError
from scitq.fetch.extraction import Extraction
from scitq.fetch.watch import Cancellation

Extractor = Callable[[str, Extraction, Budget, Cancellation], None]

_NAME_BYTES: Final = 1 << 20
_LINK_BYTES: Final = 1 << 12
_NAMING: Final = (tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE, tarfile.GNUTYPE_LONGNAME)
_HEADERS: Final = frozenset((*_NAMING, tarfile.GNUTYPE_LONGLINK))
_SPECIAL: Final = {tarfile.FIFOTYPE: "pipe", tarfile.CHRTYPE: "device", tarfile.BLKTYPE: "device"}
_DRIVE: Final = re.compile(r"[A-Za-z]:[\\/]")
_FROM_UNIX: Final = 3
_ENCRYPTED: Final = 1


def untar(path: str, into: Extraction, budget: Budget, cancellation: Cancellation) -> None:
    """tar, plain or compressed with gzip, bzip2, xz or zstd."""
    with opened(path, budget, cancellation) as stream:
        try:
            file = cast(IO[bytes], stream)  # all that is ever done with it is to read
            with tarfile.open(mode="r|", fileobj=file, tarinfo=_Header, errors="surrogateescape") as archive:
                for member in archive:
                    archive.members.clear()  # type: ignore[attr-defined]  # or it would remember every one
                    _member(archive, member, into, budget)
            stream.drain()
        except (tarfile.TarError, RecursionError, ValueError, OverflowError) as error:
            raise Corrupt(f"{os.path.basename(path)} is not a whole tar archive: {error}") from error
    into.finish()


class _Header(tarfile.TarInfo):
    """Refuses a name that would fill the memory, and says so where tarfile takes damage for the end."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
        try:
            header = super().frombuf(buf, encoding, errors)
        except tarfile.HeaderError as error:
            if buf and any(buf):  # a block of zeros is the end, and so is nothing
                raise tarfile.ReadError(str(error)) from error
            raise
        if header.type in _HEADERS and not 0 <= header.size <= _NAME_BYTES:
            raise NotSafe("the archive has a name of more than a million characters")
        return header


def _member(archive: tarfile.TarFile, member: tarfile.TarInfo, into: Extraction, budget: Budget) -> None:
    if member.isdir():
        into.folder(member.name, member.mode)
    elif member.issym():
        into.link(member.name, member.linkname)
    elif member.islnk():
        into.hard_link(member.name, member.linkname)
    elif member.isfile():
        if member.size < 0:
            raise tarfile.ReadError("a file has less than no bytes")
        budget.can_spend(member.size)
        if member.issparse():
            budget.spend(member.size)  # its holes do not come through the stream
        content = archive.extractfile(member)
        assert content is not None
        into.file(member.name, member.mode, _time(member.mtime), _pieces(content))
    else:
        into.refuse(member.name, _SPECIAL.get(member.type, "thing of an unknown kind"))


def unzip(path: str, into: Extraction, budget: Budget, cancellation: Cancellation) -> None:
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
            budget.can_spend(sum(entry.file_size for entry in entries))
            for entry in entries:
                cancellation.check()
                _entry(archive, entry, into, budget, cancellation)
    except (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, ValueError, OverflowError) as error:
        raise Corrupt(f"{os.path.basename(path)} is not a whole zip archive: {error}") from error
    except NotImplementedError as error:
        raise UnsupportedError(f"{os.path.basename(path)} is compressed in a way that is not known: {error}") from error
    except OSError as error:
        if error.errno is not None:
            raise
        raise Corrupt(f"{os.path.basename(path)} is not a whole zip archive: {error}") from error  # bzip2 says it so
    into.finish()


def _entry(
    archive: zipfile.ZipFile, entry: zipfile.ZipInfo, into: Extraction, budget: Budget, cancellation: Cancellation
) -> None:
    name = entry.filename
    mode: int | None = entry.external_attr >> 16
    if entry.create_system != _FROM_UNIX or not mode:
        name, mode = _from_windows(name), None
    if entry.flag_bits & _ENCRYPTED:
        raise UnsupportedError("the archive is encrypted: only ones without a password can be extracted")
    kind = stat.S_IFMT(mode or 0)
    if name.endswith("/"):
        into.folder(name, mode)
    elif kind == stat.S_IFLNK:
        with archive.open(entry) as content:
            into.link(name, os.fsdecode(content.read(_LINK_BYTES)))
    elif kind in (0, stat.S_IFREG):
        with archive.open(entry) as content:
            into.file(name, mode, _zip_time(entry), _pieces(Counted(content, budget, cancellation)))
    else:
        into.refuse(name, "thing of an unknown kind" if stat.S_ISSOCK(kind) else "device or a pipe")


def _from_windows(name: str) -> str:
    if _DRIVE.match(name):
        raise NotSafe(f"the archive has a name that leads out of it: {name[:100]!r}")
    return name.replace("\\", "/")


def _pieces(content: IO[bytes] | Counted) -> Iterator[bytes]:
    while piece := content.read(PIECE):
        yield piece


def _time(seconds: float) -> float | None:
    """One that a file system can hold."""
    return seconds if 0 <= seconds < 1 << 34 else None


def _zip_time(entry: zipfile.ZipInfo) -> float | None:
    try:
        return _time(calendar.timegm((*entry.date_time, 0, 0, 0)))
    except (ValueError, OverflowError):
        return None  # the thirtieth of February
