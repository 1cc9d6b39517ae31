"""Tasks with side effects, while the server and the worker are killed: what must be true of each of them at the end.

`run` is what `make test` does five times over, and `make campaign` twenty.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

from tests.services.scitq import Embedded, Process, embedded

LINES: Final = 40
COMMAND: Final = """i=0; while [ $i -lt {lines} ]; do echo "{name} line $i äöü"; i=$((i+1)); {nap} done; \
echo "{name} done" >&2; echo {name} >> {effects}/{name}"""


class Kill(NamedTuple):
    what: str
    after_s: float


class Story(NamedTuple):
    """What happened, and what is wrong with it."""

    kills: int
    tasks: int
    wrong: list[str]


def kills(seed: int, each: int) -> Iterator[Kill]:
    """The server and the worker, in any order, at any moment."""
    chance = random.Random(seed)
    order = ["server"] * each + ["worker"] * each
    chance.shuffle(order)
    for what in order:
        yield Kill(what, chance.uniform(0.05, 1.2))


def run(folder: Path, seed: int, each: int, tasks: int = 300) -> Story:
    """Kill each so often while the tasks run, then let them end."""
    effects = folder / "effects"
    effects.mkdir(parents=True)
    with embedded(folder / "home") as system:
        running = {"server": system.server(), "worker": system.worker(4)}
        client = system.client()
        chance = random.Random(-seed)
        ids: list[int] = []
        specs = [_spec(effects, number, chance) for number in range(tasks)]
        done = 0
        for kill in kills(seed, each):
            ids += client.tasks_create(specs[done : done + tasks // (2 * each) + 1])
            done += tasks // (2 * each) + 1
            time.sleep(kill.after_s)  # the moment of the kill is what the seed chooses
            _replace(system, running, kill.what)
        ids += client.tasks_create(specs[done:])
        statuses = client.wait(ids, timeout=300)
        wrong = list(_wrong(client, effects, ids, statuses, tasks))
        system.machine.run("manage", "projection", "check")
        running["worker"].end()
        running["server"].end()
        system.machine.run("manage", "event", "verify")
        return Story(2 * each, len(ids), wrong)


def _spec(effects: Path, number: int, chance: random.Random) -> dict[str, object]:
    nap = f"sleep {chance.choice(['0.01', '0.02'])};" if chance.random() < 0.3 else ""
    command = COMMAND.format(lines=LINES, name=f"task{number}", nap=nap, effects=effects)
    return {"command": command, "shell": True, "name": f"task{number}"}


def _replace(system: Embedded, running: dict[str, Process], what: str) -> None:
    running[what].kill()
    running[what] = system.server() if what == "server" else system.worker(4)


def _wrong(client: object, effects: Path, ids: list[int], statuses: dict[int, str], tasks: int) -> Iterator[str]:
    if len(ids) != tasks or len(set(ids)) != tasks:
        yield f"{tasks} tasks were submitted, and there are {len(set(ids))} ids"
    for number, id in enumerate(ids):
        name = f"task{number}"
        if statuses.get(id) != "succeeded":
            yield f"{name} (task {id}) is {statuses.get(id)}"
        effect = effects / name
        found = effect.read_text() if effect.exists() else ""
        if found != f"{name}\n":
            yield f"{name} had its effect {found.count(name)} times"
        yield from _output_wrong(client, id, name)


def _output_wrong(client: object, id: int, name: str) -> Iterator[str]:
    (execution,) = client.executions(task_id=id, latest=True)  # type: ignore[attr-defined]
    stdout = "".join(f"{name} line {number} äöü\n" for number in range(LINES))
    for kind, expected in (("output", stdout), ("error", f"{name} done\n")):
        if execution[kind] != expected:
            yield f"{kind} of {name} has {len(execution[kind] or '')} characters and not {len(expected)}, or others"
