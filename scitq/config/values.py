"""The kinds of values: each reads a text, and says in words what is right.

A reader raises ValueError; the sentence for the user is made where the setting and its source are known.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar
from urllib.parse import unquote, urlsplit

T_co = TypeVar("T_co", covariant=True)
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

DEFAULT_PORT = 5000
TOKEN = re.compile(r"[A-Za-z0-9._~+/-]{16,512}={0,2}")  # what may stand in an Authorization header (RFC 6750)
HOST_NAME = re.compile(r"(?=.{1,253}$)[A-Za-z0-9_][A-Za-z0-9_-]{0,62}(\.[A-Za-z0-9_][A-Za-z0-9_-]{0,62})*")
SERVER = re.compile(r"(?:(https?)://)?(?:[^:@/]*:([^@/]*)@)?(\[[^\]@/]*\]|[^:/@\[\]]+)(?::([0-9]{1,5}))?/?", re.I)
PREFIX = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,39}")
STORE_SCHEME = re.compile(r"(sqlite|postgres|postgresql|postgresql\+psycopg2)://.+")
PLACE = re.compile(r"(ftp|https?)://[^?#\s]*")
IMAGE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/:@-]{0,254}")
ANY_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")
PASSWORD_PARAMETER = re.compile(r"([?&][^=&]*(?:pass|secret|token)[^=&]*=)[^&]*", re.I)


@dataclass(frozen=True, slots=True)
class Kind(Generic[T_co]):
    words: str  # completes "it must be …"
    read: Callable[[str], T_co]


class Token:
    """A secret between a server and its clients, which only `reveal` shows."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        if not TOKEN.fullmatch(text):
            raise ValueError("a token has 16 characters or more, all of them letters, digits or -._~+/")
        self._text = text

    def reveal(self) -> str:
        return self._text

    def matches(self, candidate: str) -> bool:
        """In a time that tells nothing about the token, not even its length."""
        return hmac.compare_digest(_digest(self._text), _digest(candidate))

    def __eq__(self, other: object) -> bool:
        return self.matches(other._text) if isinstance(other, Token) else NotImplemented

    def __hash__(self) -> int:
        return hash(_digest(self._text))

    def __repr__(self) -> str:
        return "Token(***)"

    def __str__(self) -> str:
        return "***"


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()


@dataclass(frozen=True, slots=True)
class ServerAddress:
    """Where a client finds its server."""

    host: str
    port: int = DEFAULT_PORT
    scheme: str = "http"
    token: Token | None = None

    @property
    def url(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}"

    def __str__(self) -> str:
        return self.url if self.token is None else self.url.replace("://", "://x:***@", 1)


def number(text: str, low: int, high: int) -> int:
    if not re.fullmatch(r"[0-9]{1,18}", text) or not low <= int(text) <= high:
        raise ValueError(text)
    return int(text)


def host(text: str) -> str:
    """A name or an address, in the form in which two of them can be compared."""
    bare = text[1:-1] if text.startswith("[") and text.endswith("]") else text
    if ":" in bare or bare.rpartition(".")[2].isdigit():
        address = ipaddress.ip_address(bare)
        if "%" in bare:
            raise ValueError("an address with a scope means nothing to others")
        return str(address)
    if bare != text or not HOST_NAME.fullmatch(text):
        raise ValueError(text)
    return text.lower()


def server(text: str) -> ServerAddress:
    found = SERVER.fullmatch(text)
    if found is None:
        raise ValueError("not an address")
    scheme = (found[1] or "http").lower()
    port = number(found[4], 1, 65_535) if found[4] else 443 if scheme == "https" else DEFAULT_PORT
    token = None if found[2] is None else Token(unquote(found[2]))
    return ServerAddress(host(found[3]), port, scheme, token)


def store(text: str) -> str:
    """Only what every release of the store refuses; the rest of the address is read by the store."""
    if ANY_SCHEME.match(text) and not STORE_SCHEME.fullmatch(text):
        raise ValueError("not a store")
    return text


def bus(text: str) -> tuple[str, ...]:
    if text == "local:":
        return (text,)
    urls = tuple(part.strip() for part in text.split(","))
    for url in urls:
        parts = urlsplit(url)
        if parts.scheme not in ("amqp", "amqps") or parts.fragment or not parts.hostname or parts.port == 0:
            raise ValueError("not a broker")
        host(f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname)
    return urls


def admin(text: str) -> str:
    """Of the management API of a broker."""
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https") or parts.query or parts.fragment or not parts.hostname or parts.port == 0:
        raise ValueError("not an address of it")
    host(f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname)
    return text


def brokers(text: str) -> tuple[str, ...]:
    """As others see them, without a user: each has its own."""
    found = bus(text)
    if any(url == "local:" or "@" in urlsplit(url).netloc for url in found):
        raise ValueError("not the public address of a broker")
    return found


def prefix(text: str) -> str:
    """No dot: it divides the prefix from what follows it, in names and in the patterns of a broker user's rights."""
    if not PREFIX.fullmatch(text):
        raise ValueError(text)
    return text


def networks(text: str) -> tuple[Network, ...]:
    return tuple(ipaddress.ip_network(part) for part in re.split(r"[,\s]+", text) if part)


def path(text: str) -> Path:
    """Absolute; `~` was replaced before, because it depends on whose environment is read."""
    if text.startswith("~"):
        raise ValueError("the home folder of somebody else")
    return Path(os.path.abspath(text))


def places(text: str) -> str:
    """Where files may be had, one after the other; `https://` alone stands for whatever host is told later."""
    if not all(PLACE.fullmatch(one) for one in text.split()):
        raise ValueError("not all are addresses")
    return text


def image(text: str) -> str:
    if not IMAGE.fullmatch(text):
        raise ValueError("not the name of one")
    return text


def choice(*allowed: str) -> Callable[[str], str]:
    """Any of these words, in small or capital letters."""
    by_folded = {word.casefold(): word for word in allowed}

    def read(text: str) -> str:
        if text.casefold() not in by_folded:
            raise ValueError(text)
        return by_folded[text.casefold()]

    return read


def without_passwords(text: str) -> str:
    """An address as it may be shown. What cannot be told from a password is hidden with it."""
    head, at, tail = text.rpartition("@")
    begin = re.match(r"([A-Za-z][A-Za-z0-9+.-]*:/+)?[^:]*", head)
    if at and begin and begin.end() < len(head):
        text = f"{head[: begin.end()]}:***@{tail}"
    return PASSWORD_PARAMETER.sub(r"\1***", text)
