"""scitq-manage task"""

from __future__ import annotations

from typing import Annotated, Any

import typer

from scitq.cli import choosing, manage_output, manage_wait, program, selecting
from scitq.cli.acting import DryRun, How, Yes, act
from scitq.cli.choosing import Which
from scitq.cli.client import connect
from scitq.cli.selecting import Id, Ids, Name
from scitq.cli.tables import AsJson, AsLines, Long, NoHeaders, cell, dump, show

COLUMNS = (
    "task_id", "name", "status", "command", "creation_date", "modification_date", "status_date", "batch",
)  # fmt: skip
MORE = (
    "container", "container_options", "input", "output", "resource", "required_task_ids", "retry", "run_timeout",
    "silence_timeout",
    "download_timeout", "priority", "attempts", "blocked_by", "user", "refused_by",
)  # fmt: skip

app = program.app("Tasks.")


@app.command("list")
def task_list(
    context: typer.Context,
    which: Which = None,
    status: Annotated[list[str] | None, typer.Option("-S", "--status", help="Of this status; repeatable.")] = None,
    batch: Annotated[list[str] | None, typer.Option("-b", "--batch", help="Of this batch; repeatable.")] = None,
    name: Annotated[str | None, typer.Option("-n", "--name", help="Of this name.")] = None,
    limit: Annotated[int | None, typer.Option("-l", "--limit", min=1, max=10**9, help="At most so many.")] = None,
    newest: Annotated[bool, typer.Option("--newest", help="The newest first.")] = False,
    no_header: NoHeaders = False,
    long: Long = False,
    json: AsJson = False,
    ndjson: AsLines = False,
) -> None:
    """List tasks."""
    text = choosing.asked(which)
    with connect(context) as server:
        found = server.iter_tasks(
            q=text, status=status or None, batch=batch or None, name=name, limit=limit, reverse=newest or None
        )
        rows = found if ndjson else list(found)
        if text is not None and not rows and (slip := choosing.slip(server, text)):
            program.say("scitq-manage", f"no task matches {text!r}{slip}")
        columns = COLUMNS + MORE if long else COLUMNS
        show(rows, columns, json=json, ndjson=ndjson, header=not no_header, long=long, schema="scitq.tasks/1")


@app.command("show")
def task_show(
    context: typer.Context, which: Which = None, id: Id = None, name: Name = None, json: AsJson = False
) -> None:
    """Show everything about one task."""
    with connect(context) as server:
        task = server.task_get(selecting.task(server, id, name, which))
    if json:
        dump(task, "scitq.task/1")
        return
    width = max(map(len, task))
    for field, value in task.items():
        print(f"{field:<{width}}  {cell(value, long=True)}".rstrip())


app.command("output")(manage_output.task_output)
app.command("wait")(manage_wait.task_wait)


@app.command("update")
def task_update(
    context: typer.Context,
    which: Which = None,
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
    silence_timeout: Annotated[int | None, typer.Option("--silence-timeout", min=1, help="Seconds of silence.")] = None,
    download_timeout: Annotated[int | None, typer.Option("--download-timeout", min=1, help="Seconds to fetch.")] = None,
    uid: Annotated[str | None, typer.Option("-u", "--uid", metavar="USER", help="Another user to run as.")] = None,
    gid: Annotated[str | None, typer.Option("-g", "--gid", metavar="GROUP", help="Another group to run as.")] = None,
    json: AsJson = False,
) -> None:
    """Change a task. What runs of it is taken back first where it would be another command."""
    changes: dict[str, Any] = {
        "name": new_name, "command": command, "status": status, "batch": batch, "container": docker,
        "container_options": option, "input": input, "output": output, "resource": resource,
        "required_task_ids": None if requirements is None else selecting.required(requirements), "retry": retry,
        "priority": priority, "run_timeout": run_timeout, "silence_timeout": silence_timeout,
        "download_timeout": download_timeout, "uid": uid, "gid": gid,
    }  # fmt: skip
    if all(value is None for value in changes.values()):
        raise typer.BadParameter("say what to change")
    with connect(context) as server:
        task = server.task_update(selecting.task(server, id, name, which), **changes)
    if json:
        dump(task, "scitq.task/1")


@app.command("relaunch")
def task_relaunch(
    context: typer.Context, which: Which = None, id: Ids = None, name: Name = None, dry_run: DryRun = False,
    yes: Yes = False, json: AsJson = False,
) -> None:  # fmt: skip
    """Queue tasks again that have ended; one that runs is taken back first."""
    with connect(context) as server:
        ids = selecting.tasks(server, id, name, which)
        if len(ids) == 1 and not (json or dry_run) and server.task_get(ids[0])["status"] == "pending":
            print("This task is already in queue")
            return
        act(server, "relaunch", ids, How(dry_run, yes, json, bool(which), choosing.vague(which)))


@app.command("delete")
def task_delete(
    context: typer.Context, which: Which = None, id: Ids = None, name: Name = None, dry_run: DryRun = False,
    yes: Yes = False, json: AsJson = False,
) -> None:  # fmt: skip
    """Delete tasks; what they did stays in the log."""
    _act(context, "delete", which, id, name, How(dry_run, yes, json, bool(which), choosing.vague(which)))


@app.command("pause")
def task_pause(
    context: typer.Context, which: Which = None, id: Ids = None, name: Name = None, dry_run: DryRun = False,
    yes: Yes = False, json: AsJson = False,
) -> None:  # fmt: skip
    """Hold tasks where they stand."""
    _act(context, "pause", which, id, name, How(dry_run, yes, json, bool(which)))


@app.command("resume")
def task_resume(
    context: typer.Context, which: Which = None, id: Ids = None, name: Name = None, dry_run: DryRun = False,
    yes: Yes = False, json: AsJson = False,
) -> None:  # fmt: skip
    """Let paused tasks go on."""
    _act(context, "resume", which, id, name, How(dry_run, yes, json, bool(which)))


@app.command("release")
def task_release(
    context: typer.Context, which: Which = None, id: Ids = None, name: Name = None, dry_run: DryRun = False,
    yes: Yes = False, json: AsJson = False,
) -> None:  # fmt: skip
    """Let waiting tasks run, whatever they require."""
    _act(context, "release", which, id, name, How(dry_run, yes, json, bool(which)))


def _act(
    context: typer.Context, action: str, which: list[str] | None, id: list[int] | None, name: str | None, how: How
) -> None:
    with connect(context) as server:
        act(server, action, selecting.tasks(server, id, name, which), how)
