"""scitq-manage execution"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Final

import typer

from scitq.cli import choosing, program, selecting
from scitq.cli.acting import Deed, DryRun, How, Yes, each, listed
from scitq.cli.choosing import Which
from scitq.cli.client import connect
from scitq.cli.output import show as show_output
from scitq.cli.output import streams
from scitq.cli.selecting import Name
from scitq.cli.tables import CELL_CHARS, AsJson, AsLines, Long, NoHeaders, dump, show
from scitq.errors import NothingFound, Rejected

COLUMNS: Final = (
    "execution_id", "task_id", "worker_id", "status", "command", "creation_date", "modification_date", "latest",
)  # fmt: skip
SHOWN: Final = 10
MORE: Final = (
    "return_code", "failure", "reason", "cpu_s", "memory_bytes", "read_bytes", "written_bytes", "output", "error",
    "output_files",
)  # fmt: skip

app = program.app("Executions: the attempts at tasks.")

TaskId = Annotated[
    int | None, typer.Option("-i", "--id", min=1, callback=selecting.check_id, help="Of the task with this id.")
]
ExecutionId = Annotated[
    int | None, typer.Option("-x", "--execution", min=1, callback=selecting.check_id, help="The one with this id.")
]
Status = Annotated[str | None, typer.Option("-S", "--status", help="Only those of this status.")]
_LIMIT: Final = "At most so many. [default: 10; with --ndjson all]"
Limit = Annotated[int | None, typer.Option("-l", "--limit", min=1, max=10**9, help=_LIMIT, show_default=False)]


@app.command("list")
def execution_list(
    context: typer.Context,
    which: Which = None,
    id: TaskId = None,
    name: Annotated[str | None, typer.Option("-n", "--name", help="Those of tasks of this name.")] = None,
    status: Status = None,
    batch: Annotated[str | None, typer.Option("-b", "--batch", help="Those of this batch.")] = None,
    limit: Limit = None,
    no_header: NoHeaders = False,
    long: Long = False,
    json: AsJson = False,
    ndjson: AsLines = False,
) -> None:
    """List executions, the newest first; of the tasks that are chosen, where some are."""
    if which and (id is not None or name is not None):
        raise typer.BadParameter("give one of them: ids or a query, -i, or -n", param_hint="'WHICH' / '-i' / '-n'")
    text: dict[str, Any] = {"trunc": CELL_CHARS} if long or json or ndjson else {"no_output": True}
    columns = COLUMNS + MORE if long else COLUMNS
    with connect(context) as server:
        tasks = selecting.tasks(server, None, None, which) if which else None if id is None else [id]
        most = SHOWN if limit is None and not ndjson else limit
        rows = choosing.executions(server, tasks, most, task_name=name, status=status, batch=batch, **text)
        show(rows, columns, json=json, ndjson=ndjson, header=not no_header, long=long, schema="scitq.executions/1")


@app.command("output")
def execution_output(
    context: typer.Context,
    which: Which = None,
    id: TaskId = None,
    name: Name = None,
    execution: ExecutionId = None,
    number: Annotated[int, typer.Option("-N", "--number", max=0, help="0 is the latest, -1 the one before it, …")] = 0,
    output: Annotated[bool, typer.Option("-o", "--output", help="Only standard output.")] = False,
    error: Annotated[bool, typer.Option("-e", "--error", help="Only standard error.")] = False,
    status: Status = None,
    json: AsJson = False,
) -> None:
    """Show what an execution printed: its output on ours, its errors on our errors."""
    with connect(context) as server:
        if execution is None:
            task = selecting.task(server, id, name, which)
            found = server.executions(task_id=task, status=status, limit=1 - number, reverse=True, no_output=True)
            if not found:
                server.task_get(task)  # which says that there is none, if there is none
                raise Rejected(f"there is no such execution of task {task}")
            if len(found) < 1 - number:
                raise Rejected(f"task {task} has {len(found)} such executions, so there is no {number}")
            execution = int(found[-number]["execution_id"])
        elif id is not None or name is not None or which:
            raise typer.BadParameter("give one of them: -x, -i, -n, or a query")
        if json:
            dump(server.execution_get(execution), "scitq.execution/1")
        else:
            show_output(server, execution, streams(output, error))


@app.command("watch")
def execution_watch(
    context: typer.Context,
    which: Which = None,
    id: TaskId = None,
    name: Name = None,
    execution: ExecutionId = None,
    json: AsJson = False,
) -> None:
    """Show how far its transfers are and what it uses, until it has ended; of one that is over, what it used."""
    with connect(context) as server:
        if execution is None:
            task = selecting.task(server, id, name, which)
            found = server.executions(task_id=task, limit=1, reverse=True, no_output=True)
            if not found:
                server.task_get(task)  # which says that there is none, if there is none
                raise Rejected(f"task {task} has not run yet")
            execution = int(found[0]["execution_id"])
        elif id is not None or name is not None or which:
            raise typer.BadParameter("give one of them: -x, -i, -n, or a query")
        if json:
            dump(server.execution_live(execution), "scitq.live/1")
        else:
            from scitq.cli import live

            live.watch(server, execution)


@app.command("signal")
def execution_signal(
    context: typer.Context,
    which: Which = None,
    execution: ExecutionId = None,
    signal: Annotated[int, typer.Option("-N", "--signal", min=1, max=64, help="Its number, as 15 for TERM.")] = 15,
    dry_run: DryRun = False,
    yes: Yes = False,
    json: AsJson = False,
) -> None:
    """Send a Unix signal to a running execution, or to what runs of the tasks that are chosen."""
    if bool(which) == (execution is not None):
        raise typer.BadParameter("give one of them: tasks, or -x", param_hint="'WHICH' / '-x' / '--execution'")
    with connect(context) as server:
        if execution is None:
            tasks = selecting.tasks(server, None, None, which)
            rows = list(choosing.executions(server, tasks, None, status="running", no_output=True))
            if not rows:
                raise NothingFound(f"nothing runs of {'this task' if len(tasks) == 1 else f'these {len(tasks)} tasks'}")
        else:
            rows = [server.execution_get(execution)]
        each(
            Deed("signal", "execution", f"sent signal {signal}", {"signal": signal}),
            [int(row["execution_id"]) for row in rows],
            lambda one: server.execution_signal(one, signal),
            How(dry_run, yes, json, bool(which)),
            show=lambda: of_executions(rows),
        )


def of_executions(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Each in a line, for those who only want to know."""
    shown = [(row["execution_id"], f"task {row['task_id']}", row["status"], row["command"]) for row in rows]
    return listed(shown, len(rows))
