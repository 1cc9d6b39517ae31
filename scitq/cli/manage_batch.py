"""scitq-manage batch"""

from __future__ import annotations

from typing import Annotated, Final

import typer

from scitq.cli import program, selecting
from scitq.cli.acting import DryRun, Yes, agreed
from scitq.cli.client import connect
from scitq.cli.tables import AsJson, Long, NoHeaders, show

COLUMNS: Final = ("batch", "pending", "accepted", "running", "failed", "succeeded", "workers")
MORE: Final = ("waiting", "paused", "assigned", "stopped", "tasks")
TERM: Final = 15
KILL: Final = 9
PAUSE: Final = 20
CONTINUE: Final = 18

app = program.app("Batches: tasks and workers under one name.")

Names = Annotated[list[str], typer.Option("-n", "--name", help="The batch; repeatable.")]
Number = Annotated[int, typer.Option("-N", "--signal", min=0, max=64, help="Also send this signal to what runs.")]


@app.command("list")
def batch_list(context: typer.Context, no_header: NoHeaders = False, long: Long = False, json: AsJson = False) -> None:
    """List batches, with how many of their tasks stand how."""
    with connect(context) as server:
        rows = server.batches()
    show(
        rows, COLUMNS + MORE if long else COLUMNS, json=json, header=not no_header, long=long, schema="scitq.batches/1"
    )


@app.command("stop")
def batch_stop(
    context: typer.Context,
    name: Names,
    signal: Number = 0,
    term: Annotated[bool, typer.Option("--term", help="Also ask what runs to end (15).")] = False,
    kill: Annotated[bool, typer.Option("--kill", help="Also kill what runs (9).")] = False,
    pause: Annotated[bool, typer.Option("--pause", help="Also suspend what runs (20).")] = False,
    dry_run: DryRun = False,
    yes: Yes = False,
) -> None:
    """Start nothing more of these batches."""
    signal = _one(signal, {TERM: term, KILL: kill, PAUSE: pause})
    with connect(context) as server:
        names = selecting.batches(server, name)
        running = sum(row["running"] or 0 for row in server.batches() if row["batch"] in names) if signal else 0
        hit = f"stopped, and {running} running tasks sent signal {signal}" if signal else "stopped"
        if agreed(len(names), "batch", hit, dry_run=dry_run, yes=yes, size=running):
            for one in names:
                server.batch_stop(one, signal)


@app.command("go")
def batch_go(
    context: typer.Context,
    name: Names,
    signal: Number = 0,
    cont: Annotated[bool, typer.Option("--cont", help="Also let go on what was suspended (18).")] = False,
) -> None:
    """Let stopped batches go on."""
    signal = _one(signal, {CONTINUE: cont})
    with connect(context) as server:
        for one in selecting.batches(server, name):
            server.batch_go(one, signal)


@app.command("delete")
def batch_delete(context: typer.Context, name: Names, dry_run: DryRun = False, yes: Yes = False) -> None:
    """Delete all tasks of these batches."""
    with connect(context) as server:
        names = selecting.batches(server, name)
        count = sum(row["tasks"] or 0 for row in server.batches() if row["batch"] in names)
        if agreed(count, "task", "deleted", dry_run=dry_run, yes=yes):
            for one in names:
                server.batch_delete(one)


def _one(number: int, words: dict[int, bool]) -> int:
    chosen = {signal for signal, wanted in words.items() if wanted} | ({number} if number else set())
    if len(chosen) > 1:
        raise typer.BadParameter("that is more than one signal")
    return chosen.pop() if chosen else 0
