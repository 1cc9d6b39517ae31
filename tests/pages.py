"""The pages that are made from the program: `make docs` writes them, tests/test_docs.py holds them to it.

And those whose commands are typed, each block of ```sh that does not say why it cannot be.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from scitq import explained
from scitq.agents import container_page
from scitq.cli import reference
from scitq.config import page as settings
from scitq.config import template
from tests.golden import describe

ROOT: Final = Path(__file__).resolve().parents[1]
WRITTEN: Final[Mapping[str, Callable[[], str]]] = {
    "docs/cli.md": reference.page,
    "docs/containers.md": container_page.page,
    "docs/errors.md": explained.page,
    "docs/events.md": describe.page,
    "docs/parameters.md": settings.page,
    "deploy/scitq.conf.example": template.template,
}
TYPED: Final = ("README.md", "docs/usage.md", "docs/manage.md", "docs/rest.md")
"""Whose commands tests/e2e/test_docs_typed.py types."""


def write() -> None:
    for name, made in WRITTEN.items():
        text = made()  # all of it, before the old one is gone
        if not (ROOT / name).exists() or (ROOT / name).read_text() != text:
            (ROOT / name).write_text(text)
            print(f"{name} is new")


if __name__ == "__main__":
    write()
