"""scitq-manage event: the log, read from the store or followed through the server."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import orjson
import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text

from scitq.cli import config, program
from scitq.cli.client import connect
from scitq.cli.eventlog import moment, row, row_of, table
from scitq.cli.tables import AsJson, AsLines, dump, lines, show
from scitq.cli.texts import clean
from scitq.domain.envelope import Envelope
from scitq.domain.event_json import as_json, iso
from scitq.errors import Malformed, NothingFound

if TYPE_CHECKING:
    from scitq.store.journal import Journal

MOST: Final = 10**18
SHOWN: Final = 100
PORTION: Final = 2_000
EVENTS: Final = "scitq.events/1"
EVENT: Final = "scitq.event/1"
"""An event has a `schema` of its own, so it stands within."""

app = program.app("The log of events.")


@app.command("list")
def event_list(
    store: config.Store = None,
    stream: Annotated[str | None, typer.Option(help="Of this stream only, as task-7.")] = None,
    type: Annotated[str | None, typer.Option(help="Of this type only; may end in *, as task-*.")] = None,
    since: Annotated[str | None, typer.Option(help="From this time on: 2026-11-20T18:00 (UTC), or 2h ago.")] = None,
    until: Annotated[str | None, typer.Option(help="Before this time.")] = None,
    after: Annotated[int, typer.Option(min=0, max=MOST, help="Behind this position.")] = 0,
    limit: Annotated[
        int | None,
        typer.Option(min=1, max=MOST, help="At most so many. [default: 100; with --ndjson all]", show_default=False),
    ] = None,
    newest: Annotated[bool, typer.Option("--newest", help="The newest first.")] = False,
    json: AsJson = False,
    ndjson: AsLines = False,
) -> None:
    """List events."""
    now = datetime.now(UTC)
    try:
        begin, end = (None if text is None else moment(text, now) for text in (since, until))
    except Malformed as error:
        raise typer.BadParameter(str(error)) from error
    with _journal(store) as journal:
        what = Selected(journal, {"stream": stream, "type": type, "since": begin, "until": end})
        if ndjson:
            lines(({"event": as_json(one)} for one in what.run(after, limit or MOST, newest)), EVENT)
            return
        found = list(what.run(after, limit or SHOWN, newest))
    if json:
        show(map(as_json, found), (), json=True, schema=EVENTS)
    elif sys.stdout.isatty():
        table(found, Console())
    else:
        for one in found:
            print("\t".join(row(one)))


@app.command("show")
def event_show(
    position: Annotated[int, typer.Argument(min=1, max=MOST, help="The event's position.")],
    store: config.Store = None,
    json: AsJson = False,
) -> None:
    """Show everything about one event."""
    with _journal(store) as journal:
        found = journal.read(position - 1, 1)
        if not found or found[0].position != position:
            raise NothingFound(f"there is no event {position}: the log ends at position {journal.head().position}")
    fields = as_json(found[0])
    if json:
        dump({"event": fields}, EVENT)
        return
    for name, value in fields.items():
        text = value if isinstance(value, str) else orjson.dumps(value, option=orjson.OPT_INDENT_2).decode()
        print(f"{name:<9} " + "\n".join(clean(line) for line in text.split("\n")))


@app.command("verify")
def event_verify(
    store: config.Store = None,
    export: Annotated[Path | None, typer.Option(help="Write the checkpoint to this file; keep it elsewhere.")] = None,
    against: Annotated[list[Path] | None, typer.Option(help="Compare with a checkpoint of before; repeatable.")] = None,
    json: AsJson = False,
) -> None:
    """Prove that no event was changed, removed or slipped in."""
    from scitq.store.chain import Checkpoint, in_bulk, read_checkpoint, verify, write_checkpoint

    checkpoints = [read_checkpoint(file) for file in against or []]
    begin = time.monotonic()
    with _journal(store) as journal, in_bulk():
        total = journal.head()
        checkpoints.append(Checkpoint(*total, "now"))  # where the lease says that the log ends
        head = verify(_watched(journal, total.position), checkpoints=checkpoints)
    rate = head.position / max(time.monotonic() - begin, 1e-9)
    if json:
        told = {"position": head.position, "hash": head.hash.hex(), "events_per_s": round(rate)}
        dump(told | {"exported": None if export is None else str(export)}, "scitq.verified/1")
    else:
        print(f"position  {head.position}\nhash      {head.hash.hex()}\nevents/s  {rate:.0f}")
    if export is not None:
        write_checkpoint(export, Checkpoint(head.position, head.hash, iso(time.time_ns() // 1000)))


@app.command("follow")
def event_follow(
    context: typer.Context,
    since: Annotated[
        int | None,
        typer.Option("--after", min=0, max=MOST, help="From behind this position on. [default: from now on]"),
    ] = None,
    stream: Annotated[str | None, typer.Option(help="Of this stream only, as task-7.")] = None,
    type: Annotated[str | None, typer.Option(help="Of this type only; may end in *, as task-*.")] = None,
    json: Annotated[bool, typer.Option("--json", help="The same as --ndjson, as it has no end.")] = False,
    ndjson: AsLines = False,
) -> None:
    """Show events of a server as they happen, until Ctrl-C."""
    with connect(context) as server:
        if since is None:
            server.projections()  # any answer tells where the log is
            since = server.position
        for one in server.events(since, stream=stream, type=type):
            if json or ndjson:
                lines([{"event": one}], EVENT)
            else:
                print("\t".join(row_of(one)))
            sys.stdout.flush()


class Selected:
    """Events that were asked for, a portion at a time: what is read takes the room of one, however many there are."""

    def __init__(self, journal: Journal, filters: dict[str, Any]) -> None:
        self._journal, self._filters = journal, filters

    def run(self, after: int, limit: int, newest: bool) -> Iterator[Envelope]:
        before = None
        while limit > 0:
            asked = min(PORTION, limit)
            found = self._journal.select(**self._filters, after=after, before=before, limit=asked, newest_first=newest)
            yield from found
            if len(found) < asked:
                return
            limit -= len(found)
            if newest:
                before = found[-1].position
            else:
                after = found[-1].position


@contextmanager
def _journal(store: str | None) -> Iterator[Journal]:
    from scitq.store.journal import open_journal
    from scitq.store.urls import store_urls

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
