"""What an agent costs when nothing happens, and when a task prints as fast as it can."""

from __future__ import annotations

import hashlib
import sys
import time
from contextlib import suppress
from typing import Final

from bench.agent_worked import Size, Worked, worked
from bench.table import Findings
from scitq.agents.conversation import HEARTBEAT_S
from scitq.agents.gateway_link import PING_S
from tests.services.waiting import holds_within

IDLE_CORE, IDLE_BYTES = 0.005, 80e6
FLOOD_CORE: Final = 0.30
LINES_A_SECOND: Final = 100_000
CLOSED: Final = "echo runs; exec >&- 2>&-; exec sleep {seconds:g}"
# A burst each fiftieth of a second; the numbers tell which line is missing.
PYTHON: Final = """
import sys, time
begin, count = time.monotonic(), int(sys.argv[1])
for start in range(0, count, 2_000):
    sys.stdout.write("".join(f"{number:08d}\\n" for number in range(start, start + 2_000)))
    sys.stdout.flush()
    time.sleep(max(0.0, begin + (start + 2_000) / 100_000 - time.monotonic()))
"""
# The same with what busybox has: its awk prints, and sleeps by calling a program.
AWK: Final = (
    'BEGIN {{ for (n = 0; n < {count}; n++) {{ printf "%08d\\n", n; '
    'if (n % 10000 == 9999) {{ fflush(); system("sleep 0.085") }} }} }}'
)


def idle(found: Findings, size: Size) -> None:
    """After a first task, so that the shim is there too."""
    with worked(size.folder / "idle", 4) as system:
        time.sleep(2)
        before, waked, cpu = system.traffic(), system.wakeups(), system.cpu_s()
        time.sleep(size.idle_s)
        cpu, waked, after = system.cpu_s() - cpu, system.wakeups() - waked, system.traffic()
        minutes, core = size.idle_s / 60, cpu / size.idle_s
        memory = system.rss_bytes()
    sent, received, segments = (now - then for now, then in zip(after, before, strict=True))
    seen = f"{core:.2%} ({1e3 * cpu:.0f} ms in {size.idle_s:g} s)"
    found.row("idle: agent and shim", "< 0.5 % of a core", seen, core < IDLE_CORE)
    found.row("idle: memory of both", "< 80 MB", f"{memory / 1e6:.0f} MB", memory < IDLE_BYTES)
    found.row("idle: wake-ups a second", "", f"{waked / size.idle_s:.1f}")
    found.row(
        "idle: what goes over the network in a minute",
        "no polling",
        f"{sent / minutes:,.0f} bytes sent, {received / minutes:,.0f} received, {segments / minutes:,.0f} segments: "
        f"{60 / HEARTBEAT_S:.0f} heartbeats, {60 / PING_S:.0f} pings, and what confirms them",
    )


def closed_stdout(found: Findings, size: Size) -> None:
    """A descriptor that is at its end is always readable: who asks again and again burns a core."""
    seconds = size.idle_s / 3
    for way, docker in size.ways.items():
        with worked(size.folder / f"closed-{way}", 2, docker=docker) as system:
            task = system.begin(CLOSED.format(seconds=seconds + 30))
            system.running(task)
            time.sleep(1)
            cpu = system.cpu_s()
            time.sleep(seconds)
            core = (system.cpu_s() - cpu) / seconds
            system.client.task_delete(task)
        found.row(f"a task that closed its output, {way}", "no spinning", f"{core:.2%} of a core", core < 4 * IDLE_CORE)


def flood(found: Findings, size: Size) -> None:
    """All of it is to be at the server, byte by byte, before the cost is read."""
    count = int(LINES_A_SECOND * size.flood_s)
    digest = hashlib.sha256()
    for number in range(count):
        digest.update(b"%08d\n" % number)
    for way, docker in size.ways.items():
        with worked(size.folder / f"flood-{way}", 2, docker=docker) as system:
            if docker is None:
                program = size.folder / "flood.py"
                program.write_text(PYTHON)
                command = f"{sys.executable} {program} {count}"
            else:
                command = f"awk '{AWK.format(count=count)}'"
            _flood(found, system, way, command, count, digest.hexdigest())


def _flood(found: Findings, system: Worked, way: str, command: str, count: int, digest: str) -> None:
    begin, cpu = time.monotonic(), system.cpu_s()
    done = system.ended(system.begin(command))
    took = time.monotonic() - begin
    execution = done["execution_id"]

    def arrived() -> bool:
        with suppress(OSError):
            return hashlib.sha256(system.output(execution)).hexdigest() == digest
        return False

    whole = done["stdout_bytes"] == 9 * count and holds_within(60, arrived)
    cpu = system.cpu_s() - cpu
    core, rate = cpu / took, count / took
    found.row(
        f"{rate:,.0f} lines a second for {took:.0f} s, {way}: agent and shim", "≤ 30 % of a core",
        f"{core:.1%}, {1e6 * cpu / count:.2f} µs a line", core <= FLOOD_CORE,
    )  # fmt: skip
    found.row(f"the same, {way}: nothing lost", "all bytes", "all bytes" if whole else f"{done}"[:200], whole)
