"""How much of what one core can start is left when each start and each end is kept: as `bench.spawn`, on one core."""

from __future__ import annotations

import asyncio
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import orjson

from bench import agent_rate
from bench.agent_worked import Size
from bench.table import Findings

BAR = 0.70
PROGRAM = """
import sys, orjson
from bench.spawn import WAYS, rates
names = ("bare posix_spawn", "through the shim")
sys.stdout.buffer.write(orjson.dumps(rates({name: WAYS[name] for name in names}, int(sys.argv[1]))))
"""


def spawn(found: Findings, size: Size) -> None:
    """In a process of its own that has one core, and so have its children."""
    core = max(os.sched_getaffinity(0))
    done = subprocess.run(
        ["taskset", "-c", str(core), sys.executable, "-c", PROGRAM, str(size.rounds)],
        capture_output=True, text=True, check=True, timeout=600,
    )  # fmt: skip
    bare, ours = (statistics.median(seen) for seen in orjson.loads(done.stdout).values())
    found.row(
        "no-op commands started and seen to end, on one core", "≥ 70 % of posix_spawn",
        f"{ours / bare:.0%}: {ours:,.0f} a second, posix_spawn {bare:,.0f}", ours >= BAR * bare,
    )  # fmt: skip
    _through_the_agent(found)


def _through_the_agent(found: Findings) -> None:
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        rate, agent, shim, _, _ = asyncio.run(agent_rate.measure(Path(folder), 2_000, 8, 32, "/bin/true"))
    words = f"{rate:,.0f} a second; CPU a task: agent {agent:.2f} ms, shim {shim:.2f} ms"
    found.row("the same through a whole agent, whose server is a loop, on all cores", "", words)
