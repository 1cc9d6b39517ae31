"""scitq-manage bus: the messages that were put aside, because nobody understood them or they came too often."""

from __future__ import annotations

import sys
from typing import Annotated, Any, Final

import orjson
import typer

from scitq.cli import program
from scitq.cli.client import connect
from scitq.cli.tables import AsJson, AsLines, Long, NoHeaders, dump, show
from scitq.cli.texts import KEPT, clean
from scitq.errors import Rejected

COLUMNS: Final = ("id", "date", "queue", "size_bytes", "reason")

app = program.app("What carries the messages between the server's parts.")
parked = program.app("Messages that were put aside. Nobody loses anything but what is discarded.")
app.add_typer(parked, name="parked")


@app.callback()
def bus() -> None:
    """What carries the messages between the server's parts."""


Ids = Annotated[list[str] | None, typer.Argument(metavar="ID", help="Which.", show_default=False)]
All = Annotated[bool, typer.Option("--all", help="All that there are when it begins.")]
Queue = Annotated[str | None, typer.Option("-q", "--queue", help="Only those from reports, commands or output.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only tell for how many it would be done.")]


@parked.command("list")
def parked_list(
    context: typer.Context,
    queue: Queue = None,
    limit: Annotated[int, typer.Option("-l", "--limit", min=1, max=1_000, help="At most so many.")] = 100,
    newest: Annotated[bool, typer.Option("--newest", help="The newest first.")] = False,
    no_header: NoHeaders = False,
    long: Long = False,
    json: AsJson = False,
    ndjson: AsLines = False,
) -> None:
    """List them: where they are from, and why they were put aside."""
    with connect(context) as server:
        found = server.parked(limit, queue, newest)
    if json:
        dump(found, "scitq.parked/1")
        return
    show(found["messages"], COLUMNS, ndjson=ndjson, header=not no_header, long=long, schema="scitq.parked-message/1")
    if len(found["messages"]) == limit and found["count"] > limit:
        program.say("scitq-manage", f"{found['count']} are put aside; see others with --limit, --newest or export")


@parked.command("show")
def parked_show(
    context: typer.Context, id: Annotated[str, typer.Argument(help="Its id.")], json: AsJson = False
) -> None:
    """Show one of them, with what is in it."""
    with connect(context) as server:
        found = server.parked_message(id)
    if json:
        dump(found, "scitq.parked-message/1")
        return
    body = found.pop("body")
    for name, value in found.items():
        text = value if isinstance(value, str) else orjson.dumps(value).decode()
        print(f"{name:<12} {clean(text)}")
    if body is not None:
        print("\n" + clean(body, KEPT))


@parked.command("export")
def parked_export(context: typer.Context) -> None:
    """Print all of them as JSON, one on each line, to keep them elsewhere."""
    with connect(context) as server:
        for one in server.parked_export():
            sys.stdout.buffer.write(orjson.dumps(one, option=orjson.OPT_APPEND_NEWLINE))


@parked.command("requeue")
def parked_requeue(
    context: typer.Context, ids: Ids = None, all: All = False, queue: Queue = None, dry_run: DryRun = False,
    json: AsJson = False,
) -> None:  # fmt: skip
    """Put messages back into their queues, to be taken once more."""
    with connect(context) as server:
        _tell(server.parked_requeue(_chosen(ids, all), queue=queue, dry_run=dry_run), "put back", json)


@parked.command("discard")
def parked_discard(
    context: typer.Context, ids: Ids = None, all: All = False, queue: Queue = None, dry_run: DryRun = False,
    json: AsJson = False,
) -> None:  # fmt: skip
    """Throw messages away, for ever."""
    with connect(context) as server:
        _tell(server.parked_discard(_chosen(ids, all), queue=queue, dry_run=dry_run), "discarded", json)


def _chosen(ids: list[str] | None, all: bool) -> list[str] | None:
    if bool(ids) == all:
        raise typer.BadParameter("say which: ids, or --all", param_hint="'ID'")
    return None if all else ids


def _tell(found: dict[str, Any], done: str, json: bool) -> None:
    if json:
        dump(found, "scitq.parked-action/1")
    else:
        count = found["messages"]
        print(f"{count} message{'' if count == 1 else 's'} {'would be ' if found['dry_run'] else ''}{done}")
    troubles = []
    if found["missing"]:
        troubles.append(f"{len(found['missing'])} are not there (any more): {', '.join(found['missing'][:5])}")
    if found["refused"]:
        troubles.append(f"nobody vouches for who sent {', '.join(found['refused'][:5])}: such can only be discarded")
    if found["left"]:
        troubles.append(f"{found['left']} stay put aside, as the broker did not confirm them: do it again")
    if troubles:
        raise Rejected("; ".join(troubles))
