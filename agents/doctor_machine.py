"""The machine itself: what a worker has to share out, and whether a command can be run on it at all."""

from __future__ import annotations

import os
import platform
import pwd
import resource
import select
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import psutil

from scitq import __version__
from scitq.agents.doctor import Finding, absent, broken, good
from scitq.agents.doctor_folders import existing, size
from scitq.agents.shim_client import Command, ShimClient

LEAST_FILES: Final = 1_024
"""Each task that runs costs a worker a few."""
UNIT: Final = "scitq-worker.service"
SOON_S: Final = 10.0
SHIM_S: Final = 3.0
"""For so long a shim waits for somebody who was killed."""
SHELL: Final = "/bin/sh"
CGROUPS: Final = Path("/sys/fs/cgroup")
OWN_GROUPS: Final = Path("/proc/self/cgroup")


def versions() -> Iterator[Finding]:
    yield good(
        f"scitq {__version__}, Python {platform.python_version()} ({sys.executable}), Linux {os.uname().release}"
    )


def commands(data: Path) -> Iterator[Finding]:
    """As a worker does it: through a shim, which hears of the end."""
    with TemporaryDirectory(prefix=".scitq-doctor-", dir=existing(data)) as folder:
        command = Command((SHELL, "-c", "exit 7"), folder, {"PATH": os.defpath})
        shim = ShimClient(Path(folder, "shim"), lambda execution, task: command, patience_s=SHIM_S)
        try:
            shim.start(1, 1)
            shim.leave()  # as soon as that has ended, whatever becomes of us
            ends = shim.wait(SOON_S)
        finally:
            _wait_for_the_end(shim.shim_pid())
            shim.close()
    if ends and ends[0].code == 7:
        yield good("one was started, and its end was heard of")
    else:
        why = ends[0].reason or f"it ended with {ends[0].code}" if ends else f"nothing was heard of it for {SOON_S:g} s"
        yield broken(f"none can be run here: {why}", needed=True)


def _wait_for_the_end(pid: int | None) -> None:
    """Of the shim: it still writes to a folder that is about to be removed."""
    try:
        fd = os.pidfd_open(pid or 0)
    except OSError:  # it has ended, or was never there
        return
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    poll.poll(1_000 * SOON_S)
    os.close(fd)


def cores() -> Iterator[Finding]:
    mine, all_of_them = len(os.sched_getaffinity(0)), os.cpu_count() or 1
    yield good(f"{mine}" if mine == all_of_them else f"{mine} of this machine's {all_of_them}")


def memory(cgroups: Path = CGROUPS) -> Iterator[Finding]:
    """What there is, and what the group of this process may have of it."""
    found = psutil.virtual_memory()
    text = f"{size(found.available)} of {size(found.total)} are free"
    limit = _limit(cgroups)
    yield good(text if limit is None or limit >= found.total else f"{text}, and this process may have {size(limit)}")


def _limit(cgroups: Path) -> int | None:
    """The least of its group and of those above it, of version 2."""
    try:
        place = OWN_GROUPS.read_text().rpartition("::")[2].split("\n")[0].strip("/")
    except OSError:
        return None
    limits = []
    for folder in (cgroups / place, *(cgroups / place).parents):
        if folder == cgroups.parent:
            break
        try:
            limits.append(int((folder / "memory.max").read_text()))
        except (OSError, ValueError):  # it has no limit, or is of another version
            continue
    return min(limits, default=None)


def files() -> Iterator[Finding]:
    """How many one process may have open."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= LEAST_FILES:
        yield good("as many as needed may be open" if soft == resource.RLIM_INFINITY else f"{soft:,} may be open")
    else:
        more = LEAST_FILES if hard == resource.RLIM_INFINITY or hard >= LEAST_FILES else hard
        yield broken(
            f"only {soft:,} may be open, too few for many tasks: ulimit -n {more}, or LimitNOFILE= of its unit"
        )


def user() -> Iterator[Finding]:
    """Who tasks run as, and whether they may be somebody else."""
    uid = os.geteuid()
    try:
        name = pwd.getpwuid(uid).pw_name
    except KeyError:
        name = str(uid)
    if uid == 0:
        yield good(f"{name}: tasks may name the user and group they run as (-u, -g)")
    else:
        yield absent(f"{name}: tasks without a container that name a user (-u, -g) need a worker that root runs")


def control_groups(cgroups: Path = CGROUPS) -> Iterator[Finding]:
    """By which is known what a container uses, and that it was killed for want of memory."""
    if (cgroups / "cgroup.controllers").exists():
        yield good(f"version 2: {(cgroups / 'cgroup.controllers').read_text().strip().replace(' ', ', ') or 'empty'}")
    elif (cgroups / "memory").is_dir():
        yield good("version 1")
    else:
        yield absent(
            f"none at {cgroups}: what a container uses is added up over its processes, and peaks may be missed"
        )


def service(systemctl: str = "systemctl") -> Iterator[Finding]:
    """The unit of systemd, if this machine has one."""
    advice = f"to have a worker at every start of the machine, install deploy/systemd/{UNIT}"
    program = shutil.which(systemctl)
    asked = [str(program), "show", UNIT, "--property=LoadState,ActiveState,UnitFileState,KillMode"]
    try:
        done = program and subprocess.run(asked, capture_output=True, text=True, timeout=SOON_S, check=False)
    except subprocess.TimeoutExpired:
        yield broken(f"systemd does not answer within {SOON_S:g} s: systemctl status says more")
        return
    if not done or done.returncode:
        yield absent("systemd does not run here: nothing starts a worker when the machine starts")
        return
    found = dict(line.split("=", 1) for line in done.stdout.splitlines() if "=" in line)
    if found.get("LoadState") != "loaded":
        yield absent(f"there is no {UNIT}: {advice}")
    elif found.get("KillMode") != "process":
        yield broken(
            f"{UNIT} ends running tasks whenever it is restarted: it needs KillMode=process, as in deploy/systemd"
        )
    elif found.get("UnitFileState") not in ("enabled", "enabled-runtime"):
        state = found.get("ActiveState")
        yield absent(f"{UNIT} is {state}, and not started with the machine: systemctl enable {UNIT}")
    else:
        yield good(f"{UNIT} is {found.get('ActiveState')}, and started with the machine")
