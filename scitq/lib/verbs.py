"""What everything in `Server` and `AsyncServer` is made of: the four verbs, with answers in the style asked for."""

from __future__ import annotations

import copy
import ssl
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Callable
from types import SimpleNamespace
from typing import Any, Final, Self, TypedDict, TypeVar

import httpx

from scitq import __version__
from scitq.config import load
from scitq.errors import Malformed, Unreachable
from scitq.lib.answers import is_local
from scitq.lib.calling import change, operation
from scitq.lib.connection import Connection
from scitq.lib.line import Ends, Line
from scitq.lib.shapes import STYLES, Style, answer_of, given, shaped
from scitq.tokens import client_token

PAGE: Final = 1_000
TaskT = TypeVar("TaskT", covariant=True)
WorkerT = TypeVar("WorkerT", covariant=True)
ExecutionT = TypeVar("ExecutionT", covariant=True)
BatchT = TypeVar("BatchT", covariant=True)


class Options(TypedDict, total=False):
    """What a server may be given by name, beside its address and the style: see `Verbs.__init__`."""

    asynchronous: bool
    get_timeout: float | None
    put_timeout: float | None
    patience_s: float | None


class Verbs(ABC):
    """A server, over the line that a subclass has."""

    def __init__(
        self,
        url_or_host: str | None = None,
        style: Style = "dict",
        asynchronous: bool = True,
        get_timeout: float | None = 150,
        put_timeout: float | None = 30,
        *,
        patience_s: float | None = None,
    ) -> None:
        """Address and token are found as the command line finds them: SCITQ_SERVER, SCITQ_TOKEN, a local server's own.

        What fails on the way is tried again for as long as the timeouts say (seconds; None: for ever), and a server
        that cannot be reached at all for `patience_s`. `asynchronous` changes nothing yet: every call waits.
        """
        if style not in STYLES:
            raise Malformed(f"{style!r} is not a style; there are {' and '.join(STYLES)}")
        settings = load({} if url_or_host is None else {"SCITQ_SERVER": url_or_host})
        address, token = settings.server, client_token(settings)
        # Of httpx: where these are shown, as in a traceback with all variables, the token is not.
        headers = httpx.Headers({"User-Agent": f"scitq/{__version__}", "Accept": "application/json"})
        if token is not None:
            headers["Authorization"] = f"Bearer {token.reveal()}"
        self._ends = Ends(
            address.url,
            headers,
            # The machine's authorities, as for its workers, so that one of the laboratory's own is installed once.
            # Without TLS there is nothing to verify, and reading them all takes its time.
            verify=ssl.create_default_context()
            if address.scheme == "https"
            else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT),
            trust_env=not is_local(address),  # a proxy does not know which machine our localhost is
        )
        self.style: Style = style
        self.asynchronous = asynchronous
        self.url = address.url
        self.ip = address.host
        self._connection = Connection(
            address,
            self._line(self._ends),
            with_token=token is not None,
            get_timeout=get_timeout,
            put_timeout=put_timeout,
            patience_s=patience_s,
        )

    @staticmethod
    @abstractmethod
    def _line(ends: Ends) -> Line: ...

    @property
    def get_timeout(self) -> float | None:
        return self._connection.get_timeout

    @property
    def put_timeout(self) -> float | None:
        return self._connection.put_timeout

    @property
    def position(self) -> int:
        """The newest position of the log that an answer has reflected: everything up to it is seen by later reads."""
        return self._connection.position

    def within(self, seconds: float) -> Self:
        """The same server, whose answers are given up after so many seconds: `server.within(5).task_get(1)`."""
        other = copy.copy(self)
        other._connection = self._connection.within(seconds)
        return other

    @operation
    async def get(self, /, url: str, wrap: Callable[[Any], Any] | None = None, **filters: Any) -> Any:
        """GET of a path, with filters; a filter that is None is none. `wrap` makes of the answer what you want."""
        content = await self._get(url, **filters)
        return content if wrap is None else wrap(content)

    @change
    async def put(
        self, url: str, data: Any = None, asynchronous: bool | None = None, timeout: float | None = None
    ) -> Any:
        """PUT to a path."""
        return await self._write("PUT", url, data, timeout=timeout)

    @change
    async def post(
        self, url: str, data: Any = None, asynchronous: bool | None = None, timeout: float | None = None
    ) -> Any:
        """POST to a path."""
        return await self._write("POST", url, data, timeout=timeout)

    @change
    async def delete(self, url: str, asynchronous: bool | None = None, timeout: float | None = None) -> Any:
        """DELETE of a path."""
        return await self._write("DELETE", url, timeout=timeout)

    @operation
    async def ready(self) -> bool:
        """The server does work now: it answers, its engine leads, and its views keep up."""
        try:
            return await self._connection.once("/ready") == 200
        except Unreachable:
            return False

    async def _get(self, path: str, thing: type[Any] = SimpleNamespace, /, **filters: Any) -> Any:
        asked = {name: value for name, value in filters.items() if value is not None}
        answer = await self._connection.read(path, asked or None)
        return answer_of(answer.content, self.style, thing)

    async def _pages(self, path: str, thing: type[Any], key: str, filters: dict[str, Any]) -> AsyncGenerator[Any, None]:
        """What `_get` would find, by pages; each begins behind the id at which the one before it ended."""
        left, after = filters.get("limit"), filters.get("after")
        while left is None or left > 0:
            size = PAGE if left is None else min(PAGE, left)
            asked = {**filters, "limit": size, "after": after}
            content = (await self._connection.read(path, given(**asked))).content
            after = content[-1][key] if content else None
            for one in content:
                yield shaped(one, self.style, thing)
            if len(content) < size:
                return
            left = None if left is None else left - size

    async def _write(
        self,
        method: str,
        path: str,
        data: Any = None,
        thing: type[Any] = SimpleNamespace,
        *,
        timeout: float | None = None,
    ) -> Any:
        answer = await self._connection.write(method, path, data, timeout=timeout)
        return answer_of(answer.content, self.style, thing)
