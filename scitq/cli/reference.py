"""Every command with its options, made of their declarations: docs/cli.md."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

import typer

INTRODUCTION: Final = """\
# The commands

<!-- Written by `make docs`. Change the declarations in scitq/cli. -->

Every command with its arguments and options, as `-h` tells them. [Using it](usage.md) and [steering it](manage.md) say
what they are good for. `scitq-manage`, `scitq-launch`, `scitq-worker` and `scitq-server` are the same as
`scitq manage`, `scitq launch`, `scitq worker` and `scitq server`. The word `start` of `scitq worker start` is left out
when it is typed.
"""


def page() -> str:
    """All commands of `scitq`, in the order in which it lists them."""
    from scitq.cli import main

    command = typer.main.get_command(main.app)
    found = list(_walk(command, "scitq"))
    contents = [f"- [`{path}`](#{path.replace(' ', '-')}): {_first(one.help)}" for path, one in found]
    return "\n".join([INTRODUCTION, *contents, "", *("\n".join(_section(path, one)) for path, one in found)])


def _walk(command: Any, path: str) -> Iterator[tuple[str, Any]]:
    yield path, command
    for name, sub in getattr(command, "commands", {}).items():
        yield from _walk(sub, f"{path} {name}")


def _section(path: str, command: Any) -> Iterator[str]:
    context = command.make_context(path, [], resilient_parsing=True)
    yield f"## {path}\n"
    yield "```\n" + " ".join([path, *command.collect_usage_pieces(context)]) + "\n```\n"
    yield from filter(None, (_text(command.help), _text(command.epilog)))
    subs = getattr(command, "commands", {})
    if subs:
        yield "| verb | what it does |\n|---|---|"
        yield from (
            f"| [`{name}`](#{path.replace(' ', '-')}-{name}) | {_cell(_first(sub.help))} |"
            for name, sub in subs.items()
        )
        yield ""
    given = [record for param in command.get_params(context) if (record := _record(param, context)) is not None]
    if given:
        yield "| option | meaning |\n|---|---|"
        yield from (f"| `{_cell(name)}` | {_cell(help)} |" for name, help in given)
        yield ""


def _record(param: Any, context: Any) -> tuple[str, str] | None:
    """An option, or an argument, as its help shows it."""
    if getattr(param, "hidden", False):
        return None
    record = param.get_help_record(context)
    if param.name == "help":
        return None
    if record is not None:
        return _named(str(record[0])), str(record[1])
    help = getattr(param, "help", None)
    return (_named(param.make_metavar(context)), str(help)) if help else None


def _named(option: str) -> str:
    """With a word for its value as people say it."""
    for type, word in (
        ("<int range>", "N"),
        ("<int>", "N"),
        ("<float range>", "N"),
        ("<str>", "TEXT"),
        ("<path>", "PATH"),
    ):
        option = option.replace(type, word)
    return re.sub(r" <list\[\w+\]>", "…", option)


def _first(help: str | None) -> str:
    """The first sentence of a help."""
    return " ".join((help or "").split("\n\n")[0].split())


def _text(help: str | None) -> str:
    paragraphs = [" ".join(one.split()) for one in (help or "").split("\n\n")]
    return "\n\n".join(paragraphs) + "\n" if any(paragraphs) else ""


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
