"""A stand-by engine takes over: within 5 s of a kill, within 30 s of a freeze, and the frozen one is refused."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable, Iterator

import pytest

from scitq.domain.engine_log import EngineStarted
from scitq.domain.execution import ExecutionAssigned
from scitq.domain.wire import Recorded, recorded
from tests.e2e.real import Load, Real, real_system
from tests.services.scitq import eventually
from tests.services.units import Unit

KILLED_S, FROZEN_S = 5.0, 30.0
CAMPAIGN = int(os.environ.get("SCITQ_CAMPAIGN", "0"))


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Real]:
    yield from real_system(tmp_path_factory.mktemp("real"))


def leader(real: Real) -> Unit:
    eventually(real.stands_by, "one leads, and the other one stands by")
    found = real.leader()
    assert found is not None
    return found


def taken_over(real: Real, act: Callable[[], None]) -> float:
    """How long it was from a deed to the first assignment by the next engine, as its event says."""
    journal = real.journal()
    end, began = journal.head().position, time.time()
    act()
    found: list[Recorded] = []

    def assigned() -> bool:
        nonlocal end
        events = [recorded(envelope) for envelope in journal.read(end, 5_000)]
        end += len(events)
        found.extend(event for event in events if isinstance(event.event, EngineStarted | ExecutionAssigned))
        started = next((number for number, one in enumerate(found) if isinstance(one.event, EngineStarted)), None)
        del found[: len(found) if started is None else started]
        return len(found) > 1

    eventually(assigned, "the next engine assigns")
    journal.close()
    return found[1].time / 1_000_000 - began


def test_a_killed_engine_is_replaced_within_five_seconds(real: Real) -> None:
    times: list[float] = []
    wrong: list[str] = []
    for number in range(CAMPAIGN or 2):
        one, load = leader(real), at_work(real, f"killed-{number}")
        times.append(taken_over(real, one.kill))
        wrong += load.wrong()
    print("kill to first assignment:", shown(times))
    assert max(times) <= KILLED_S
    assert [*wrong, *real.wrong()] == []


def test_a_frozen_engine_is_replaced_and_refused_when_it_wakes_and_then_stands_by(real: Real) -> None:
    frozen_for: list[float] = []
    killed_for: list[float] = []
    wrong: list[str] = []
    for number in range(CAMPAIGN or 1):
        zombie, load = leader(real), at_work(real, f"frozen-{number}")
        life = zombie.lives[-1]
        try:
            frozen_for.append(taken_over(real, zombie.freeze))
        finally:
            zombie.thaw()
        eventually(lambda: "another engine has taken over" in life.said(), "the zombie is refused")  # noqa: B023
        wrong += load.wrong()
        successor, load = leader(real), at_work(real, f"then-killed-{number}")
        assert successor is not zombie
        killed_for.append(taken_over(real, successor.kill))
        assert real.leader() is zombie
        wrong += load.wrong()
    print("freeze to first assignment:", shown(frozen_for))
    assert max(frozen_for) <= FROZEN_S and max(killed_for) <= KILLED_S
    assert [*wrong, *real.wrong()] == []


def at_work(real: Real, name: str) -> Load:
    """Tasks that go on, with more of them waiting."""
    load = Load(real, name, 100, random.Random(1), nap_s=0.4)
    load.reach(10)
    return load


def shown(times: list[float]) -> str:
    return ", ".join(f"{one:.1f}" for one in sorted(times)) + " s"
