"""scitq-server: the server alone, for workers that are elsewhere."""

from __future__ import annotations

from typing import Annotated

import typer

from scitq.bootstrap.roles import ROLES, Role
from scitq.cli import program
from scitq.config import load

NAME = "scitq-server"

Data = Annotated[str | None, typer.Option("--data", metavar="DIR", help="Its folder. [default: SCITQ_DATA]")]
Host = Annotated[str | None, typer.Option("--host", help="The address on which it listens. [default: SCITQ_HOST]")]
Port = Annotated[int | None, typer.Option("--port", min=0, max=65_535, help="Its port. [default: SCITQ_PORT]")]

_Role = typer.Option("--role", metavar="|".join(ROLES), help="Be this part only; repeatable. [default: all]")

app = program.app(no_args_is_help=False)


@app.command()
def server(
    data: Data = None,
    host: Host = None,
    port: Port = None,
    role: Annotated[list[str] | None, _Role] = None,
) -> None:
    """Run a server until Ctrl-C or SIGTERM."""
    from scitq.bootstrap.server import run

    raise typer.Exit(run(load(flags(data, host, port)), _roles(role)))


def _roles(given: list[str] | None) -> tuple[Role, ...]:
    if unknown := sorted(set(given or ()) - set(ROLES)):
        raise typer.BadParameter(f"{unknown[0]!r} is none of {', '.join(ROLES)}", param_hint="'--role'")
    return tuple(role for role in ROLES if not given or role in given)


def flags(data: str | None, host: str | None, port: int | None) -> dict[str, str]:
    """Those that were given, by the names of their settings."""
    given = {"SCITQ_DATA": data, "SCITQ_HOST": host, "SCITQ_PORT": None if port is None else str(port)}
    return {name: text for name, text in given.items() if text is not None}


def main() -> None:
    program.run(app, NAME)


if __name__ == "__main__":
    main()
