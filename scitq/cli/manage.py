"""scitq-manage: everything a server has, listed and steered; and its store and log, for whoever runs it."""

from __future__ import annotations

from typing import Annotated

import typer

import scitq
from scitq.cli import (
    config,
    manage_batch,
    manage_bus,
    manage_db,
    manage_event,
    manage_execution,
    manage_projection,
    manage_status,
    manage_task,
    manage_worker,
    program,
    terminal,
    watch,
)
from scitq.cli.client import ServerOption, Target, TimeoutOption

NAME = "scitq-manage"

app = program.app(cls=terminal.Anywhere)
app.add_typer(manage_worker.app, name="worker")
app.add_typer(manage_task.app, name="task")
app.add_typer(manage_batch.app, name="batch")
app.add_typer(manage_execution.app, name="execution")
app.add_typer(manage_event.app, name="event")
app.add_typer(manage_projection.app, name="projection")
app.add_typer(manage_bus.app, name="bus")
app.add_typer(manage_db.app, name="db")
app.add_typer(config.app, name="config")
app.command("status")(manage_status.status)
app.command("watch")(watch.watch)


def print_version(wanted: bool) -> None:
    if wanted:
        print(scitq.__version__)
        raise typer.Exit


@app.callback()
def manage(
    context: typer.Context,
    server: ServerOption = None,
    timeout: TimeoutOption = None,
    color: terminal.ColourOption = "auto",
    no_pager: terminal.NoPager = False,
    version: Annotated[
        bool, typer.Option("--version", callback=print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """See and steer tasks, workers, batches and executions; look after the store and its log of events."""
    terminal.choose(color, no_pager)
    context.obj = Target(server, timeout)


def main() -> None:
    program.run(app, NAME)


if __name__ == "__main__":
    main()
