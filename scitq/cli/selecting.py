"""Things named on the command line: by -i id or -n name. A name that several have is refused, with their ids."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Annotated, Any

import typer

from scitq.cli import choosing
from scitq.domain.meant import no_such
from scitq.domain.query import LARGEST_ID, TOO_LARGE, WORKERS
from scitq.errors import NothingFound, Rejected

SHOWN = 20


def check_id(given: int | list[int] | None) -> int | list[int] | None:
    """For options that take ids: one that is larger than all is a slip, or a number of something else."""
    for id in given if isinstance(given, list) else [given]:
        if id is not None and id > LARGEST_ID:
            raise typer.BadParameter(TOO_LARGE.format(str(id)[:50]))
    return given


Id = Annotated[int | None, typer.Option("-i", "--id", min=1, callback=check_id, help="The one with this id.")]
Ids = Annotated[
    list[int] | None, typer.Option("-i", "--id", min=1, callback=check_id, help="The one with this id; repeatable.")
]
Name = Annotated[str | None, typer.Option("-n", "--name", help="The one with this name.")]


def task(server: Any, id: int | None, name: str | None, which: Sequence[str] | None = None) -> int:
    """The id of one task."""
    found = tasks(server, None if id is None else [id], name, which)
    return choosing.one(found, " ".join(which or ()))


def tasks(server: Any, ids: Sequence[int] | None, name: str | None, which: Sequence[str] | None = None) -> list[int]:
    """The ids of the tasks."""
    text = choosing.asked(which)
    if text is not None and not ids and name is None:
        if re.fullmatch(r"0*[1-9][0-9]{0,14}", text):
            return [int(text)]  # it may be one that was deleted: that is for the server to say
        return choosing.tasks(server, text)
    if _by_id(ids, name, which):
        return list(ids or ())
    return [_only(server.tasks(name=name), "task", name or "", ())]


def worker(server: Any, id: int | None, name: str | None) -> int:
    """The id of one worker."""
    return workers(server, id, name)[0]


def workers(server: Any, id: int | None, name: str | None, which: Sequence[str] | None = None) -> list[int]:
    """The ids of the workers."""
    text = choosing.asked(which, WORKERS)
    if text is not None and id is None and name is None:
        return choosing.workers(server, text)
    return [_worker(server, id, name, which)]


def _worker(server: Any, id: int | None, name: str | None, which: Sequence[str] | None) -> int:
    if _by_id(None if id is None else [id], name, which):
        return id or 0
    found = server.workers(name=name)
    return _only(found, "worker", name or "", () if found else [one["name"] for one in server.workers()])


def batches(server: Any, names: Sequence[str] | None, which: Sequence[str] | None) -> list[dict[str, Any]]:
    """The batches that are meant, as they are listed: what nobody has named before is most often a slip."""
    words = [*(which or ()), *(names or ())]
    if not words or not all(word.strip() for word in words):
        raise typer.BadParameter("say which: the name of a batch, or 'x*'", param_hint="'BATCH' / '-n' / '--name'")
    rows = {str(row["batch"]): row for row in server.batches()}
    return [rows[name] for name in choosing.batches(words, list(rows))]


def required(text: str) -> list[int]:
    """What -R holds: ids, separated by spaces or commas."""
    words = [word for word in re.split(r"[\s,]+", text) if word]
    if not words or not all(re.fullmatch(r"0*[1-9][0-9]{0,14}", word) for word in words):
        raise typer.BadParameter(f"{text!r} is no list of task ids", param_hint="'-R' / '--requirements'")
    return [int(word) for word in words]


def _by_id(ids: Sequence[int] | None, name: str | None, which: Sequence[str] | None) -> bool:
    if bool(ids) == (name is not None) or which:
        hint = "'-i' / '-n'" if which is None else "'WHICH' / '-i' / '-n'"
        raise typer.BadParameter("give one of them: the id, or the name (or a query)", param_hint=hint)
    return bool(ids)


def _only(found: Sequence[dict[str, Any]], kind: str, name: str, known: Sequence[str]) -> int:
    if not found:
        raise NothingFound(no_such(kind, name, known))
    ids = [int(one[f"{kind}_id"]) for one in found]
    if len(ids) > 1:
        listed = ", ".join(map(str, ids[:SHOWN])) + (" and more" if len(ids) > SHOWN else "")
        raise Rejected(f"{len(ids)} {kind}s are called {name!r}: {listed}; choose one with -i")
    return ids[0]
