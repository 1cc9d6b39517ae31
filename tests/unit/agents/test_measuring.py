"""What ran is measured while it runs, and the end says what it used and whether the kernel had to kill it."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path

import pytest
import uvloop

from scitq.agents import processes
from scitq.agents.core import Exit
from scitq.agents.measuring import Measuring
from scitq.agents.usage import Usage
from scitq.agents.usage_processes import Used

MB = 1024 * 1024


class Loop:
    """Timers that go off when the test says so."""

    def __init__(self) -> None:
        self.now = 0.0
        self.timers: list[Timer] = []

    def time(self) -> float:
        return self.now

    def call_at(self, at: float, call: Callable[[], None]) -> Timer:
        self.timers.append(Timer(at, call))
        return self.timers[-1]

    def go_on(self) -> None:
        """To the next timer."""
        (timer,) = [one for one in self.timers if not one.cancelled]
        self.timers.clear()
        self.now = timer.at
        timer.call()


class Timer:
    def __init__(self, at: float, call: Callable[[], None]) -> None:
        self.at, self.call, self.cancelled = at, call, False

    def cancel(self) -> None:
        self.cancelled = True


def measuring(loop: Loop, containers: set[int] = frozenset(), proc: str = "/proc") -> Measuring:  # type: ignore[assignment]
    made = Measuring(containers.__contains__, Usage(proc, now=loop.time))
    made.watch(loop)  # type: ignore[arg-type]
    return made


def test_an_agent_that_runs_nothing_is_never_woken() -> None:
    loop = Loop()
    one = measuring(loop)
    assert loop.timers == []
    one.begin(1, os.getpid())
    one.begin(1, os.getpid())
    for _ in range(3):
        loop.go_on()
    assert [point.at_s for point in one.curve(1)] == [1.0, 2.0, 3.0]
    assert one.over(Exit(1, 0)).used is not None
    loop.go_on()
    assert loop.timers == []


def test_a_container_is_looked_at_soon_though_a_timer_for_commands_is_set_already() -> None:
    """A real one has a control group, which is looked at sooner than the next whole second."""

    class Sooner(Usage):
        def left_s(self) -> float | None:
            return 0.05 if 2 in self._watched else super().left_s()

    loop = Loop()
    one = Measuring({2}.__contains__, Sooner(now=loop.time))
    one.watch(loop)  # type: ignore[arg-type]
    one.begin(1, os.getpid())
    assert [timer.at for timer in loop.timers] == [1.0]
    one.begin(2, os.getpid())
    assert [timer.at for timer in loop.timers if not timer.cancelled] == [0.05]


@pytest.mark.parametrize("make", [asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def test_one_that_begins_while_a_look_is_overdue_changes_nothing_in_any_loop(
    make: Callable[[], asyncio.AbstractEventLoop],
) -> None:
    """What uvloop gives for a moment that has passed is no timer, and knows no time."""

    class Overdue(Usage):
        def left_s(self) -> float | None:
            return 0.0 if self._watched and not looks else None

        def look(self) -> None:
            looks.append(None)

    looks: list[None] = []
    with asyncio.Runner(loop_factory=make) as runner:
        loop = runner.get_loop()
        one = Measuring(set[int]().__contains__, Overdue(now=lambda: 0.0))
        one.watch(loop)
        one.begin(1, os.getpid())
        one.begin(2, os.getpid())
        loop.run_until_complete(asyncio.sleep(0.01))
    assert len(looks) == 1


def test_what_ran_before_the_agent_came_has_a_curve_that_begins_late() -> None:
    loop = Loop()
    one = measuring(loop)
    one.begin(1, os.getpid(), since=processes.now_in_ticks() - 60 * processes.TICKS_A_SECOND)
    one.begin(2, None)
    loop.go_on()
    assert 60 < one.curve(1)[0].at_s < 65
    assert one.curve(2) == []


def test_the_end_tells_what_was_used_by_whoever_knows_more() -> None:
    one = measuring(Loop())
    reaped = Used(1000.0, 5, 7, 9)._asdict()
    one.begin(1, os.getpid())
    assert one.over(Exit(1, 3, used=reaped)) == Exit(1, 3, used=reaped)
    assert one.over(Exit(2, 0, used=reaped)) == Exit(2, 0, used=reaped), "it ran while no agent was there"
    assert one.over(Exit(3, None, "no such program")) == Exit(3, None, "no such program")


def test_who_needed_more_memory_than_there_was_is_told_so(tmp_path: Path) -> None:
    vmstat = tmp_path / "vmstat"
    vmstat.write_text("x 1\noom_kill 3\n")
    loop = Loop()
    one = measuring(loop, proc=str(tmp_path))
    loop.now = 100.0
    vmstat.write_text("x 1\noom_kill 4\n")  # of somebody else, before
    for execution in (1, 2, 3):
        one.begin(execution, 1)
    assert one.over(Exit(1, -9)).failure is None
    vmstat.write_text("x 1\noom_kill 5\n")
    end = one.over(Exit(2, 137, used=Used(1.0, 300 * MB)._asdict()))
    assert end.failure == "out_of_memory"
    assert end.reason == "the kernel killed it as there was no memory left; it was seen with 300 MB"
    late = Exit(3, -9, "it ran longer than 5 s, its run timeout", failure="run_timeout")
    assert one.over(late) == late, "whoever asked for its end said why"


def test_a_real_loop_looks_by_itself() -> None:
    async def look() -> int:
        one = Measuring(lambda execution: True)  # looked at soon
        one.watch(asyncio.get_running_loop())
        one.begin(1, os.getpid())
        async with asyncio.timeout(10):
            while not one.curve(1):
                await asyncio.sleep(0.01)
        one.close()
        return one.curve(1)[0].used.memory_bytes

    assert asyncio.run(look()) > MB
