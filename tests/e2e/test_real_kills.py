"""SIGKILL to every part of the real thing, at random moments: each task has its effect once, and its output whole.

SCITQ_SEED plays the moments of one run again; SCITQ_CAMPAIGN kills each part so many times.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Iterator, Sequence

import pytest

from tests.e2e.real import Load, Real, real_system

KINDS = ("engine", "web", "projections", "agent", "broker", "database", "wiped broker")
CAMPAIGN = int(os.environ.get("SCITQ_CAMPAIGN", "0"))
TASKS = 500


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
    assert kill_during(real, chance, "all", KINDS * (5 if CAMPAIGN else 2)) == []


@pytest.mark.skipif(not CAMPAIGN, reason="the campaign does this")
@pytest.mark.parametrize("kind", KINDS)
def test_one_part_is_killed_again_and_again_and_it_costs_nothing(real: Real, chance: random.Random, kind: str) -> None:
    assert kill_during(real, chance, kind.replace(" ", "-"), [kind] * CAMPAIGN) == []
