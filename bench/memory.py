"""What a waiting task costs the engine: `python -m bench.memory`, bytes of resident memory a task.

Marginal between two sizes, each measured in a process of its own: tasks that wait for a worker, and tasks that wait for
another task each, which cost most.
"""

from __future__ import annotations

import argparse
import gc
import subprocess
import sys

import psutil

from scitq.domain import wire
from scitq.domain.state import State
from scitq.domain.task import TaskCreated, stream

KINDS = ("for a worker", "each for another task")


def grow(tasks: int, kind: str) -> int:
    """Resident bytes of a process whose state holds so many tasks, decoded from bytes as after a restart."""
    state = State()
    chained = kind == KINDS[1]
    for id in range(1, tasks + 1):
        needs = (id - 1,) if chained and id > 1 else ()
        created = TaskCreated(id, f"gzip -d /input/sample{id}.fastq.gz", requires=needs, waits_for=needs)
        event = wire.decode("task-created", 1, wire.encode(created))
        state.apply(wire.Recorded(id, stream(id), 1, 1_800_000_000_000_000 + id, "user:me", id, 0, None, event))
    gc.collect()
    assert len(state.tasks) == tasks
    return psutil.Process().memory_info().rss


def measured(tasks: int, kind: str) -> int:
    done = subprocess.run(
        [sys.executable, "-m", "bench.memory", "--grow", str(tasks), "--kind", kind],
        check=True,
        capture_output=True,
        text=True,
    )
    return int(done.stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--few", type=int, default=200_000)
    parser.add_argument("--many", type=int, default=1_000_000)
    parser.add_argument("--grow", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--kind", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.grow:
        print(grow(arguments.grow, arguments.kind))
        return
    for kind in KINDS:
        few, many = measured(arguments.few, kind), measured(arguments.many, kind)
        each = (many - few) / (arguments.many - arguments.few)
        print(
            f"{arguments.many:,} tasks waiting {kind}: {many / 2**20:,.0f} MiB in all, {each:.0f} bytes marginal a task"
        )


if __name__ == "__main__":
    main()
