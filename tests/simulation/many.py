"""Many seeds at once, on every core: what went wrong, and how fast they were played."""

from __future__ import annotations

import gc
import logging
import os
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass, field
from multiprocessing import get_context

from tests.simulation.mutants import MUTANTS
from tests.simulation.run import Finding, simulate

PORTION = 50


@dataclass
class Search:
    """What many runs came to."""

    played: int = 0
    seconds: float = 0.0
    failures: dict[int, list[Finding]] = field(default_factory=dict)

    @property
    def rate(self) -> float:
        return self.played / self.seconds if self.seconds else 0.0

    def words(self) -> str:
        """The first failures, each with how to see it again."""
        lines = [
            f"seed {seed}: {found.invariant.replace('_', ' ')}: {found.seen}"
            for seed, findings in sorted(self.failures.items())[:5]
            for found in findings[:2]
        ]
        again = f"see it again: make sim SEED={min(self.failures)}" if self.failures else ""
        return "\n".join([f"{len(self.failures)} of {self.played} seeds failed", *lines, again])


def play(seed: int) -> list[Finding]:
    """One seed; an exception of the system under test is a finding as well."""
    try:
        return simulate(seed)
    except Exception as error:  # the outermost loop of the search: it is reported as what it is
        return [Finding("nothing_raises", f"{type(error).__name__}: {error}")]


def _portion(first: int, count: int, mutant: str | None, stop_at_first: bool) -> tuple[int, dict[int, list[Finding]]]:
    logging.disable(logging.CRITICAL)
    gc.disable()  # a run's garbage is collected at once, after the portion: twice as cheap
    failures: dict[int, list[Finding]] = {}
    played = 0
    try:
        with MUTANTS[mutant]() if mutant is not None else nullcontext():
            for seed in range(first, first + count):
                played += 1
                findings = play(seed)
                if findings:
                    failures[seed] = findings
                    if stop_at_first:
                        break
    finally:
        gc.enable()
        gc.collect()
        logging.disable(logging.NOTSET)
    return played, failures


def search(first: int, count: int, *, mutant: str | None = None, stop_at_first: bool = False) -> Search:
    """Play seeds `first` to `first + count - 1`, with one protection taken out of the system if a mutant is named."""
    found = Search()
    started = time.perf_counter()
    if stop_at_first:
        found.played, found.failures = _portion(first, count, mutant, True)
    else:
        with ProcessPoolExecutor(os.cpu_count(), mp_context=get_context("fork")) as pool:
            for played, failures in pool.map(_one_portion, _portions(first, count, mutant)):
                found.played += played
                found.failures.update(failures)
    found.seconds = time.perf_counter() - started
    return found


def _portions(first: int, count: int, mutant: str | None) -> Iterator[tuple[int, int, str | None]]:
    for start in range(first, first + count, PORTION):
        yield start, min(PORTION, first + count - start), mutant


def _one_portion(portion: tuple[int, int, str | None]) -> tuple[int, dict[int, list[Finding]]]:
    first, count, mutant = portion
    return _portion(first, count, mutant, False)
