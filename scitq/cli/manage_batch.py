"""scitq-manage batch"""

from __future__ import annotations

from typing import Annotated, Final

import typer

from scitq.cli import program, selecting
from scitq.cli.acting import Deed, DryRun, How, Yes, each, listed
from scitq.cli.client import connect
from scitq.cli.tables import AsJson, AsLines, Long, NoHeaders, show

COLUMNS: Final = ("batch", "pending", "accepted", "running", "failed", "succeeded", "workers")
MORE: Final = ("waiting", "paused", "assigned", "stopped", "tasks")
TERM: Final = 15
KILL: Final = 9
PAUSE: Final = 20
CONTINUE: Final = 18

app = program.app("Batches: tasks and workers under one name.")

_WHICH: Final = "Which; x* means all that begin with x."
Which = Annotated[list[str] | None, typer.Argument(metavar="[BATCH]...", help=_WHICH, show_default=False)]
Names = Annotated[list[str] | None, typer.Option("-n", "--name", help="The same; repeatable.")]
Number = Annotated[int, typer.Option("-N", "--signal", min=0, max=64, help="Also send this signal to what runs.")]


@app.command("list")
def batch_list(
    context: typer.Context, no_header: NoHeaders = False, long: Long = False, json: AsJson = False,
    ndjson: AsLines = False,
) -> None:  # fmt: skip
    """List batches, with how many of their tasks stand how."""
    with connect(context) as server:
        rows = server.batches()
    columns = COLUMNS + MORE if long else COLUMNS
    show(rows, columns, json=json, ndjson=ndjson, header=not no_header, long=long, schema="scitq.batches/1")


@app.command("stop")
def batch_stop(
    context: typer.Context,
    which: Which = None,
    name: Names = None,
    signal: Number = 0,
    term: Annotated[bool, typer.Option("--term", help="Also ask what runs to end (15).")] = False,
    kill: Annotated[bool, typer.Option("--kill", help="Also kill what runs (9).")] = False,
    pause: Annotated[bool, typer.Option("--pause", help="Also suspend what runs (20).")] = False,
    dry_run: DryRun = False,
    yes: Yes = False,
    json: AsJson = False,
) -> None:
    """Start nothing more of these batches."""
    signal = _one(signal, {TERM: term, KILL: kill, PAUSE: pause})
    _switch(context, "stop", which, name, signal, How(dry_run, yes, json))


@app.command("go")
def batch_go(
    context: typer.Context,
    which: Which = None,
    name: Names = None,
    signal: Number = 0,
    cont: Annotated[bool, typer.Option("--cont", help="Also let go on what was suspended (18).")] = False,
    dry_run: DryRun = False,
    yes: Yes = False,
    json: AsJson = False,
) -> None:
    """Let stopped batches go on."""
    _switch(context, "go", which, name, _one(signal, {CONTINUE: cont}), How(dry_run, yes, json))


@app.command("delete")
def batch_delete(
    context: typer.Context, which: Which = None, name: Names = None, dry_run: DryRun = False, yes: Yes = False,
    json: AsJson = False,
) -> None:  # fmt: skip
    """Delete all tasks of these batches."""
    with connect(context) as server:
        rows = selecting.batches(server, name, which)
        count = sum(row["tasks"] or 0 for row in rows)
        each(
            Deed("delete", "batch", "deleted", {"tasks": count}),
            [row["batch"] for row in rows],
            server.batch_delete,
            How(dry_run, yes, json),
            show=lambda: listed([(row["batch"], row["tasks"] or 0) for row in rows], len(rows)),
            of=count,
            of_what="task",
        )


def _switch(
    context: typer.Context, action: str, which: list[str] | None, name: list[str] | None, signal: int, how: How
) -> None:
    with connect(context) as server:
        rows = selecting.batches(server, name, which)
        running = sum(row["running"] or 0 for row in rows) if signal else 0
        done = "stopped" if action == "stop" else "let go on"
        done += f", and {running} running tasks sent signal {signal}" if signal else ""
        do = server.batch_stop if action == "stop" else server.batch_go
        each(
            Deed(action, "batch", done, {"signal": signal, "running": running} if signal else {}),
            [row["batch"] for row in rows],
            lambda batch: do(batch, signal),
            how,
            show=lambda: listed([(row["batch"],) for row in rows], len(rows)),
            size=running,
        )


def _one(number: int, words: dict[int, bool]) -> int:
    chosen = {signal for signal, wanted in words.items() if wanted} | ({number} if number else set())
    if len(chosen) > 1:
        raise typer.BadParameter("that is more than one signal")
    return chosen.pop() if chosen else 0
