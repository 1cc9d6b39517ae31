"""scitq-manage status: how the server is, on one screen."""

from __future__ import annotations

import sys
from typing import Any, Final

import typer

from scitq.cli.client import connect
from scitq.cli.tables import AsJson, dump, show
from scitq.cli.texts import clean

PROJECTIONS: Final = ("projection", "position", "lag", "behind_s", "stopped")
QUEUES: Final = ("queue", "waiting", "busy_s")
PROCESSES: Final = ("process", "roles", "engine", "since", "version")


def status(context: typer.Context, json: AsJson = False) -> None:
    """Show whether the server is ready, who leads, and what is behind; ends with 1 when it is not ready."""
    with connect(context) as server:
        found = server.status()
    if json:
        dump(found, "scitq.status/1")
    else:
        _screen(found)
    sys.stdout.flush()
    if not found["ready"]:
        raise typer.Exit(1)


def _screen(found: dict[str, Any]) -> None:
    engine = found["engine"]
    leader = f"{engine['holder'] or 'somebody'} leads" if engine["leads"] else "nobody leads"
    epoch = "" if engine["epoch"] is None else f", epoch {engine['epoch']}"
    lines = {
        "server": found["message"],
        "engine": f"{leader}{epoch}; {found['standbys']} stand by",
        "log": f"ends at position {found['head']}",
        "bus": found["bus"] or "works",
        "put aside": "not known" if found["parked"] is None else f"{found['parked']} messages",
    }
    for name, text in lines.items():
        print(f"{name:<10} {clean(text)}")
    for text in found["alerts"]:
        print(f"{'ALERT':<10} {clean(text)}")
    print()
    show([{**one, "projection": one["name"]} for one in found["projections"]], PROJECTIONS, long=True)
    print()
    show([{**one, "queue": one["name"]} for one in found["queues"]], QUEUES)
    print()
    show([_process(one) for one in found["processes"]], PROCESSES, long=True)


def _process(one: dict[str, Any]) -> dict[str, Any]:
    engine = one["engine"]
    standing = "" if engine is None else "leads" if engine["leads"] else f"stands by at {engine['position']}"
    since = str(one["started_date"])[:19]
    return {**one, "process": f"{one['host']}:{one['pid']}", "engine": standing, "since": since}
