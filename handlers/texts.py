"""What each task runs, for the agents: the log has it, and memory holds it for those whose turn comes soon.

Nothing is decided on it, so that it may be forgotten at any moment. A text is dropped when it is sent or changed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from scitq.domain import task as tasks
from scitq.domain import wire
from scitq.domain.engine_log import PayloadErased
from scitq.domain.messages import Assign
from scitq.domain.state import State
from scitq.domain.task import TaskCreated, TaskEdited
from scitq.handlers.overlay import Outcome
from scitq.handlers.patience import patiently
from scitq.handlers.ports import Clock, Journal

TYPES: Final = ("task-created", "task-edited")
MOST_KEPT: Final = 20_000
MOST_CHARS: Final = 16_000_000
SOON: Final = 255
"""Of so many tasks behind one that is not known, those that wait are read with it: where many wait, they are next."""

Texts = dict[str, Any]


class KnownTexts:
    """A bounded memory of texts, the newest ones."""

    def __init__(self) -> None:
        self._kept: dict[int, Texts] = {}
        self._chars = 0

    async def assigned(self, journal: Journal, clock: Clock, state: State, outcome: Outcome) -> Mapping[int, Texts]:
        """What to run, for each task that the turn assigned; the turn is in the log."""
        self._learn(outcome)
        wanted = {to.message.task for to in outcome.messages if isinstance(to.message, Assign)}
        missing = [task for task in sorted(wanted) if task not in self._kept]
        if missing:
            first = (known for task in missing if (known := state.tasks.get(task)) is not None)
            soon = {other for task in first for other in state.soon(task, SOON)}
            await self._read(journal, clock, [*missing, *sorted(soon.difference(missing, self._kept))])
        return {task: text for task in wanted if (text := self._forget(task)) is not None}

    def _learn(self, outcome: Outcome) -> None:
        for recorded in outcome.events:
            event = recorded.event
            if isinstance(event, TaskCreated):
                self._keep(event.task, tasks.texts(event))
            elif isinstance(event, TaskEdited | PayloadErased):
                self._forget(event.task)
        self._trim(MOST_KEPT, MOST_CHARS)

    async def _read(self, journal: Journal, clock: Clock, ids: Iterable[int]) -> None:
        streams = [tasks.stream(id) for id in ids]
        found: dict[int, Texts] = {}
        for envelope in await patiently(clock, lambda: journal.read_streams(streams, TYPES)):
            event = wire.recorded(envelope).event
            if isinstance(event, TaskCreated):
                found[event.task] = tasks.texts(event)
            elif isinstance(event, TaskEdited) and event.task in found:
                found[event.task].update({k: v for k, v in event.changes.items() if k in found[event.task]})
        for id, text in found.items():
            self._keep(id, text)

    def _keep(self, task: int, text: Texts) -> None:
        self._forget(task)
        self._kept[task] = text
        self._chars += _chars(text)

    def _forget(self, task: int) -> Texts | None:
        text = self._kept.pop(task, None)
        if text is not None:
            self._chars -= _chars(text)
        return text

    def _trim(self, most: int, chars: int) -> None:
        while len(self._kept) > most or self._chars > chars:
            self._forget(next(iter(self._kept)))


def _chars(text: Texts) -> int:
    return sum(len(value) for value in text.values() if isinstance(value, str))
