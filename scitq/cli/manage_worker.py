"""scitq-manage worker"""

from __future__ import annotations

from typing import Annotated

import typer

from scitq.cli import program, selecting
from scitq.cli.acting import DryRun, Yes, agreed
from scitq.cli.choosing import WhichWorkers
from scitq.cli.client import connect
from scitq.cli.invite import Ttl, invite
from scitq.cli.selecting import Id, Name
from scitq.cli.tables import AsJson, Long, NoHeaders, show

COLUMNS = ("worker_id", "name", "status", "concurrency", "creation_date", "last_contact_date", "batch")
MORE = ("provider", "region", "flavor", "prefetch", "assigned", "accepted", "running", "failed", "succeeded")

app = program.app("Workers: the machines that run tasks.")


@app.command("list")
def worker_list(
    context: typer.Context,
    batch: Annotated[str | None, typer.Option("-b", "--batch", help="Only those that serve this batch.")] = None,
    status: Annotated[str | None, typer.Option("-S", "--status", help="running, paused, offline or lost.")] = None,
    no_header: NoHeaders = False,
    long: Long = False,
    json: AsJson = False,
) -> None:
    """List workers."""
    with connect(context) as server:
        rows = server.workers(batch=batch, status=status)
    show(
        rows, COLUMNS + MORE if long else COLUMNS, json=json, header=not no_header, long=long, schema="scitq.workers/1"
    )


@app.command("update")
def worker_update(
    context: typer.Context,
    which: WhichWorkers = None,
    id: Id = None,
    name: Name = None,
    status: Annotated[str | None, typer.Option("-S", "--status", help="running or paused.")] = None,
    batch: Annotated[list[str] | None, typer.Option("-b", "--batch", help="What it serves; repeatable.")] = None,
    concurrency: Annotated[int | None, typer.Option("-C", "--concurrency", min=0, help="Tasks at a time.")] = None,
    prefetch: Annotated[int | None, typer.Option("-p", "--prefetch", min=0, help="Tasks held ready.")] = None,
) -> None:
    """Change workers."""
    if status is None and not batch and concurrency is None and prefetch is None:
        raise typer.BadParameter("say what to change: -S, -b, -C or -p")
    with connect(context) as server:
        for one in selecting.workers(server, id, name, which):
            server.worker_update(one, status=status, batches=batch or None, concurrency=concurrency, prefetch=prefetch)


@app.command("delete")
def worker_delete(
    context: typer.Context, which: WhichWorkers = None, id: Id = None, name: Name = None, dry_run: DryRun = False,
    yes: Yes = False,
) -> None:  # fmt: skip
    """Take workers off the list; what they hold goes back to the queue."""
    with connect(context) as server:
        ids = selecting.workers(server, id, name, which)
        names = [f"  {row['worker_id']}  {row['name']}  {row['status']}" for row in server.workers(worker_id=ids)]
        if agreed(len(ids), "worker", "deleted", dry_run=dry_run, yes=yes, show=lambda: names):
            for one in ids:
                server.worker_delete(one)


@app.command("signal")
def worker_signal(
    context: typer.Context,
    execution: Annotated[int, typer.Option("-x", "--execution", min=1, help="The execution that gets it.")],
    id: Id = None,
    name: Name = None,
    signal: Annotated[int, typer.Option("-N", "--signal", min=1, max=64, help="Its number, as 15 for TERM.")] = 15,
) -> None:
    """Have a worker send a Unix signal to one of its executions."""
    with connect(context) as server:
        server.worker_create_signal(selecting.worker(server, id, name), execution, signal)


@app.command("invite")
def worker_invite(context: typer.Context, ttl: Ttl = "1h") -> None:
    """Print the line that makes another machine a worker."""
    with connect(context) as server:
        invite(server, ttl, "scitq-manage")
