"""A million waiting tasks on RabbitMQ and PostgreSQL: `python -m bench.million [--finished 1000000] [--shapes]`.

    submission      through `tasks_create`, in tenths, and how far the views were behind when the last was created
    scheduling      tasks a second by one worker where a million wait, and in turns with it where 10,000 do
    pages           what people and scripts ask for, while a million wait
    restart         the engine killed and started; then the whole server
    memory          of each role

`--finished` writes so many ended tasks into the log first: the past must not cost memory. `--shapes` adds a chain, a
wide fan-in and a thousand batches. Rows are printed as they are found, and written to `bench/results/` in the end.
"""

from __future__ import annotations

import argparse
import signal
import statistics
import sys
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import httpx
from sqlalchemy import NullPool, create_engine, text

from bench.durable import LONG_S, Durable, durable, per_task, services
from bench.past import write_past
from bench.real import work_folder
from bench.table import Findings
from scitq.lib import Server
from tests.services.waiting import eventually

SLOTS: Final = 4
FEW: Final = 10_000
WARM: Final = 500
ROUNDS: Final = 5
ASKED: Final = 9
"""How often a page is asked for; the median counts."""
SHAPE: Final = 100_000


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--waiting", type=int, default=1_000_000)
    parser.add_argument("--finished", type=int, default=0, help="tasks that ended before")
    parser.add_argument("--run", type=int, default=4_000, help="tasks of each measurement of scheduling")
    parser.add_argument("--shapes", action="store_true", help="also a chain, a wide fan-in, a thousand batches")
    parser.add_argument("--folder", type=Path, default=Path("/dev/shm"), help="for the work folders")
    given = parser.parse_args()
    found = Findings("million", f"`python -m bench.million {' '.join(sys.argv[1:])}`")
    with (
        work_folder(given.folder) as folder,
        found.part("the rest"),
        services() as (postgres, rabbit),
        durable(folder / "many", postgres, rabbit) as system,
        durable(folder / "few", postgres, rabbit) as few,
    ):
        if given.finished:
            took = write_past(system.machine.environ["SCITQ_STORE"], given.finished)
            found.row(f"{given.finished:,} ended tasks written into the log", "", f"{took:.0f} s")
        _measure(system, few, given, found)
    found.write()
    return found.code


def _measure(system: Durable, few: Durable, given: argparse.Namespace, found: Findings) -> None:
    system.start()
    begin = time.monotonic()
    client = system.client(LONG_S)
    found.row("first start, without a snapshot", "", f"{time.monotonic() - begin:.1f} s")
    found.row("views reach the end of the log", "", f"{system.until_shown():.1f} s after the start")
    found.row("engine, nothing waiting", "", f"{system.rss_mib('engine'):.0f} MiB")
    with found.part("submission"):
        _submit(system, client, given.waiting, found)
    with found.part("scheduling"):
        few.start()
        _in_turns(few, system, given, found)
    with found.part("pages"):
        _pages(system, given.waiting, found)
    with found.part("restart"):
        _restart(system, found)
    with found.part("scheduling after the restart"):
        rate = _scheduled(system, given.run, "after the restart", found)
        found.row("tasks a second after the restart", "", f"{rate:,.0f}")
    if given.shapes:
        with found.part("shapes"):
            _shapes(system, client, found)


def _in_turns(few: Durable, many: Durable, given: argparse.Namespace, found: Findings) -> None:
    """Both are there all the time, and one of them works: what else the machine does meets both alike."""
    rates: dict[str, list[float]] = {}
    for one, count in ((few, FEW), (many, 0)):
        one.client(LONG_S).batch_stop("Default")
        one.client().tasks_create({"command": "true"} for _ in range(count))
        one.until_shown()
        one.worker(SLOTS)
    for _ in range(ROUNDS):
        few.client().tasks_create({"command": "true"} for _ in range(given.run))
        for one, when in ((few, f"with {FEW:,} waiting"), (many, f"with {given.waiting:,} waiting")):
            rates.setdefault(when, []).append(_scheduled(one, given.run, when, found))
    medians = []
    for when, seen in rates.items():
        medians.append(statistics.median(seen))
        found.row(f"tasks a second {when}", "", f"{medians[-1]:,.0f} ({min(seen):,.0f}–{max(seen):,.0f})")
    found.row("many, of the rate with few", "≥ 80 %", f"{medians[1] / medians[0]:.0%}", medians[1] >= 0.8 * medians[0])
    few.end()


def _counts(client: Server[dict[str, Any]], batch: str = "Default") -> dict[str, int]:
    found = next((one for one in client.batches() if one["batch"] == batch), {})
    return {name: int(found.get(name) or 0) for name in ("pending", "waiting", "succeeded", "failed", "tasks")}


def _scheduled(system: Durable, tasks: int, when: str, found: Findings) -> float:
    """Tasks a second, from the times in the log; and what each cost our processes."""
    client = system.client()
    done, begin, before = _counts(client)["succeeded"], system.positions()[1], system.spent()
    client.batch_go("Default")
    eventually(lambda: _counts(client)["succeeded"] >= done + tasks, f"{tasks} tasks have run", LONG_S)
    client.batch_stop("Default")
    times = _ends(system, begin)
    cost = per_task(before, system.spent(), len(times))
    rate = (len(times) - WARM) / ((times[-1] - times[WARM]) / 1e6)
    used = ", ".join(f"{name} {spent.both:.2f}" for name, spent in sorted(cost.items()))
    found.say(f"{when}: {rate:,.0f}/s; CPU, ms a task: {used}")
    return rate


def _ends(system: Durable, after: int) -> list[int]:
    """When tasks succeeded, behind that position of the log."""
    engine = create_engine(system.machine.environ["SCITQ_STORE"], poolclass=NullPool)
    asked = text("SELECT time FROM events WHERE position > :after AND type = 'execution-succeeded' ORDER BY position")
    with engine.connect() as connection:
        return list(connection.execute(asked, {"after": after}).scalars())


def _submit(system: Durable, client: Server[dict[str, Any]], count: int, found: Findings) -> None:
    marks = [(0, 0.0)]
    begin = time.monotonic()

    def progress(created: int) -> None:
        if created >= marks[-1][0] + count // 10:
            marks.append((created, time.monotonic() - begin))
            words = f"{created:,} submitted after {marks[-1][1]:.1f} s; engine {system.rss_mib('engine'):.0f} MiB"
            found.say(words)

    client.tasks_create(({"command": f"true {number}"} for number in range(count)), progress=progress)
    took = time.monotonic() - begin
    shown, end = system.positions()
    rate = count / took
    parts = [(now - then) / (at - before) for (then, before), (now, at) in pairwise(marks)]
    found.row(f"submission of {count:,}", "≥ 10,000/s", f"{rate:,.0f}/s", rate >= 10_000)
    found.row("its slowest and fastest tenth", "steady", f"{min(parts):,.0f}/s, {max(parts):,.0f}/s")
    found.row("views behind when the last was created", "", f"{end - shown:,} events")
    found.row("until they had caught up", "", f"{system.until_shown():.1f} s")
    for role, bar in (("engine", 700.0), ("projections", None), ("web", None)):
        rss = system.rss_mib(role)
        found.row(
            f"{role}, {count:,} waiting", f"≤ {bar:.0f} MiB" if bar else "", f"{rss:.0f} MiB", not bar or rss <= bar
        )


def _pages(system: Durable, count: int, found: Findings) -> None:
    asked: dict[str, tuple[str, dict[str, Any]]] = {
        "tasks, first page": ("/tasks/", {"limit": 100}),
        "tasks, newest first": ("/tasks/", {"limit": 100, "reverse": "true"}),
        "tasks by status pending": ("/tasks/", {"limit": 100, "status": "pending"}),
        "tasks by status failed (there is none)": ("/tasks/", {"limit": 100, "status": "failed"}),
        "tasks by status running, newest first": ("/tasks/", {"limit": 100, "status": "running", "reverse": "true"}),
        "tasks by batch": ("/tasks/", {"limit": 100, "batch": "Default"}),
        "tasks of a batch that is not there": ("/tasks/", {"limit": 100, "batch": "nothing"}),
        "tasks by batch and status": ("/tasks/", {"limit": 100, "batch": "Default", "status": "failed"}),
        "tasks by name (there is none)": ("/tasks/", {"limit": 100, "name": "nobody"}),
        "tasks, deep page": ("/tasks/", {"limit": 100, "after": count - 200}),
        "tasks by status, deep page": ("/tasks/", {"limit": 100, "after": count - 200, "status": "pending"}),
        "executions, first page": ("/executions/", {"limit": 100}),
        "executions, newest first": ("/executions/", {"limit": 100, "reverse": "true"}),
        "executions of a batch, newest first": ("/executions/", {"limit": 100, "batch": "Default", "reverse": "true"}),
        "executions by status failed": ("/executions/", {"limit": 100, "status": "failed"}),
        "latest executions": ("/executions/", {"limit": 100, "latest": "true"}),
        "batches": ("/batch/", {}),
        "workers": ("/workers/", {}),
        "one task": (f"/tasks/{count // 2}", {}),
        "the page": ("/ui/", {}),
    }
    for name, (path, query) in asked.items():
        spent = [_asked(system, path, query) for _ in range(ASKED)]
        median = statistics.median(spent)
        found.row(name, "≤ 100 ms", f"{median:.1f} ms (at most {max(spent):.0f})", median <= 100)


def _asked(system: Durable, path: str, query: dict[str, Any]) -> float:
    begin = time.perf_counter()
    system.ask(path, params=query)
    return 1e3 * (time.perf_counter() - begin)


def _restart(system: Durable, found: Findings) -> None:
    """Until a command is answered; killed, an engine leaves its lease to run out first."""
    for what, roles in (("engine", ("engine",)), ("the whole server", ("engine", "projections", "web"))):
        for how, number in (("killed", signal.SIGKILL), ("ended in order", signal.SIGTERM)):
            system.end(*roles, number=number)
            begin = time.monotonic()
            system.start(*roles)
            eventually(lambda: _takes_commands(system), "a command is answered", LONG_S)
            took = time.monotonic() - begin
            found.row(f"{what} {how}, started, a command answered", "≤ 10 s", f"{took:.1f} s", took <= 10)
    system.until_shown()
    found.row("engine after its restart", "≤ 700 MiB", f"{(rss := system.rss_mib('engine')):.0f} MiB", rss <= 700)


def _takes_commands(system: Durable) -> bool:
    try:
        system.ask("/batch/nobody/stop", "PUT", json={}, timeout=1)
    except httpx.HTTPError:
        return False
    return True


def _shapes(system: Durable, client: Server[dict[str, Any]], found: Findings) -> None:
    for name, tasks in (
        (f"chain of {SHAPE:,}", _chain()),
        (f"one that requires {SHAPE:,}", _fan_in()),
        ("1,000 batches of 100", ({"command": "true", "batch": f"batch {n % 1_000}"} for n in range(SHAPE))),
    ):
        begin = time.monotonic()
        count = len(client.tasks_create(tasks))
        took = time.monotonic() - begin
        found.row(f"submission: {name}", "", f"{count / took:,.0f}/s")
    found.row("views caught up after that", "", f"{system.until_shown():.1f} s")
    found.row("engine with these too", "", f"{system.rss_mib('engine'):.0f} MiB")


def _chain() -> Iterator[dict[str, Any]]:
    yield {"command": "true", "batch": "chain"}
    for number in range(1, SHAPE):
        yield {"command": "true", "batch": "chain", "required_task_ids": [-number]}


def _fan_in() -> Iterator[dict[str, Any]]:
    for _ in range(SHAPE):
        yield {"command": "true", "batch": "fan"}
    yield {"command": "true", "batch": "fan", "required_task_ids": [-n for n in range(1, SHAPE + 1)]}


if __name__ == "__main__":
    raise SystemExit(main())
