"""When a shim looks again: a command that does not end by itself is killed in time, and its end is not waited for."""

from __future__ import annotations

import os
import select
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from scitq.agents import processes, shim_runs
from scitq.agents.shim_runs import Runs
from tests.services.waiting import eventually

GRACE_S = 0.5
DEAF = ["/bin/sh", "-c", "trap '' TERM; echo deaf; exec sleep 60"]


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """The shim's: it goes on when the test says so."""
    clock = SimpleNamespace(now=100.0, time=time.time)
    clock.monotonic = lambda: clock.now
    monkeypatch.setattr(shim_runs, "time", clock)
    return clock


@pytest.fixture
def told() -> list[dict[str, Any]]:
    return []


@pytest.fixture
def runs(tmp_path: Path, told: list[dict[str, Any]]) -> Iterator[Runs]:
    runs = Runs(str(tmp_path), "boot", told.append)
    yield runs
    for run in runs.running.values():
        processes.send(run.pid, signal.SIGKILL, group=True)
        os.waitpid(run.pid, 0)
        os.close(run.pidfd)


def test_who_does_not_end_in_its_grace_is_killed_when_that_is_over_and_looked_for_soon_after(
    runs: Runs, told: list[dict[str, Any]], clock: SimpleNamespace, tmp_path: Path
) -> None:
    runs.start(1, {"argv": DEAF, "cwd": "/", "env": {"PATH": os.defpath}})
    run = runs.running[1]
    eventually(lambda: (tmp_path / "runs/1.out").read_text() == "deaf\n")
    runs.kill(1, GRACE_S)
    begin, waits = clock.now, list[float]()
    while not run.forced:
        wait = runs.tick()
        assert wait is not None
        waits.append(wait)
        clock.now += wait
    assert clock.now - waits[-1] - begin == pytest.approx(GRACE_S), "not a quarter of a second later"
    assert len(waits) < 12, "and meanwhile it is looked for more and more rarely"
    assert waits[-1] == shim_runs._LOOK_S, "nobody survives that for long"
    select.select([run.pidfd], [], [], 60)
    runs.left(run)
    runs.tick()
    assert not runs.running and told[-1]["end"] == 1


def test_who_survives_even_that_is_looked_for_ever_more_rarely(
    runs: Runs, clock: SimpleNamespace, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A process that waits for a disk that is gone cannot be killed; to look for it costs a look at all there are."""
    runs.start(1, {"argv": DEAF, "cwd": "/", "env": {"PATH": os.defpath}})
    eventually(lambda: (tmp_path / "runs/1.out").read_text() == "deaf\n")
    monkeypatch.setattr(processes, "send", lambda *_, **__: True)
    runs.kill(1, 0.0)
    waits = []
    for _ in range(10):
        wait = runs.tick()
        assert wait is not None
        waits.append(wait)
        clock.now += wait
    assert waits[0] == shim_runs._LOOK_S and waits[-1] == shim_runs._LOOK_RARELY_S
    monkeypatch.undo()
