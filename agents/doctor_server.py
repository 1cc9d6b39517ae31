"""The server, as a worker will find it: whether it answers, what it is, whether it takes our token, and its clock."""

from __future__ import annotations

import asyncio
import ipaddress
import re
import ssl
import time
from collections.abc import Callable, Iterator
from email.utils import parsedate_to_datetime
from typing import Any, Final

import httpx

from scitq import __version__
from scitq.agents.doctor import Finding, absent, broken, good
from scitq.agents.gateway_link import GatewayLink
from scitq.agents.link import NotOpened
from scitq.config.values import ServerAddress

ANSWER_S: Final = 5.0
MOST_SKEW_S: Final = 5.0


def server(address: ServerAddress, token: Callable[[], str], named: bool = True) -> Iterator[Finding]:
    """`named`: somebody said which one; else it is the one that would be on this machine."""
    url = address.url
    began = time.time()
    try:
        answer = httpx.get(
            f"{url}/health", timeout=ANSWER_S, verify=ssl.create_default_context(), trust_env=not _is_here(address)
        )
    except httpx.HTTPError as error:
        if not named and isinstance(error, httpx.ConnectError):
            yield absent(f"none was named, and none listens at {url}: scitq worker doctor HOST[:PORT] looks at one")
        else:
            yield broken(_not_reached(url, error), needed=True)
        return
    ended = time.time()
    health = _content(answer)
    if health.get("status") != "ok":
        yield broken(f"who listens at {url} is no scitq server (it answered {answer.status_code})", needed=True)
        return
    version = str(health.get("version"))[:40]
    other = "" if version == __version__ else f"; this is {__version__}"
    yield good(f"{url} answers: scitq {version}{other}")
    if address.scheme == "https":
        yield good("its certificate is accepted")
    elif not _is_here(address):
        yield absent("the way to it is not encrypted, and others on it could read the token: give the server https")
    yield _admitted(url, token)
    yield _clock(health, answer, began, ended)


def _admitted(url: str, token: Callable[[], str]) -> Finding:
    """The very handshake of a worker, which then says nothing."""

    async def knock() -> None:
        async with asyncio.timeout(ANSWER_S):
            connection = await GatewayLink(url, token).open()
            await connection.close()

    try:
        asyncio.run(knock())
    except NotOpened as error:
        return broken(str(error), needed=True)
    except TimeoutError:
        return broken(f"its gateway for workers does not answer within {ANSWER_S:g} s", needed=True)
    return good("it takes this worker's token or credential" if token() else "it admits workers without a token")


def _clock(health: dict[str, Any], answer: httpx.Response, began: float, ended: float) -> Finding:
    theirs, blur = health.get("time"), (ended - began) / 2
    if not isinstance(theirs, float | int):
        try:
            theirs, blur = parsedate_to_datetime(answer.headers["Date"]).timestamp() + 0.5, blur + 0.5
        except (LookupError, ValueError):
            return absent("the server does not tell its time: whether the clocks agree is not known")
    ahead = (began + ended) / 2 - theirs
    if abs(ahead) - blur <= MOST_SKEW_S:
        return good(f"the clocks agree within {abs(ahead) + blur:.1f} s")
    side = "ahead of" if ahead > 0 else "behind"
    return broken(
        f"this clock is {abs(ahead):,.0f} s {side} the server's, and times of tasks will "
        "be wrong by as much: have both follow NTP (Debian: apt-get install systemd-timesyncd)"
    )


def _not_reached(url: str, error: httpx.HTTPError) -> str:
    if isinstance(error, httpx.TimeoutException):
        return f"{url} does not answer within {ANSWER_S:g} s: is that its address, and is there a firewall between?"
    reason = re.sub(r"^\[Errno -?\d+\] ", "", " ".join(str(error).split())[:300]) or type(error).__name__
    if "CERTIFICATE_VERIFY_FAILED" in reason:
        return (
            f"the certificate of {url} is not accepted ({reason}): name the authority's file in SSL_CERT_FILE, or "
            "install it (Debian: update-ca-certificates)"
        )
    return f"{url} cannot be reached ({reason}): is that its address, and does it listen to other machines?"


def _content(answer: httpx.Response) -> dict[str, Any]:
    try:
        content = answer.json()
    except ValueError:
        return {}
    return content if isinstance(content, dict) and answer.status_code == 200 else {}


def _is_here(address: ServerAddress) -> bool:
    try:
        return ipaddress.ip_address(address.host).is_loopback
    except ValueError:
        return address.host == "localhost"
