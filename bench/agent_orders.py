"""How soon it is known that a task was paused, resumed, stopped, killed; and that one which takes too long was ended.

From the REST call to the answer of REST that says it is done: through server, agent, shim and back.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from bench.agent_worked import Size, Worked, worked
from bench.table import Findings
from tests.services.waiting import eventually
from tests.services.web_files import WebFiles

CONFIRMED_S: Final = 1.0
LIMIT_S: Final = 5
LATE_S: Final = {"run_timeout": 1.0, "silence_timeout": 1.5, "download_timeout": 1.5}
"""Enforced within a second; what does not end by itself has half a second more, which for the first one is included."""
PAUSE, RESUME, STOP, KILL = 20, 18, 15, 9
# Children and their children; one of them in a session of its own, as daemons are.
FAMILY: Final = "trap 'exit 143' TERM; sleep {n} & (sleep {n} & sleep {n}) & {setsid} sleep {n} & echo runs; wait; wait"
DEAF: Final = "trap '' TERM; echo runs; while :; do sleep {n}; done"


def orders(found: Findings, size: Size) -> None:
    """In each round: one task that is paused, resumed and stopped, one that is killed, a deaf one that is deleted."""
    for way, docker in size.ways.items():
        with worked(size.folder / f"orders-{way}", 2, docker=docker) as system:
            seen: dict[str, list[float]] = {}
            left = 0
            for number in range(size.orders):
                for name, took, alive in _round(system, 10_000 + 10 * number, is_native=docker is None):
                    seen.setdefault(name, []).append(took)
                    left += alive
        for name, times in seen.items():
            found.row(
                f"{name} to confirmed, {len(times)} times, {way}", "≤ 1 s",
                f"{statistics.median(times):.3f} s, worst {max(times):.3f} s", max(times) <= CONFIRMED_S,
            )  # fmt: skip
        found.row(f"processes left when a task's end was told, {way}", "none", str(left), not left)


def _round(system: Worked, mark: int, *, is_native: bool) -> list[tuple[str, float, int]]:
    family = FAMILY.format(n=mark, setsid="" if is_native else "setsid")
    task, run = _started(system, family)
    found = [
        (name, _signalled(system, task, run, number), 0) for name, number in (("pause", PAUSE), ("resume", RESUME))
    ]
    found.append(("stop", _signalled(system, task, run, STOP, ended=True), len(_alive(mark))))
    task, run = _started(system, FAMILY.format(n=mark + 1, setsid="setsid"))
    found.append(("kill", _signalled(system, task, run, KILL, ended=True), len(_alive(mark + 1))))
    task, run = _started(system, DEAF.format(n=mark + 2))
    took = _until(lambda: system.client.task_delete(task), lambda: "execution-gone" in _types(system, task))
    found.append(("delete, of one that ignores SIGTERM,", took, len(_alive(mark + 2))))
    return found


def _started(system: Worked, command: str) -> tuple[int, dict[str, Any]]:
    task = system.begin(command)
    return task, system.running(task)


def _signalled(system: Worked, task: int, run: dict[str, Any], number: int, *, ended: bool = False) -> float:
    before = _types(system, task).count("execution-signal-delivered")

    def confirmed() -> bool:
        if ended:
            return bool(system.client.execution_get(run["execution_id"])["status"] == "failed")
        return _types(system, task).count("execution-signal-delivered") > before

    return _until(lambda: system.client.execution_signal(run["execution_id"], number), confirmed)


def _until(do: Callable[[], object], done: Callable[[], bool]) -> float:
    begin = time.monotonic()
    do()
    eventually(done)
    return time.monotonic() - begin


def _types(system: Worked, task: int) -> list[str]:
    return [event["type"] for event in system.client.events(stream=f"task-{task}", follow=False)]


def _alive(mark: int) -> list[int]:
    """Those of a family, in containers too."""
    found, words = [], f"sleep\0{mark}\0".encode()
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdecimal() and (entry / "cmdline").read_bytes() == words:
                found.append(int(entry.name))
        except OSError:  # it has ended
            continue
    return found


def limits(found: Findings, size: Size) -> None:
    """Each counts from its own beginning: the start, the last that was printed, the first byte that does not come."""
    with WebFiles() as web:
        for way, docker in size.ways.items():
            with worked(size.folder / f"limits-{way}", 2, docker=docker) as system:
                for name, command, properties in (
                    ("run_timeout", "exec sleep 60", {}),
                    ("silence_timeout", "echo runs; exec sleep 60", {}),
                    ("download_timeout", "true", {"input": f"{web.url}/stalls"}),
                ):
                    web.serve("stalls", b"x" * 1_000_000, stalls=[1_000] * 100)
                    done = system.run(command, **{name: LIMIT_S}, **properties)
                    took = _lasted(system, done["task_id"])
                    most = LIMIT_S + LATE_S[name]
                    holds = took <= most and done["failure"] == name
                    found.row(
                        f"{name}={LIMIT_S}, {way}", f"ends within {most:g} s", f"{took:.2f} s: {done['failure']}", holds
                    )


def _lasted(system: Worked, task: int) -> float:
    """From its start to its end, as the log has them; where it never started, from when the worker took it."""
    times = {one["type"]: one["time"] for one in system.client.events(stream=f"task-{task}", follow=False)}
    begin = times.get("execution-started", times["execution-assigned"])
    return (datetime.fromisoformat(times["execution-failed"]) - datetime.fromisoformat(begin)).total_seconds()
