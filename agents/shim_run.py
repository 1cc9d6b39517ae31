"""One command that a shim looks after, and how the next shim finds it."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from scitq.agents import processes
from scitq.agents.usage_processes import Used

Told = dict[str, Any]


@dataclass(slots=True)
class Run:
    """A command that has not ended, or whose group has not."""

    execution: int
    pid: int
    pidfd: int
    ticks: tuple[int, int]  # it started between these
    ours: bool = True  # a child of this process: only then is there a return code to be had
    gone: bool = False  # the command itself has ended
    code: int | None = None
    used: Used | None = None  # by the command and all it has waited for
    kill_at: float | None = None  # when whatever is left is killed
    killed: bool = False
    forced: bool = False  # its time to end by itself is over: SIGKILL was sent
    reason: str | None = None  # why it was killed, if its code would say nothing
    failure: str | None = None  # and the class of that


def survivor(start: Told | None, out: str, seen: Iterable[processes.Seen]) -> tuple[processes.Seen, int] | None:
    """The living command behind a line of the journal, and what to watch it by.

    Without a line the shim ended in the very moment of the start: then it is known by the file it prints into.
    """
    for one in seen:
        if start is None:
            is_it = one.pid == one.session and out in one.outputs
        else:
            first, last = start["ticks"]
            is_it = one.pid == start["pid"] and first <= one.start <= last
        if is_it:
            try:
                pidfd = os.pidfd_open(one.pid)
            except ProcessLookupError:
                return None
            if processes.start_of(one.pid) == one.start:
                return one, pidfd
            os.close(pidfd)
            return None
    return None
