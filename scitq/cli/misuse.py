"""Wrong arguments, told in one sentence that says what is wrong and what may be meant."""

from __future__ import annotations

import sys
from typing import Any, Final, cast

import typer

from scitq.domain.meant import hint

ERROR: Final = cast(type[Exception], typer.BadParameter.__bases__[0].__bases__[0])
"""Whatever the parser of the arguments refuses; where it is defined changes from one of its releases to the next."""


def sentence(error: Any, name: str) -> tuple[str, str]:
    """Whose arguments are wrong, and what is wrong with them."""
    context = getattr(error, "ctx", None)
    command = name if context is None else context.command_path
    return command, f"{_what(error, context)} (see {command} -h)"


def is_call_for_help(error: Exception) -> bool:
    """Nothing was typed behind a word that needs another one: what is shown is the help."""
    return type(error).__name__ == "NoArgsIsHelpError"


def show_help(error: Any) -> None:
    print(error.format_message(), file=sys.stderr)


def _what(error: Any, context: Any) -> str:
    option = getattr(error, "option_name", None)
    if option is not None and type(error).__name__ == "NoSuchOption":
        known = [name for param in context.command.params for name in param.opts] if context is not None else []
        return f"there is no option {option}{hint(option, [one for one in known if one.startswith('--')])}"
    said: str = error.format_message()
    for before, after in PLAINER.items():
        said = said.replace(before, after)
    return said.rstrip(".")


PLAINER: Final = {
    "Invalid value: ": "",
    "Invalid value for ": "",
    "Value error, ": "",
    "Input should be a valid integer, unable to parse string as an integer": "that is no whole number",
    "Input should be a valid number, unable to parse string as a number": "that is no number",
    "Input should be": "it should be",
    "Got unexpected extra argument(s)": "that is one word too many:",
    "Got unexpected extra argument": "that is one word too many:",
    "No such command": "there is no command",
    "'. Did you mean": "': did you mean",
}
"""What the parser says, and how it is said here."""
