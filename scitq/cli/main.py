"""scitq: everything under one name. `scitq launch` is `scitq-launch`, and so on."""

from __future__ import annotations

from typing import Annotated

import typer

from scitq.cli import completion, config, explain, fetch, launch, manage, program, server, up, worker

NAME = "scitq"

app = program.app()
app.command("up")(up.up)
app.command("server")(server.server)
app.add_typer(worker.app, name="worker", help="Be a worker of a server, or invite another machine.")
app.command(
    "launch",
    cls=program.Once,
    epilog=launch.EPILOG,
    context_settings=program.HELP | {"allow_interspersed_args": False},
)(launch.launch)
app.add_typer(manage.app, name="manage", help="See and steer everything.")
app.add_typer(fetch.app, name="fetch")
app.add_typer(config.app, name="config")
app.add_typer(completion.app, name="completion")
app.command("explain")(explain.explain)


@app.callback()
def scitq_(
    version: Annotated[
        bool, typer.Option("--version", callback=manage.print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """A task queue for scientific computing. Begin with: scitq up"""


def main() -> None:
    program.run(app, NAME)


if __name__ == "__main__":
    main()
