"""Commands started and seen to end each second, eight at a time: `python -m bench.spawn`.

Bare is the bound: one process that spawns and waits, with output to new files, and remembers nothing. Five rounds in
turn, medians; the folder is in memory, for the creation of files on a disk would be what is measured.
"""

from __future__ import annotations

import os
import select
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.table import Table

from scitq.agents.shim_client import Command, ShimClient, shell
from scitq.agents.shim_run import Run
from scitq.agents.shim_runs import Runs

COUNT, ROUNDS, AT_ONCE = 2_000, 5, 8
ENV = {"PATH": "/usr/bin:/bin", "HOME": "/", "CPU": "1"}
WRAPPER = '"$@"; echo $? > "$0"'


def rates(ways: Mapping[str, Callable[[Path], None]], rounds: int = ROUNDS) -> dict[str, list[float]]:
    """Commands a second, round by round, each way in its turn."""
    found: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
                begin = time.perf_counter()
                way(Path(folder))
                found[name].append(COUNT / (time.perf_counter() - begin))
    return found


def main() -> int:
    seen = rates(WAYS)
    table = Table("way", "commands/s (median)", "lowest", "highest", "of bare")
    bound = statistics.median(seen["bare posix_spawn"])
    for name, found in seen.items():
        median = statistics.median(found)
        table.add_row(name, f"{median:,.0f}", f"{min(found):,.0f}", f"{max(found):,.0f}", f"{median / bound:.0%}")
    Console().print(table)
    return 0


def wrapped(folder: Path, number: int) -> list[str]:
    return ["/bin/sh", "-c", WRAPPER, f"{folder}/{number}.code", "/bin/true"]


def bare(folder: Path, argv: Callable[[int], list[str]]) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
    poll, number = select.poll(), 0
    running: dict[int, int] = {}
    while number < COUNT or running:
        while number < COUNT and len(running) < AT_ONCE:
            number += 1
            command = argv(number)
            files = [(os.POSIX_SPAWN_OPEN, at, f"{folder}/{number}.{at}", flags, 0o600) for at in (1, 2)]
            pid = os.posix_spawn(command[0], command, ENV, file_actions=files, setsid=True)
            fd = os.pidfd_open(pid)
            running[fd] = pid
            poll.register(fd, select.POLLIN)
        for fd, _ in poll.poll():
            os.waitpid(running.pop(fd), 0)
            poll.unregister(fd)
            os.close(fd)


def without_the_socket(folder: Path) -> None:
    runs = Runs(str(folder), "boot", lambda told: None)
    asked = {"argv": ["/bin/true"], "cwd": "/", "env": ENV}
    poll, number = select.poll(), 0
    watched: dict[int, Run] = {}
    while number < COUNT or watched:
        while number < COUNT and len(watched) < AT_ONCE:
            number += 1
            runs.start(number, asked)
            for run in runs.unwatched:
                watched[run.pidfd] = run
                poll.register(run.pidfd, select.POLLIN)
            runs.unwatched.clear()
        for fd, _ in poll.poll():
            poll.unregister(fd)
            runs.left(watched.pop(fd))
        runs.tick()
        runs.save()


def through_the_shim(folder: Path, argv: tuple[str, ...] = ("/bin/true",)) -> None:
    shim = ShimClient(folder, lambda execution, task: Command(argv, "/", ENV), coalesce=True)
    begun = ended = 0
    while ended < COUNT:
        while begun < COUNT and begun - ended < AT_ONCE:
            begun += 1
            shim.start(begun, begun)
        ended += len(shim.wait(60.0))
    shim.leave()
    shim.close()


WAYS: Final[dict[str, Callable[[Path], None]]] = {
    "bare posix_spawn": lambda folder: bare(folder, lambda number: ["/bin/true"]),
    "what the shim does, in one process": without_the_socket,
    "through the shim": through_the_shim,
    "sh wrapper that writes the code": lambda folder: bare(folder, lambda number: wrapped(folder, number)),
    "sh -c through the shim": lambda folder: through_the_shim(folder, shell("/bin/true; exit 0")),
}


if __name__ == "__main__":
    sys.exit(main())
