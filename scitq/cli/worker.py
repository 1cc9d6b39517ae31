"""scitq-worker: this machine becomes a worker of a server; the line that invites another one; and what works here."""

from __future__ import annotations

import math
import shlex
import socket
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

import typer
from typer.core import TyperGroup

from scitq.cli import program
from scitq.cli.client import ServerOption, connect
from scitq.cli.invite import Ttl, invite
from scitq.cli.tables import AsJson
from scitq.config import Settings, for_fetch, load
from scitq.config.folders import make_private
from scitq.config.values import TOKEN
from scitq.errors import AgentError
from scitq.tokens import client_token

if TYPE_CHECKING:
    from scitq.agents.dead_man import DeadMan

NAME: Final = "scitq-worker"
START: Final = "start"
DEFAULT_BATCH: Final = "Default"
NAME_BYTES: Final = 200  # of a folder, and of what a credential can be for
EPILOG: Final = (
    "scitq worker invite: print the line that makes another machine a worker. "
    "scitq worker doctor: see what works on this machine."
)

Prefetch = Annotated[int, typer.Option("-p", "--prefetch", min=0, max=10_000, help="Tasks held ready beside those.")]
_Name = typer.Option("-n", "--name", help="The worker's name. [default: this machine's]", show_default=False)
_Batch = typer.Option("-b", "--batch", help="A batch that it serves; repeatable. [default: Default]")
_Autoclean = typer.Option(
    "-a",
    "--autoclean",
    min=1,
    max=100,
    metavar="PERCENT",
    help="So full its disk may be; then what can be spared goes.",
)
_KeepFailed = typer.Option(
    "--keep-failed", min=0, metavar="MINUTES", help="For so long the folder of a failed task is kept, to look at."
)
_DeadMan = typer.Option(
    "--dead-man", min=0.0, metavar="HOURS", help="Without a server for so long, save what is done and end this machine."
)
_DeadManTo = typer.Option("--dead-man-to", metavar="URI", help="The folder into which it is saved then.")
_DeadManCommand = typer.Option("--dead-man-command", metavar="COMMAND", help="What ends the machine.")
_Flavor = typer.Option("-f", "--flavor", help="The kind of machine; not used yet.")
_Invite = typer.Option("--invite", metavar="INVITATION", help="Enrol with what `scitq worker invite` printed.")
_Bus = typer.Option("--bus", help="How it reaches the server; amqp: as a user of its broker.")
_Base = typer.Option("--base", metavar="DIR", help="Where tasks have their folders. [default: BASE_WORKDIR]")
_Data = typer.Option("--data", metavar="DIR", help="Where it keeps what is its own. [default: SCITQ_DATA]")


class StartOr(TyperGroup):
    """`scitq worker HOST 4` means `scitq worker start HOST 4`, as it did before there was anything else."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if not args or args[0] not in self.commands:
            args = [START, *args]
        return super().parse_args(ctx, args)


app = program.app(cls=StartOr, no_args_is_help=False)


@app.command(START, cls=program.Once, hidden=True, epilog=EPILOG)
def worker_start(
    server: Annotated[str, typer.Argument(metavar="HOST[:PORT]", help="The server.")],
    concurrency: Annotated[int, typer.Argument(min=0, max=10_000, help="How many tasks run at a time.")],
    name: Annotated[str | None, _Name] = None,
    batch: Annotated[list[str] | None, _Batch] = None,
    prefetch: Prefetch = 0,
    status: Annotated[Literal["running", "paused"], typer.Option("-s", "--status", help="How it begins.")] = "running",
    autoclean: Annotated[int, _Autoclean] = 90,
    keep_failed: Annotated[float, _KeepFailed] = 60,
    dead_man: Annotated[float | None, _DeadMan] = None,
    dead_man_to: Annotated[str | None, _DeadManTo] = None,
    dead_man_command: Annotated[str, _DeadManCommand] = "systemctl poweroff",
    flavor: Annotated[str | None, _Flavor] = None,
    invite: Annotated[str | None, _Invite] = None,
    bus: Annotated[Literal["gateway", "amqp", "auto"], _Bus] = "gateway",
    base: Annotated[str | None, _Base] = None,
    data: Annotated[str | None, _Data] = None,
) -> None:
    """Work for a server until SIGTERM (running tasks go on, and are found again) or Ctrl-C (they are given back)."""
    if invite is not None and not TOKEN.fullmatch(invite):
        raise typer.BadParameter("that is no invitation: copy the whole line", param_hint="'--invite'")
    timer = _dead_man(dead_man, dead_man_to, dead_man_command)
    settings, own_name, folder = _place(server, base, data, name)

    from scitq.agents.runtime import Options, run
    from scitq.bootstrap import logs, service

    logs.set_up(settings, of="scitq.worker")
    for_fetch(settings)
    make_private(settings.data)  # a server of this user may have it too, and would refuse one that is open to others
    options = Options(
        url=settings.server.url,
        token=_token(settings, own_name, folder, invite),
        name=own_name,
        concurrency=concurrency,
        prefetch=prefetch,
        batches=tuple(batch or (DEFAULT_BATCH,)),
        hostname=socket.gethostname(),
        paused=status == "paused",
        bus=bus,
        folder=folder,
        base=settings.base_workdir,
        keep_failed_s=60 * keep_failed,
        autoclean=autoclean,
        dead_man=timer,
        give_back_on_interrupt=True,
        on_connected=lambda number: service.tell(service.doing(f"is connected as worker {number}")),
    )
    service.tell(service.READY, service.doing("connects to the server"))
    raise typer.Exit(run(options))


def _dead_man(hours: float | None, to: str | None, command: str) -> DeadMan | None:
    from scitq.agents.dead_man import DeadMan
    from scitq.fetch import FetchError, check_uri

    if hours is not None and not math.isfinite(hours):
        raise typer.BadParameter("a number of hours is meant", param_hint="'--dead-man'")
    if hours is None or hours == 0:
        if to is not None:
            raise typer.BadParameter("it says where, and not when: give --dead-man too", param_hint="'--dead-man-to'")
        return None
    try:
        shlex.split(command)
        if to is not None:
            check_uri(to)
    except (FetchError, ValueError) as error:
        raise typer.BadParameter(str(error), param_hint="'--dead-man-to' / '--dead-man-command'") from error
    return DeadMan(3600 * hours, to, command)


@app.command("invite")
def worker_invite(server: ServerOption = None, ttl: Ttl = "1h", json: AsJson = False) -> None:
    """Print the line that makes another machine a worker."""
    with connect(server=server) as target:
        invite(target, ttl, NAME, json)


@app.command("doctor", cls=program.Once)
def worker_doctor(
    server: Annotated[str | None, typer.Argument(metavar="HOST[:PORT]", help="The server it would work for.")] = None,
    name: Annotated[str | None, _Name] = None,
    autoclean: Annotated[int, _Autoclean] = 90,
    base: Annotated[str | None, _Base] = None,
    data: Annotated[str | None, _Data] = None,
    json: AsJson = False,
) -> None:
    """See what works on this machine: server, folders, containers, programs; and what to do about the rest."""
    from scitq.cli import doctor

    settings, _, folder = _place(server, base, data, name)
    named = server is not None or settings.sources["SCITQ_SERVER"] != "default"
    token = _found(settings, folder)
    raise typer.Exit(doctor.show(settings, token, named=named, autoclean=autoclean, json=json))


def _place(server: str | None, base: str | None, data: str | None, name: str | None) -> tuple[Settings, str, Path]:
    """The settings of a worker, its name, and the folder that is its own."""
    given = {"SCITQ_SERVER": server, "BASE_WORKDIR": base, "SCITQ_DATA": data}
    settings = load({setting: text for setting, text in given.items() if text is not None})
    own_name = check_name(name or socket.gethostname())
    place = f"{settings.server.host}_{settings.server.port}"
    return settings, own_name, settings.data / "workers" / place / own_name


def check_name(name: str) -> str:
    """A worker's name is the name of its folder too."""
    if not name.isprintable() or "/" in name or not name.strip(". ") or len(name.encode()) > NAME_BYTES:
        raise typer.BadParameter(f"a name is one line of at most {NAME_BYTES} bytes, without /", param_hint="'--name'")
    return name


def _token(settings: Settings, name: str, folder: Path, invitation: str | None) -> str | Callable[[], str]:
    """What opens the gateway: what was set, else the credential of this worker, else a local server's token."""
    from scitq.agents.enrol import enrol, kept

    if invitation is not None:
        try:
            return enrol(settings.server.url, invitation, name, folder).reveal()
        except AgentError as error:
            # The same line is used again at every start of the machine, when the invitation has long expired.
            if (credential := kept(folder)) is None:
                raise
            program.say(NAME, f"{error}; the credential of before is used")
            return credential.reveal()

    return _found(settings, folder)


def _found(settings: Settings, folder: Path) -> Callable[[], str]:
    """Looks anew each time: it may be made any moment."""
    from scitq.agents.enrol import kept

    def found() -> str:
        token = settings.server.token or settings.token or kept(folder) or client_token(settings)
        return "" if token is None else token.reveal()

    return found


def main() -> None:
    program.run(app, NAME)


if __name__ == "__main__":
    main()
