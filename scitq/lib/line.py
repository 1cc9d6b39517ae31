"""What the core of the library needs of the outside: requests, streams, pauses, and work that goes on beside it.

There are two: `blocking.py` for threads, `looping.py` for an event loop. Nothing else in the library waits.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any, Final, NamedTuple, Protocol, TypeVar

import httpx

MOST_KEPT: Final = 4
KEPT_S: Final = 30.0

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


class Outgoing(NamedTuple):
    """One attempt at a request."""

    method: str
    path: str
    content: bytes | None
    headers: Mapping[str, str]
    timeout: httpx.Timeout


class Stream(NamedTuple):
    """An answer that is read as it comes: its pieces as they are sent. One that is a refusal has been read."""

    response: httpx.Response
    pieces: AsyncIterator[bytes]


class Job(Protocol[T_co]):
    """Work that goes on beside whoever started it."""

    async def result(self) -> T_co: ...

    async def settled(self, drop: bool) -> T_co | None:
        """What it came to, or None: it failed, or had not begun. `drop`: call it off where that is possible."""


class Crew(Protocol):
    def start(self, work: Callable[..., Coroutine[Any, Any, T]], *args: Any) -> Job[T]: ...


class Line(Protocol):
    """Errors are those of httpx."""

    async def send(self, request: Outgoing) -> httpx.Response: ...

    def stream(self, request: Outgoing) -> AbstractAsyncContextManager[Stream]: ...

    async def pause(self, seconds: float) -> None: ...

    def crew(self, size: int) -> AbstractAsyncContextManager[Crew]:
        """At its end nothing that was started goes on."""

    async def close(self) -> None: ...


class Ends(NamedTuple):
    """How to reach a server, for either line."""

    url: str
    headers: Mapping[str, str]
    verify: Any  # an SSLContext
    trust_env: bool

    def options(self) -> dict[str, Any]:
        limits = httpx.Limits(max_keepalive_connections=MOST_KEPT, keepalive_expiry=KEPT_S)
        return {
            "base_url": self.url,
            "headers": self.headers,
            "verify": self.verify,
            "trust_env": self.trust_env,
            "limits": limits,
        }
