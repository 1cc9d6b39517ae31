"""What the answers of a server mean, and what it means when there is none: contents, or errors with a sentence."""

from __future__ import annotations

import ipaddress
import re
import ssl
from typing import Any, Final

import httpx
import orjson

from scitq.config.values import ServerAddress
from scitq.errors import Busy, NotAllowed, NotFound, ServerError, Unreachable

SHOWN_CHARS: Final = 300
TRY_AGAIN: Final = frozenset({429, 502, 503, 504})
KINDS: Final[dict[int, type[ServerError]]] = {403: NotAllowed, 404: NotFound, **dict.fromkeys(TRY_AGAIN, Busy)}


class Told:
    """By one server; `with_token`: it is sent one."""

    def __init__(self, address: ServerAddress, with_token: bool) -> None:
        self.address, self._with_token = address, with_token

    def content(self, response: httpx.Response) -> Any:
        if not response.is_success:
            raise self.refusal(response)
        try:
            return orjson.loads(response.content) if response.content else None
        except orjson.JSONDecodeError as error:
            text = f"{self.address.url} answered with something that is no JSON: is it a scitq server?"
            raise ServerError(response.status_code, text) from error

    def refusal(self, response: httpx.Response) -> ServerError:
        status, message = response.status_code, _message(response)
        if status == 401:
            return NotAllowed(status, self._what_to_set(), _word(response))
        if message is None:
            shown = f"{status} {response.reason_phrase}".strip()
            message = f"{self.address.url} answered {shown}, without a sentence: is it a scitq server?"
        return KINDS.get(status, ServerError)(status, message, _word(response))

    def _what_to_set(self) -> str:
        problem = "does not accept the token that was sent" if self._with_token else "asks for a token"
        return (
            f"{self.address.url} {problem}: set SCITQ_TOKEN to that of the server (the file `token` in its data folder)"
        )

    def unreachable(self, error: httpx.TransportError) -> Unreachable:
        advice = (
            "start one with `scitq up`, or set SCITQ_SERVER" if is_local(self.address) else "is SCITQ_SERVER right?"
        )
        return Unreachable(f"no scitq server answers at {self.address.url} ({_reason(error)}): {advice}")


def is_local(address: ServerAddress) -> bool:
    """The server is on this machine, by its address."""
    try:
        return ipaddress.ip_address(address.host).is_loopback
    except ValueError:
        return address.host == "localhost"


def _word(response: httpx.Response) -> str | None:
    """The entry to which the answer leads: the server's own page and `scitq explain` have the same."""
    try:
        found = orjson.loads(response.content)["help"]
    except (orjson.JSONDecodeError, LookupError, TypeError):
        return None
    matched = re.fullmatch(r"/docs/#([a-z-]{1,40})", found) if isinstance(found, str) else None
    return matched[1] if matched else None


def _message(response: httpx.Response) -> str | None:
    try:
        content = orjson.loads(response.content)
    except orjson.JSONDecodeError:
        return None
    if not isinstance(content, dict) or not isinstance(content.get("message"), str):
        return None
    message: str = content["message"]
    errors = content.get("errors")
    if isinstance(errors, dict) and errors:
        told = [f"{field}: {text}" for field, text in list(errors.items())[:10]]
        if told != [message]:
            message += f" ({'; '.join(told)})"
    return message


def passes(error: httpx.TransportError) -> bool:
    """Trying again may help. It does not where the other side is not who it says, or the address is none."""
    if isinstance(error, (httpx.UnsupportedProtocol, httpx.LocalProtocolError, httpx.ProxyError)):
        return False
    return not isinstance(_root(error), ssl.SSLError)


def _reason(error: httpx.TransportError) -> str:
    root = _root(error)
    if isinstance(error, httpx.TimeoutException):
        return "it took too long"
    text = root.strerror if isinstance(root, OSError) and root.strerror else str(root) or type(root).__name__
    return " ".join(text.split())[:SHOWN_CHARS]


def _root(error: BaseException) -> BaseException:
    """What httpx and its layers below were told by the system."""
    for _ in range(20):
        below = error.__cause__ or error.__context__
        if below is None:
            break
        error = below
    return error
