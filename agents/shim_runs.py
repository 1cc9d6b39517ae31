"""What a shim runs and what it saw end: one journal, and for each execution the two files it prints into.

    runs/<execution>.out     its standard output, and the marker: it is made exclusively, before the start, so that
                             whoever is asked to start the execution again finds it and does nothing
    runs/<execution>.err     its standard error, and why it could not be started
    journal                  {"start": execution, "pid", "ticks", "boot"}
                             {"end": execution, "code", "reason", "at", "used"}

An execution is over when its command has ended and nobody is left in the command's process group; what stays behind
gets LINGER_S and is then killed, so that what is printed is complete when the end is told. A command that was killed is
over when its whole session is. Whoever makes a session of his own and no longer prints here has left the execution.
"""

from __future__ import annotations

import errno
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Final

from scitq.agents import processes
from scitq.agents.shim_run import Run, Told, survivor
from scitq.agents.usage_processes import Used, reap
from scitq.errors import AgentError, DiskFull, Rejected
from scitq.journal import Journal

LINGER_S: Final = 2.0
_COMPACT_BYTES: Final = 1024 * 1024
_MISSING, _UNUSABLE = 127, 126  # the codes by which shells say so
_MACHINE: Final = {
    errno.ENOSPC, errno.EDQUOT, errno.EMFILE, errno.ENFILE, errno.EAGAIN, errno.ENOMEM, errno.EIO, errno.EROFS
}  # fmt: skip
_LOOK_S, _LOOK_RARELY_S = 0.01, 0.25
_ENCODE: Final = json.JSONEncoder(check_circular=False).encode


class Runs:
    """All executions in a folder. `tell` is given what happens."""

    def __init__(self, folder: str, boot: str, tell: Callable[[Told], None]) -> None:
        self._folder, self._boot, self._tell = f"{folder}/runs", boot, tell
        self.running: dict[int, Run] = {}
        self.ended: dict[int, Told] = {}
        self.unwatched: list[Run] = []  # their pidfd is to be watched: `left` when it becomes readable
        self._unsaved: list[Told] = []  # a shim that dies before `save` has its commands found by what they print into
        self._told_full = False
        os.makedirs(self._folder, 0o700, exist_ok=True)
        self._journal = Journal(f"{folder}/journal")
        self._limit = _COMPACT_BYTES
        self._look_s = _LOOK_S
        self._reopen()

    def path(self, execution: int, kind: str) -> str:
        return f"{self._folder}/{execution}.{kind}"

    # A shim before this one ----------------------------------------------------------------------------------------

    def _reopen(self) -> None:
        """Find what an earlier shim left: what still runs is watched, though its return code is lost to us."""
        starts: dict[int, Told] = {}
        for line in self._journal.left:
            told = json.loads(line)
            if "start" in told:
                starts[told["start"]] = told
            else:
                self.ended[told["end"]] = told
        self._journal.left = []
        marked = {int(name[:-4]) for name in os.listdir(self._folder) if name.endswith(".out")}
        self.ended = {execution: told for execution, told in self.ended.items() if execution in marked}
        open_ = marked - self.ended.keys()
        seen = list(processes.scan()) if open_ else []
        for execution in sorted(open_):
            self._find(execution, starts.get(execution), seen)

    def _find(self, execution: int, start: Told | None, seen: Iterable[processes.Seen]) -> None:
        if start is not None and start["boot"] != self._boot:
            return self._end(execution, None, "the machine was restarted while it ran")
        out = self.path(execution, "out")
        found = survivor(start, out, seen)
        if found is not None:
            one, pidfd = found
            return self._begun(Run(execution, one.pid, pidfd, (one.start, one.start), ours=False), known=bool(start))
        for one in seen:
            if out in one.outputs:  # left behind by the command, and nobody would ever end it
                processes.send(one.pid, signal.SIGKILL)
        self._end(execution, None, "the shim was killed, and nobody else has seen how it ended")

    # Starting ------------------------------------------------------------------------------------------------------

    def start(self, execution: int, asked: Told) -> None:
        """Start a command, unless it ever was."""
        try:
            out = os.open(self.path(execution, "out"), os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o600)
        except FileExistsError:
            return
        except OSError as error:
            return self._end(execution, None, f"its output cannot be kept: {error.strerror}")
        try:
            err = os.open(self.path(execution, "err"), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        except OSError as error:
            os.close(out)
            return self._end(execution, None, f"its output cannot be kept: {error.strerror}")
        try:
            self._spawn(execution, asked, (out, err))
        finally:
            os.close(out)
            os.close(err)

    def _spawn(self, execution: int, asked: Told, outputs: tuple[int, int]) -> None:
        argv, cwd, uid, gid = asked["argv"], asked["cwd"], asked.get("uid"), asked.get("gid")
        before = processes.now_in_ticks()
        try:
            if uid is not None or gid is not None:
                for fd in outputs:  # a command may open /dev/stdout anew
                    os.fchown(fd, -1 if uid is None else uid, -1 if gid is None else gid)
            pid = processes.spawn(argv, cwd, asked["env"], outputs, uid, gid, asked.get("groups", ()))
        except Rejected as error:
            return self._end(execution, None, str(error))
        except (OSError, ValueError) as error:  # ValueError: a NUL in an argument
            return self._not_started(execution, error, outputs[1])
        try:
            pidfd = os.pidfd_open(pid)
        except OSError as error:  # no file descriptor is left: it must not run unwatched
            os.killpg(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            return self._end(execution, None, f"it could not be watched: {error.strerror}")
        self._begun(Run(execution, pid, pidfd, (before, processes.now_in_ticks())))
        self._tell({"started": execution, "pid": pid, "ticks": before})

    def _not_started(self, execution: int, error: OSError | ValueError, err: int) -> None:
        """The command is to blame, in the words and codes of a shell; or this machine, and then there is no code."""
        why = str(error)
        if isinstance(error, OSError):
            why = f"{error.strerror}: {error.filename}" if error.filename else str(error.strerror)
            if error.errno in _MACHINE:
                return self._end(execution, None, f"it could not be started: {why}")
        reason = f"the command could not be started: {why}"
        with suppress(OSError):  # the disk is full: the journal says it too
            os.write(err, f"scitq: {reason}\n".encode("utf-8", "surrogateescape"))
        self._end(execution, _MISSING if isinstance(error, FileNotFoundError) else _UNUSABLE, reason)

    def _begun(self, run: Run, *, known: bool = False) -> None:
        self.running[run.execution] = run
        self.unwatched.append(run)
        if not known:
            self._unsaved.append(self._line_of(run))

    def _line_of(self, run: Run) -> Told:
        return {"start": run.execution, "pid": run.pid, "ticks": run.ticks, "boot": self._boot}

    # Ending --------------------------------------------------------------------------------------------------------

    def signal(self, execution: int, number: int) -> bool:
        run = self.running.get(execution)
        return run is not None and processes.send(run.pid, number, group=True)

    def kill(self, execution: int, grace_s: float, reason: str | None = None, failure: str | None = None) -> None:
        """Ask everybody to end, and after the grace no longer ask; without any, never ask.

        A held process goes on first, so that it can end by itself.

        With a reason its end has that and no code: a command that is asked to end may well say that it did well.
        """
        run = self.running.get(execution)
        if run is None:
            return
        if not run.gone and run.reason is None:
            run.reason, run.failure = reason, failure
        due = time.monotonic() + grace_s
        if not run.killed:
            for member in self._members([run])[execution]:
                processes.send(member, signal.SIGTERM if grace_s > 0 else signal.SIGKILL)
                processes.send(member, signal.SIGCONT)
        run.killed, self._look_s = True, _LOOK_S
        run.kill_at = due if run.kill_at is None else min(run.kill_at, due)

    def left(self, run: Run) -> None:
        """The command has ended (its pidfd says so); perhaps not all that it started."""
        os.close(run.pidfd)
        run.gone = True
        if run.ours:
            run.code, run.used = reap(run.pid)
        if run.killed:
            return
        if processes.group_lives(run.pid):
            run.kill_at = time.monotonic() + LINGER_S
        else:
            self._over(run)

    def tick(self) -> float | None:
        """What has to be looked at again and again, and in how many seconds next; None when there is nothing."""
        due = [run for run in self.running.values() if run.kill_at is not None]
        if due:
            now = time.monotonic()
            members = self._members(due)
            self._look_s = min(2 * self._look_s, _LOOK_RARELY_S)
            for run in due:
                if not members[run.execution] and run.gone:
                    self._over(run)
                elif run.kill_at is not None and run.kill_at <= now:
                    for pid in members[run.execution]:
                        processes.send(pid, signal.SIGKILL)
                    if not run.forced:  # nobody survives that for long
                        run.forced, self._look_s = True, _LOOK_S
            next_kill = [run.kill_at - now for run in due if run.kill_at is not None and not run.forced]
            return min([self._look_s, *(max(left, 0.0) for left in next_kill)])
        self._look_s = _LOOK_S
        return 1.0 if self._unsaved else None

    def _members(self, runs: Iterable[Run]) -> dict[int, list[int]]:
        """Who belongs to them, by execution: their session, and whoever prints into their files."""
        found: dict[int, list[int]] = {run.execution: [] for run in runs}
        sessions = {run.pid: run.execution for run in runs}
        files = {self.path(run.execution, kind): run.execution for run in runs for kind in ("out", "err")}
        for one in processes.scan():
            owners = {sessions.get(one.session), *map(files.get, one.outputs)}
            for execution in owners - {None}:
                assert execution is not None
                found[execution].append(one.pid)
        return found

    def _over(self, run: Run) -> None:
        del self.running[run.execution]
        lost = None if run.ours else "the shim was killed while it ran, and its return code is lost"
        self._end(run.execution, None if run.reason else run.code, run.reason or lost, run.used, run.failure)

    def _end(
        self,
        execution: int,
        code: int | None,
        reason: str | None,
        used: Used | None = None,
        failure: str | None = None,
    ) -> None:
        told = {"end": execution, "code": code, "reason": reason, "at": time.time(), "used": used}
        if failure is not None:
            told["failure"] = failure
        self.ended[execution] = told
        self._unsaved.append(told)
        self._tell(told)

    # The journal ---------------------------------------------------------------------------------------------------

    def save(self) -> None:
        """Write down what happened, once for all of a round; on a full disk it is kept here until there is room."""
        if not self._unsaved:
            return
        try:
            self._journal.append(*(_ENCODE(told).encode() for told in self._unsaved))
        except AgentError as error:
            if not self._told_full:
                print(f"{error}; it is tried again each second", file=sys.stderr, flush=True)
            self._told_full = True
        else:
            self._told_full = False
            self._unsaved.clear()

    def forget(self, executions: Iterable[int]) -> None:
        """These are over for the engine too: their files, and at some time their lines, are removed."""
        for execution in executions:
            if execution in self.running:
                continue
            self.ended.pop(execution, None)
            for kind in ("err", "out"):  # the marker last
                try:
                    os.unlink(self.path(execution, kind))
                except FileNotFoundError:
                    continue
        if self._journal.size > self._limit:
            self._compact()

    def _compact(self) -> None:
        starts = [self._line_of(run) for run in self.running.values()]
        with suppress(DiskFull):  # the old one goes on as long as it can
            self._journal.replace(_ENCODE(told).encode() for told in [*starts, *self.ended.values()])
            self._unsaved.clear()
        self._limit = self._journal.size + _COMPACT_BYTES
