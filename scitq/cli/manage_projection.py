"""scitq-manage projection"""

from __future__ import annotations

from typing import Annotated, Final

import typer

from scitq.cli import config, program
from scitq.cli.client import connect
from scitq.cli.tables import AsJson, AsLines, NoHeaders, dump, found, show
from scitq.errors import Rejected

COLUMNS: Final = ("name", "version", "position", "lag", "stopped")

app = program.app("Projections: the tables that are computed from the log.")


@app.command("list")
def projection_list(
    context: typer.Context, no_header: NoHeaders = False, json: AsJson = False, ndjson: AsLines = False
) -> None:
    """List the projections of the server, and how far each has followed the log."""
    with connect(context) as server:
        rows = server.projections()
    show(rows, COLUMNS, json=json, ndjson=ndjson, header=not no_header, long=True, schema="scitq.projections/1")


@app.command("rebuild")
def projection_rebuild(
    context: typer.Context,
    name: Annotated[list[str] | None, typer.Argument(help="Which. [default: all of them]", show_default=False)] = None,
    json: AsJson = False,
) -> None:
    """Have the server fold projections anew from the log; it goes on serving."""
    with connect(context) as server:
        names = name or [row["name"] for row in server.projections()]
        for one in names:
            server.projection_rebuild(one)
    if json:
        dump({"action": "rebuild", "dry_run": False, "projections": names, "refused": {}}, "scitq.action/1")


@app.command("check")
def projection_check(store: config.Store = None, json: AsJson = False) -> None:
    """Fold the log anew into a table of its own, and compare it with what is served, row by row.

    Nothing is changed, and a server may run meanwhile.
    """
    from scitq.projections.check import check
    from scitq.store.journal import open_journal
    from scitq.store.urls import store_urls

    urls = store_urls(store)
    journal = open_journal(urls.events)
    try:
        findings = check(journal, urls.views)
    finally:
        journal.close()
    if not found(findings, json):
        raise Rejected("what is served is not what the log says: scitq-manage projection rebuild")
