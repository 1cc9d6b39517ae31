"""A worker on another machine: invited, joined, cut off for a while; everything arrives, and arrives once."""

from __future__ import annotations

import os
import shlex
import time
from pathlib import Path

from tests.conftest import miss
from tests.services.namespaces import NamespacesMissing, two_machines
from tests.services.scitq import Machine, end_all_in
from tests.services.waiting import eventually

TASKS = 16
CUT_S = 600.0 if "SCITQ_CAMPAIGN" in os.environ else 20.0
"""How long the cable is cut: ten minutes in the campaign."""
HELD = 8
"""So many tasks it has before that."""


def test_a_worker_joins_from_another_machine_and_survives_a_cut_cable(tmp_path: Path) -> None:
    try:
        with two_machines() as cable:
            near = Machine(
                tmp_path / "near", cable.near, SCITQ_HOST="0.0.0.0", SCITQ_SERVER=f"{cable.near_address}:5000"
            )
            far = Machine(tmp_path / "far", cable.far)
            server = near.start("server")
            try:
                eventually(lambda: "is ready" in server.said(), "the server is ready")
                near.environ["SCITQ_TOKEN"] = (near.data / "token").read_text().strip()
                line = near.run("worker", "invite").strip().splitlines()[-1]
                _, *words = shlex.split(line)
                words = [word if word != "CONCURRENCY" else "2" for word in words]
                effects = tmp_path / "effects"
                effects.mkdir()
                worker = far.start(*words, "--prefetch", str(HELD - 2))
                ids = _submitted(near, effects, TASKS)
                eventually(lambda: any(effects.iterdir()), "the worker works")
                cable.cut()
                cut_at = time.monotonic()
                eventually(lambda: len(list(effects.iterdir())) >= HELD, "what it has is done without a server")
                time.sleep(max(0.0, cut_at + CUT_S - time.monotonic()))  # what happens meanwhile is the question
                cable.mend()
                eventually(lambda: _ended(near, ids), "every task ends", 120)
                for number in range(TASKS):
                    assert (effects / str(number)).read_text() == f"{number}\n", "each effect is there once"
                    assert near.run("manage", "task", "output", "-i", str(ids[number]), "-o") == f"out {number}\n"
                assert worker.end() == 0
            finally:
                server.end()
                for machine in (near, far):
                    end_all_in(machine.folder)
    except NamespacesMissing as reason:
        miss(str(reason))


def _submitted(near: Machine, effects: Path, count: int) -> list[int]:
    ids = []
    for number in range(count):
        command = f"sleep 1.5; echo out {number}; echo {number} >> {effects}/{number}"
        said = near.run("launch", "sh", "-c", command)
        ids.append(int(said.rsplit(maxsplit=1)[-1]))
    return ids


def _ended(near: Machine, ids: list[int]) -> bool:
    said = near.run("manage", "task", "list", "-S", "succeeded", "-H")
    return len(said.splitlines()) == len(ids)
