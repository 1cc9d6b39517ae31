"""scitq-manage task wait"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Annotated, Any

import typer

from scitq.cli import program
from scitq.cli.choosing import Which
from scitq.cli.client import connect
from scitq.cli.manage_output import Batch, chosen
from scitq.cli.selecting import Ids, Name
from scitq.cli.tables import AsJson, dump

NAME = "scitq-manage"

Quiet = Annotated[bool, typer.Option("-q", "--quiet", help="Without a word about how far it is.")]
Retry = Annotated[int, typer.Option("--retry", min=0, metavar="N", help="Relaunch each that fails up to N times.")]
Within = Annotated[float | None, typer.Option("--within", min=0, metavar="SECONDS", help="Wait no longer than that.")]


def task_wait(
    context: typer.Context,
    which: Which = None,
    id: Ids = None,
    name: Name = None,
    batch: Batch = None,
    retry: Retry = 0,
    within: Within = None,
    quiet: Quiet = False,
    json: AsJson = False,
) -> None:
    """Wait until tasks have ended, and tell how; ends with 0 when all have succeeded, else with 1."""
    if retry and within is not None:
        raise typer.BadParameter("what is relaunched is waited for to its end", param_hint="'--retry' / '--within'")
    with connect(context) as server:
        ids = chosen(server, id, name, batch, which)
        try:
            if retry:
                server.join(ids, retry, on_progress=not quiet)
            statuses = server.wait(ids, timeout=within, on_progress=not quiet)
        except KeyboardInterrupt:
            program.say(NAME, "the tasks go on without us; the same command waits for them again")
            raise
        if json:
            dump({"statuses": {str(task): status for task, status in statuses.items()}}, "scitq.statuses/1")
        else:
            print(_told(statuses))
        if any(status != "succeeded" for status in statuses.values()):
            if left := _left(server, statuses):
                program.say(NAME, left)
            raise typer.Exit(1)


def _told(statuses: Mapping[int, str]) -> str:
    counts = Counter(statuses.values()).most_common()
    return f"{len(statuses)} tasks: " + (
        ", ".join(f"{count} {status}" for status, count in counts) or "none to wait for"
    )


def _left(server: Any, statuses: Mapping[int, str]) -> str | None:
    """Why it ended before they did."""
    waiting = [task for task, status in statuses.items() if status == "waiting"]
    for row in server.tasks(task_id=waiting[:1_000]) if waiting else ():
        if row["blocked_by"]:
            return f"task {row['task_id']} waits in vain: {', '.join(row['blocked_by'])}"
    return None
