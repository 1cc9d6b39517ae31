"""What can be compared, beside others of the trade: `python -m bench.beside [--quick]`; `make bench` begins with it.

throughput      see `bench.real`
latency         one task alone, submitted to done
submission      with nobody to run them; and what each that waits costs in memory
start           the engine killed and started while they wait
"""

from __future__ import annotations

import argparse
import shutil
import signal
import statistics
import time
from collections.abc import Sequence
from pathlib import Path

import psutil

from bench.durable import durable, services
from bench.peers import CELERY, CELERY_LATE, PEERS, Peer, PeerMissing, measure
from bench.real import OURS, Size, latency, throughput, work_folder
from bench.table import Findings
from tests.services.postgres import PrivatePostgres
from tests.services.rabbitmq import PrivateRabbit
from tests.services.waiting import eventually

LATENCIES = 50


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a tenth of the tasks, one round")
    parser.add_argument("--slots", type=int, default=4)
    parser.add_argument("--no-peer", action="store_true")
    parser.add_argument("--folder", type=Path, default=Path("/dev/shm"))
    given = parser.parse_args()
    peers = () if given.no_peer else PEERS
    tasks, rounds, waiting = (500, 1, 10_000) if given.quick else (5_000, 5, 100_000)
    words = f"`python -m bench.beside{' --quick' if given.quick else ''}`"
    found = Findings("bench", words, **{peer.package: peer.version for peer in peers})
    with work_folder(given.folder) as folder, services() as (postgres, rabbit):
        throughput(found, Size(tasks, given.slots, rounds, folder), postgres, rabbit, peers)
        _latency(found, Size(LATENCIES, given.slots, rounds, folder), postgres, rabbit, peers)
        _submission(found, Size(waiting, given.slots, 1, folder), postgres, rabbit, peers)
    found.write()
    return found.code


def _latency(
    found: Findings, size: Size, postgres: PrivatePostgres, rabbit: PrivateRabbit, peers: Sequence[Peer]
) -> None:
    """All of ours stays started; the peers take their turns while it is idle."""
    with found.part(f"latency: {OURS}"), durable(size.folder / "latency", postgres, rabbit) as system:
        system.start()
        system.worker(size.slots)
        latency(system, 10)
        seen: dict[str, list[float]] = {}
        for number in range(size.rounds):
            seen.setdefault(OURS, []).append(latency(system, size.tasks))
            for peer in peers:
                folder = size.folder / f"latency-{peers.index(peer)}-{number}"
                if (ms := _of(peer, "latency", size, folder, rabbit, found)) is not None:
                    seen.setdefault(str(peer), []).append(ms["ms"])
        for name, times in seen.items():
            words = f"{statistics.median(times):.1f} ms ({min(times):.1f}–{max(times):.1f})"
            found.row(f"one task alone, median of {size.tasks}: {name}", "", words)


def _submission(
    found: Findings, size: Size, postgres: PrivatePostgres, rabbit: PrivateRabbit, peers: Sequence[Peer]
) -> None:
    what = f"{size.tasks:,} tasks that wait"
    with found.part(f"{what}: {OURS}"), durable(size.folder / "waiting", postgres, rabbit) as system:
        system.start()
        client, before = system.client(), system.rss_mib("engine")
        begin = time.monotonic()
        client.tasks_create({"command": f"true {number}"} for number in range(size.tasks))
        took = time.monotonic() - begin
        found.row(f"{what}, submitted a second: {OURS}", "10,000", f"{size.tasks / took:,.0f}")
        behind_s = system.until_shown()
        found.row(f"{what}: until every view shows them", "", f"{behind_s:.1f} s later")
        grown = (system.rss_mib("engine") - before) * 2**20 / size.tasks
        found.row(f"{what}, bytes of memory for each: {OURS}", "", f"{grown:,.0f} in the engine")
        system.end("engine", number=signal.SIGKILL)
        begin = time.monotonic()
        system.start("engine")
        eventually(client.ready, "the server is ready again")
        client.task_create("true")
        found.row(f"{what}: engine killed, started, a command answered", "", f"{time.monotonic() - begin:.1f} s")
    for peer in peers:
        before = _rss(rabbit.pid)
        seen = _of(peer, "submit", size, size.folder / f"submit-{peers.index(peer)}", rabbit, found)
        if seen is None:
            continue
        found.row(f"{what}, submitted a second: {peer}", "", f"{seen['tasks/s']:,.0f}")
        if peer not in (CELERY, CELERY_LATE):
            found.row(f"{what}, bytes of memory for each: {peer}", "", f"{seen['bytes a task']:,.0f}, client included")
        elif peer is CELERY:
            found.row(
                f"{what}, memory: {peer}", "", f"the broker had {before} MiB before, {_rss(rabbit.pid)} MiB after"
            )


def _of(
    peer: Peer, what: str, size: Size, folder: Path, rabbit: PrivateRabbit, found: Findings
) -> dict[str, float] | None:
    found.say(f"{what}: {peer}")
    try:
        return measure(peer, what, tasks=size.tasks, slots=size.slots, folder=folder, broker=rabbit.url)
    except PeerMissing as missing:
        found.row(f"{what}: {peer}", "", f"not measured: {missing}")
        return None
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _rss(pid: int) -> int:
    return int(psutil.Process(pid).memory_info().rss / 2**20)


if __name__ == "__main__":
    raise SystemExit(main())
