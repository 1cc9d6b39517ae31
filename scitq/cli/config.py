"""The settings that are in force, for people and for programs."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from scitq.cli import program
from scitq.cli.tables import AsJson, dump
from scitq.config import Settings, load
from scitq.config.settings import DECLARED
from scitq.config.template import template

app = program.app("The settings, and where they come from.")


@app.callback()
def config() -> None:
    """The settings, and where they come from."""


@app.command("show")
def config_show(json: AsJson = False) -> None:
    """Show each setting with its value and its source; secrets are hidden."""
    settings = load()
    if json:
        dump({"settings": _as_json(settings)}, "scitq.config/1")
    elif sys.stdout.isatty():
        _table(settings)
    else:
        for name, value in settings.shown().items():
            print(f"{name}\t{value}\t{settings.sources[name]}")
    _print_notes(settings)


@app.command("template")
def config_template() -> None:
    """Print a file of settings to fill in: each with what it is for and its default."""
    sys.stdout.write(template())


def configured_store(given: str | None) -> str:
    """For the option --store: the setting where the option is not given."""
    if given is not None:
        if not given.strip() or not given.isprintable():
            raise typer.BadParameter(f"{given!r} is the place of no store")
        return given
    settings = load()
    _print_notes(settings)
    return settings.store


Store = Annotated[
    str | None,
    typer.Option(
        "--store",
        envvar="SCITQ_STORE",
        callback=configured_store,
        help="sqlite:///folder, postgresql://…, or a folder. [default: as configured]",
        show_default=False,
    ),
]


def _print_notes(settings: Settings) -> None:
    for note in settings.notes:
        program.say("scitq-manage", note)


def _as_json(settings: Settings) -> dict[str, dict[str, str | int | None]]:
    shown = settings.shown()
    answer: dict[str, dict[str, str | int | None]] = {}
    for attribute, one in DECLARED.items():
        value = getattr(settings, attribute)
        plain = value if value is None or isinstance(value, int) else shown[one.name]
        answer[one.name] = {"value": plain, "source": settings.sources[one.name]}
    return answer


def _table(settings: Settings) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    grid = Table("setting", "value", "source", box=None, pad_edge=False, header_style="bold")
    for name, value in settings.shown().items():
        source = settings.sources[name]
        grid.add_row(name, Text(value), Text(source, style="dim" if source == "default" else ""))
    Console().print(grid)
