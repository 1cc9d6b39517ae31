"""SIGKILL to every part of the real thing, at random moments: each task has its effect once, and its output whole.

A stand-by engine leads within 5 s of a kill and 30 s of a freeze, and the frozen one is refused when it wakes.

SCITQ_SEED plays the moments of one run again; SCITQ_CAMPAIGN kills each part so many times.
"""

from __future__ import annotations

import os
import random
import threading
import time
from collections.abc import Callable, Iterator, Sequence

import pytest

from scitq.domain.engine_log import EngineStarted
from scitq.domain.execution import ExecutionAssigned
from scitq.domain.wire import Recorded, recorded
from tests.e2e.load import Load
from tests.e2e.real import Real, real_system
from tests.services.figures import note
from tests.services.units import Unit
from tests.services.waiting import eventually

KINDS = ("engine", "web", "projections", "agent", "broker", "database", "wiped broker", "stopped database")
CAMPAIGN = int(os.environ.get("SCITQ_CAMPAIGN", "0"))
ROUNDS = 5
TASKS = 500
KILLED_S, FROZEN_S = 5.0, 30.0


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Real]:
    yield from real_system(tmp_path_factory.mktemp("real"))


@pytest.fixture
def chance() -> random.Random:
    seed = os.environ.get("SCITQ_SEED") or str(random.randrange(1_000_000))
    print(f"SCITQ_SEED={seed}")
    return random.Random(seed)


def kill_during(real: Real, chance: random.Random, name: str, kinds: Sequence[str]) -> list[str]:
    """These, in any order, while the tasks go on; what is wrong when all have ended."""
    order = list(kinds)
    chance.shuffle(order)
    moments = sorted(chance.randrange(TASKS - 20) for _ in order)
    load = Load(real, name, TASKS, chance)
    for kind, moment in zip(order, moments, strict=True):
        load.reach(moment)
        time.sleep(chance.uniform(0, 0.3))  # the moment of the kill is what the seed chooses
        print(f"{time.monotonic():.1f} s, {load.done} done: {kind}")
        real.kill(kind, chance)
    return [*load.wrong(), *real.wrong()]


def test_every_part_is_killed_in_any_order_and_it_costs_nothing(real: Real, chance: random.Random) -> None:
    assert kill_during(real, chance, "all", KINDS * (ROUNDS if CAMPAIGN else 2)) == []


@pytest.mark.skipif(not CAMPAIGN, reason="the campaign does this")
@pytest.mark.parametrize("kind", KINDS)
def test_one_part_is_killed_again_and_again_and_it_costs_nothing(real: Real, chance: random.Random, kind: str) -> None:
    assert kill_during(real, chance, kind.replace(" ", "-"), [kind] * CAMPAIGN) == []


def test_when_the_power_fails_everything_starts_again_in_any_order(real: Real, chance: random.Random) -> None:
    wrong: list[str] = []
    for number in range(ROUNDS if CAMPAIGN else 1):
        load = Load(real, f"power-{number}", 100, chance, nap_s=0.4)
        load.reach(chance.randrange(5, 60))
        real.cut_power()
        real.power_on(chance)
        wrong += load.wrong()
    assert [*wrong, *real.wrong()] == []


def test_projections_killed_while_one_is_folded_anew_follow_the_log_again(real: Real, chance: random.Random) -> None:
    for _ in range(ROUNDS if CAMPAIGN else 1):
        rebuilding = threading.Thread(target=real.system.client().projection_rebuild, args=("tasks",))
        rebuilding.start()
        time.sleep(chance.uniform(0, 0.3))  # the moment of the kill is what the seed chooses
        real.projections.kill()
        rebuilding.join()
        assert list(real.wrong()) == []


def test_a_stand_by_that_is_far_behind_catches_up_before_it_leads(real: Real, chance: random.Random) -> None:
    leads = leader(real)
    follows = next(unit for unit in real.engines if unit is not leads)
    follows.freeze()
    try:
        load = Load(real, "behind", 300, chance, nap_s=0.1)
        load.reach(250)
        leads.stop()
    finally:
        follows.thaw()
    eventually(lambda: real.leader() is follows, "the one that was behind leads")
    leads.start()
    assert [*load.wrong(), *real.wrong()] == []


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
    for number in range(ROUNDS if CAMPAIGN else 2):
        one, load = leader(real), at_work(real, f"killed-{number}")
        times.append(taken_over(real, one.kill))
        wrong += load.wrong()
    note(f"killed engine to first assignment by the next: {shown(times)}")
    assert max(times) <= KILLED_S
    assert [*wrong, *real.wrong()] == []


def test_a_frozen_engine_is_replaced_and_refused_when_it_wakes_and_then_stands_by(real: Real) -> None:
    frozen_for: list[float] = []
    killed_for: list[float] = []
    wrong: list[str] = []
    for number in range(ROUNDS if CAMPAIGN else 1):
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
        killed_for.append(taken_over(real, successor.stop))  # or it may be back before the lease has run out
        assert real.leader() is zombie
        successor.start()
        wrong += load.wrong()
    note(f"frozen engine to first assignment by the next: {shown(frozen_for)}")
    assert max(frozen_for) <= FROZEN_S and max(killed_for) <= KILLED_S
    assert [*wrong, *real.wrong()] == []


def at_work(real: Real, name: str) -> Load:
    """Tasks that go on, with more of them waiting."""
    load = Load(real, name, 100, random.Random(1), nap_s=0.4)
    load.reach(10)
    return load


def shown(times: list[float]) -> str:
    return ", ".join(f"{one:.1f}" for one in sorted(times)) + " s"
