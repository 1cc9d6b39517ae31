"""Every command that a page shows is typed, in order, at a machine as the page supposes it; each one has to work."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import miss
from tests.pages import ROOT, TYPED
from tests.services.namespaces import NamespacesMissing, two_machines
from tests.services.scitq import Machine, end_all_in
from tests.services.typist import install
from tests.services.waiting import eventually

BLOCK = re.compile(
    r"(?P<mark>^<!-- (?:typed|tested|not run): [^>]*? -->\n)?^```sh\n(?P<block>.*?)^```", re.DOTALL | re.MULTILINE
)
TASKS = """
from scitq.lib import Server
s1 = {"command": "echo hi", "name": "s1", "batch": "samples"}
with Server() as server:
    true, failed = {"command": "true"}, {"command": "false", "name": "failed"}
    ids = server.tasks_create([true, failed, true, true, true, true, s1])
    while not server.workers():
        pass
    server.worker_update(1, batch="Default,samples")
    server.wait(ids, timeout=60)
"""
PROGRAMS = {"process": "true", "align": "true"}
"""Whose names stand for somebody's own."""


def blocks(page: str) -> list[str]:
    return [found["block"] for found in BLOCK.finditer((ROOT / page).read_text()) if not found["mark"]]


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    """With a server, the worker node1, a task that failed, and s1, which is number 7 and succeeded."""
    try:
        with two_machines() as cable:  # where port 5000 is nobody's
            machine = Machine(tmp_path / "machine", cable.near)
            install(machine)
            for name, text in PROGRAMS.items():
                (machine.folder / "bin" / name).write_text(f"#!/bin/sh\n{text}\n")
                (machine.folder / "bin" / name).chmod(0o755)
            server = machine.start("up", "--concurrency", "4", "--name", "node1")
            try:
                eventually(lambda: "scitq is ready" in server.said())
                token = machine.folder / ".local" / "share" / "scitq" / "token"
                machine.environ["SCITQ_TOKEN"] = token.read_text().strip()
                program = machine.folder / "tasks.py"
                program.write_text(TASKS)
                machine.shell("python tasks.py")
                yield machine
            finally:
                server.end()
                end_all_in(machine.folder)
    except NamespacesMissing as reason:
        miss(str(reason))


@pytest.mark.parametrize("page", TYPED)
def test_the_commands_of_a_page_work(page: str, machine: Machine) -> None:
    found = blocks(page)
    assert found, f"{page} shows no command that can be typed: take it out of TYPED"
    for block in found:
        said = machine.shell(block)
        assert "Traceback" not in said and "scitq stumbled" not in said, f"{page}: {block}{said}"


def test_what_is_marked_is_left_out() -> None:
    assert not any("pip install" in block for page in TYPED for block in blocks(page))
