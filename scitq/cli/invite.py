"""The line to paste on another machine, which then enrols as a worker."""

from __future__ import annotations

import re
from typing import Annotated, Any, Final
from urllib.parse import urlsplit

import typer

from scitq.cli import program
from scitq.cli.tables import dump

UNITS_S: Final = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}

Ttl = Annotated[str, typer.Option("--ttl", metavar="TIME", help="For how long it can be used: 30m, 1h, 7d.")]


def invite(server: Any, ttl: str, name: str, json: bool = False) -> None:
    """Print it. Where the address is one that only this machine knows, say so on stderr."""
    from scitq.config.values import ServerAddress
    from scitq.lib.answers import is_local

    ttl_s = _seconds(ttl)
    line = server.worker_invite(ttl_s)
    parts = urlsplit(server.url)
    place = parts.netloc if parts.scheme == "http" else server.url
    command = f"scitq worker {place} CONCURRENCY --invite {line}"
    if json:
        dump({"command": command, "server": place, "invitation": line, "ttl_s": ttl_s}, "scitq.invitation/1")
    else:
        print(command)
    if is_local(ServerAddress(parts.hostname or "", parts.port or 0)):
        program.say(
            name,
            f"{place} is this machine only: put its name in that place, and have the server listen to others "
            "(scitq up --host 0.0.0.0)",
        )


def _seconds(text: str) -> int:
    found = re.fullmatch(r"([1-9][0-9]{0,8})([smhd])", text)
    if found is None:
        raise typer.BadParameter(f"{text!r} is no time: 30m, 1h, 7d", param_hint="'--ttl'")
    return int(found[1]) * UNITS_S[found[2]]
