"""scitq-server: the server alone, for workers that are elsewhere."""

from __future__ import annotations

from typing import Annotated

import typer

from scitq.cli import program
from scitq.config import load

NAME = "scitq-server"

Data = Annotated[str | None, typer.Option("--data", metavar="DIR", help="Its folder. [default: SCITQ_DATA]")]
Host = Annotated[str | None, typer.Option("--host", help="The address on which it listens. [default: SCITQ_HOST]")]
Port = Annotated[int | None, typer.Option("--port", min=0, max=65_535, help="Its port. [default: SCITQ_PORT]")]

app = program.app(no_args_is_help=False)


@app.command()
def server(data: Data = None, host: Host = None, port: Port = None) -> None:
    """Run a server until Ctrl-C or SIGTERM."""
    from scitq.bootstrap.server import run

    raise typer.Exit(run(load(flags(data, host, port))))


def flags(data: str | None, host: str | None, port: int | None) -> dict[str, str]:
    """Those that were given, by the names of their settings."""
    given = {"SCITQ_DATA": data, "SCITQ_HOST": host, "SCITQ_PORT": None if port is None else str(port)}
    return {name: text for name, text in given.items() if text is not None}


def main() -> None:
    program.run(app, NAME)


if __name__ == "__main__":
    main()
