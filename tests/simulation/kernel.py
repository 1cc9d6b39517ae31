"""A virtual clock and processes that share it: coroutines that can be killed or frozen at every await."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Coroutine, Generator
from heapq import heappop, heappush
from random import Random
from typing import Any

SECOND = 1_000_000
MOST_STEPS = 200_000
"""A run of so many steps is one that goes in circles: it counts as not done."""


class Killed(BaseException):
    """The process dies here, as by kill -9: nobody catches it."""


class Kernel:
    """Time and what happens in it. One seed is one run."""

    def __init__(self, seed: int) -> None:
        self.rng = Random(seed)
        self.now = 0
        self.steps = 0
        self.trace: Callable[[str], None] | None = None
        self._heap: list[tuple[int, int, Callable[..., None], tuple[Any, ...]]] = []
        self._count = 0

    def at(self, delay: int, what: Callable[..., None], *args: Any) -> None:
        """Let `what` happen `delay` microseconds from now."""
        self._count += 1
        heappush(self._heap, (self.now + delay, self._count, what, args))

    def run(self, until: int, done: Callable[[], bool]) -> bool:
        """Let time pass until `done` or the limit; whether it was done. `done` is asked twice a virtual second."""
        next_look = self.now
        heap = self._heap
        while heap and heap[0][0] <= until and self.steps < MOST_STEPS:
            if heap[0][0] >= next_look:
                if done():
                    return True
                next_look = heap[0][0] + SECOND // 2
            self.now, _, what, args = heappop(heap)
            self.steps += 1
            what(*args)
        return done()

    def say(self, who: str, what: str, *details: object) -> None:
        """Tell the run in words, if somebody listens: `details` are put into `what` only then."""
        if self.trace is not None:
            self.trace(f"{self.now / SECOND:10.4f}  {who:<12} {what.format(*details)}")


class Process:
    """A coroutine with a life: it may be killed or frozen wherever it waits."""

    def __init__(
        self,
        kernel: Kernel,
        name: str,
        coroutine: Coroutine[Any, Any, None],
        ended: Callable[[Process, BaseException | None], None],
    ) -> None:
        self.kernel, self.name, self.alive = kernel, name, True
        self.frozen_until = 0
        self.may_die: Callable[[], bool] | None = None
        self._coroutine, self._ended = coroutine, ended
        self._waiting = 0
        kernel.at(0, self.wake, 0, None)

    def wake(self, ticket: int, value: Any) -> None:
        """Go on from the wait with that ticket, if it is still the one."""
        if not self.alive or ticket != self._waiting:
            return
        if self.frozen_until > self.kernel.now:
            self.kernel.at(self.frozen_until - self.kernel.now, self.wake, ticket, value)
            return
        if self.may_die is not None and self.may_die():
            self.kill()
            return
        self._waiting += 1
        try:
            arm = self._coroutine.send(value)
        except StopIteration:
            self.alive = False
            self._ended(self, None)
        except Killed:
            self._gone()
        except Exception as error:  # how a process ends is its owner's to judge
            self.alive = False
            self._ended(self, error)
        else:
            if type(arm) is int:
                self.kernel.at(arm, self.wake, self._waiting, None)
            else:
                arm(self, self._waiting)

    def kill(self) -> None:
        if self.alive:
            self.alive = False
            self._coroutine.close()
            self._gone()

    def _gone(self) -> None:
        self.alive = False
        self.kernel.say(self.name, "is killed")
        self._ended(self, None)


Arm = int | Callable[[Process, int], None]
"""What a process yields: for how long it sleeps, or what to tell of the process and the ticket that wakes it."""


class Wait:
    """Something a process can await."""

    __slots__ = ("_arm",)

    def __init__(self, arm: Arm) -> None:
        self._arm = arm

    def __await__(self) -> Generator[Arm, Any, Any]:
        return (yield self._arm)


def sleep(delay: int) -> Wait:
    return Wait(delay)


class Mailbox:
    """What a process waits at. Messages stay until they are taken."""

    def __init__(self, kernel: Kernel) -> None:
        self.messages: deque[Any] = deque()
        self._kernel = kernel
        self._sleeper: tuple[Process, int] | None = None

    def put(self, message: Any) -> None:
        self.messages.append(message)
        self.rouse()

    def rouse(self) -> None:
        if self._sleeper is not None:
            process, ticket = self._sleeper
            self._sleeper = None
            self._kernel.at(0, process.wake, ticket, None)

    def something(self, timeout: int) -> Wait:
        """Wait until there is a message, or for so long."""

        def arm(process: Process, ticket: int) -> None:
            if self.messages:
                self._kernel.at(0, process.wake, ticket, None)
            else:
                self._sleeper = (process, ticket)
                self._kernel.at(timeout, process.wake, ticket, None)

        return Wait(arm)
