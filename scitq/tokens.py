"""The token of a server: made at its first start, and found by the clients of the same user on the same machine.

In the data folder it is the file `token`. For clients there is a copy per address, `tokens/HOST:PORT` in the user's
config folder: there and not in the runtime folder, which cron jobs and services do not have. Both are read only
from a file that nobody else may read, in a folder that nobody else may enter.
"""

from __future__ import annotations

import ipaddress
import os
import secrets
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from scitq.config.folders import config_folder, make_private
from scitq.config.settings import Settings
from scitq.config.values import Token
from scitq.errors import Rejected

NAME = "token"
BITS = 256
MAX_BYTES = 1_024


def server_token(data: Path) -> Token:
    """The token in a server's data folder; made if there is none. Two first starts at once agree on one."""
    with _private_folder(data) as folder:
        found = _read(folder, data / NAME)
        if found is not None:
            return found
        with _written(folder, Token(secrets.token_urlsafe(BITS // 8))) as temporary, suppress(FileExistsError):
            os.link(temporary, NAME, src_dir_fd=folder, dst_dir_fd=folder)  # a link never replaces: the first wins
        os.fsync(folder)
        found = _read(folder, data / NAME)
    if found is None:
        raise Rejected(f"{data / NAME} was removed while it was made: start again")
    return found


def publish(token: Token, host: str, port: int, environ: Mapping[str, str] = os.environ) -> None:
    """Let this user's local clients find the token of the server that now listens there."""
    path = _published(environ)
    if path is None:
        raise Rejected("this user has no home folder in which clients could find the token: give it as SCITQ_TOKEN")
    with _private_folder(path) as folder:
        for name in _names(host, port):
            with _written(folder, token) as temporary:
                os.rename(temporary, name, src_dir_fd=folder, dst_dir_fd=folder)
        os.fsync(folder)


def withdraw(token: Token, host: str, port: int, environ: Mapping[str, str] = os.environ) -> None:
    """The server stops: whoever listens there next must not be sent its token. Another server's stays."""
    path = _published(environ)
    names = _present(path, host, port)
    if path is None or not names:
        return
    with _private_folder(path) as folder:
        for name in names:
            if _read(folder, path / name) == token:
                with suppress(FileNotFoundError):
                    os.unlink(name, dir_fd=folder)


def find(host: str, port: int, environ: Mapping[str, str] = os.environ) -> Token | None:
    """The token of a local server of this user, if one listens there."""
    path = _published(environ)
    names = _present(path, host, port)
    if path is None or not names:
        return None
    with _private_folder(path) as folder:
        return next((found for name in names if (found := _read(folder, path / name))), None)


def client_token(settings: Settings, environ: Mapping[str, str] = os.environ) -> Token | None:
    """What a client sends: the token in the address, else the one that is set, else that of a local server."""
    server = settings.server
    return server.token or settings.token or find(server.host, server.port, environ)


def _published(environ: Mapping[str, str]) -> Path | None:
    own = config_folder(environ)
    return None if own is None else own / "tokens"


def _present(path: Path | None, host: str, port: int) -> list[str]:
    """Whoever looks for the token of some server far away is not bothered with the state of this folder."""
    return [] if path is None else [name for name in _names(host, port) if os.path.lexists(path / name)]


def _names(host: str, port: int) -> list[str]:
    """All addresses are reached by the loopback ones, and `localhost` may be either of those."""
    host = host.strip("[]").lower()
    if host in ("localhost", "::"):
        hosts = ["127.0.0.1", "::1"]
    elif host == "0.0.0.0":  # noqa: S104
        hosts = ["127.0.0.1"]
    else:
        with suppress(ValueError):  # a name
            host = str(ipaddress.ip_address(host))
        hosts = [host]
    if not host or "/" in host or not host.isprintable():
        raise Rejected(f"{host!r} is not the name of a host")
    return [f"[{one}]:{port}" if ":" in one else f"{one}:{port}" for one in hosts]


@contextmanager
def _private_folder(path: Path) -> Iterator[int]:
    """The folder, open; made if it is not there, refused if it is not this user's alone."""
    try:
        make_private(path)
        folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except (OSError, ValueError) as error:
        raise Rejected(f"the folder {str(path)!r} cannot be used: {_reason(error)}") from error
    try:
        _only_ours(f"the folder {path}", os.fstat(folder), f"chmod 700 {path}")
        yield folder
    except OSError as error:
        raise Rejected(f"the token in {path} cannot be kept: {_reason(error)}") from error
    finally:
        os.close(folder)


@contextmanager
def _written(folder: int, token: Token) -> Iterator[str]:
    """A whole file of a name that nobody uses, to be given its name by the caller, and gone afterwards."""
    name = f".{NAME}.{secrets.token_hex(8)}"
    descriptor = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600, dir_fd=folder)
    try:
        with open(descriptor, "w") as file:
            os.fchmod(descriptor, 0o600)
            file.write(token.reveal() + "\n")
            file.flush()
            os.fsync(descriptor)
        yield name
    finally:
        with suppress(FileNotFoundError):  # it was renamed
            os.unlink(name, dir_fd=folder)


def _read(folder: int, path: Path) -> Token | None:
    def opener(name: str, flags: int) -> int:
        return os.open(name, flags | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=folder)

    try:
        file = open(path.name, "rb", opener=opener)  # noqa: SIM115
    except FileNotFoundError:
        return None
    except OSError as error:
        raise Rejected(f"the token {path} cannot be read: {_reason(error)}") from error
    with file:
        about = os.fstat(file.fileno())
        if not stat.S_ISREG(about.st_mode):
            raise Rejected(f"the token {path} is not a regular file: remove it, and start the server again")
        _only_ours(f"the token {path}", about, f"remove it and start the server again, or chmod 600 {path}")
        data = file.read(MAX_BYTES)
    try:
        return Token(data.decode("ascii").removesuffix("\n"))
    except ValueError:  # from None: the error would show what is in the file
        raise Rejected(f"the file {path} holds no token: remove it, and start the server again") from None


def _only_ours(what: str, about: os.stat_result, mend: str) -> None:
    if about.st_uid != os.geteuid():
        raise Rejected(f"{what} belongs to another user (number {about.st_uid}), who could read or replace the token")
    if about.st_mode & 0o077:
        mode = f"{stat.S_IMODE(about.st_mode):o}"
        raise Rejected(f"{what} is open to other users (mode {mode}): {mend}")


def _reason(error: OSError | ValueError) -> str:
    return error.strerror or str(error) if isinstance(error, OSError) else str(error)
