"""Where tasks are run: a folder and an environment for each execution, and what its texts say is to be run.

    BASE/<agent>/<execution>/                the command's folder, and $HOME stays the agent's
                     input output resource temp      $INPUT $OUTPUT $RESOURCE $TEMP, and $TMPDIR is the last

Each agent has its own part of BASE: executions of two servers, or of one whose store was made anew, have the same ids.

A command is split into words and no shell reads it: whoever wants one writes `sh -c '…'`.
"""

from __future__ import annotations

import errno
import os
import pwd
import queue
import shlex
import shutil
import stat
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Final

from scitq.agents.container_job import Job
from scitq.agents.owners import give, is_own, open_to_all, owner_of
from scitq.agents.shim_client import Command
from scitq.domain.container_options import parse as parse_options
from scitq.errors import AgentError, DiskFull, Rejected

FOLDERS: Final = ("input", "output", "resource", "temp")
HAS_ALL: Final = ".has-all"
"""Beside these: all that was to be fetched for the command is here, since the boot that it names."""
LEAST_FREE_BYTES: Final = 1024 * 1024
_PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def part_of(base: Path, incarnation: str) -> Path:
    """The part of the working folder that is this agent's."""
    return base / incarnation[:8]


def check_room(folder: str) -> None:
    """DiskFull where next to nothing is left: tasks would fail for it that succeed elsewhere, or here later."""
    try:
        found = os.statvfs(folder)
    except OSError:  # it is made when it is needed, and that says what is wrong
        return
    if found.f_blocks and found.f_bavail * found.f_frsize < LEAST_FREE_BYTES:
        raise DiskFull(f"next to no space is left in {folder}, and nothing is started until there is some")


class Workshop:
    """The working folders of one agent, below `base`, which nobody else uses."""

    def __init__(self, base: Path, environ: Mapping[str, str] = os.environ) -> None:
        self.base = str(base.absolute())
        self._environ = environ_of_tasks(environ)
        self._cores = len(os.sched_getaffinity(0))
        self._sweeper: _Sweeper | None = None

    def command(self, execution: int, texts: Mapping[str, Any] | None, concurrency: int) -> Command:
        """What is to be run, its folders made.

        Rejected, with a sentence, when the task cannot be run: NotHere, when another worker might. AgentError when it
        cannot for now.
        """
        argv = words(texts)
        owner = owner_of(str(texts["user"])) if texts and texts.get("user") else None
        folder = self.folder(execution)
        env = {**self._environ, "CPU": str(self._cpu(concurrency))}
        for name in FOLDERS:
            env[name.upper()] = f"{folder}/{name}"
        env["TMPDIR"] = f"{folder}/temp"
        if owner is None or is_own(owner):
            return Command(argv, folder, env)
        give(folder, owner)
        env["USER"], env["HOME"] = owner.name or str(owner.uid), owner.home or folder
        return Command(argv, folder, env, owner.uid, owner.gid, owner.groups)

    def job(self, execution: int, texts: Mapping[str, Any] | None, concurrency: int) -> Job:
        """What is to be run in a container, its folders made; raises the same."""
        argv, said = words(texts), texts or {}
        options = parse_options(said.get("container_options"))
        owner = owner_of(str(said["user"]), in_container=True) if said.get("user") else None
        folder = self.folder(execution)
        open_to_all(folder)
        job = Job(str(said["container"]), argv, folder, options, self._cpu(concurrency))
        return job if owner is None else replace(job, uid=owner.uid, gid=owner.gid)

    def _cpu(self, concurrency: int) -> int:
        return max(1, self._cores // max(concurrency, 1))

    def folder(self, execution: int) -> str:
        """Its working folder, made if it is not there."""
        folder = f"{self.base}/{execution}"
        try:
            self._make(folder)
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise DiskFull(f"no space is left for the working folder {folder}: {error.strerror}") from error
            raise AgentError(f"the working folder {folder} cannot be made: {error.strerror}") from error
        return folder

    def _make(self, folder: str) -> None:
        try:
            os.mkdir(folder, 0o700)
        except FileNotFoundError:
            os.makedirs(self.base, 0o700, exist_ok=True)
            os.mkdir(folder, 0o700)
        except FileExistsError:  # made in an earlier life, or by somebody who wants to see what comes into it
            found = os.lstat(folder)
            ours = _is_ours(found) or _is_ours(os.lstat(self.base))  # where only we can make it, its user may be any
            if not stat.S_ISDIR(found.st_mode) or not ours:
                raise Rejected(f"its working folder {folder} is there already, and is not this worker's") from None
        for name in FOLDERS:
            try:
                os.mkdir(f"{folder}/{name}", 0o700)
            except FileExistsError:
                continue

    def left(self) -> list[int]:
        """The executions that have a folder."""
        try:
            return [int(name) for name in os.listdir(self.base) if name.isdecimal()]
        except OSError:  # nothing was ever run here
            return []

    def remove(self, execution: int, gone: Callable[[int], None]) -> bool:
        """Remove its folder: at once if nothing is in it; else aside, for that may take long, and then it is told."""
        folder = f"{self.base}/{execution}"
        try:
            with suppress(FileNotFoundError):
                os.unlink(f"{folder}/{HAS_ALL}")
            for name in FOLDERS:
                os.rmdir(f"{folder}/{name}")
            os.rmdir(folder)
            return True
        except FileNotFoundError:
            if not os.path.lexists(folder):
                return True
        except OSError:  # not empty, or not ours
            pass
        if self._sweeper is None:
            self._sweeper = _Sweeper()
        self._sweeper.jobs.put((folder, partial(gone, execution)))
        return False


def _is_ours(found: os.stat_result) -> bool:
    """The agent's, and nobody else can put anything there."""
    return found.st_uid == os.geteuid() and not found.st_mode & 0o022


class _Sweeper(threading.Thread):
    """Removes trees, one after the other. Nobody waits for it: what is left is removed by the agent's next life."""

    def __init__(self) -> None:
        super().__init__(name="sweeper", daemon=True)
        self.jobs: queue.SimpleQueue[tuple[str, Callable[[], None]]] = queue.SimpleQueue()
        self.start()

    def run(self) -> None:
        while True:
            folder, gone = self.jobs.get()
            remove_tree(folder)
            gone()


def remove_tree(folder: str) -> None:
    """Also where a task has taken the right to write from folders of its own. What cannot be removed stays."""

    def open_up(function: Callable[..., object], path: str, _: object) -> None:
        if os.geteuid() == 0:  # no right is missing; and another user's processes may still put links in the way
            return
        try:
            if path != folder:
                os.chmod(os.path.dirname(path), 0o700)
            if not os.path.islink(path) and os.path.isdir(path):
                os.chmod(path, 0o700)
            if function in (os.unlink, os.rmdir):
                function(path)
            else:
                shutil.rmtree(path, ignore_errors=True)
        except OSError:
            return

    shutil.rmtree(folder, onerror=open_up)


def words(texts: Mapping[str, Any] | None) -> list[str]:
    """The command and its arguments; Rejected when there are none, or the task asks for what is not done here."""
    if texts is None or not isinstance(text := texts.get("command"), str):
        raise Rejected("the task came without its command")
    if "\0" in text:
        raise Rejected("the command contains a NUL character")
    try:
        argv = shlex.split(text)
    except ValueError as error:
        reason = str(error).lower().removesuffix(".")
        raise Rejected(f"the command cannot be split into words: {reason}") from error
    if not argv or not argv[0]:
        raise Rejected("the command is empty")
    return argv


def environ_of_tasks(environ: Mapping[str, str]) -> dict[str, str]:
    """Little of the agent's own environment: what is secret there stays there."""
    try:
        user = pwd.getpwuid(os.geteuid())
        name, home = user.pw_name, user.pw_dir
    except KeyError:  # a container's user often has no entry
        name, home = str(os.geteuid()), "/"
    return {
        "PATH": environ.get("PATH") or _PATH,
        "HOME": environ.get("HOME") or home,
        "USER": environ.get("USER") or name,
        "LANG": environ.get("LANG") or "C.UTF-8",
    }
