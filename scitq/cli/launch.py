"""scitq-launch: queue one task, whose words are those that follow the options."""

from __future__ import annotations

import shlex
import sys
from typing import Annotated, Any

import typer

from scitq.cli import program, selecting
from scitq.cli.client import ServerOption, connect

NAME = "scitq-launch"
EPILOG = "Options come before the command; -- ends them. A shell is used only where you name one: sh -c 'echo $CPU'."

app = program.app(context_settings=program.HELP | {"allow_interspersed_args": False}, no_args_is_help=False)

_Docker = typer.Option("-d", "--docker", metavar="IMAGE", help="The container in which it runs.")
_Option = typer.Option("-O", "--option", metavar="TEXT", help="More options for docker.")
_Uid = typer.Option("-u", "--uid", metavar="USER", help="As whom it runs: a number, or a name that the worker knows.")
_Gid = typer.Option("-g", "--gid", metavar="GROUP", help="As which group it runs.")
_Test = typer.Option("-t", "--test", help="Print what would be sent, and send nothing.")
_Input = typer.Option("-i", "--input", metavar="URIS", help="What is fetched into $INPUT before it runs; repeatable.")
_Resource = typer.Option(
    "-r", "--resource", metavar="URIS", help="The same for $RESOURCE, shared by tasks; repeatable."
)
_Output = typer.Option("-o", "--output", metavar="URI", help="Where what it leaves in $OUTPUT is put.")
_Needs = typer.Option("-R", "--requirements", metavar="IDS", help="Tasks that must succeed before; repeatable.")
_Json = typer.Option("--json", help="Print the task as JSON; with --wait, as it ended, and not what it printed.")


@app.command(cls=program.Once, epilog=EPILOG)
def launch(
    command: Annotated[list[str], typer.Argument(metavar="COMMAND", help="The command, word by word.")],
    docker: Annotated[str | None, _Docker] = None,
    option: Annotated[str | None, _Option] = None,
    uid: Annotated[str | None, _Uid] = None,
    gid: Annotated[str | None, _Gid] = None,
    server: ServerOption = None,
    test: Annotated[bool, _Test] = False,
    name: Annotated[str | None, typer.Option("-n", "--name", help="A name to find it by.")] = None,
    batch: Annotated[
        str | None, typer.Option("-b", "--batch", help="The batch it belongs to. [default: Default]")
    ] = None,
    input: Annotated[list[str] | None, _Input] = None,
    resource: Annotated[list[str] | None, _Resource] = None,
    output: Annotated[str | None, _Output] = None,
    requirements: Annotated[list[str] | None, _Needs] = None,
    retry: Annotated[int | None, typer.Option(min=0, help="How often it is tried again when it fails.")] = None,
    run_timeout: Annotated[int | None, typer.Option(min=1, metavar="S", help="It may run for so long.")] = None,
    silence_timeout: Annotated[
        int | None, typer.Option(min=1, metavar="S", help="It may print nothing for so long.")
    ] = None,
    download_timeout: Annotated[int | None, typer.Option(min=1, metavar="S", help="Fetching may take so long.")] = None,
    use_cache: Annotated[bool, typer.Option("--use-cache", help="Take the result of the same task before it.")] = False,
    priority: Annotated[int | None, typer.Option(help="Higher ones of a batch run first. [default: 0]")] = None,
    wait: Annotated[
        bool, typer.Option("--wait", help="Wait, show what it prints, and end with its exit code.")
    ] = False,
    json: Annotated[bool, _Json] = False,
) -> None:
    """Queue a task: a command line that a worker will run."""
    if not command[0].strip():
        raise typer.BadParameter("it is empty: a command begins with the name of a program", param_hint="'COMMAND'")
    if docker is None and option is not None:
        raise typer.BadParameter("it is for containers: give one with -d", param_hint="'-O' / '--option'")
    text = shlex.join(command)
    needs = [number for given in requirements or () for number in selecting.required(given)]
    if test and json:
        from scitq.cli.tables import dump
        from scitq.lib.portions import as_user

        dump(
            {"command": text, "container": docker, "container_options": option, "user": as_user(uid, gid) or None},
            "scitq.command/1",
        )
        return
    if test:
        print(f"Command that would be sent: {text}")
        return
    if len(command) == 1 and any(char.isspace() for char in command[0]):
        program.say(NAME, f"{command[0]!r} is one word, so it is the name of a program; without quotes it is several")
    with connect(server=server) as target:
        task = target.task_create(
            text,
            name=name,
            batch=batch,
            input=input,
            output=output,
            container=docker,
            container_options=option,
            resource=resource,
            required_task_ids=needs or None,
            retry=retry,
            download_timeout=download_timeout,
            run_timeout=run_timeout,
            silence_timeout=silence_timeout,
            use_cache=use_cache or None,
            priority=priority,
            uid=uid,
            gid=gid,
        )
        if not json:
            # With --wait, standard output is the task's own.
            print(f"Task queued with task id: {task['task_id']}", file=sys.stderr if wait else sys.stdout, flush=True)
        if wait:
            raise typer.Exit(_waited(target, task["task_id"], json))
        if json:
            from scitq.cli.tables import dump

            dump(task, "scitq.task/1")


def _waited(server: Any, task: int, json: bool) -> int:
    from scitq.cli.following import follow_task
    from scitq.cli.output import exit_code

    try:
        status = server.wait([task])[task] if json else follow_task(server, task)
    except KeyboardInterrupt:
        program.say(NAME, f"task {task} goes on without us; scitq-manage task delete -i {task} would end it")
        raise
    if json:
        from scitq.cli.tables import dump

        dump(server.task_get(task) if status != "deleted" else {"task_id": task, "status": status}, "scitq.task/1")
    elif status != "succeeded":
        program.say(NAME, _sentence(server, task, status))
    return exit_code(server, task, status)


def _sentence(server: Any, task: int, status: str) -> str:
    if status == "waiting":
        reasons = ", ".join(server.task_get(task)["blocked_by"] or ()) or "what it requires has failed"
        return f"task {task} waits in vain: {reasons}"
    if status == "failed":
        latest = server.executions(task_id=task, latest=True, no_output=True)
        reason = latest[0]["reason"] if latest else None
        code = latest[0]["return_code"] if latest else None
        return f"task {task} failed: {reason or f'its return code is {code}'}"
    return f"task {task} was {status}"


def main() -> None:
    program.run(app, NAME)


if __name__ == "__main__":
    main()
