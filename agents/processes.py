"""Processes of Linux: who they are, who belongs together, and starting one in a folder and as a user of its own.

A number alone is no identity, it is given out again: a process is its number, the moment it started (in ticks since
the machine did) and the boot. Standard library only: the shim uses this.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Final, NamedTuple

from scitq.errors import Rejected

TICKS_A_SECOND: Final = os.sysconf("SC_CLK_TCK")
_NOT_OURS: Final = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGPIPE, signal.SIGXFSZ]
"""Signals that the shim, or Python, ignores; a command begins with the defaults."""


class Seen(NamedTuple):
    """A process that is not a zombie, as /proc shows it."""

    pid: int
    session: int
    start: int
    outputs: tuple[str, ...]  # where its standard output and error lead


def boot_id() -> str:
    with open("/proc/sys/kernel/random/boot_id") as file:
        return file.read().strip()


def now_in_ticks() -> int:
    """The time since the machine started, as /proc says when a process did.

    To look at the clock before and after a start tells as much as /proc, which makes us wait for the loading of the
    program: a quarter of the time that a start takes.
    """
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME) // (1_000_000_000 // TICKS_A_SECOND)


def start_of(pid: int) -> int | None:
    """When it started; None when there is none, or only a zombie."""
    found = _stat(pid)
    return None if found is None or found[0] in b"ZX" else int(found[19])


def _stat(pid: int) -> list[bytes] | None:
    """The fields behind the name of the program, which may hold spaces and brackets."""
    try:
        fd = os.open(f"/proc/{pid}/stat", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        return os.read(fd, 4096).rpartition(b")")[2].split()
    except OSError:  # it ended meanwhile
        return None
    finally:
        os.close(fd)


def scan() -> Iterator[Seen]:
    """Every living process, once."""
    for name in os.listdir("/proc"):
        if name.isdecimal() and (found := _stat(int(name))) is not None and found[0] not in b"ZX":
            yield Seen(int(name), int(found[3]), int(found[19]), _outputs(name))


def _outputs(pid: str) -> tuple[str, ...]:
    leads = []
    for fd in (1, 2):
        with contextlib.suppress(OSError):  # it ended, has closed it, or is another user's
            leads.append(os.readlink(f"/proc/{pid}/fd/{fd}"))
    return tuple(leads)


def group_lives(leader: int) -> bool:
    """Whether anything is left in the process group."""
    try:
        os.killpg(leader, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def send(pid: int, number: int, *, group: bool = False) -> bool:
    """Send a signal; False when nobody was there to get it."""
    try:
        (os.killpg if group else os.kill)(pid, number)
    except (ProcessLookupError, PermissionError):
        return False
    return True


def spawn(
    argv: list[str],
    cwd: str,
    env: Mapping[str, str],
    outputs: tuple[int, int],
    uid: int | None = None,
    gid: int | None = None,
    groups: Sequence[int] = (),
) -> int:
    """Start a command as the leader of a session of its own, and tell its number.

    `posix_spawn` knows neither folder nor user, and a fork costs twice as much. So the caller, which has one thread,
    goes to the folder and becomes the user for the moment, and comes back.
    """
    with _as_user(uid, gid, groups):
        try:
            os.chdir(cwd)
            return os.posix_spawn(
                _program(argv[0], env),
                argv,
                env,
                file_actions=[(os.POSIX_SPAWN_DUP2, fd, at) for at, fd in enumerate(outputs, 1)],
                setsid=True,
                setsigmask=[],
                setsigdef=_NOT_OURS,
            )
        finally:
            os.chdir("/")  # else the shim would hold a folder that somebody wants to remove


def _program(name: str, env: Mapping[str, str]) -> str:
    """Where the command is, by the PATH it will have."""
    if "/" in name:
        return name
    for folder in env.get("PATH", os.defpath).split(":"):
        path = f"{folder or '.'}/{name}"
        if os.access(path, os.X_OK) and not os.path.isdir(path):
            return path
    raise FileNotFoundError(2, "no such command", name)


@contextlib.contextmanager
def _as_user(uid: int | None, gid: int | None, more: Sequence[int]) -> Iterator[None]:
    """Be somebody else. Root stays behind as the saved user, which a command loses as it is loaded."""
    if uid is None and gid is None:
        yield
        return
    if os.geteuid() != 0:
        raise Rejected(f"the agent does not run as root, so it cannot run a command as user {uid}, group {gid}")
    groups, own = os.getgroups(), os.getresgid()
    try:
        if gid is not None:
            os.setgroups([*{gid, *more}])
            os.setresgid(gid, gid, -1)
        if uid is not None:
            os.setresuid(uid, uid, 0)
        yield
    finally:
        os.setresuid(0, 0, 0)
        os.setresgid(*own)
        os.setgroups(groups)
