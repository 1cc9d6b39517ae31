"""scitq-manage: the store and its log, for whoever runs the server."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import orjson
import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text
from sqlalchemy.exc import SQLAlchemyError

from scitq.cli import config
from scitq.cli.eventlog import as_json, clean, iso, moment, row, table
from scitq.domain.envelope import Envelope
from scitq.errors import Malformed, Rejected, ScitqError
from scitq.store.chain import Checkpoint, in_bulk, read_checkpoint, verify, write_checkpoint
from scitq.store.health import exists, look_over
from scitq.store.journal import Journal, open_journal
from scitq.store.upgrade import upgrade, upgrade_sql
from scitq.store.urls import shown, store_urls

HELP = {"help_option_names": ["-h", "--help"]}
app = typer.Typer(context_settings=HELP, no_args_is_help=True, pretty_exceptions_enable=False, add_completion=False)
db = typer.Typer(context_settings=HELP, no_args_is_help=True, help="The databases of the store.")
event = typer.Typer(context_settings=HELP, no_args_is_help=True, help="The log of events.")
app.add_typer(db, name="db")
app.add_typer(event, name="event")
app.add_typer(config.app, name="config", context_settings=HELP)

Store = Annotated[
    str | None,
    typer.Option(
        "--store",
        envvar="SCITQ_STORE",
        callback=config.configured_store,
        help="sqlite:///folder, postgresql://…, or a folder. [default: as configured]",
        show_default=False,
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="JSON instead of text.")]


@app.callback()
def scitq_manage() -> None:
    """The store of a scitq server: its databases and its log of events."""


@db.command("init")
def db_init(store: Store = None) -> None:
    """Make a new, empty store."""
    if exists(store):
        raise Rejected(f"there is a store already at {shown(store_urls(store).events)}")
    upgrade(store)
    print(f"made {shown(store_urls(store).events)}")


@db.command("upgrade")
def db_upgrade(
    store: Store = None,
    sql: Annotated[bool, typer.Option("--sql", help="Print the statements of an empty store, run nothing.")] = False,
) -> None:
    """Bring the store to the schema of this release; make it if it is not there."""
    if sql:
        sys.stdout.write(upgrade_sql(store))
        return
    upgrade(store)
    print(f"{shown(store_urls(store).events)} is at the schema of this release")


@db.command("check")
def db_check(store: Store = None) -> None:
    """Look the databases over: schema, structure, head of the log, lease."""
    findings = look_over(store)
    for finding in findings:
        print(finding.text, file=sys.stdout if finding.good else sys.stderr)
    if not all(finding.good for finding in findings):
        raise typer.Exit(1)


@event.command("list")
def event_list(
    store: Store = None,
    stream: Annotated[str | None, typer.Option(help="Of this stream only, as task-7.")] = None,
    type: Annotated[str | None, typer.Option(help="Of this type only; may end in *, as task-*.")] = None,
    since: Annotated[str | None, typer.Option(help="From this time on: 2026-11-20T18:00 (UTC), or 2h ago.")] = None,
    until: Annotated[str | None, typer.Option(help="Before this time.")] = None,
    after: Annotated[int, typer.Option(min=0, help="Behind this position.")] = 0,
    limit: Annotated[int, typer.Option(min=1, help="At most so many.")] = 100,
    newest: Annotated[bool, typer.Option("--newest", help="The newest first.")] = False,
    json: AsJson = False,
) -> None:
    """List events."""
    now = datetime.now(UTC)
    try:
        begin, end = (None if text is None else moment(text, now) for text in (since, until))
    except Malformed as error:
        raise typer.BadParameter(str(error)) from error
    with _journal(store) as journal:
        found = journal.select(
            stream=stream, type=type, since=begin, until=end, after=after, limit=limit, newest_first=newest
        )
    if json:
        for one in found:
            sys.stdout.write(orjson.dumps(as_json(one), option=orjson.OPT_APPEND_NEWLINE).decode())
    elif sys.stdout.isatty():
        table(found, Console())
    else:
        for one in found:
            print("\t".join(row(one)))


@event.command("show")
def event_show(
    position: Annotated[int, typer.Argument(min=1, help="The event's position.")],
    store: Store = None,
    json: AsJson = False,
) -> None:
    """Show everything about one event."""
    with _journal(store) as journal:
        found = journal.read(position - 1, 1)
        if not found or found[0].position != position:
            raise Rejected(f"there is no event {position}: the log ends at position {journal.head().position}")
    fields = as_json(found[0])
    if json:
        sys.stdout.write(orjson.dumps(fields, option=orjson.OPT_APPEND_NEWLINE).decode())
        return
    for name, value in fields.items():
        text = value if isinstance(value, str) else orjson.dumps(value, option=orjson.OPT_INDENT_2).decode()
        print(f"{name:<9} " + "\n".join(clean(line) for line in text.split("\n")))


@event.command("verify")
def event_verify(
    store: Store = None,
    export: Annotated[Path | None, typer.Option(help="Write the checkpoint to this file; keep it elsewhere.")] = None,
    against: Annotated[list[Path] | None, typer.Option(help="Compare with a checkpoint of before; repeatable.")] = None,
) -> None:
    """Prove that no event was changed, removed or slipped in."""
    checkpoints = [read_checkpoint(file) for file in against or []]
    begin = time.monotonic()
    with _journal(store) as journal, in_bulk():
        total = journal.head()
        checkpoints.append(Checkpoint(*total, "now"))  # where the lease says that the log ends
        head = verify(_watched(journal, total.position), checkpoints=checkpoints)
    rate = head.position / max(time.monotonic() - begin, 1e-9)
    print(f"position  {head.position}\nhash      {head.hash.hex()}\nevents/s  {rate:.0f}")
    if export is not None:
        write_checkpoint(export, Checkpoint(head.position, head.hash, iso(time.time_ns() // 1000)))


@contextmanager
def _journal(store: str | None) -> Iterator[Journal]:
    journal = open_journal(store_urls(store).events)
    try:
        yield journal
    finally:
        journal.close()


class _Rate(ProgressColumn):
    def render(self, task: Task) -> Text:
        return Text(f"{task.speed or 0:,.0f} events/s")


def _watched(journal: Journal, total: int) -> Iterator[Envelope]:
    """The log, with a bar where somebody is looking."""
    console = Console(stderr=True)
    columns = [TextColumn("{task.completed:,.0f}/{task.total:,.0f}"), BarColumn(), _Rate(), TimeRemainingColumn()]
    with Progress(*columns, console=console, disable=not console.is_terminal, transient=True) as progress:
        bar = progress.add_task("verify", total=total)
        for one in journal.stream():
            yield one
            if one.position % 5_000 == 0:
                progress.update(bar, completed=one.position)


def main() -> None:
    """Errors are one sentence. Exit codes: 0 done, 1 refused or failed, 2 misused."""
    try:
        app()
    except (ScitqError, OSError, SQLAlchemyError) as error:
        print("scitq-manage: " + " ".join(str(error).split()), file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
