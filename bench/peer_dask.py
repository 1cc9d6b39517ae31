"""Dask distributed: a process for each slot, a function that runs `true`. Executed by the interpreter of its folder.

    python -P bench/peer_dask.py throughput '{"tasks": 5000, "slots": 4, "folder": "/dev/shm/work"}'

Nothing of it survives a restart of its scheduler.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

from distributed import Client, LocalCluster, wait  # type: ignore[import-not-found]

SOON_S = 300.0


def run(number: int) -> int:
    return subprocess.run(["true"], check=True).returncode


def throughput(tasks: int, slots: int, folder: Path) -> dict[str, float]:
    with _cluster(slots, folder) as cluster, Client(cluster) as client:
        wait(client.map(run, range(2 * slots), pure=False))
        begin = time.perf_counter()
        wait(client.map(run, range(tasks), pure=False), timeout=SOON_S)
        return {"tasks/s": tasks / (time.perf_counter() - begin)}


def latency(tasks: int, slots: int, folder: Path) -> dict[str, float]:
    spent = []
    with _cluster(slots, folder) as cluster, Client(cluster) as client:
        wait(client.map(run, range(2 * slots), pure=False))
        for number in range(tasks):
            begin = time.perf_counter()
            client.submit(run, number, pure=False).result(timeout=SOON_S)
            spent.append(1e3 * (time.perf_counter() - begin))
    return {"ms": statistics.median(spent)}


def submit(tasks: int, slots: int, folder: Path) -> dict[str, float]:
    """With nobody to run them. The scheduler is in this process: its memory is that of both."""
    with _cluster(0, folder) as cluster, Client(cluster) as client:
        before = _rss()
        begin = time.perf_counter()
        futures = client.map(run, range(tasks), pure=False)
        while len(cluster.scheduler.tasks) < tasks:
            assert time.perf_counter() < begin + SOON_S, "the scheduler did not take them"
            time.sleep(0.001)
        took = time.perf_counter() - begin
        found = {"tasks/s": tasks / took, "bytes a task": (_rss() - before) / tasks}
        client.cancel(futures)
        return found


def _cluster(workers: int, folder: Path) -> LocalCluster:
    return LocalCluster(
        n_workers=workers, threads_per_worker=1, processes=True, dashboard_address=None, local_directory=str(folder)
    )


def _rss() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


if __name__ == "__main__":
    given = json.loads(sys.argv[2])
    measure = {"throughput": throughput, "latency": latency, "submit": submit}[sys.argv[1]]
    print(json.dumps(measure(given["tasks"], given["slots"], Path(given["folder"]))))
