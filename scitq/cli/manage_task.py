"""scitq-manage task"""

from __future__ import annotations

from typing import Annotated, Any

import typer

from scitq.cli import manage_output, manage_wait, program, selecting
from scitq.cli.client import connect
from scitq.cli.selecting import Id, Ids, Name
from scitq.cli.tables import AsJson, Long, NoHeaders, cell, dump, show
from scitq.errors import Rejected

COLUMNS = (
    "task_id", "name", "status", "command", "creation_date", "modification_date", "status_date", "batch",
)  # fmt: skip
MORE = (
    "container", "container_options", "input", "output", "resource", "required_task_ids", "retry", "run_timeout",
    "download_timeout", "priority", "attempts", "blocked_by",
)  # fmt: skip

app = program.app("Tasks.")


@app.command("list")
def task_list(
    context: typer.Context,
    status: Annotated[list[str] | None, typer.Option("-S", "--status", help="Of this status; repeatable.")] = None,
    batch: Annotated[list[str] | None, typer.Option("-b", "--batch", help="Of this batch; repeatable.")] = None,
    name: Annotated[str | None, typer.Option("-n", "--name", help="Of this name.")] = None,
    limit: Annotated[int | None, typer.Option("-l", "--limit", min=1, max=10_000, help="At most so many.")] = None,
    newest: Annotated[bool, typer.Option("--newest", help="The newest first.")] = False,
    no_header: NoHeaders = False,
    long: Long = False,
    json: AsJson = False,
) -> None:
    """List tasks."""
    with connect(context) as server:
        rows = server.tasks(status=status or None, batch=batch or None, name=name, limit=limit, reverse=newest or None)
    show(rows, COLUMNS + MORE if long else COLUMNS, json=json, header=not no_header, long=long)


@app.command("show")
def task_show(context: typer.Context, id: Id = None, name: Name = None, json: AsJson = False) -> None:
    """Show everything about one task."""
    with connect(context) as server:
        task = server.task_get(selecting.task(server, id, name))
    if json:
        dump(task)
        return
    width = max(map(len, task))
    for field, value in task.items():
        print(f"{field:<{width}}  {cell(value, long=True)}".rstrip())


app.command("output")(manage_output.task_output)
app.command("wait")(manage_wait.task_wait)


@app.command("update")
def task_update(
    context: typer.Context,
    id: Id = None,
    name: Name = None,
    new_name: Annotated[str | None, typer.Option("-N", "--new-name", help="Another name.")] = None,
    command: Annotated[str | None, typer.Option("-c", "--command", help="Another command line.")] = None,
    status: Annotated[str | None, typer.Option("-S", "--status", help="pending or paused.")] = None,
    batch: Annotated[str | None, typer.Option("-b", "--batch", help="Another batch.")] = None,
    docker: Annotated[str | None, typer.Option("-d", "--docker", help="Another container.")] = None,
    option: Annotated[str | None, typer.Option("-O", "--option", help="Other options for docker.")] = None,
    input: Annotated[str | None, typer.Option("-j", "--input", help="Other inputs.")] = None,
    output: Annotated[str | None, typer.Option("-o", "--output", help="Another output.")] = None,
    resource: Annotated[str | None, typer.Option("-r", "--resource", help="Other resources.")] = None,
    requirements: Annotated[str | None, typer.Option("-R", "--requirements", help="Other required tasks.")] = None,
    retry: Annotated[int | None, typer.Option("--retry", min=0, help="Retries.")] = None,
    priority: Annotated[int | None, typer.Option("--priority", help="Its priority within the batch.")] = None,
    run_timeout: Annotated[int | None, typer.Option("--run-timeout", min=1, help="Seconds it may run.")] = None,
    download_timeout: Annotated[int | None, typer.Option("--download-timeout", min=1, help="Seconds to fetch.")] = None,
) -> None:
    """Change a task. What runs of it is taken back first where it would be another command."""
    changes: dict[str, Any] = {
        "name": new_name, "command": command, "status": status, "batch": batch, "container": docker,
        "container_options": option, "input": input, "output": output, "resource": resource,
        "required_task_ids": None if requirements is None else selecting.required(requirements), "retry": retry,
        "priority": priority, "run_timeout": run_timeout, "download_timeout": download_timeout,
    }  # fmt: skip
    if all(value is None for value in changes.values()):
        raise typer.BadParameter("say what to change")
    with connect(context) as server:
        server.task_update(selecting.task(server, id, name), **changes)


@app.command("relaunch")
def task_relaunch(context: typer.Context, id: Ids = None, name: Name = None) -> None:
    """Queue tasks again that have ended; one that runs is taken back first."""
    with connect(context) as server:
        ids = selecting.tasks(server, id, name)
        if len(ids) == 1 and server.task_get(ids[0])["status"] == "pending":
            print("This task is already in queue")
            return
        _act(server, "relaunch", ids)


@app.command("delete")
def task_delete(context: typer.Context, id: Ids = None, name: Name = None) -> None:
    """Delete tasks; what they did stays in the log."""
    with connect(context) as server:
        _act(server, "delete", selecting.tasks(server, id, name))


@app.command("pause")
def task_pause(context: typer.Context, id: Ids = None, name: Name = None) -> None:
    """Hold tasks where they stand."""
    with connect(context) as server:
        _act(server, "pause", selecting.tasks(server, id, name))


@app.command("resume")
def task_resume(context: typer.Context, id: Ids = None, name: Name = None) -> None:
    """Let paused tasks go on."""
    with connect(context) as server:
        _act(server, "resume", selecting.tasks(server, id, name))


@app.command("release")
def task_release(context: typer.Context, id: Ids = None, name: Name = None) -> None:
    """Let waiting tasks run, whatever they require."""
    with connect(context) as server:
        _act(server, "release", selecting.tasks(server, id, name))


def _act(server: Any, action: Any, ids: list[int]) -> None:
    refused: dict[int, str] = server.tasks_action(action, ids)
    if refused:
        first = next(iter(refused.values()))
        raise Rejected(first if len(refused) == 1 else f"{len(refused)} were refused, as: {first}")
