"""The words of the domain's tests: `TASK.given(events).when(command).then(events)`, or `.refused("words")`.

`Choices` turns bytes into choices, so that hypothesis can draw whole histories quickly and shrink them well.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar

import pytest
from hypothesis import strategies as st

from scitq.domain import batch as batches
from scitq.domain import execution as executions
from scitq.domain import task as tasks
from scitq.domain import worker as workers
from scitq.domain.batch import Batch
from scitq.domain.engine_log import STREAM, EngineEvent
from scitq.domain.envelope import Mark
from scitq.domain.execution import Execution
from scitq.domain.task import Task
from scitq.domain.wire import Erased, Event, Recorded
from scitq.domain.worker import Worker
from scitq.errors import Rejected

SECOND = 1_000_000
S = TypeVar("S")
T = TypeVar("T")


class Aggregate(Generic[S]):
    """One of the domain's aggregates: how it begins, folds and decides."""

    def __init__(self, blank: S, evolve: Callable[[Any, Any], S], decide: Callable[[Any, Any], Sequence[Any]]) -> None:
        self.blank, self.evolve, self.decide = blank, evolve, decide

    def given(self, *events: Any) -> Given[S]:
        state = self.blank
        for event in events:
            state = self.evolve(state, event)
        return Given(self, state)


class Given(Generic[S]):
    """What has happened so far."""

    def __init__(self, aggregate: Aggregate[S], state: S) -> None:
        self._aggregate, self.state = aggregate, state

    def when(self, command: Any) -> When[S]:
        return When(self._aggregate, self.state, command)


class When(Generic[S]):
    """What is asked for now."""

    def __init__(self, aggregate: Aggregate[S], state: S, command: Any) -> None:
        self._aggregate, self._state, self._command = aggregate, state, command

    def then(self, *events: Any) -> Given[S]:
        """Exactly these events come of it; the story may go on from there."""
        decided = list(self._aggregate.decide(self._state, self._command))
        assert decided == list(events), f"what came of it: {decided}"
        state = self._state
        for event in decided:
            state = self._aggregate.evolve(state, event)
        return Given(self._aggregate, state)

    def then_nothing(self) -> Given[S]:
        return self.then()

    def refused(self, words: str) -> None:
        """It is refused in a sentence that contains these words."""
        with pytest.raises(Rejected) as refusal:
            self._aggregate.decide(self._state, self._command)
        assert words in str(refusal.value)


TASK: Aggregate[Task | None] = Aggregate(None, tasks.evolve, tasks.decide)
WORKER: Aggregate[Worker | None] = Aggregate(None, workers.evolve, workers.decide)
BATCH: Aggregate[Batch] = Aggregate(Batch("b"), batches.evolve, batches.decide)


def _attempt(free: bool) -> Aggregate[Execution | None]:
    return Aggregate(None, executions.evolve, lambda e, command: executions.decide(e, command, task_is_free=free))


EXECUTION = _attempt(free=False)
EXECUTION_OF_A_FREE_TASK = _attempt(free=True)


def stream_of(event: Event) -> str:
    if isinstance(event, tasks.TaskEvent):
        return tasks.stream(event.task)
    if isinstance(event, workers.WorkerEvent):
        return workers.stream(event.worker)
    if isinstance(event, EngineEvent):
        return STREAM
    return batches.stream(event.batch)


class Log:
    """Events with their circumstances, one a second; each has its place in its stream."""

    def __init__(self) -> None:
        self.recorded: list[Recorded] = []
        self._versions: dict[str, int] = {}

    def add(self, event: Event | Erased, mark: Mark | None = None, stream: str = "") -> Recorded:
        place = stream or ("" if isinstance(event, Erased) else stream_of(event))
        version = self._versions[place] = self._versions.get(place, 0) + 1
        position = len(self.recorded) + 1
        added = Recorded(position, place, version, position * SECOND, "somebody", 0, 0, mark, event)
        self.recorded.append(added)
        return added


def log(*events: Event) -> list[Recorded]:
    made = Log()
    for event in events:
        made.add(event)
    return made.recorded


class Choices:
    """A finite supply of choices."""

    def __init__(self, supply: bytes) -> None:
        self._supply, self._next = supply, 0

    def __repr__(self) -> str:
        return f"Choices({self._supply!r})"

    @property
    def left(self) -> bool:
        return self._next < len(self._supply)

    def number(self, below: int) -> int:
        if not self.left:
            return 0
        self._next += 1
        return self._supply[self._next - 1] % below

    def of(self, options: Sequence[Any]) -> Any:
        """One of them, of whatever kind."""
        return options[self.number(len(options))]

    def some(self, options: Sequence[T]) -> tuple[T, ...]:
        """A few of them, perhaps none, in their order."""
        mask = self.number(256)
        return tuple(option for place, option in enumerate(options) if mask >> (place % 8) & 1)


def choices(least: int, most: int) -> st.SearchStrategy[Choices]:
    return st.binary(min_size=least, max_size=most).map(Choices)
