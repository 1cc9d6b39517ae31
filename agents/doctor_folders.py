"""Where a worker keeps what is its own, and where tasks have their folders: whether all works there that they do."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from scitq.agents.cleaner import AUTOCLEAN
from scitq.agents.doctor import Finding, broken, good
from scitq.agents.workshop import LEAST_FREE_BYTES

UNITS: Final = ("bytes", "KiB", "MiB", "GiB", "TiB", "PiB")
IN_MEMORY: Final = ("tmpfs", "ramfs")


def data_folder(data: Path) -> Iterator[Finding]:
    """That of the worker itself."""
    yield from _writable(data, "--data or SCITQ_DATA")


def working_folder(base: Path, autoclean: int = AUTOCLEAN) -> Iterator[Finding]:
    """That of tasks."""
    tried = list(_writable(base, "--base or BASE_WORKDIR"))
    yield from tried
    if any(one.needed and one.state == "broken" for one in tried):
        return
    room = os.statvfs(existing(base))
    used = 100 * (1 - room.f_bavail / room.f_blocks) if room.f_blocks else 0.0
    if used > autoclean:
        yield broken(
            f"it is {used:.0f} % full: beyond {autoclean} % (--autoclean) what failed tasks left goes at once, and so "
            "do resources that nobody uses: make room, or name a larger one with --base"
        )
    with TemporaryDirectory(prefix=".scitq-doctor-", dir=existing(base)) as folder:
        yield _programs(folder)
        yield _links(folder)


def _writable(folder: Path, options: str) -> Iterator[Finding]:
    """A file is written and read back, where the folder is or will be."""
    place = existing(folder)
    try:
        with TemporaryDirectory(prefix=".scitq-doctor-", dir=place) as trial:
            Path(trial, "file").write_bytes(bytes(4_096))
    except OSError as error:
        reason = error.strerror or str(error)
        yield broken(f"nothing can be written to {place} ({reason}): name another folder with {options}", needed=True)
        return
    room, kind = os.statvfs(place), file_system(place)
    free = room.f_bavail * room.f_frsize
    if room.f_blocks and free < LEAST_FREE_BYTES:
        yield broken(f"next to no space is left in {place}: make some, or name another with {options}", needed=True)
        return
    remark = ", in memory: what is written there takes from it" if kind in IN_MEMORY else ""
    later = "" if place == folder else ", made when it is needed"
    total = size(room.f_blocks * room.f_frsize)
    yield good(f"{folder}{later} ({kind}{remark}; {size(free)} of {total} are free)")


def _programs(folder: str) -> Finding:
    path = Path(folder, "program")
    path.write_text("#!/bin/sh\nexit 7\n")
    path.chmod(0o700)
    try:
        code = subprocess.run([path], timeout=10, check=False, stdin=subprocess.DEVNULL).returncode
    except OSError as error:
        return broken(
            f"a program in it cannot be started ({error.strerror}): it is probably mounted with noexec; mount it "
            "without, or name another with --base"
        )
    return good("programs in it can be started") if code == 7 else broken(f"a program in it ended with {code}, not 7")


def _links(folder: str) -> Finding:
    """A resource is one file, under a name in each task's folder."""
    Path(folder, "resource").touch()
    try:
        os.link(f"{folder}/resource", f"{folder}/link")
    except OSError as error:
        return broken(
            f"files in it cannot have two names ({error.strerror}), so tasks with resources fail: name another, on a "
            "file system with hard links, with --base"
        )
    return good("resources can be linked into the folders of tasks")


def existing(folder: Path) -> Path:
    """It, or the nearest above it that is there."""
    return next(one for one in (folder, *folder.parents) if one.exists())


def file_system(place: Path) -> str:
    """Its kind, as the kernel calls it."""
    real, found = os.path.realpath(place), ("", "an unknown file system")
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        fields, _, more = line.partition(" - ")
        point = fields.split()[4].encode().decode("unicode_escape")
        if (real == point or real.startswith(point.rstrip("/") + "/")) and len(point) >= len(found[0]):
            found = point, more.split()[0]
    return found[1]


def size(count: float) -> str:
    """In a unit that fits."""
    unit = 0
    while count >= 1_024 and unit < len(UNITS) - 1:
        count, unit = count / 1_024, unit + 1
    return f"{count:.0f} {UNITS[unit]}" if count >= 10 or unit == 0 else f"{count:.1f} {UNITS[unit]}"
