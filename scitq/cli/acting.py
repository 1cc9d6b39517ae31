"""Doing something to many things: told before (`--dry-run`), asked above a hundred, done by ten thousand at a time."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Annotated, Any, Final

import typer

from scitq.cli.tables import cell, dump
from scitq.errors import Rejected, ServerError

MANY: Final = 100
AT_ONCE: Final = 10_000
SHOWN: Final = 10

DryRun = Annotated[bool, typer.Option("--dry-run", help="Only tell what would be done, and to which.")]
Yes = Annotated[bool, typer.Option("-y", "--yes", help="Do not ask, however many they are.")]

DONE: Final = {
    "pause": "paused",
    "resume": "resumed",
    "release": "released",
    "relaunch": "queued again",
    "delete": "deleted",
}


def act(server: Any, action: str, ids: Sequence[int], *, dry_run: bool, yes: bool, tell: bool, json: bool) -> None:
    """Do it to tasks. `tell`: say of how many, as whoever typed a query does not know."""
    if json and dry_run:
        dump({"action": action, "dry_run": True, "task_ids": ids, "refused": {}}, "scitq.action/1")
        return
    if not agreed(len(ids), "task", DONE[action], dry_run=dry_run, yes=yes, show=lambda: _listed(server, ids)):
        return
    refused: dict[int, str] = {}
    for begin in range(0, len(ids), AT_ONCE):
        part = ids[begin : begin + AT_ONCE]
        try:
            refused |= server.tasks_action(action, part)
        except ServerError as error:
            if error.status not in (404, 409) or len(ids) <= AT_ONCE:
                raise
            refused |= dict.fromkeys(part, error.message)  # all of this part, and not of the others
        _progress(begin + len(part), len(ids))
    done = len(ids) - len(refused)
    if json:
        reasons = {str(id): why for id, why in refused.items()}
        did = [id for id in ids if id not in refused]
        dump({"action": action, "dry_run": False, "task_ids": did, "refused": reasons}, "scitq.action/1")
    elif tell and done:
        print(f"{_counted(done, 'task')} {DONE[action]}")
    if refused:
        first = next(iter(refused.values()))
        raise Rejected(first if len(refused) == 1 else f"{len(refused)} were refused, as: {first}")


def agreed(
    count: int,
    what: str,
    done: str,
    *,
    dry_run: bool,
    yes: bool,
    show: Callable[[], Sequence[str]] | None = None,
    size: int = 0,
) -> bool:
    """Whether to go on: not in a dry run, and above a hundred only who says so. `size`: where more are hit."""
    if dry_run:
        print(f"{_counted(count, what)} would be {done}" + (":" if show else ""))
        for line in show() if show else ():
            print(line)
        return False
    if max(count, size) <= MANY or yes:
        return True
    if not sys.stdin.isatty():
        raise Rejected(f"{_counted(count, what)} would be {done}: add --yes if that is meant, --dry-run to see which")
    print(f"{_counted(count, what)} will be {done}. Go on? [y/N] ", end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise Rejected("nothing was done")
    return True


def _listed(server: Any, ids: Sequence[int]) -> list[str]:
    rows = server.tasks(task_id=list(ids[:SHOWN]))
    shown = [[row["task_id"], row["status"], row["batch"], row["name"] or row["command"]] for row in rows]
    lines = ["  " + "  ".join(cell(value, False) for value in one) for one in shown]
    return lines + ([f"  and {len(ids) - SHOWN} others"] if len(ids) > SHOWN else [])


def _counted(count: int, what: str) -> str:
    kinds = {"batch": "batches"}
    return f"{count:,} {what if count == 1 else kinds.get(what, what + 's')}"


def _progress(done: int, of: int) -> None:
    """Where somebody looks, and it takes a while."""
    if of > AT_ONCE and sys.stderr.isatty():
        print(f"\r{done:,} of {of:,}", end="\n" if done == of else "", file=sys.stderr, flush=True)
