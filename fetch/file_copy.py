"""The bytes of one open file into another, the fastest way the two file systems know, holes kept as holes."""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Callable, Iterator
from typing import Final

from scitq.fetch.watch import FileWatch

SMALL_BYTES: Final = 1 << 17
_PIECE: Final = 1 << 26
_BUFFER: Final = 1 << 20
_FICLONE: Final = 0x40049409
_SHARES_NO_BLOCKS: Final = frozenset(
    {errno.EOPNOTSUPP, errno.EXDEV, errno.EINVAL, errno.ENOTTY, errno.ENOSYS, errno.EPERM, errno.EBADF, errno.ETXTBSY}
)
_Way = Callable[[int, int, int, int], int]


def copy_bytes(source: int, target: int, about: os.stat_result, watch: FileWatch) -> int:
    """How many there were: fewer than `about` says if the source has become shorter. `target` is empty."""
    if about.st_size <= SMALL_BYTES and about.st_blocks * 512 >= about.st_size:
        return _small(source, target, watch)
    if _cloned(source, target):
        watch.moved(about.st_size)
        return about.st_size
    ways: list[_Way] = [_in_kernel, _by_sendfile, _by_hand]
    for start, end in _filled(source, about):
        watch.moved(0)
        at = start
        while at < end:
            try:
                count = ways[0](source, target, at, min(end - at, _PIECE))
            except OSError as error:
                if len(ways) == 1 or error.errno not in _SHARES_NO_BLOCKS:
                    raise
                del ways[0]
                continue
            if count == 0:
                return at
            at += count
            watch.moved(count)
    os.ftruncate(target, about.st_size)
    return about.st_size


def _small(source: int, target: int, watch: FileWatch) -> int:
    """Read to its end, as some files that say they are empty are not (those of /proc)."""
    total = 0
    while piece := os.read(source, SMALL_BYTES + 1):
        written = 0
        while written < len(piece):
            written += os.write(target, piece[written:] if written else piece)
        total += len(piece)
        watch.moved(len(piece))
    return total


def _cloned(source: int, target: int) -> bool:
    """Whether both files share their blocks now, where the file system can (Btrfs, XFS)."""
    try:
        fcntl.ioctl(target, _FICLONE, source)
    except OSError as error:
        if error.errno not in _SHARES_NO_BLOCKS:
            raise
        return False
    return True


def _filled(source: int, about: os.stat_result) -> Iterator[tuple[int, int]]:
    """The stretches that hold data."""
    if about.st_blocks * 512 >= about.st_size:
        yield 0, about.st_size
        return
    end = 0
    while end < about.st_size:
        try:
            start = os.lseek(source, end, os.SEEK_DATA)
        except OSError as error:
            if error.errno == errno.ENXIO:
                return  # only a hole is left
            if error.errno not in _SHARES_NO_BLOCKS:
                raise
            yield end, about.st_size  # a file system that knows no holes
            return
        end = min(os.lseek(source, start, os.SEEK_HOLE), about.st_size)
        yield start, end


def _in_kernel(source: int, target: int, at: int, count: int) -> int:
    return os.copy_file_range(source, target, count, at, at)


def _by_sendfile(source: int, target: int, at: int, count: int) -> int:
    os.lseek(target, at, os.SEEK_SET)
    return os.sendfile(target, source, at, count)


def _by_hand(source: int, target: int, at: int, count: int) -> int:
    piece = os.pread(source, min(count, _BUFFER), at)
    written = 0
    while written < len(piece):
        written += os.pwrite(target, piece[written:], at + written)
    return written
