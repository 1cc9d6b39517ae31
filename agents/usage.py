"""What executions use while they run, and what they have used when they are over.

Looked at once a second, all together, and after some minutes up to five times as rarely. What the shim learns as it
reaps a command is exact for all that the command has waited for; the looks add what was left behind, and the memory of
several processes at once. A container is looked at in its control group, sooner after its start and each second to its
end, since the group vanishes with it: what it used in the last second may be missing.

Each execution has a curve of at most 120 points: when it is full, every two become one and a point stands for twice the
time, so that a second has as many bytes to say as a week.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from scitq.agents.usage_cgroups import Cgroup
from scitq.agents.usage_processes import Used, trees

EVERY_S: Final = 1.0
FIRST_S: Final = 0.05
"""After the start of a container; each look after that takes twice as long, up to EVERY_S."""
RARELY_S: Final = 5.0
POINTS: Final = 120
KILLED: Final = (-9, 137)
"""The codes of a command that was killed, and of a shell whose last command was."""


NOTHING: Final = Used()


class Point(NamedTuple):
    """`at_s` since the start. `used.memory_bytes` is the highest since the point before."""

    at_s: float
    used: Used


class Curve:
    """Points that become sparser as there are more."""

    def __init__(self, most: int = POINTS) -> None:
        self._most, self.each_s = most, EVERY_S
        self._points: list[Point] = []

    def add(self, at_s: float, used: Used) -> None:
        """The present one replaces the last while that is too near to the one before."""
        points = self._points
        before = points[-2].at_s if len(points) > 1 else 0.0
        if points and points[-1].at_s - before < self.each_s:
            points[-1] = _later(points[-1], Point(at_s, used))
            return
        if len(points) == self._most:
            points[:] = [_later(*points[at : at + 2]) for at in range(0, self._most - 1, 2)]
            self.each_s *= 2
        points.append(Point(at_s, used))

    @property
    def points(self) -> list[Point]:
        return list(self._points)


def _later(first: Point, last: Point) -> Point:
    memory = max(first.used.memory_bytes, last.used.memory_bytes)
    return Point(last.at_s, last.used._replace(memory_bytes=memory))


@dataclass(slots=True)
class _Watched:
    pid: int
    since: float
    cgroup: Cgroup | None
    oom_kills: int  # of the whole machine when it began
    due: float
    ran_s: float = 0.0  # before that
    most: Used = NOTHING
    curve: Curve = field(default_factory=Curve)
    oom: bool = False


class Usage:
    """Of all executions of an agent. `look` is to be called whenever `due` says so."""

    def __init__(self, proc: str = "/proc", now: Callable[[], float] = time.monotonic) -> None:
        self._proc, self._now = proc, now
        self._watched: dict[int, _Watched] = {}
        self._oom_kills, self._counted_at = _oom_kills(proc), now()

    def begin(self, execution: int, pid: int, *, container: bool = False, ran_s: float = 0.0) -> None:
        """It runs, for so long already: the process that leads its session, or the first one of its container."""
        if execution in self._watched:
            return
        now = self._now()
        if now - self._counted_at > EVERY_S:  # nothing was looked at for a while, and others may have been killed
            self._oom_kills, self._counted_at = _oom_kills(self._proc), now
        cgroup = Cgroup.find(pid, self._proc) if container else None
        due = _together(now, EVERY_S) if cgroup is None else now + FIRST_S
        self._watched[execution] = _Watched(pid, now, cgroup, self._oom_kills, due, ran_s)

    def due(self) -> float | None:
        """When the next look is to be taken, on the clock that was given; None while there is nothing to look at."""
        return min((one.due for one in self._watched.values()), default=None)

    def left_s(self) -> float | None:
        """For so long nothing is due; None while there is nothing to look at."""
        due = self.due()
        return None if due is None else max(due - self._now(), 0.0)

    def look(self) -> None:
        """At all whose time has come."""
        now = self._now()
        ripe = [one for one in self._watched.values() if one.due <= now]
        roots = {one.pid for one in ripe if one.cgroup is None}
        seen = trees(roots, self._proc) if roots else {}
        for one in ripe:
            if one.cgroup is not None:
                one.due = now + min(max(now - one.since, FIRST_S), EVERY_S)
                self._note_cgroup(one, now)
            else:
                one.due = _together(now, min(one.curve.each_s, RARELY_S))
                if one.pid in seen:
                    self._note(one, now, seen[one.pid])
        if roots:
            self._oom_kills, self._counted_at = _oom_kills(self._proc), now

    def _note_cgroup(self, one: _Watched, now: float) -> None:
        assert one.cgroup is not None
        found = one.cgroup.read()
        if found is not None:
            one.oom = one.oom or found.oom_kills > 0
            self._note(one, now, found.used)

    def _note(self, one: _Watched, now: float, used: Used) -> None:
        one.most = one.most.or_more(used)
        one.curve.add(round(one.ran_s + now - one.since, 3), one.most._replace(memory_bytes=used.memory_bytes))

    def curve(self, execution: int) -> list[Point]:
        """So far."""
        one = self._watched.get(execution)
        return [] if one is None else one.curve.points

    def end(self, execution: int, code: int | None = None, reaped: Used = NOTHING) -> tuple[Used, bool]:
        """It is over: what it has used in all, and whether the kernel has killed it for want of memory.

        `reaped` is what the shim says. A kill was the kernel's when the machine counts more of those than at the start.
        """
        one = self._watched.pop(execution, None)
        if one is None:
            return reaped, False
        oom = one.oom or (code in KILLED and _oom_kills(self._proc) > one.oom_kills)
        return one.most.or_more(reaped), oom


def _together(now: float, each_s: float) -> float:
    """The next moment at which all are looked at that are looked at so often: one look at /proc is enough for them."""
    return (now // each_s + 1) * each_s


def _oom_kills(proc: str) -> int:
    """How many processes the kernel has killed for want of memory since the machine started; 0 if it does not say."""
    try:
        fd = os.open(f"{proc}/vmstat", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return 0
    try:
        content = os.read(fd, 65536)
    finally:
        os.close(fd)
    _, found, rest = content.partition(b"\noom_kill ")
    return int(rest.split(None, 1)[0]) if found else 0
