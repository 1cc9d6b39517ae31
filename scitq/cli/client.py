"""The server that a command talks to: `-s` and `-t`, and what follows from them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

if TYPE_CHECKING:
    from scitq.lib import Server

PATIENCE_S: Final = 2.0
"""A server that is being restarted is back by then; somebody waits for the answer that there is none."""

ServerOption = Annotated[
    str | None,
    typer.Option("-s", "--server", metavar="HOST[:PORT]", help="The server. [default: SCITQ_SERVER, or this machine]"),
]
TimeoutOption = Annotated[
    float | None,
    typer.Option("-t", "--timeout", metavar="SECONDS", min=0.1, max=86_400, help="The longest wait for an answer."),
]


@dataclass(frozen=True, slots=True)
class Target:
    server: str | None = None
    timeout: float | None = None


def connect(context: typer.Context | None = None, *, server: str | None = None) -> Server[dict[str, Any]]:
    """The server that the options of this command name."""
    from scitq.lib import Server

    target = context.find_object(Target) if context is not None else None
    target = target or Target(server)
    return Server(target.server, get_timeout=target.timeout or 150, patience_s=PATIENCE_S)
