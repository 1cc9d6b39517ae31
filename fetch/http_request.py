"""One HTTP request and its answer's beginning: redirects, proxies, TLS, and every way it fails in our words.

The standard library's client is used as it reads straight into our buffer, and gives us the socket to cut.
"""

from __future__ import annotations

import base64
import functools
import http.client
import re
import socket
import ssl
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from email.utils import parsedate_to_datetime
from typing import Final
from urllib.parse import SplitResult, quote, unquote, urljoin, urlsplit
from urllib.request import getproxies, proxy_bypass

from scitq.fetch import faults
from scitq.fetch.connecting import connected
from scitq.fetch.errors import (
    FetchError,
    FetchErrorNoRepeat,
    NotAuthorised,
    NotFound,
    NotSafe,
    Unreachable,
    UnsupportedError,
)
from scitq.fetch.uri import URI
from scitq.fetch.watch import Cancellation, cut

CONNECT_S: Final = 20.0
_REDIRECTS: Final = 10
_KEPT: Final = "%/:?[]@!$&'()*+,;=~"
_LONE_PERCENT: Final = re.compile(r"%(?![0-9A-Fa-f]{2})")
_MOVED: Final = frozenset({301, 302, 303, 307, 308})
_BUSY: Final = frozenset({408, 425, 429, 500, 502, 503, 504, 520, 521, 522, 523, 524})


@contextmanager
def request(
    uri: URI, cancellation: Cancellation, stall_s: float, method: str = "GET", headers: Mapping[str, str] = {}
) -> Iterator[http.client.HTTPResponse]:
    """The answer, if it is a good one (2xx, or 416): its body is read by the caller, within this."""
    with _in_our_words(uri):
        url = urlsplit(_LONE_PERCENT.sub("%25", f"{uri.protocol}://{_quoted(uri.written_path)}"))
        for _ in range(_REDIRECTS + 1):
            cancellation.check()
            connection, path, more = _connection(url)
            with _open(connection, cancellation, stall_s):
                connection.request(method, path, headers={**_ALWAYS, **headers, **more})
                with connection.getresponse() as response:
                    if response.status not in _MOVED:
                        _check(response, uri)
                        response.url = url.geturl()
                        yield response
                        return
                    url = _elsewhere(url, response.headers.get("Location", ""), uri)
        raise FetchErrorNoRepeat(f"{uri.shown}: one address leads to the next, and so on for ever")


_ALWAYS: Final = {"User-Agent": "scitq", "Accept": "*/*", "Accept-Encoding": "identity", "Connection": "close"}


@contextmanager
def _open(connection: http.client.HTTPConnection, cancellation: Cancellation, stall_s: float) -> Iterator[None]:
    """From the first packet on, TLS and proxy included, a cancellation cuts it."""
    with ExitStack() as stack:

        def line(address: tuple[str, int], *_: object) -> socket.socket:
            opened = stack.enter_context(connected(*address, CONNECT_S, cancellation))
            handle = stack.enter_context(opened.dup())  # TLS takes the socket itself away from us
            stack.enter_context(cancellation.cutting(functools.partial(cut, handle)))
            return opened

        stack.callback(connection.close)
        connection._create_connection = line  # type: ignore[attr-defined]
        connection.connect()
        connection.sock.settimeout(stall_s)
        yield


def _quoted(path: str) -> str:
    """What an address cannot hold, encoded; what is encoded already, as it is."""
    host, slash, rest = path.partition("#")[0].partition("/")
    if not host.isascii():
        host = host.encode("idna").decode()
    return host + slash + quote(rest, safe=_KEPT, errors="surrogateescape")


def _connection(url: SplitResult) -> tuple[http.client.HTTPConnection, str, dict[str, str]]:
    """Where to ask for it, what for, and what to say with it; the environment may name a proxy to stand between."""
    host, secure = url.hostname or "", url.scheme == "https"
    target = url._replace(scheme="", netloc="", fragment="").geturl() or "/"
    said = _basic("Authorization", url)
    proxy = None if proxy_bypass(host) else getproxies().get(url.scheme)
    if proxy is None:
        return _to(host, url.port, secure), target, said
    by = urlsplit(proxy if "://" in proxy else f"http://{proxy}")
    if by.scheme != "http":
        raise UnsupportedError(f"the proxy for {url.scheme} that the environment names is not one of http")
    connection = _to(by.hostname or "", by.port, secure)
    if secure:
        connection.set_tunnel(host, url.port or 443, headers=_basic("Proxy-Authorization", by))
        return connection, target, said
    whole = url._replace(netloc=url.netloc.rpartition("@")[2], fragment="").geturl()
    return connection, whole, said | _basic("Proxy-Authorization", by)


def _to(host: str, port: int | None, secure: bool) -> http.client.HTTPConnection:
    if secure:
        return http.client.HTTPSConnection(host, port, timeout=CONNECT_S, context=_trust())
    return http.client.HTTPConnection(host, port, timeout=CONNECT_S)


@functools.cache
def _trust() -> ssl.SSLContext:
    return ssl.create_default_context()


def _basic(header: str, url: SplitResult) -> dict[str, str]:
    if url.username is None:
        return {}
    pair = f"{unquote(url.username)}:{unquote(url.password or '')}".encode()
    return {header: f"Basic {base64.b64encode(pair).decode()}"}


def _elsewhere(url: SplitResult, location: str, uri: URI) -> SplitResult:
    """Where a redirect leads. A password is not told to anybody else."""
    goal = urlsplit(urljoin(url.geturl(), quote(location, safe=_KEPT + "#", encoding="latin-1")))
    if goal.scheme not in ("http", "https") or not goal.hostname:
        raise NotSafe(f"{uri.shown} leads to what is no web address")
    if url.scheme == "https" and goal.scheme == "http":
        raise NotSafe(f"{uri.shown} leads from https to http: name that address yourself if you trust it")
    if goal.username is None and (goal.scheme, goal.hostname, goal.port) == (url.scheme, url.hostname, url.port):
        goal = goal._replace(netloc=url.netloc)
    return goal


def _check(response: http.client.HTTPResponse, uri: URI) -> None:
    status = response.status
    if 200 <= status < 300 or status == 416:
        return
    said = f"{uri.shown}: the server says {status} {http.client.responses.get(status, '')}".rstrip()
    if status in (404, 410):
        raise NotFound(said)
    if status in (401, 403, 407, 451):
        raise NotAuthorised(said)
    if status in _BUSY:
        raise Unreachable(said, _retry_after_s(response.headers.get("Retry-After")))
    raise FetchErrorNoRepeat(said)


def _retry_after_s(value: str | None) -> float | None:
    """Seconds, or a date."""
    if value is None:
        return None
    if value.strip().isdecimal():
        return float(value)
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - time.time())
    except (ValueError, OverflowError):
        return None  # a server that speaks nonsense is asked again when we like


@contextmanager
def _in_our_words(uri: URI) -> Iterator[None]:
    with faults.of_network(uri.shown):
        try:
            yield
        except (http.client.InvalidURL, ValueError) as error:
            if isinstance(error, FetchError | OSError):
                raise  # they are ValueErrors too: one of ours, and that of a bad certificate
            raise FetchErrorNoRepeat(f"{uri.shown} is no web address: {error}") from error
        except http.client.IncompleteRead as error:
            raise Unreachable(f"{uri.shown}: the connection was cut") from error
        except http.client.HTTPException as error:
            raise Unreachable(f"{uri.shown}: no answer that makes sense ({type(error).__name__})") from error
