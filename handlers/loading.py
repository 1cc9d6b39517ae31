"""What a turn needs and memory does not hold is looked up before it.

One question for each kind: known answers, and tasks that were forgotten because they ended.
"""

from __future__ import annotations

from collections.abc import Sequence

from scitq.domain import task as tasks
from scitq.domain import wire
from scitq.domain.commands import Command, CreateTasks, EraseTask, Request, RequireTasks, SteerTasks
from scitq.domain.state import State
from scitq.domain.task import TaskCreated, TaskEdited
from scitq.handlers.overlay import Loaded
from scitq.handlers.patience import patiently
from scitq.handlers.ports import Clock, Journal
from scitq.handlers.turn import Input


async def load(journal: Journal, clock: Clock, state: State, inputs: Sequence[Input]) -> Loaded:
    """What deciding on these inputs needs."""
    cold, erase, ids = needs(state, inputs)
    loaded = Loaded()
    if ids:
        loaded.answers = await patiently(clock, lambda: journal.answers(ids))
    if cold or erase:
        streams = [tasks.stream(id) for id in sorted(cold | erase)]
        for envelope in await patiently(clock, lambda: journal.read_streams(streams)):
            _remember(loaded, wire.recorded(envelope), erase)
        for id in [id for id in loaded.tasks if id not in cold or id in loaded.erased]:
            del loaded.tasks[id]
    return loaded


def needs(state: State, inputs: Sequence[Input]) -> tuple[set[int], set[int], list[str]]:
    """What the load step must look up: tasks that were forgotten, tasks whose texts are to be erased, request ids."""
    named: set[int] = set()
    erase: set[int] = set()
    ids: list[str] = []
    for one in inputs:
        if isinstance(one, Request):
            ids.append(one.id)
            _tasks_named(one.command, named, erase)
    return {id for id in named if id not in state.tasks}, erase, ids


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


def _remember(loaded: Loaded, recorded: wire.Recorded, erase: set[int]) -> None:
    """Fold one event of a forgotten task, and note where its texts are."""
    event = recorded.event
    if isinstance(event, wire.Erased):
        loaded.erased[int(recorded.stream.partition("-")[2])] = None
    elif isinstance(event, tasks.TaskEvent):
        task = tasks.evolve(loaded.tasks.get(event.task), event)
        if task is not None:
            loaded.tasks[event.task] = task
        if isinstance(event, TaskCreated | TaskEdited) and event.task in erase:
            loaded.texts[event.task] = (*loaded.texts.get(event.task, ()), recorded.position)
