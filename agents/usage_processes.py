"""What trees of processes use, all of them found in one look at /proc.

A process belongs to the command that leads its session, or else to whatever its parent belongs to. What children used
that have ended is in their parents' figures, once those have waited for them. Memory is what is resident: pages that
several processes share count for each.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Final, NamedTuple

_TICKS: Final = os.sysconf("SC_CLK_TCK")
_BLOCK: Final = 512
_PAGE: Final = os.sysconf("SC_PAGE_SIZE")


class Used(NamedTuple):
    """Up to now, but `memory_bytes`, which is at this moment; of an execution that is over it is the highest it was.

    `read_bytes` and `written_bytes` went between memory and disks: what was read from the cache is not among them.
    """

    cpu_s: float = 0.0
    memory_bytes: int = 0
    read_bytes: int = 0
    written_bytes: int = 0

    def or_more(self, other: Used) -> Used:
        """Each figure is a lower bound: the higher is nearer."""
        return Used(
            max(self.cpu_s, other.cpu_s),
            max(self.memory_bytes, other.memory_bytes),
            max(self.read_bytes, other.read_bytes),
            max(self.written_bytes, other.written_bytes),
        )


class _Row(NamedTuple):
    parent: int
    session: int
    ticks: int
    pages: int


def trees(roots: Iterable[int], proc: str = "/proc") -> dict[int, Used]:
    """What the tree below each of these processes uses; those that are gone are left out."""
    rows = _rows(proc)
    owners: dict[int, int | None] = {root: root for root in roots if root in rows}
    sums = {root: [0, 0, 0, 0] for root in owners}
    for pid, row in rows.items():
        owner = _owner(pid, rows, owners)
        if owner is not None:
            total = sums[owner]
            read, written = io_of(pid, proc)
            total[0] += row.ticks
            total[1] += row.pages
            total[2] += read
            total[3] += written
    return {
        root: Used(ticks / _TICKS, pages * _PAGE, read, written) for root, (ticks, pages, read, written) in sums.items()
    }


def _owner(pid: int, rows: dict[int, _Row], owners: dict[int, int | None]) -> int | None:
    """Whose it is; remembered for all on the way up."""
    way: list[int] = []
    found: int | None = None
    while pid not in owners:
        row = rows.get(pid)
        if row is None or pid in way:  # its parent has ended; or the table is not of one moment
            break
        way.append(pid)
        pid = row.session if owners.get(row.session) is not None else row.parent
    else:
        found = owners[pid]
    owners.update(dict.fromkeys(way, found))
    return found


def _rows(proc: str) -> dict[int, _Row]:
    rows: dict[int, _Row] = {}
    for name in os.listdir(proc):
        if not name.isdecimal():
            continue
        try:
            fields = _read(f"{proc}/{name}/stat").rpartition(b")")[2].split()
        except OSError:  # it ended meanwhile
            continue
        rows[int(name)] = _Row(int(fields[1]), int(fields[3]), sum(map(int, fields[11:15])), int(fields[21]))
    return rows


def io_of(pid: int, proc: str = "/proc") -> tuple[int, int]:
    """Bytes read from and written to disks, also by the children it has waited for; 0 where we may not see."""
    try:
        fields = _read(f"{proc}/{pid}/io").split()
        return int(fields[9]), int(fields[11])
    except (OSError, IndexError):
        return 0, 0


def _read(path: str) -> bytes:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.read(fd, 4096)
    finally:
        os.close(fd)


def reap(pid: int) -> tuple[int, Used]:
    """Wait for a child that has ended: its return code, and what it and all that it has waited for have used.

    `memory_bytes` is the most that a single one of them had.
    """
    _, status, usage = os.wait4(pid, 0)
    read, written = usage.ru_inblock * _BLOCK, usage.ru_oublock * _BLOCK  # the same counters as those of /proc
    used = Used(round(usage.ru_utime + usage.ru_stime, 6), usage.ru_maxrss * 1024, read, written)
    return os.waitstatus_to_exitcode(status), used
