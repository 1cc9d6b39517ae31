"""What an agent costs, and how soon it does as it is told: `python -m bench.agent [--quick] [--only PART …]`.

A server and a worker in processes of their own, as users have them, on SQLite; agent and shim are measured by their
process ids. With docker on this machine (as the tests start it: `tests/services/docker.py`) what can be done in
containers is done there as well. A bar that is missed is in bold. A quarter of an hour; `--quick` has a few rounds of
everything, for whoever changes this.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any, Final

from bench import agent_busy, agent_data, agent_log, agent_orders, agent_restarts, agent_spawn
from bench.agent_worked import Size
from bench.table import Findings
from tests.services.docker import DockerMissing, PrivateDocker

PARTS: Final[dict[str, Callable[[Findings, Size], None]]] = {
    "idle": agent_busy.idle,
    "closed": agent_busy.closed_stdout,
    "flood": agent_busy.flood,
    "log": agent_log.log,
    "spawn": agent_spawn.spawn,
    "orders": agent_orders.orders,
    "limits": agent_orders.limits,
    "restarts": agent_restarts.restarts,
    "resource": agent_data.resource,
    "copy": agent_data.through,
}
QUICK: Final[dict[str, Any]] = {
    "idle_s": 10, "flood_s": 3, "orders": 4, "restarts": 3, "native": 20, "contained": 5, "many": 30, "rounds": 2,
    "gigabytes": 0.2,
}  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="few rounds, and nothing is written")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS), metavar="PART", help=", ".join(PARTS))
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()), help="on the disk to be measured")
    given = parser.parse_args()
    found = Findings("agent", "`python -m bench.agent`")
    with _folder(given.folder) as folder, _docker(found) as docker:
        size = Size(folder, docker, **(QUICK if given.quick else {}))
        for name in given.only:
            with found.part(name):
                PARTS[name](found, size)
    if not given.quick and given.only == list(PARTS):
        found.write()
    return found.code


@contextmanager
def _folder(where: Path) -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="scitq-bench-", dir=where))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _docker(found: Findings) -> Any:
    """An engine of our own; without one only what needs none is measured, and that is said."""
    try:
        return PrivateDocker()
    except DockerMissing as missing:
        found.row("containers", "", f"not measured: {missing}", holds=False)
        return nullcontext()


if __name__ == "__main__":
    raise SystemExit(main())
