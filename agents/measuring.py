"""What executions use is looked at while any runs, and told with their ends.

An agent that runs nothing looks at nothing. Whoever starts and ends executions says `begin` and `over`. Who was killed
by the kernel for want of memory is named so here, in words that say how much that was.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from scitq.agents import processes
from scitq.agents.core import Exit
from scitq.agents.usage import NOTHING, Point, Usage
from scitq.agents.usage_processes import Used

MB: Final = 1024 * 1024


class Measuring:
    """Of one agent. `is_container` says whether an execution runs in one; its process is then the container's first."""

    def __init__(self, is_container: Callable[[int], bool], usage: Usage | None = None) -> None:
        self._is_container, self._usage = is_container, usage or Usage()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._next: asyncio.Handle | None = None
        self._due = 0.0  # of the next look. Loops differ in whether a handle knows it

    def watch(self, loop: asyncio.AbstractEventLoop) -> None:
        """From now on it is looked at, in this loop."""
        self._loop = loop
        self._look_when_due()

    def begin(self, execution: int, pid: int | None, since: int | None = None) -> None:
        """It runs; `since`, in ticks since the machine started, where that is known. Said again, it changes nothing."""
        if pid:
            ran_s = 0.0 if since is None else (processes.now_in_ticks() - since) / processes.TICKS_A_SECOND
            self._usage.begin(execution, pid, container=self._is_container(execution), ran_s=max(ran_s, 0.0))
            self._look_when_due()

    def over(self, end: Exit) -> Exit:
        """The same end, with all that it has used: what was seen, and what whoever waited for it was told."""
        known = end.used or {}
        reaped = Used._make(known.get(name, 0) for name in Used._fields)
        used, oom = self._usage.end(end.execution, end.code, reaped)
        if used != NOTHING:
            end = end._replace(used=used._asdict())
        if oom and end.failure is None and end.code != 0:
            end = end._replace(failure="out_of_memory")
        if end.failure == "out_of_memory":  # a container's engine says that too
            end = end._replace(reason=end.reason or out_of_memory(used))
        return end

    def curve(self, execution: int) -> list[Point]:
        """What it has used so far, at the moments at which that was looked at."""
        return self._usage.curve(execution)

    def close(self) -> None:
        if self._next is not None:
            self._next.cancel()

    def _look_when_due(self) -> None:
        """There is one timer, and only while there is something to look at."""
        left_s = self._usage.left_s()
        if self._loop is None or left_s is None:
            return
        at = self._loop.time() + left_s
        if self._next is not None:
            if self._due <= at:
                return
            self._next.cancel()
        self._next, self._due = self._loop.call_at(at, self._look), at

    def _look(self) -> None:
        self._next = None
        self._usage.look()
        self._look_when_due()


def out_of_memory(used: Used) -> str:
    """What is said of a command that needed more than there was."""
    peak = f"; it was seen with {used.memory_bytes / MB:,.0f} MB" if used.memory_bytes >= MB else ""
    return f"the kernel killed it as there was no memory left{peak}"
