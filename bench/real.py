"""No-op tasks through RabbitMQ and PostgreSQL, beside others of the trade: `python -m bench.real [--rounds 5]`.

All have the same slots and a new work folder on the same tmpfs, and take turns; medians are compared. For us,
everything is durable: an accepted task is in PostgreSQL, with its defaults, before anybody hears of it, and so is each
of its steps. Celery uses the same broker. Below the rates stands what a task has cost each of our processes.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple

from bench.durable import ROLES, WHOLE, Durable, Spent, durable, per_task, services
from bench.peers import HYPERQUEUE, PEERS, Peer, PeerMissing, measure
from bench.table import Findings
from scitq.errors import ScitqError
from tests.services.postgres import PrivatePostgres
from tests.services.rabbitmq import PrivateRabbit

OURS: Final = "scitq, RabbitMQ and PostgreSQL"
APART: Final = "scitq, the same with each role in a process of its own"
WAYS: Final = {OURS: (WHOLE,), APART: ROLES}
PARTS: Final = (WHOLE, *ROLES, "agent", "shim")
BAR: Final = 1.5


class Size(NamedTuple):
    """How much is measured."""

    tasks: int
    slots: int
    rounds: int
    folder: Path


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", type=int, default=5_000)
    parser.add_argument("--slots", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--no-peer", action="store_true")
    parser.add_argument("--folder", type=Path, default=Path("/dev/shm"))
    given = parser.parse_args()
    words = f"`python -m bench.real --tasks {given.tasks} --slots {given.slots} --rounds {given.rounds}`"
    found = Findings("real", words, **{peer.package: peer.version for peer in PEERS if not given.no_peer})
    with work_folder(given.folder) as folder, services() as (postgres, rabbit):
        size = Size(given.tasks, given.slots, given.rounds, folder)
        throughput(found, size, postgres, rabbit, () if given.no_peer else PEERS)
    found.write()
    return found.code


@contextmanager
def work_folder(where: Path) -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="scitq-bench-", dir=where))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def throughput(
    found: Findings, size: Size, postgres: PrivatePostgres, rabbit: PrivateRabbit, peers: Sequence[Peer]
) -> None:
    """Rounds in which each has its turn; a peer that cannot go on is left out from then on, and said to be."""
    rates: dict[str, list[float]] = {}
    costs: dict[str, list[dict[str, Spent]]] = {way: [] for way in WAYS}
    left = list(peers)
    for number in range(size.rounds):
        for way, roles in WAYS.items():
            with found.part(f"{way}, round {number + 1}"):
                rate, cost = _ours(size, size.folder / f"{roles[0]}{number}", postgres, rabbit, roles)
                rates.setdefault(way, []).append(rate)
                costs[way].append(cost)
                found.say(f"{way}: {rate:,.0f}/s; {_sum(cost):.2f} ms of CPU a task")
        for peer in list(left):
            folder = size.folder / f"{peer.script.removesuffix('.py')}-{peers.index(peer)}-{number}"
            try:
                rate = measure(
                    peer, "throughput", tasks=size.tasks, slots=size.slots, folder=folder, broker=rabbit.url
                )["tasks/s"]
            except PeerMissing as missing:
                left.remove(peer)
                found.row(f"{peer}", "", f"not measured: {missing}")
            else:
                rates.setdefault(str(peer), []).append(rate)
                found.say(f"{peer}: {rate:,.0f}/s")
            shutil.rmtree(folder, ignore_errors=True)
    ours = statistics.median(rates.get(OURS, [0.0]))
    for name, seen in rates.items():
        median = statistics.median(seen)
        ratio = "" if name in WAYS or not ours else f"; we are {ours / median:.2f} times as fast"
        bar = f"{BAR} times" if name == str(HYPERQUEUE) else ""
        words = f"{median:,.0f} ({min(seen):,.0f}–{max(seen):,.0f}){ratio}"
        found.row(f"{size.tasks:,} no-op tasks, a second: {name}", bar, words, ours >= BAR * median or not bar)
    for way, spent in costs.items():
        _costs(found, way, spent)


def _costs(found: Findings, way: str, costs: Sequence[dict[str, Spent]]) -> None:
    """CPU of each of our processes, the medians of the rounds."""
    whole = 0.0
    for part in PARTS:
        spent = [cost[part] for cost in costs if part in cost]
        if spent:
            user, system = (statistics.median(one[of] for one in spent) for of in (0, 1))
            whole += user + system
            found.row(
                f"CPU a task, {way}: {part}", "", f"{user + system:.2f} ms (user {user:.2f}, system {system:.2f})"
            )
    if whole:
        found.row(
            f"CPU a task, {way}: all of ours",
            "",
            f"{whole:.2f} ms; the broker, the database and the commands come on top",
        )


def _sum(cost: dict[str, Spent]) -> float:
    return sum(spent.both for spent in cost.values())


def _ours(
    size: Size, folder: Path, postgres: PrivatePostgres, rabbit: PrivateRabbit, roles: Sequence[str]
) -> tuple[float, dict[str, Spent]]:
    """From the submission until the client knows that the last one has ended."""
    with durable(folder, postgres, rabbit) as system:
        system.start(*roles)
        client = system.client()
        system.worker(size.slots)
        client.wait(client.tasks_create({"command": "true"} for _ in range(2 * size.slots)), timeout=60)
        before, begin = system.spent(), time.monotonic()
        ids = client.tasks_create({"command": "true"} for _ in range(size.tasks))
        statuses = client.wait(ids, timeout=600)
        elapsed = time.monotonic() - begin
        if set(statuses.values()) != {"succeeded"}:
            raise ScitqError("not all tasks have succeeded")
        return size.tasks / elapsed, per_task(before, system.spent(), size.tasks)


def latency(system: Durable, tasks: int) -> float:
    """Milliseconds from the submission of one task until the client knows that it has ended; the median."""
    client = system.client()
    spent = []
    for _ in range(tasks):
        begin = time.perf_counter()
        client.wait([client.task_create("true")["task_id"]], timeout=60)
        spent.append(1e3 * (time.perf_counter() - begin))
    return statistics.median(spent)


if __name__ == "__main__":
    raise SystemExit(main())
