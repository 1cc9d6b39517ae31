"""How many simulated runs a second: `python -m bench.simulation`; and how soon each mutant is noticed."""

from __future__ import annotations

import argparse

from tests.simulation.many import search
from tests.simulation.mutants import MUTANTS


def mutants() -> dict[str, int]:
    """For each protection taken out: the number of seeds until it was noticed; 0 when it was not in 500."""
    found: dict[str, int] = {}
    for name in MUTANTS:
        search_ = search(0, 500, mutant=name, stop_at_first=True)
        found[name] = search_.played if search_.failures else 0
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3_000)
    parser.add_argument("--first", type=int, default=1_000_000)
    arguments = parser.parse_args()
    runs = search(arguments.first, arguments.seeds)
    print(f"{runs.played:,} seeds, {len(runs.failures)} failed, {runs.rate:.0f} a second on all cores")
    if runs.failures:
        print(runs.words())
    for name, seeds in mutants().items():
        print(f"{name:44}{f'noticed after {seeds} seeds' if seeds else 'NOT NOTICED in 500 seeds'}")


if __name__ == "__main__":
    main()
