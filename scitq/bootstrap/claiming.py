"""What only one server can have: its folder and its port. Both are taken before anything else is loaded or started."""

from __future__ import annotations

import errno
import fcntl
import os
import signal
import socket
import sys
from collections.abc import Collection, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

from scitq.bootstrap.roles import ROLES, Role
from scitq.config import Settings
from scitq.config.folders import make_private
from scitq.errors import Rejected

IN_PROCESS: Final = ("local:",)


@contextmanager
def claimed(settings: Settings, roles: Collection[Role] = ROLES) -> Iterator[socket.socket | None]:
    """The socket, bound and listening: whoever connects from now on is served as soon as there is somebody to do it."""
    refuse_what_cannot_be_shared(settings, roles)
    _told.clear()
    signal.signal(signal.SIGTERM, _leave)
    with ExitStack() as stack:
        if _one_process(settings):
            stack.enter_context(_alone_in(settings.data))
        yield stack.enter_context(_listening(settings)) if "web" in roles else None


def refuse_what_cannot_be_shared(settings: Settings, roles: Collection[Role]) -> None:
    """Several processes can be one server only where they share a broker and a database that take several."""
    if _one_process(settings) and set(roles) != set(ROLES):
        raise Rejected(
            "roles need a broker and a PostgreSQL store that their processes share: set SCITQ_BUS to amqp://… and "
            "SCITQ_STORE to postgresql://…, or start the server without --role"
        )


def _one_process(settings: Settings) -> bool:
    return settings.bus == IN_PROCESS or not settings.store.startswith("postgres")


_told: list[int] = []


def _leave(number: int, frame: object) -> None:
    """Told to end before the server's loop listens to signals. Nothing is raised from here: it could be anywhere, in
    a callback that swallows it or in the middle of an import."""
    _told.append(number)


def told_to_leave() -> bool:
    return bool(_told)


def leave_if_told() -> None:
    """Between the steps of a start: whatever was begun is taken back on the way out."""
    if told_to_leave():
        sys.exit(0)


@contextmanager
def _alone_in(data: Path) -> Iterator[None]:
    """One server for each data folder: its SQLite files take one writer each."""
    try:
        make_private(data)
        file = (data / "server.lock").open("a+")
    except OSError as error:
        raise Rejected(
            f"the folder {data} cannot be used ({error.strerror}): give another one with --data (SCITQ_DATA)"
        ) from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            raise Rejected(
                f"another server (process {file.read(20).strip() or 'unknown'}) works in {data}: "
                "stop it, or give this one a folder of its own with --data (SCITQ_DATA)"
            ) from None
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield


@contextmanager
def _listening(settings: Settings) -> Iterator[socket.socket]:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            settings.host, settings.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        sock = socket.socket(family, kind, protocol)
    except OSError as error:
        raise Rejected(f"cannot listen on {settings.host}: {error.strerror}") from error
    with sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind(address)
            sock.listen(2048)
        except OSError as error:
            raise Rejected(
                f"cannot listen on {settings.host} port {settings.port}: {error.strerror}{_hint(error)}"
            ) from error
        yield sock


def _hint(error: OSError) -> str:
    if error.errno in (errno.EADDRINUSE, errno.EACCES):
        return "; give another one with --port (SCITQ_PORT), or stop what listens there"
    return "; give an address of this machine with --host (SCITQ_HOST)"
