"""HyperQueue, run as its own Python API does. Executed by the interpreter of its own folder: nothing of ours is there.

    python -P bench/peer_hyperqueue.py throughput '{"tasks": 5000, "slots": 4, "folder": "/dev/shm/work"}'

Its API asks once a second whether a job has ended, so the times are those of the files that its tasks make when they
start: a little earlier than their end, which is to its advantage.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from pathlib import Path

from hyperqueue import Job, LocalCluster  # type: ignore[import-not-found]
from hyperqueue.cluster import WorkerConfig  # type: ignore[import-not-found]

SOON_S = 60.0


def throughput(tasks: int, slots: int, folder: Path) -> dict[str, float]:
    """From the submission to the last one's start."""
    with LocalCluster() as cluster:
        cluster.start_worker(WorkerConfig(cores=slots))
        client = cluster.client()
        for count, name in ((2 * slots, "warm"), (tasks, "measured")):
            where = folder / name
            where.mkdir(parents=True)
            begin = time.time()
            client.wait_for_jobs([client.submit(_job(where, count))])
        last = max(path.stat().st_mtime for path in where.iterdir())
    return {"tasks/s": tasks / (last - begin)}


def latency(tasks: int, slots: int, folder: Path) -> dict[str, float]:
    """From the submission of one task to its start."""
    spent = []
    with LocalCluster() as cluster:
        cluster.start_worker(WorkerConfig(cores=slots))
        client = cluster.client()
        for number in range(tasks):
            where = folder / f"one{number}"
            where.mkdir(parents=True)
            begin = time.perf_counter()
            client.submit(_job(where, 1))
            while not any(where.iterdir()):
                assert time.perf_counter() < begin + SOON_S, "it was not started"
                time.sleep(0.0005)
            spent.append(1e3 * (time.perf_counter() - begin))
    return {"ms": statistics.median(spent)}


def submit(tasks: int, slots: int, folder: Path) -> dict[str, float]:
    """With nobody to run them. The server is in this process: its memory is that of both."""
    folder.mkdir(parents=True)
    with LocalCluster() as cluster:
        client = cluster.client()
        before = _rss()
        begin = time.perf_counter()
        client.submit(_job(folder, tasks))
        took = time.perf_counter() - begin
        return {"tasks/s": tasks / took, "bytes a task": (_rss() - before) / tasks}


def _job(where: Path, count: int) -> Job:
    job = Job(default_workdir=where)
    for _ in range(count):
        job.program(["true"])
    return job


def _rss() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


if __name__ == "__main__":
    given = json.loads(sys.argv[2])
    measure = {"throughput": throughput, "latency": latency, "submit": submit}[sys.argv[1]]
    print(json.dumps(measure(given["tasks"], given["slots"], Path(given["folder"]))))
