"""scitq-manage execution"""

from __future__ import annotations

from typing import Annotated, Any, Final

import typer

from scitq.cli import program, selecting
from scitq.cli.client import connect
from scitq.cli.output import show as show_output
from scitq.cli.output import streams
from scitq.cli.selecting import Name
from scitq.cli.tables import CELL_CHARS, AsJson, Long, NoHeaders, dump, show
from scitq.errors import Rejected

COLUMNS: Final = (
    "execution_id", "task_id", "worker_id", "status", "command", "creation_date", "modification_date", "latest",
)  # fmt: skip
MORE: Final = ("return_code", "reason", "output", "error", "output_files")

app = program.app("Executions: the attempts at tasks.")

TaskId = Annotated[int | None, typer.Option("-i", "--id", min=1, help="Those of the task with this id.")]
ExecutionId = Annotated[int | None, typer.Option("-x", "--execution", min=1, help="The one with this id.")]
Status = Annotated[str | None, typer.Option("-S", "--status", help="Only those of this status.")]
Limit = Annotated[int, typer.Option("-l", "--limit", min=1, max=10_000, help="At most so many.")]


@app.command("list")
def execution_list(
    context: typer.Context,
    id: TaskId = None,
    name: Annotated[str | None, typer.Option("-n", "--name", help="Those of tasks of this name.")] = None,
    status: Status = None,
    batch: Annotated[str | None, typer.Option("-b", "--batch", help="Those of this batch.")] = None,
    limit: Limit = 10,
    no_header: NoHeaders = False,
    long: Long = False,
    json: AsJson = False,
) -> None:
    """List executions, the newest first."""
    text: dict[str, Any] = {"trunc": CELL_CHARS} if long or json else {"no_output": True}
    with connect(context) as server:
        rows = server.executions(
            task_id=id, task_name=name, status=status, batch=batch, limit=limit, reverse=True, **text
        )
    show(
        rows,
        COLUMNS + MORE if long else COLUMNS,
        json=json,
        header=not no_header,
        long=long,
        schema="scitq.executions/1",
    )


@app.command("output")
def execution_output(
    context: typer.Context,
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
            task = selecting.task(server, id, name)
            found = server.executions(task_id=task, status=status, limit=1 - number, reverse=True, no_output=True)
            if not found:
                server.task_get(task)  # which says that there is none, if there is none
                raise Rejected(f"there is no such execution of task {task}")
            if len(found) < 1 - number:
                raise Rejected(f"task {task} has {len(found)} such executions, so there is no {number}")
            execution = int(found[-number]["execution_id"])
        elif id is not None or name is not None:
            raise typer.BadParameter("give one of them: -x, -i or -n")
        if json:
            dump(server.execution_get(execution), "scitq.execution/1")
        else:
            show_output(server, execution, streams(output, error))


@app.command("signal")
def execution_signal(
    context: typer.Context,
    execution: Annotated[int, typer.Option("-x", "--execution", min=1, help="The one with this id.")],
    signal: Annotated[int, typer.Option("-N", "--signal", min=1, max=64, help="Its number, as 15 for TERM.")] = 15,
) -> None:
    """Send a Unix signal to a running execution."""
    with connect(context) as server:
        server.execution_signal(execution, signal)
