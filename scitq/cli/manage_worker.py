"""scitq-manage worker"""

from __future__ import annotations

from typing import Annotated, Any

import typer

from scitq.cli import choosing, program, selecting
from scitq.cli.acting import Deed, DryRun, How, Yes, each, listed
from scitq.cli.choosing import WhichWorkers
from scitq.cli.client import connect
from scitq.cli.invite import Ttl, invite
from scitq.cli.manage_execution import of_executions
from scitq.cli.selecting import Id, Name
from scitq.cli.tables import AsJson, AsLines, Long, NoHeaders, show
from scitq.domain.query import WORKERS

ORDERS = {"clean": -1, "restart": -2, "forget": -3}

COLUMNS = ("worker_id", "name", "status", "concurrency", "creation_date", "last_contact_date", "batch")
MORE = (
    "load", "memory", "provider", "region", "flavor", "prefetch", "assigned", "accepted", "running",
    "failed", "succeeded",
)  # fmt: skip

app = program.app("Workers: the machines that run tasks.")


@app.command("list")
def worker_list(
    context: typer.Context,
    which: WhichWorkers = None,
    batch: Annotated[str | None, typer.Option("-b", "--batch", help="Only those that serve this batch.")] = None,
    status: Annotated[str | None, typer.Option("-S", "--status", help="running, paused, offline or lost.")] = None,
    no_header: NoHeaders = False,
    long: Long = False,
    json: AsJson = False,
    ndjson: AsLines = False,
) -> None:
    """List workers."""
    text = choosing.asked(which, WORKERS)
    with connect(context) as server:
        rows = server.workers(batch=batch, status=status)
        if text is not None:
            meant = set(choosing.workers(server, text, rows))
            rows = [row for row in rows if row["worker_id"] in meant]
    columns = COLUMNS + MORE if long else COLUMNS
    show(rows, columns, json=json, ndjson=ndjson, header=not no_header, long=long, schema="scitq.workers/1")


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
    dry_run: DryRun = False,
    yes: Yes = False,
    json: AsJson = False,
) -> None:
    """Change workers."""
    if status is None and not batch and concurrency is None and prefetch is None:
        raise typer.BadParameter("say what to change: -S, -b, -C or -p")
    with connect(context) as server:
        ids = selecting.workers(server, id, name, which)

        def update(one: int) -> None:
            server.worker_update(one, status=status, batches=batch or None, concurrency=concurrency, prefetch=prefetch)

        each(Deed("update", "worker"), ids, update, How(dry_run, yes, json), show=lambda: _listed(server, ids))


@app.command("delete")
def worker_delete(
    context: typer.Context, which: WhichWorkers = None, id: Id = None, name: Name = None, dry_run: DryRun = False,
    yes: Yes = False, json: AsJson = False,
) -> None:  # fmt: skip
    """Take workers off the list; what they hold goes back to the queue."""
    with connect(context) as server:
        ids = selecting.workers(server, id, name, which)
        how = How(dry_run, yes, json)
        each(Deed("delete", "worker"), ids, server.worker_delete, how, show=lambda: _listed(server, ids))


@app.command("signal")
def worker_signal(
    context: typer.Context,
    execution: Annotated[
        int,
        typer.Option("-x", "--execution", min=1, callback=selecting.check_id, help="The execution that gets it."),
    ],
    id: Id = None,
    name: Name = None,
    signal: Annotated[int, typer.Option("-N", "--signal", min=1, max=64, help="Its number, as 15 for TERM.")] = 15,
    dry_run: DryRun = False,
    json: AsJson = False,
) -> None:
    """Have a worker send a Unix signal to one of its executions."""
    with connect(context) as server:
        worker = selecting.worker(server, id, name)
        deed = Deed("signal", "execution", f"sent signal {signal}", {"signal": signal, "worker_id": worker})
        each(
            deed,
            [execution],
            lambda one: server.worker_create_signal(worker, one, signal),
            How(dry_run, True, json),
            show=lambda: of_executions([server.execution_get(execution)]),
        )


@app.command("clean")
def worker_clean(
    context: typer.Context, which: WhichWorkers = None, id: Id = None, name: Name = None, dry_run: DryRun = False,
    yes: Yes = False, json: AsJson = False,
) -> None:  # fmt: skip
    """Remove what failed tasks have left on workers, now."""
    with connect(context) as server:
        _order(server, "clean", selecting.workers(server, id, name, which), How(dry_run, yes, json))


@app.command("restart")
def worker_restart(
    context: typer.Context, which: WhichWorkers = None, id: Id = None, name: Name = None, dry_run: DryRun = False,
    yes: Yes = False, json: AsJson = False,
) -> None:  # fmt: skip
    """Start the programs of workers anew, as after an update; what they run goes on."""
    with connect(context) as server:
        _order(server, "restart", selecting.workers(server, id, name, which), How(dry_run, yes, json))


@app.command("forget")
def worker_forget(
    context: typer.Context, which: WhichWorkers = None, id: Id = None, name: Name = None, dry_run: DryRun = False,
    yes: Yes = False, json: AsJson = False,
) -> None:  # fmt: skip
    """Have workers fetch resources anew when a task next asks for them."""
    with connect(context) as server:
        _order(server, "forget", selecting.workers(server, id, name, which), How(dry_run, yes, json))


def _order(server: Any, order: str, ids: list[int], how: How) -> None:
    deed = Deed(order, "worker", f"told to {order}")
    number = ORDERS[order]
    each(
        deed, ids, lambda one: server.worker_create_signal(one, None, number), how,
        show=lambda: _listed(server, ids),
    )  # fmt: skip


@app.command("invite")
def worker_invite(context: typer.Context, ttl: Ttl = "1h", json: AsJson = False) -> None:
    """Print the line that makes another machine a worker."""
    with connect(context) as server:
        invite(server, ttl, "scitq-manage", json)


def _listed(server: Any, ids: list[int]) -> list[str]:
    rows = server.workers(worker_id=ids)
    if not rows:
        server.worker_get(ids[0])  # which says that there is none
    return listed([(row["worker_id"], row["name"], row["status"]) for row in rows], len(ids))
