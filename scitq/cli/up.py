"""scitq up: a server and a worker on this machine, with nothing to set up before."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from scitq.cli.server import Data, Host, Port, flags
from scitq.cli.worker import Prefetch, check_name
from scitq.config import load


def up(
    data: Data = None,
    port: Port = None,
    host: Host = None,
    concurrency: Annotated[
        int | None, typer.Option("--concurrency", min=0, max=10_000, help="Tasks at a time. [default: one per CPU]")
    ] = None,
    prefetch: Prefetch = 0,
    name: Annotated[str | None, typer.Option("--name", help="The worker's name. [default: this machine's]")] = None,
) -> None:
    """Run a server, and a worker beside it, until Ctrl-C (running tasks are given back) or SIGTERM (they go on)."""
    if name is not None:
        check_name(name)
    from scitq.bootstrap.up import run

    slots = len(os.sched_getaffinity(0)) if concurrency is None else concurrency
    raise typer.Exit(run(load(flags(data, host, port)), slots, prefetch, name))
