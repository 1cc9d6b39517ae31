"""Type checkers see the library as it is: `mypy --strict` over a script that uses all of it, and over mistakes."""

from __future__ import annotations

import ast
import inspect
import subprocess
import sys
from pathlib import Path

import pytest

import scitq.lib
from scitq.lib import Handle, Sender, Server

SCRIPT = Path(__file__).with_name("script_of_a_user.py")
ROOT = Path(__file__).parents[3]
MISTAKES = """
from scitq.lib import AsyncServer, Server
server = Server()
server.task_create(comand="a")
Server(style="xml")
Server(get_timeout="5")
Server(style="object").task_get(1).retries
server.tasks_action("erase", [1])
server.background().tasks()
for event in AsyncServer().events(): ...
server.wait([1]).status
"""


def checked(script: Path) -> list[str]:
    """What mypy says of it, as of a program somewhere else, with nothing set up."""
    options = ["--strict", "--config-file=", "--follow-imports=silent", f"--cache-dir={script.parent / 'cache'}"]
    command = [sys.executable, "-m", "mypy", *options, "--no-error-summary", "--hide-error-context", str(script)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert not done.stderr, done.stderr
    return [line for line in done.stdout.splitlines() if ": error:" in line]


def test_a_script_that_uses_every_public_name_is_clean(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT.read_text())
    assert not checked(script)
    script.write_text(MISTAKES)
    wrong = {int(line.split(":")[1]) for line in checked(script)}
    lines = range(4, 1 + len(MISTAKES.splitlines()))
    assert wrong == set(lines), f"unnoticed: {sorted(set(lines) - wrong)}"


def test_the_script_uses_every_public_name() -> None:
    tree = ast.walk(ast.parse(SCRIPT.read_text()))
    used = {node.attr if isinstance(node, ast.Attribute) else node.id for node in tree
            if isinstance(node, ast.Attribute | ast.Name)}  # fmt: skip
    offered = set(scitq.lib.__all__)
    for kind in (Server, Sender):
        offered |= {name for name, _ in inspect.getmembers(kind) if not name.startswith("_")}
    offered |= {name for name in vars(Handle) if not name.startswith("_")}
    assert not offered - used - {"end"}


@pytest.mark.parametrize("name", scitq.lib.__all__)
def test_every_public_name_says_what_it_is(name: str) -> None:
    assert inspect.getdoc(getattr(scitq.lib, name))
