"""What a turn needs and memory does not hold is looked up before it.

One question for each kind: known answers, and tasks that were forgotten because they ended.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from scitq.domain import task as tasks
from scitq.domain import wire
from scitq.domain.commands import Command, CreateTasks, EraseTask, Request, RequireTasks, SteerTasks
from scitq.domain.execution import ExecutionAssigned, Gone
from scitq.domain.messages import Reports
from scitq.domain.state import State
from scitq.domain.task import TaskCreated, TaskEdited
from scitq.handlers.overlay import Loaded
from scitq.handlers.patience import patiently
from scitq.handlers.ports import Clock, Journal
from scitq.handlers.turn import Input


async def load(journal: Journal, clock: Clock, state: State, inputs: Sequence[Input]) -> Loaded:
    """What deciding on these inputs needs."""
    need = needs(state, inputs)
    loaded = Loaded()
    if need.ids:
        loaded.answers = await patiently(clock, lambda: journal.answers(need.ids))
    if need.streams:
        streams = [tasks.stream(id) for id in sorted(need.streams)]
        found = await patiently(clock, lambda: journal.read_streams(streams))
        remember(loaded, map(wire.recorded, found), need, state)
    return loaded


class Needs(NamedTuple):
    """What the load step must look up: the streams of some tasks, for some of them where their texts are, and known
    answers to requests."""

    streams: set[int]
    erase: set[int]
    ids: list[str]


def needs(state: State, inputs: Sequence[Input]) -> Needs:
    """Of tasks that were forgotten all is needed; of those that a worker says are gone from it, whether it had them."""
    named: set[int] = set()
    erase: set[int] = set()
    ids: list[str] = []
    gone: set[int] = set()
    for one in inputs:
        if isinstance(one, Request):
            ids.append(one.id)
            _tasks_named(one.command, named, erase)
        elif isinstance(one, Reports):
            gone.update(report.task for report in one.reports if isinstance(report, Gone))
    return Needs({id for id in named if id not in state.tasks} | erase | gone, erase, ids)


def _tasks_named(command: Command, cold: set[int], erase: set[int]) -> None:
    """Add the tasks that deciding the command looks at."""
    match command:
        case CreateTasks():
            for spec in command.tasks:
                cold.update(other for other in spec.requires if other > 0)
        case SteerTasks():
            cold.update(command.tasks)
        case RequireTasks():
            cold.add(command.task)
            cold.update(command.requires)
        case EraseTask():
            cold.add(command.task)
            erase.add(command.task)
        case _:
            pass


def remember(loaded: Loaded, found: Iterable[wire.Recorded], need: Needs, state: State) -> None:
    """Keep what these events say of the tasks that were forgotten."""
    for recorded in found:
        _remember(loaded, recorded, need.erase)
    for id in [id for id in loaded.tasks if id in state.tasks or id in loaded.erased]:
        del loaded.tasks[id]


def _remember(loaded: Loaded, recorded: wire.Recorded, erase: set[int]) -> None:
    """Fold one event of a task, and note where its texts are and who had it."""
    event = recorded.event
    if isinstance(event, wire.Erased):
        loaded.erased[int(recorded.stream.partition("-")[2])] = None
    elif isinstance(event, tasks.TaskEvent):
        task = tasks.evolve(loaded.tasks.get(event.task), event)
        if task is not None:
            loaded.tasks[event.task] = task
        if isinstance(event, ExecutionAssigned):
            loaded.holders[event.execution] = (event.worker, event.task)
        if isinstance(event, TaskCreated | TaskEdited) and event.task in erase:
            loaded.texts[event.task] = (*loaded.texts.get(event.task, ()), recorded.position)
