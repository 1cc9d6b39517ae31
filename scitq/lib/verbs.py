"""What everything in `Server` is made of: the four verbs, with answers in the style that was asked for."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar

from scitq.config import load
from scitq.errors import Malformed, Unreachable
from scitq.lib.connection import Connection
from scitq.lib.shapes import STYLES, Style, shaped
from scitq.tokens import client_token

if TYPE_CHECKING:
    from typing_extensions import TypeVar as TypeVarWithDefault

    R = TypeVarWithDefault("R", default=dict[str, Any])
else:
    R = TypeVar("R")


class Verbs(Generic[R]):
    """A server. Everything may be called from any thread; a `with` closes the connections."""

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
        self.style: Style = style
        self.asynchronous = asynchronous
        self.url = settings.server.url
        self.ip = settings.server.host
        self._connection = Connection(
            settings.server,
            client_token(settings),
            get_timeout=get_timeout,
            put_timeout=put_timeout,
            patience_s=patience_s,
        )

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

    def get(self, url: str, wrap: Callable[[Any], Any] | None = None, **filters: Any) -> Any:
        """GET of a path, with filters; a filter that is None is none. `wrap` makes of the answer what you want."""
        content = self._get(url, **filters)
        return content if wrap is None else wrap(content)

    def put(self, url: str, data: Any = None, asynchronous: bool | None = None, timeout: float | None = None) -> Any:
        """PUT to a path."""
        return self._write("PUT", url, data, timeout=timeout)

    def post(self, url: str, data: Any = None, asynchronous: bool | None = None, timeout: float | None = None) -> Any:
        """POST to a path."""
        return self._write("POST", url, data, timeout=timeout)

    def delete(self, url: str, asynchronous: bool | None = None, timeout: float | None = None) -> Any:
        """DELETE of a path."""
        return self._write("DELETE", url, timeout=timeout)

    def ready(self) -> bool:
        """The server does work now: it answers, its engine leads, and its views keep up."""
        try:
            return self._connection.once("/ready") == 200
        except Unreachable:
            return False

    def close(self) -> None:
        """Close the connections: nothing can be asked after that."""
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def _get(self, path: str, **filters: Any) -> Any:
        asked = {name: value for name, value in filters.items() if value is not None}
        return shaped(self._connection.read(path, asked or None).content, self.style)

    def _write(self, method: str, path: str, data: Any = None, *, timeout: float | None = None) -> Any:
        return shaped(self._connection.write(method, path, data, timeout=timeout).content, self.style)
