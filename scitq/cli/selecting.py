"""Things named on the command line: by -i id or -n name. A name that several have is refused, with their ids."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Annotated, Any

import typer

from scitq.errors import Rejected

SHOWN = 20

Id = Annotated[int | None, typer.Option("-i", "--id", min=1, help="The one with this id.")]
Ids = Annotated[list[int] | None, typer.Option("-i", "--id", min=1, help="The one with this id; repeatable.")]
Name = Annotated[str | None, typer.Option("-n", "--name", help="The one with this name.")]


def task(server: Any, id: int | None, name: str | None) -> int:
    """The id of one task."""
    return tasks(server, None if id is None else [id], name)[0]


def tasks(server: Any, ids: Sequence[int] | None, name: str | None) -> list[int]:
    """The ids of the tasks."""
    if _by_id(ids, name):
        return list(ids or ())
    return [_only(server.tasks(name=name), "task", name)]


def worker(server: Any, id: int | None, name: str | None) -> int:
    """The id of one worker."""
    if _by_id(None if id is None else [id], name):
        return id or 0
    return _only(server.workers(name=name), "worker", name)


def required(text: str) -> list[int]:
    """What -R holds: ids, separated by spaces or commas."""
    words = [word for word in re.split(r"[\s,]+", text) if word]
    if not words or not all(re.fullmatch(r"0*[1-9][0-9]{0,14}", word) for word in words):
        raise typer.BadParameter(f"{text!r} is no list of task ids", param_hint="'-R' / '--requirements'")
    return [int(word) for word in words]


def _by_id(ids: Sequence[int] | None, name: str | None) -> bool:
    if bool(ids) == (name is not None):
        raise typer.BadParameter("give one of them: the id, or the name", param_hint="'-i' / '-n'")
    return bool(ids)


def _only(found: Sequence[dict[str, Any]], kind: str, name: str | None) -> int:
    if not found:
        raise Rejected(f"there is no {kind} called {name!r}")
    ids = [int(one[f"{kind}_id"]) for one in found]
    if len(ids) > 1:
        listed = ", ".join(map(str, ids[:SHOWN])) + (" and more" if len(ids) > SHOWN else "")
        raise Rejected(f"{len(ids)} {kind}s are called {name!r}: {listed}; choose one with -i")
    return ids[0]
