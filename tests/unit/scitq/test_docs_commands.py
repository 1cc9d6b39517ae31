"""Every command of ours that a page shows, in a block or in a sentence, is one: its verb and its options exist."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import click
import pytest
from typer.main import get_command

from scitq.cli import main

ROOT: Final = Path(__file__).resolve().parents[3]
PAGES: Final = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), ROOT / "scitq" / "explained.py"]
PROGRAMS: Final = {"scitq": [], "scitq-launch": ["launch"], "scitq-manage": ["manage"], "scitq-worker": ["worker"],
                   "scitq-server": ["server"], "scitq-fetch": ["fetch"]}  # fmt: skip
ENDS: Final = re.compile(r"[|;&<>()]|\$\(")
PLACEHOLDER: Final = re.compile(r"[A-Z][A-Z_]+|…|\[.*|\{.*")
IN_TEXT: Final = re.compile(r"`((?:scitq|scitq-\w+) [^`\n]*(?:\n[^`\n]*)?)`")
BLOCK: Final = re.compile(r"^```(?:sh|bash|text)?\n(.*?)^```", re.DOTALL | re.MULTILINE)
IN_BLOCK: Final = re.compile(r"(?:^|[;|&(] *|\bdo |\bserver )((?:scitq|scitq-[a-z]+) .*)$", re.MULTILINE)


def shown() -> Iterator[tuple[str, str]]:
    """Each command, and the page on which it stands."""
    for page in PAGES:
        text = page.read_text()
        name = str(page.relative_to(ROOT))
        for found in IN_TEXT.finditer(BLOCK.sub("", text)):
            yield name, " ".join(found[1].split())
        for block in re.findall(r"^```sh\n(.*?)^```", text, re.DOTALL | re.MULTILINE):
            for found in IN_BLOCK.finditer(block.replace("\\\n", " ")):
                yield name, found[1]


def words_of(command: str) -> list[str]:
    """The words of the first command of a line, as a shell reads them."""
    lexer = shlex.shlex(command, posix=True, punctuation_chars="|;&<>()")
    lexer.whitespace_split = True
    words = []
    try:
        for word in lexer:
            if ENDS.match(word):
                break
            words.append(word)
    except ValueError:
        return words  # the other half of a quote is on another line
    return words


def parse(words: list[str]) -> None:
    """Raises what click does when there is no such verb or option."""
    command: Any = get_command(main.app)
    args = [*PROGRAMS[words[0]], *words[1:]]
    context = click.Context(command, info_name="scitq")
    while hasattr(command, "commands"):
        if "start" in command.commands and args and args[0] not in command.commands:
            args = ["start", *args]  # a word that is never typed
        args = command.make_parser(context).parse_args(args)[1]
        if not args or PLACEHOLDER.fullmatch(args[0]):
            return
        if args[0] not in command.commands:
            raise click.UsageError(f"no such command {args[0]}")
        command, args = command.commands[args[0]], args[1:]
        context = click.Context(command, parent=context, **command.context_settings)
    command.make_parser(context).parse_args([word for word in args if not word.startswith("[")])


@pytest.mark.parametrize(("page", "command"), sorted(set(shown())), ids=lambda text: text[:60])
def test_a_command_that_is_shown_is_one(page: str, command: str) -> None:
    words = words_of(command)
    assert words and words[0] in PROGRAMS, f"{page}: {command}"
    try:
        parse(words)
    except Exception as error:
        raise AssertionError(f"{page} shows `{command}`: {error}") from error


def test_what_is_no_command_is_found() -> None:
    for wrong in ("scitq-manage task lst", "scitq-launch --retries 2 echo", "scitq worker invite --tttl 1h"):
        with pytest.raises(Exception, match="o such"):
            parse(words_of(wrong))
    parse(words_of("scitq worker HOST:5000 4 --invite INVITATION"))
