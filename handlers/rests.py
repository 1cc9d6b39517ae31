"""Tasks that some workers cannot run: when those may be asked again is the engine's memory, never a fact.

Who said so, and how often all were asked in vain, is in the task. The pauses are taken from a clock that never jumps; a
new engine begins the present one anew. They grow, and after the last one nobody is asked any more: the task waits for a
worker that did not refuse it yet, or for somebody who changes or relaunches it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from heapq import heappop, heappush
from typing import Final

from scitq.domain.state import State
from scitq.domain.task import Task

FIRST_REST_S: Final = 10
REST_GROWS: Final = 4
LONGEST_REST_S: Final = 3_600
MOST_ROUNDS: Final = 8
"""About four hours."""
_FEW: Final = 1_000


class Rests:
    """Of the tasks that some workers cannot run."""

    def __init__(self) -> None:
        self._until: dict[int, tuple[tuple[int, int], int]] = {}  # task: its present rest, and when that is over
        self._ends: list[tuple[int, int]] = []  # heap of (end, task)

    def is_over(self, task: Task, at: int) -> bool:
        """Whether those who could not run it may be asked again; the first question begins the rest."""
        if task.rounds >= MOST_ROUNDS:
            return False
        rest = (task.rounds, len(task.unable))
        known = self._until.get(task.id)
        if known is None or known[0] != rest:
            until = at + min(FIRST_REST_S * REST_GROWS**task.rounds, LONGEST_REST_S) * 1_000_000
            self._until[task.id] = known = (rest, until)
            heappush(self._ends, (until, task.id))
        return known[1] <= at

    def ended(self, state: State, at: int) -> Iterator[Task]:
        """Those whose rest is over since this was asked last, and that wait."""
        while self._ends and self._ends[0][0] <= at:
            task = state.tasks.get(heappop(self._ends)[1])
            if task is not None and task.ready and task.unable:
                yield task
        if len(self._until) > 2 * len(state.shy) + _FEW:
            self._until = {id: rest for id, rest in self._until.items() if id in state.shy}


class Shy:
    """Ready tasks that some workers cannot run: for the others at once, for those when they have rested."""

    def __init__(self, state: State, has_rested: Callable[[Task], bool]) -> None:
        self._waiting: dict[str, list[Task]] = {}  # by batch, the first one first
        self._rested: set[int] = set()
        self._taken: set[int] = set()
        self._next: dict[tuple[str, int], int] = {}  # batch and worker: none before this is for it
        for task in [state.tasks[id] for id in state.shy]:
            if task.ready:
                self._waiting.setdefault(task.batch, []).append(task)
                if has_rested(task):
                    self._rested.add(task.id)
        for waiting in self._waiting.values():
            waiting.sort(key=order_of)

    def first(self, batch: str, worker: int) -> Task | None:
        waiting = self._waiting.get(batch)
        if waiting is None:
            return None
        for at in range(self._next.get((batch, worker), 0), len(waiting)):
            task = waiting[at]
            if task.id not in self._taken and (worker not in task.unable or task.id in self._rested):
                self._next[batch, worker] = at
                return task
        self._next[batch, worker] = len(waiting)
        return None

    def take(self, task: Task) -> None:
        self._taken.add(task.id)


def order_of(task: Task) -> tuple[int, int]:
    return -task.priority, task.id
