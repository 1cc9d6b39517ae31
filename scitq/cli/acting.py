"""Doing something to many things: told before (`--dry-run`), asked above a hundred, done by ten thousand at a time."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Annotated, Any, Final, NamedTuple

import typer

from scitq.cli.choosing import AT_ONCE
from scitq.cli.tables import cell, dump
from scitq.errors import Rejected, ServerError

MANY: Final = 100
SHOWN: Final = 10
OF_ONE: Final = (404, 409)
"""Refusals that are about one thing, and say nothing of the others."""

DryRun = Annotated[bool, typer.Option("--dry-run", help="Only tell what would be done, and to which.")]
Yes = Annotated[bool, typer.Option("-y", "--yes", help="Do not ask, however many they are.")]

DONE: Final = {
    "pause": "paused",
    "resume": "resumed",
    "release": "released",
    "relaunch": "queued again",
    "delete": "deleted",
    "update": "changed",
}
KEYS: Final = {"task": "task_ids", "worker": "worker_ids", "execution": "execution_ids", "batch": "batches"}


class How(NamedTuple):
    """The wishes of whoever typed it.

    `tell`: say of how many, as whoever typed a query does not know; `vague`: a word that may mean more than he thinks.
    """

    dry_run: bool = False
    yes: bool = False
    json: bool = False
    tell: bool = False
    vague: str | None = None


class Deed(NamedTuple):
    """What is done to things of a kind. `done`: where it is more than a word; `also`: what JSON says besides."""

    action: str
    what: str
    done: str = ""
    also: Mapping[str, Any] = {}

    def words(self) -> str:
        return self.done or DONE[self.action]


def act(server: Any, action: str, ids: Sequence[int], how: How) -> None:
    """Do it to tasks, by the bulk."""
    deed = Deed(action, "task")
    if not agreed(deed, ids, how, show=lambda: _listed(server, ids)):
        return
    refused: dict[Any, str] = {}
    for begin in range(0, len(ids), AT_ONCE):
        part = ids[begin : begin + AT_ONCE]
        try:
            refused |= server.tasks_action(action, part)
        except ServerError as error:
            if error.status not in OF_ONE or len(ids) <= AT_ONCE:
                raise
            refused |= dict.fromkeys(part, error.message)  # all of this part, and not of the others
        _progress(begin + len(part), len(ids))
    _end(deed, ids, refused, how)


def each(
    deed: Deed,
    things: Sequence[Any],
    do: Callable[[Any], object],
    how: How,
    *,
    show: Callable[[], Sequence[str]],
    of: int | None = None,
    of_what: str = "",
    size: int = 0,
) -> None:
    """Do it to one thing after the other. `of`, `of_what`: how many of what else are told instead; `size`: are hit."""
    if not agreed(deed, things, how, show=show, of=of, of_what=of_what, size=size):
        return
    refused: dict[Any, str] = {}
    for thing in things:
        try:
            do(thing)
        except ServerError as error:
            if error.status not in OF_ONE or len(things) == 1:
                raise
            refused[thing] = error.message
    _end(deed, things, refused, how)


def agreed(
    deed: Deed,
    things: Sequence[Any],
    how: How,
    *,
    show: Callable[[], Sequence[str]],
    of: int | None = None,
    of_what: str = "",
    size: int = 0,
) -> bool:
    """Whether to go on: not in a dry run; above a hundred, or where a vague word means several, only who says so."""
    count = len(things) if of is None else of
    counted = _counted(count, of_what or deed.what)
    if how.dry_run:
        if how.json:
            _as_json(deed, things, {}, dry_run=True)
            return False
        print(f"{counted} would be {deed.words()}:")
        for line in show():
            print(line)
        return False
    word = how.vague if len(things) > 1 else None
    if (max(count, size) <= MANY and word is None) or how.yes:
        return True
    if word is not None:
        counted += f", as {word!r} is somewhere in them (name:{word} is the name),"
    if not sys.stdin.isatty():
        raise Rejected(f"{counted} would be {deed.words()}: add --yes if that is meant, --dry-run to see which")
    print(f"{counted} will be {deed.words()}. Go on? [y/N] ", end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise Rejected("nothing was done")
    return True


def listed(rows: Iterable[Sequence[Any]], count: int) -> list[str]:
    """The first of those that are meant, each in a line."""
    shown = ["  " + "  ".join(cell(value, False) for value in row) for row in rows]
    return shown[:SHOWN] + ([f"  and {count - SHOWN} others"] if count > SHOWN else [])


def _listed(server: Any, ids: Sequence[int]) -> list[str]:
    rows = server.tasks(task_id=list(ids[:SHOWN]))
    return listed(
        [(row["task_id"], row["status"], row["batch"], row["name"] or row["command"]) for row in rows], len(ids)
    )


def _end(deed: Deed, things: Sequence[Any], refused: Mapping[Any, str], how: How) -> None:
    """Tell what came of it; what was refused is an error."""
    done = len(things) - len(refused)
    if how.json:
        _as_json(deed, things, refused, dry_run=False)
    elif how.tell and done:
        print(f"{_counted(done, deed.what)} {deed.words()}")
    if refused:
        first = next(iter(refused.values()))
        raise Rejected(first if len(refused) == 1 else f"{len(refused)} were refused, as: {first}")


def _as_json(deed: Deed, things: Sequence[Any], refused: Mapping[Any, str], *, dry_run: bool) -> None:
    did = [thing for thing in things if thing not in refused]
    reasons = {str(thing): why for thing, why in refused.items()}
    content = {"action": deed.action, "dry_run": dry_run, KEYS[deed.what]: did, "refused": reasons, **deed.also}
    dump(content, "scitq.action/1")


def _counted(count: int, what: str) -> str:
    kinds = {"batch": "batches"}
    return f"{count:,} {what if count == 1 else kinds.get(what, what + 's')}"


def _progress(done: int, of: int) -> None:
    """Where somebody looks, and it takes a while."""
    if of > AT_ONCE and sys.stderr.isatty():
        print(f"\r{done:,} of {of:,}", end="\n" if done == of else "", file=sys.stderr, flush=True)
