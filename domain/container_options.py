"""`container_options`: the words of `docker run`, read as the docker program reads them, and no shell near them.

    parse("--shm-size=8g -e THREADS=4 --gpus all").body  →  what goes into the engine's create request

What is not known is refused with the option that may have been meant. What the worker decides itself is either without
effect (`--rm -it -d`) or refused with a reason (`--name`): `container_table.py` says which.
"""

from __future__ import annotations

import difflib
import posixpath
import shlex
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from scitq.domain.container_table import ALIASES, LETTERS, OPTIONS, Draft
from scitq.errors import Rejected

RESERVED: Final = ("/input", "/output", "/resource")
"""Where a task's own folders are: whoever mounts something else there would not find his data."""


@dataclass(frozen=True, slots=True)
class ContainerOptions:
    """`body` is a part of the engine's create request; `targets` are the places where it mounts something."""

    body: dict[str, Any] = field(default_factory=dict)
    targets: frozenset[str] = frozenset()
    pull: str = "missing"
    platform: str | None = None


def parse(text: str | None) -> ContainerOptions:
    """Rejected, with a sentence, when it is not what `docker run` would take."""
    draft = Draft()
    for said, name, value in _read(_words(text or "")):
        try:
            OPTIONS[name].take(draft, value)
        except ValueError as error:
            shown = said if OPTIONS[name].switch else f"{said} {shlex.quote(value[:200])}"
            raise Rejected(f"container_options: {shown} {error}") from None
    targets = frozenset(posixpath.normpath(target) for target in draft.targets)
    for target in RESERVED:
        if target in targets:
            raise Rejected(f"container_options: {target} is the task's own folder, mount it elsewhere")
    return ContainerOptions(_body(draft), targets, draft.pull, draft.platform)


def _body(draft: Draft) -> dict[str, Any]:
    if not draft.endpoint:
        return draft.body
    network = draft.body.get("HostConfig", {}).get("NetworkMode", "default")
    if network in ("host", "none", "default") or network.startswith("container:"):
        given = ", ".join(sorted(draft.endpoint))
        raise Rejected(f"container_options: {given} can be said of a --network of one's own, not of {network}")
    return {**draft.body, "NetworkingConfig": {"EndpointsConfig": {network: draft.endpoint}}}


def _words(text: str) -> list[str]:
    if "\0" in text:
        raise Rejected("container_options contains a NUL character")
    try:
        return shlex.split(text)
    except ValueError as error:
        reason = str(error).lower().removesuffix(".")
        raise Rejected(f"container_options cannot be split into words: {reason}") from None


def _read(words: list[str]) -> Iterator[tuple[str, str, str]]:
    """Each option as it was said, its long name and its value."""
    rest = iter(words)
    for word in rest:
        if word.startswith("--") and word != "--":
            said, sign, value = word.partition("=")
            name = _known(said)
            if OPTIONS[name].switch:
                yield said, name, value if sign else "true"
            else:
                yield said, name, value if sign else _next(rest, said)
        elif word.startswith("-") and len(word) > 1 and word != "--":
            yield from _letters(word, rest)
        else:
            hint = "the image is the task's container, its words are the command" if word != "--" else "leave it out"
            raise Rejected(f"container_options: {shlex.quote(word[:200])} is not an option of docker run; {hint}")


def _letters(word: str, rest: Iterator[str]) -> Iterator[tuple[str, str, str]]:
    """-it, -e NAME=value, -eNAME=value."""
    for at, letter in enumerate(word[1:], 1):
        name, behind = LETTERS.get(letter), word[at + 1 :]
        if name is None:
            raise Rejected(f"container_options: -{letter} is not an option of docker run{_meant(word.lstrip('-'))}")
        if not OPTIONS[name].switch:
            yield f"-{letter}", name, behind.removeprefix("=") if behind else _next(rest, f"-{letter}")
            return
        if behind.startswith("="):
            yield f"-{letter}", name, behind[1:]
            return
        yield f"-{letter}", name, "true"


def _next(rest: Iterator[str], said: str) -> str:
    value = next(rest, None)
    if value is None:
        raise Rejected(f"container_options: {said} needs a value, and nothing follows")
    return value


def _known(said: str) -> str:
    name = said[2:]
    name = ALIASES.get(name, name)
    if name not in OPTIONS:
        raise Rejected(f"container_options: {said[:80]} is not an option of docker run{_meant(name)}")
    return name


def _meant(name: str) -> str:
    close = difflib.get_close_matches(name.partition("=")[0][:80], [*OPTIONS, *ALIASES], 1, 0.6)
    return f"; did you mean --{close[0]}?" if close else ""
