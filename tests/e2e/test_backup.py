"""Backup and restore, by the very commands that docs/install.md shows."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from scitq.lib import Server
from tests.services.postgres import PrivatePostgres
from tests.services.scitq import Machine, embedded
from tests.services.waiting import eventually

INSTALL = Path(__file__).resolve().parents[2] / "docs" / "install.md"
POSTGRES_BIN = max(Path("/usr/lib/postgresql").glob("*/bin"), default=Path("/usr/bin"))


EXPECTED = [f"{number}\n" for number in range(30)]


def outputs(client: Server[dict[str, Any]], tasks: list[int]) -> list[str]:
    return [one["output"] for one in client.executions(task_id=tasks)]


def shown(name: str) -> str:
    """The commands under `<!-- tested: name -->`."""
    found = re.search(rf"<!-- tested: {name} -->\n```sh\n(.*?)```", INSTALL.read_text(), re.DOTALL)
    assert found, f"docs/install.md shows how to {name}"
    return found[1]


def typed(machine: Machine, commands: str, store: str) -> str:
    """What an administrator's shell says; the first command that fails ends it."""
    programs = machine.folder / "bin"
    programs.mkdir(exist_ok=True)
    manage = programs / "scitq-manage"
    manage.write_text(f'#!/bin/sh\nexec {sys.executable} -m scitq manage "$@"\n')
    manage.chmod(0o755)
    path = f"{programs}:{POSTGRES_BIN}:{os.environ['PATH']}"
    done = subprocess.run(
        ["sh", "-eu", "-c", commands], env={**machine.environ, "PATH": path, "SCITQ_STORE": store}, cwd=machine.folder,
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_a_server_goes_back_to_its_backup(tmp_path: Path, postgres: PrivatePostgres) -> None:
    store, restored = (postgres.create_database().replace("+psycopg2", "") for _ in range(2))
    with embedded(tmp_path, SCITQ_STORE=store) as system:
        server, worker = system.server(), system.worker(2)
        client = system.client()
        before = client.tasks_create({"command": f"echo {number}"} for number in range(30))
        client.wait(before, timeout=60)
        eventually(lambda: outputs(client, before) == EXPECTED, "all output has arrived")
        typed(system.machine, shown("backup"), store)  # while it works
        after = client.tasks_create({"command": "echo later"} for _ in range(10))
        client.wait(after, timeout=60)
        worker.end()
        server.end()

        typed(system.machine, shown("restore"), restored)
        said = typed(system.machine, "scitq-manage event verify --against scitq.checkpoint", restored)
        assert "position" in said
        shutil.move(system.machine.data / "workers", tmp_path / "workers.before")
        system.machine.environ["SCITQ_STORE"] = restored
        system.server()
        eventually(client.ready, "the server is ready")
        system.machine.run("manage", "worker", "delete", "-i", "1")
        system.worker(2)
        assert [one["task_id"] for one in client.tasks()] == before
        assert outputs(client, before) == EXPECTED
        again = client.tasks_create({"command": "echo again"} for _ in range(5))
        assert again == after[:5], "the numbers are given again: so workers begin anew"
        assert set(client.wait(again, timeout=60).values()) == {"succeeded"}
        system.machine.run("manage", "projection", "check")
