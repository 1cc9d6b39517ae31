"""`scitq up` as a user has it: latency of one task, throughput beside HyperQueue, submission, time to the first task.

    python -m bench.embedded [--tasks 5000] [--slots 4] [--rounds 5] [--no-peer] [--folder /dev/shm]

Both run on the same machine with the same slots and their work folders on tmpfs, in turns; the medians are compared.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

from bench.peers import HYPERQUEUE, measure
from scitq.lib import Server
from tests.services.scitq import Embedded, embedded


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", type=int, default=5_000)
    parser.add_argument("--slots", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--submit", type=int, default=100_000)
    parser.add_argument("--no-peer", action="store_true")
    parser.add_argument("--folder", type=Path, default=Path("/dev/shm"))
    given = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="scitq-bench-", dir=given.folder))
    try:
        first_s = statistics.median(_to_first_task(folder / f"first{number}") for number in range(3))
        print(f"scitq up to first task done      {first_s:8.2f} s   (bar: 3)", flush=True)
        with _up(folder / "latency", given.slots) as system:
            client = system.client()
            found = [_one(client) for _ in range(60)][10:]
            print(f"latency of one no-op task        {1000 * statistics.median(found):8.1f} ms  (bar: 20)", flush=True)
            print(f"submission of {given.submit:,} tasks    {_submission(client, given.submit):8.0f} /s  (bar: 10,000)")
        ours, theirs = [], []
        for number in range(given.rounds):
            ours.append(_throughput(folder / f"ours{number}", given.tasks, given.slots))
            if not given.no_peer:
                seen = measure(
                    HYPERQUEUE, "throughput", tasks=given.tasks, slots=given.slots, folder=folder / f"hq{number}"
                )
                theirs.append(seen["tasks/s"])
            print(
                f"round {number + 1}: scitq {ours[-1]:.0f}/s" + (f", HyperQueue {theirs[-1]:.0f}/s" if theirs else ""),
                flush=True,
            )
        print(f"{given.tasks} no-op tasks, {given.slots} slots     {statistics.median(ours):8.0f} /s")
        if theirs:
            ratio = statistics.median(ours) / statistics.median(theirs)
            print(
                f"HyperQueue 0.27, the same        {statistics.median(theirs):8.0f} /s\nratio  {ratio:.2f}  (bar: 1.5)"
            )
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _up(folder: Path, slots: int) -> Iterator[Embedded]:
    with embedded(folder) as system:
        system.up("--concurrency", str(slots))
        yield system


def _to_first_task(folder: Path) -> float:
    """From the command to a task that has ended; the store is made meanwhile."""
    begin = time.monotonic()
    with _up(folder, 2) as system:
        client = system.client()
        client.wait([client.task_create("true")["task_id"]], timeout=30)
        return time.monotonic() - begin


def _one(client: Server[dict[str, Any]]) -> float:
    begin = time.monotonic()
    client.wait([client.task_create("true")["task_id"]], timeout=30)
    return time.monotonic() - begin


def _submission(client: Server[dict[str, Any]], count: int) -> float:
    client.batch_stop("later")
    begin = time.monotonic()
    client.tasks_create({"command": f"true {number}", "batch": "later"} for number in range(count))
    return count / (time.monotonic() - begin)


def _throughput(folder: Path, tasks: int, slots: int) -> float:
    """From the submission to the end of the last task, as the log has it."""
    with _up(folder, slots) as system:
        client = system.client()
        client.wait(client.tasks_create({"command": "true"} for _ in range(2 * slots)), timeout=30)
        begin = time.time()
        ids = client.tasks_create({"command": "true"} for _ in range(tasks))
        statuses = client.wait(ids, timeout=300)
        elapsed = time.time() - begin
        assert set(statuses.values()) == {"succeeded"}, "not all has succeeded"
        _cpu(system, tasks)
        return tasks / elapsed


def _cpu(system: Embedded, tasks: int) -> None:
    """What each process has used: where the time goes."""
    for process in psutil.process_iter(["pid", "environ", "cmdline", "cpu_times"]):
        if (process.info["environ"] or {}).get("HOME") == str(system.machine.folder):
            used = process.info["cpu_times"]
            words = " ".join(process.info["cmdline"][1:4])[-50:]
            print(f"    {1000 * (used.user + used.system) / tasks:6.2f} ms a task: {words}")


if __name__ == "__main__":
    main()
