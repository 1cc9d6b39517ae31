"""Each command, verb and option stands in the documentation."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from scitq.cli import main
from scitq.lib import Server

DOCS = Path(__file__).parents[3] / "docs"
TEXT = "\n".join((DOCS / name).read_text() for name in ("usage.md", "library.md", "manage.md"))


def commands(command: Any, *path: str) -> Iterator[tuple[tuple[str, ...], Any]]:
    yield path, command
    for name, sub in getattr(command, "commands", {}).items():
        yield from commands(sub, *path, name)


ALL = [(path, command) for path, command in commands(typer.main.get_command(main.app)) if path]


@pytest.mark.parametrize(("path", "command"), ALL, ids=[" ".join(path) for path, _ in ALL])
def test_a_command_and_its_options_are_documented(path: tuple[str, ...], command: Any) -> None:
    *before, verb = path
    if verb != "start":  # that word is never typed
        assert f"`{verb}`" in TEXT or f" {verb}" in TEXT, f"{' '.join(path)} is in neither page"
    if before == ["manage"] and command.help:
        row = next((line for line in TEXT.splitlines() if line.startswith(f"| `{verb}` |")), "")
        assert row and all(f"`{name}`" in row for name in getattr(command, "commands", {})), f"{verb}: {row}"
    undocumented = [flag for param in command.params for flag in param.opts if flag.startswith("-")
                    and f"`{flag}`" not in TEXT and f" {flag} " not in TEXT]  # fmt: skip
    assert not undocumented, f"{' '.join(path)}: {undocumented}"
    assert command.help, f"{' '.join(path)} has no help"


def test_everything_that_the_library_offers_is_documented() -> None:
    public = {name for name, _ in inspect.getmembers(Server) if not name.startswith("_")}
    missing = {name for name in public - {"get_timeout", "put_timeout"} if f"`{name}`" not in TEXT}
    assert not missing


def test_the_python_in_the_documentation_is_python() -> None:
    blocks = [block.partition("```")[0] for block in TEXT.split("```python\n")[1:]]
    assert len(blocks) >= 2
    for block in blocks:
        compile(block, "docs/usage.md", "exec")
