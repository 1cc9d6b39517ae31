"""A connection to an FTP server: kept for the next file, byte for byte in names, and every refusal in our words."""

from __future__ import annotations

import atexit
import ftplib
import functools
import os
import posixpath
import re
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Final, Self

from scitq.fetch import faults
from scitq.fetch.connecting import connected
from scitq.fetch.errors import (
    FetchError,
    FetchErrorNoRepeat,
    NotAuthorised,
    NotFound,
    Quota,
    Unreachable,
    UnsupportedError,
)
from scitq.fetch.uri import URI
from scitq.fetch.watch import Cancellation, cut

CONNECT_S: Final = 20.0
_KEPT: Final = 16
_AUTHORITY: Final = re.compile(r"(?:([^/]*)@)?(\[[^\]]*\]|[^/:]*)(?::(\d+))?(/.*)?", re.DOTALL)
_DENIED: Final = re.compile(r"denied|permission|privilege|not allowed", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Server:
    """Where to log in, and as whom: anonymously unless the URI says otherwise."""

    host: str
    port: int
    user: str
    password: str

    @classmethod
    def of(cls, uri: URI) -> tuple[Self, str]:
        """And the name of the file there, in the form in which it is sent."""
        found = _AUTHORITY.fullmatch(uri.path)
        assert found is not None, "a URI names its host"
        user, _, password = (found[1] or "anonymous:anonymous@").partition(":")
        name = (found[4] or "/")[1:]
        if "\r" in name or "\n" in name:
            raise UnsupportedError(f"{uri.shown}: FTP has no way to speak of names with a line break")
        return cls(found[2].strip("[]"), int(found[3] or ftplib.FTP_PORT), user, password), as_sent(name)


class Client(ftplib.FTP):
    """It is told latin-1, in which every byte is a letter: see `as_sent`. Data comes over connections we make."""

    cancellation = Cancellation()
    """That of the call which uses it now."""

    home = "/"
    """Where names begin: the folder that a login leads to. One that begins with a second slash is not of there."""
    lists_facts = True
    """Whether it has MLSD, until it says that it has not."""

    def reach(self, server: Server) -> None:
        self.host, self.port = server.host, server.port
        self.sock = connected(server.host, server.port, CONNECT_S, self.cancellation)
        self.af = self.sock.family
        self.file = self.sock.makefile("r", encoding=self.encoding)
        with self.cancellation.cutting(functools.partial(cut, self.sock)):
            self.welcome = self.getresp()
            self.login(as_sent(server.user), as_sent(server.password))
            self.voidcmd("TYPE I")
            self.home = self.pwd()

    def ntransfercmd(self, cmd: str, rest: int | str | None = None) -> tuple[socket.socket, int | None]:
        """Passively always, and through a connection that can be called off: firewalls drop these."""
        host, port = self.makepasv()
        line = connected(host, port, self.timeout or CONNECT_S, self.cancellation)
        try:
            if rest is not None:
                self.sendcmd(f"REST {rest}")
            answer = self.sendcmd(cmd)
            if answer[0] == "2":
                answer = self.getresp()
            if answer[0] != "1":
                raise ftplib.error_reply(answer)
        except BaseException:
            line.close()
            raise
        return line, None


_idle: Final[dict[Server, list[Client]]] = {}
_lock: Final = threading.Lock()


@contextmanager
def client(uri: URI, cancellation: Cancellation, stall_s: float) -> Iterator[tuple[Client, str]]:
    """One that is logged in, and the name of the file. It is kept for others if all went well."""
    server, name = Server.of(uri)
    with _in_our_words(uri):
        cancellation.check()
        ftp = _kept(server) or _new(server, cancellation)
        try:
            assert ftp.sock is not None
            ftp.timeout, ftp.cancellation = stall_s, cancellation
            ftp.sock.settimeout(stall_s)
            with cancellation.cutting(functools.partial(cut, ftp.sock)):
                yield ftp, posixpath.join(ftp.home, name)
        except BaseException:
            ftp.close()
            raise
    with _lock:
        kept = _idle.setdefault(server, [])
        if len(kept) < _KEPT:
            kept.append(ftp)
            return
    ftp.close()


def as_sent(name: str) -> str:
    return os.fsencode(name).decode("latin-1")


def as_named(sent: str) -> str:
    return os.fsdecode(sent.encode("latin-1"))


def _kept(server: Server) -> Client | None:
    """One that still answers."""
    while True:
        with _lock:
            kept = _idle.get(server)
            if not kept:
                return None
            ftp = kept.pop()
        try:
            ftp.voidcmd("NOOP")
        except (ftplib.Error, EOFError, OSError):
            ftp.close()  # the server has had enough of it
        else:
            return ftp


def _new(server: Server, cancellation: Cancellation) -> Client:
    ftp = Client(timeout=CONNECT_S, encoding="latin-1")
    ftp.cancellation = cancellation
    try:
        ftp.reach(server)
    except BaseException:
        ftp.close()
        raise
    return ftp


@atexit.register
def forget() -> None:
    """Close what is kept."""
    with _lock:
        kept = [ftp for several in _idle.values() for ftp in several]
        _idle.clear()
    for ftp in kept:
        with suppress(OSError):
            ftp.close()


@contextmanager
def _in_our_words(uri: URI) -> Iterator[None]:
    with faults.of_network(uri.shown):
        try:
            yield
        except ftplib.error_perm as error:
            raise _refusal(uri, str(error)) from error
        except ftplib.Error as error:  # 4xx, or an answer that makes no sense: a busy server, or a cut line
            kind = Quota if str(error).startswith("452") else Unreachable
            raise kind(f"{uri.shown}: the server says {_said(error)}") from error


def _refusal(uri: URI, answer: str) -> FetchError:
    code, said = answer[:3], f"{uri.shown}: the server says {_said(answer)}"
    if code in ("530", "532", "553") or (code == "550" and _DENIED.search(answer)):
        return NotAuthorised(said)
    if code == "550":
        return NotFound(said)
    if code == "552":
        return Quota(said)
    return UnsupportedError(said) if code.startswith("50") else FetchErrorNoRepeat(said)


def _said(answer: object) -> str:
    text = "".join(char if char.isprintable() else " " for char in str(answer))
    return repr(text[:150].strip())
