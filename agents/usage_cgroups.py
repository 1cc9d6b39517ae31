"""What a container uses, from the control group that its engine made for it: version 2, or version 1 with its several.

Memory is what cannot simply be dropped (anonymous and shared): the kernel's own peak has the page cache in it, and
would say of everybody who reads a large file that he needs the whole machine.
"""

from __future__ import annotations

import os
from typing import Final, NamedTuple

from scitq.agents.usage_processes import Used, io_of

ROOT: Final = "/sys/fs/cgroup"


class CgroupUsed(NamedTuple):
    used: Used
    oom_kills: int


class Cgroup:
    """The group of one container; `find` it by a process that is in it."""

    def __init__(self, folders: dict[str, str], proc: str) -> None:
        self._folders, self._proc = folders, proc

    @classmethod
    def find(cls, pid: int, proc: str = "/proc", root: str = ROOT) -> Cgroup | None:
        """None when it has no group of its own, or one that we cannot see."""
        try:
            theirs, ours = _groups(f"{proc}/{pid}/cgroup"), _groups(f"{proc}/self/cgroup")
        except OSError:
            return None
        unified = theirs.get("")
        if unified and unified != ours.get("") and os.path.exists(f"{root}{unified}/memory.stat"):
            return cls({"": f"{root}{unified}"}, proc)
        needed = ("cpuacct", "memory", "blkio")
        folders = {name: f"{root}/{name}{theirs[name]}" for name in needed if theirs.get(name) != ours.get(name)}
        return cls(folders, proc) if len(folders) == len(needed) and all(map(os.path.isdir, folders.values())) else None

    def read(self) -> CgroupUsed | None:
        """None when the group is gone: its container has ended."""
        try:
            return self._unified(self._folders[""]) if "" in self._folders else self._several()
        except (OSError, KeyError, ValueError):
            return None

    def _unified(self, folder: str) -> CgroupUsed:
        cpu, memory = _pairs(f"{folder}/cpu.stat"), _pairs(f"{folder}/memory.stat")
        disks = [dict(field.split("=") for field in line[1:] if "=" in field) for line in _lines(f"{folder}/io.stat")]
        read, written = (sum(int(disk.get(name, 0)) for disk in disks) for name in ("rbytes", "wbytes"))
        if not disks:
            read, written = self._by_processes(folder)
        used = Used(cpu["usage_usec"] / 1e6, memory["anon"] + memory.get("shmem", 0), read, written)
        return CgroupUsed(used, _pairs(f"{folder}/memory.events").get("oom_kill", 0))

    def _by_processes(self, folder: str) -> tuple[int, int]:
        """Where the group does not count for disks: what those in it say, also for those they have waited for."""
        moved = [io_of(int(line[0]), self._proc) for line in _lines(f"{folder}/cgroup.procs")]
        return sum(read for read, _ in moved), sum(written for _, written in moved)

    def _several(self) -> CgroupUsed:
        memory = _pairs(f"{self._folders['memory']}/memory.stat")
        disks = _lines(f"{self._folders['blkio']}/blkio.throttle.io_service_bytes_recursive")
        read, written = (
            sum(int(disk[2]) for disk in disks if len(disk) == 3 and disk[1] == name) for name in ("Read", "Write")
        )
        if len(disks) < 2:  # a line for the total alone: recent kernels count only where a limit is set
            read, written = self._by_processes(self._folders["memory"])
        cpu_ns = int(_lines(f"{self._folders['cpuacct']}/cpuacct.usage")[0][0])
        held = memory["total_rss"] + memory.get("total_shmem", 0)
        kills = _pairs(f"{self._folders['memory']}/memory.oom_control").get("oom_kill", 0)
        return CgroupUsed(Used(cpu_ns / 1e9, held, read, written), kills)


def _groups(path: str) -> dict[str, str]:
    """Its place below each controller; below "" that of version 2."""
    found: dict[str, str] = {}
    with open(path) as file:
        for line in file:
            _, controllers, place = line.rstrip("\n").split(":", 2)
            found |= dict.fromkeys(controllers.split(","), place.rstrip("/"))
    return found


def _lines(path: str) -> list[list[str]]:
    """Empty when this kernel has no such file: but then there is a group without disks, or an older kernel."""
    try:
        with open(path) as file:
            return [line.split() for line in file]
    except FileNotFoundError:
        if os.path.isdir(os.path.dirname(path)):
            return []
        raise


def _pairs(path: str) -> dict[str, int]:
    return {line[0]: int(line[1]) for line in _lines(path) if len(line) == 2}
