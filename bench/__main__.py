"""All measurements, one after the other: `make bench`."""

from __future__ import annotations

import subprocess
import sys

MEASUREMENTS = (
    "replay",
    "memory",
    "append",
    "verify",
    "projections",
    "simulation",
    "bus",
    "spawn",
    "agent",
    "embedded",
)


def main() -> int:
    for name in MEASUREMENTS:
        print(f"\n== {name}", flush=True)
        code = subprocess.run([sys.executable, "-m", f"bench.{name}"], check=False).returncode
        if code:
            return code
    return 0


if __name__ == "__main__":
    sys.exit(main())
