"""Thousands of runs of the whole system in which much goes wrong; and the proof that it would be noticed."""

from __future__ import annotations

import os

import pytest

from tests.simulation.many import play, search
from tests.simulation.mutants import MUTANTS
from tests.simulation.run import Run

SEEDS = int(os.environ.get("SCITQ_SEEDS", "2000"))
FIRST = int(os.environ.get("SCITQ_FIRST_SEED", "0"))
CAUGHT_WITHIN = 500

ONCE_FAILED = (768, 897, 2516, 4164, 5096, 5726, 14541, 1795217048968)
"""Seeds that found a mistake in the system once: they are played for ever."""


def test_every_invariant_holds_whatever_goes_wrong() -> None:
    found = search(FIRST, SEEDS)
    print(f"{found.played} seeds, {found.rate:.0f} a second")
    assert not found.failures, found.words()


@pytest.mark.parametrize("seed", ONCE_FAILED)
def test_what_once_failed_stays_mended(seed: int) -> None:
    assert play(seed) == []


def test_one_seed_is_one_run() -> None:
    first, second = Run(17), Run(17)
    first.play()
    second.play()
    assert [envelope.hash for envelope in first.world.journal.log] == [e.hash for e in second.world.journal.log]


@pytest.mark.parametrize("mutant", MUTANTS)
def test_a_system_without_one_of_its_protections_is_caught(mutant: str) -> None:
    found = search(0, CAUGHT_WITHIN, mutant=mutant, stop_at_first=True)
    assert found.failures, f"{mutant}: not noticed in {CAUGHT_WITHIN} seeds"
