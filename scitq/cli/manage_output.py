"""scitq-manage task output"""

from __future__ import annotations

from typing import Annotated, Any

import typer

from scitq.cli import choosing, program, selecting
from scitq.cli.choosing import Which
from scitq.cli.client import connect
from scitq.cli.output import Stream, exit_code, show, streams
from scitq.cli.selecting import Ids, Name
from scitq.cli.tables import AsJson
from scitq.cli.tables import show as table
from scitq.errors import NothingFound, Rejected

Batch = Annotated[list[str] | None, typer.Option("-b", "--batch", help="All tasks of this batch; repeatable.")]
Follow = Annotated[bool, typer.Option("--follow", help="As it comes, every attempt, until all have ended.")]
Tail = Annotated[
    int | None,
    typer.Option("--tail", metavar="N", min=0, max=100_000, help="Only so many lines of what is there; 0: from now."),
]


def task_output(
    context: typer.Context,
    which: Which = None,
    id: Ids = None,
    name: Name = None,
    batch: Batch = None,
    output: Annotated[bool, typer.Option("-o", "--output", help="Only standard output.")] = False,
    error: Annotated[bool, typer.Option("-e", "--error", help="Only standard error.")] = False,
    follow: Follow = False,
    tail: Tail = None,
    json: AsJson = False,
) -> None:
    """Show what tasks print: output on our output, errors on our errors; of several, line by line under their names."""
    if json and (follow or tail is not None or output or error):
        raise typer.BadParameter(
            "it tells the end of both, once: not with -o, -e, --follow or --tail", param_hint="'--json'"
        )
    with connect(context) as server:
        ids = chosen(server, id, name, batch, which)
        if json:
            rows = choosing.executions(server, ids, None, latest=True)
            table(rows, (), json=True, schema="scitq.executions/1")
            return
        if follow:
            raise typer.Exit(_followed(server, ids, streams(output, error), tail))
        if len(ids) > 1:
            from scitq.cli.following import show_all

            show_all(server, rows_of(server, ids), streams(output, error), tail)
            return
        latest = server.executions(task_id=ids[0], latest=True, no_output=True)
        if not latest:
            server.task_get(ids[0])  # which says that there is none, if there is none
            raise Rejected(f"task {ids[0]} has not been run yet")
        show(server, latest[0]["execution_id"], streams(output, error), tail)


def chosen(
    server: Any, ids: list[int] | None, name: str | None, batches: list[str] | None, which: list[str] | None
) -> list[int]:
    """The tasks that are meant: each once, in their order."""
    if not batches:
        return list(dict.fromkeys(selecting.tasks(server, ids, name, which)))
    if ids or name is not None or which:
        raise typer.BadParameter("give one of them: ids, a name, or batches", param_hint="'-i' / '-n' / '-b'")
    found = [int(row["task_id"]) for row in server.tasks(batch=batches)]
    if not found:
        raise NothingFound(f"there is no task in {', '.join(map(repr, batches))}")
    return found


def rows_of(server: Any, ids: list[int]) -> list[dict[str, Any]]:
    """As the server lists them; an id that is none is refused."""
    found = {row["task_id"]: row for row in server.tasks(task_id=ids)}
    for task in ids:
        if task not in found:
            found[task] = server.task_get(task)  # which says that there is none
    return [found[task] for task in ids]


def _followed(server: Any, ids: list[int], streams: tuple[Stream, ...], tail: int | None) -> int:
    """The exit code: of one task its own, of several whether all have succeeded."""
    from scitq.cli.following import follow_task, follow_tasks

    try:
        if len(ids) == 1:
            return exit_code(server, ids[0], follow_task(server, ids[0], streams, tail))
        statuses = follow_tasks(server, rows_of(server, ids), streams, tail)
        return int(any(status != "succeeded" for status in statuses.values()))
    except KeyboardInterrupt:
        program.say(
            "scitq-manage", "it goes on without us; the same command with --tail 0 shows what comes from then on"
        )
        raise
