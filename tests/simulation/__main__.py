"""Replay a seed in words: `python -m tests.simulation SEED`, or `make sim SEED=n`."""

from __future__ import annotations

import logging
import sys

from tests.simulation.run import simulate


def main() -> int:
    if len(sys.argv) != 2 or not sys.argv[1].isdigit():
        print("usage: python -m tests.simulation SEED", file=sys.stderr)
        return 2
    logging.disable(logging.CRITICAL)
    seed = int(sys.argv[1])
    findings = simulate(seed, print)
    print(f"\nseed {seed}: {'every invariant holds' if not findings else 'violated:'}")
    for finding in findings:
        print(f"  {finding.invariant.replace('_', ' ')}: {finding.seen}")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
