"""Who may do what. A route has one scope, and whoever asks has a set of them:

    the server's token           all
    a worker's credential        worker, under its own name
    an invitation                enrol
    a trusted address, or none   read, write, worker, admin
    anybody                      open

A token has 256 random bits, so nobody is slowed down for guessing. What is guarded against besides is a browser that
the page of a stranger makes ask on its user's behalf: where no token is asked for, it stands in the right network.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import ipaddress
import re
import socket
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final, Literal, get_args

from starlette.requests import HTTPConnection

from scitq.config.values import Network, Token
from scitq.credentials import Credentials, WorkerCredential
from scitq.errors import Malformed
from scitq.web.errors import forbidden, unauthorised

Scope = Literal["open", "read", "write", "worker", "enrol", "admin"]
ALL: Final[frozenset[Scope]] = frozenset(get_args(Scope))
WITHOUT_TOKEN: Final[frozenset[Scope]] = frozenset({"open", "read", "write", "worker", "admin"})
ANYBODY: Final[frozenset[Scope]] = frozenset({"open"})

_HOST = re.compile(r"(\[[0-9A-Fa-f:.]{2,45}\]|[A-Za-z0-9._-]{1,255})(?::[0-9]{1,5})?")
_SAFE = re.compile(r"[^A-Za-z0-9._@+-]")
MOST_NAME: Final = 64
MOST_AUTHORISATION: Final = 2_000


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks: as the log will name them, and what they may. `worker`: the only name they may speak for."""

    actor: str
    scopes: frozenset[Scope]
    worker: str | None = None


@dataclass(frozen=True, slots=True)
class _Shown:
    """What somebody showed: a user name, which is only a claim, and the secret."""

    user: str
    secret: str


class Access:
    """`names` are those by which the server may be addressed without a token, besides its own and its IP addresses."""

    def __init__(
        self,
        token: Token | None,
        *,
        auth: str = "token",
        trusted: Iterable[Network] = (),
        names: Iterable[str] = (),
        now: Callable[[], float] = time.time,
    ) -> None:
        if token is None and auth != "none":
            raise TypeError("a server that asks for a token has one")
        self.token = token
        self.credentials = None if token is None else Credentials(token)
        self._open, self._trusted, self._now = auth == "none", tuple(trusted), now
        machine = socket.gethostname().lower()
        self._names = {"localhost", machine, machine.partition(".")[0], *(name.lower() for name in names)}

    @property
    def token_mark(self) -> str:
        """By which processes see that they have the same token; nobody learns the token by it."""
        secret = b"" if self.token is None else self.token.reveal().encode()
        return hmac.digest(secret, b"scitq web processes 1", hashlib.sha256)[:8].hex()

    def admit(self, connection: HTTPConnection, scope: Scope) -> Caller:
        """Who asks, if they may use a route of that scope; else Refusal."""
        if scope == "open":
            return Caller("user", ANYBODY)
        _refuse_strangers_pages(connection)
        shown = _shown(connection)
        caller = self._by_secret(shown) if shown is not None else None
        if isinstance(caller, Caller) and scope in caller.scopes:
            return caller
        if self._needs_no_token(connection) and scope in WITHOUT_TOKEN:
            self._refuse_foreign_name(connection)
            return Caller(_actor(shown), WITHOUT_TOKEN)
        if shown is None:
            raise unauthorised("a token is needed: send it as `Authorization: Bearer TOKEN`")
        if isinstance(caller, Caller):
            what = "the credential of a worker" if caller.worker is not None else "an invitation"
            raise unauthorised(f"{what} does not give the right to do this: the server's token does")
        raise unauthorised(caller or "the token is not the one of this server")

    def _by_secret(self, shown: _Shown) -> Caller | str | None:
        """Who that is, or why nobody."""
        if self.token is None or self.credentials is None:
            return None
        if self.token.matches(shown.secret):
            return Caller(_actor(shown), ALL)
        if not shown.secret.startswith("scitq1."):
            return None
        try:
            found = self.credentials.read(shown.secret, int(self._now()))
        except Malformed as error:
            return str(error)
        if isinstance(found, WorkerCredential):
            return Caller("user", ANYBODY | {"worker"}, found.name)
        return Caller("user", ANYBODY | {"enrol"})

    def _needs_no_token(self, connection: HTTPConnection) -> bool:
        """By the address of the connection itself: anybody can write what they like into X-Forwarded-For."""
        if self._open:
            return True
        if connection.client is None or not self._trusted:
            return False
        try:
            address = ipaddress.ip_address(connection.client.host)
        except ValueError:
            return False
        if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
            address = address.ipv4_mapped
        return any(address in network for network in self._trusted)

    def _refuse_foreign_name(self, connection: HTTPConnection) -> None:
        """A page can make its own name lead to our address, and then is no stranger to the browser."""
        host = connection.headers.get("host", "")
        matched = _HOST.fullmatch(host)
        name = matched[1].lower().rstrip(".") if matched else host
        if host and name not in self._names and not _is_address(name):
            raise forbidden(
                f"without a token the server answers to its IP addresses and own names only, not to {name[:255]!r}"
            )


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name.strip("[]"))
    except ValueError:
        return False
    return True


def _refuse_strangers_pages(connection: HTTPConnection) -> None:
    """Browsers say from where they were made to ask; nothing else sends these headers."""
    site, origin = connection.headers.get("sec-fetch-site"), connection.headers.get("origin")
    if site in ("same-origin", "none"):  # then so is the Origin, even if a proxy gave us another name than it has
        return
    own = connection.headers.get("host", "").lower()
    if site is not None or (origin is not None and origin.lower().partition("://")[2] != own):
        raise forbidden("a page of another site asked for this: that is not allowed")


def _shown(connection: HTTPConnection) -> _Shown | None:
    """The Authorization header, as far as it can be understood: what cannot is no right to anything."""
    headers = connection.headers.getlist("authorization")
    if not headers:
        return None
    header = headers[0] if len(headers) == 1 else ""  # a proxy may have looked at the other one
    kind, _, rest = header[:MOST_AUTHORISATION].partition(" ")
    rest = rest.strip()
    if kind.lower() == "bearer":
        return _Shown("", rest)
    if kind.lower() == "basic":
        try:
            user, _, secret = base64.b64decode(rest, validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            return _Shown("", "")
        return _Shown(user, secret)
    return _Shown("", "")


def _actor(shown: _Shown | None) -> str:
    """The name somebody gave is a note in the log, and never a right. `x` stands for none, as in x:TOKEN@host."""
    name = "" if shown is None else _SAFE.sub("_", shown.user[:MOST_NAME])
    return f"user:{name}" if name and name != "x" else "user"
