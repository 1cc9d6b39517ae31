"""All measurements, one after the other: `make bench`; with `ARGS=--quick` the comparison alone, and a short one.

One that fails does not keep the others from being made.
"""

from __future__ import annotations

import subprocess
import sys

MEASUREMENTS = (
    "beside",
    "replay",
    "memory",
    "append",
    "verify",
    "projections",
    "simulation",
    "bus",
    "spawn",
    "agent_rate",
    "embedded",
)
"""`million`, `agent` and `fetching` take a quarter of an hour and more each, and are run by themselves."""


def main() -> int:
    quick = sys.argv[1:] == ["--quick"]
    if sys.argv[1:] and not quick:
        sys.exit(f"{sys.argv[1]} is not an option here; --quick is, and each measurement has its own")
    failed = []
    for number, name in enumerate(MEASUREMENTS[:1] if quick else MEASUREMENTS, 1):
        print(f"\n== {name} ({number} of {1 if quick else len(MEASUREMENTS)})", flush=True)
        command = [sys.executable, "-m", f"bench.{name}", *(["--quick"] if quick else [])]
        if subprocess.run(command, check=False).returncode:
            failed.append(name)
    if failed:
        print(f"\nfailed: {', '.join(failed)}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
