"""How a route is declared. From its declaration come who may use it, what is read, and what the documentation says.

    ROUTES = [
        Route("GET", "/tasks/{task_id}", "read", show, "One task", answers={200: Answer("The task", Task)}),
        Socket("/workers/gateway", "worker", talk, "Where agents connect", subprotocol="scitq.1"),
    ]

A parameter named `…_id` is a whole number from 1 to 2^48-1 (nothing else exists: 404), others are text. A handler is a
coroutine, or a function that is run in a thread which may read the stores; what it refuses it raises: `errors.Refusal`.

A module's routes are its `ROUTES`, listed in `app.py`.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal, NamedTuple, cast, get_args

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.websockets import WebSocket

from scitq.web.access import Caller, Scope
from scitq.web.forms import LARGEST_ID
from scitq.web.services import Services

Method = Literal["GET", "POST", "PUT", "DELETE"]
POSITION: Final = "X-Scitq-Position"
_PARAMETER = re.compile(r"\{([a-z_]+)\}")
MOST_PATH: Final = 2_000


@dataclass(slots=True)
class Call:
    """One request, admitted and read. `form` is what the route's form made of its body or query."""

    request: Request
    services: Services
    route: Route
    caller: Caller
    path: Mapping[str, Any]
    form: Any
    command_id: str  # the Idempotency-Key, or a fresh one

    @property
    def actor(self) -> str:
        """On whose behalf, as the log will say it."""
        return self.caller.actor


@dataclass(slots=True)
class Session:
    """One WebSocket, admitted and not accepted yet."""

    websocket: WebSocket
    services: Services
    route: Socket
    caller: Caller
    path: Mapping[str, Any]


Handler = Callable[[Call], Awaitable[Response]] | Callable[[Call], Response]


@dataclass(frozen=True, slots=True)
class Answer:
    """What comes with a status: in words, and as a type when it is JSON."""

    what: str
    shape: Any = None
    media: str = "application/json"


OK: Final[Mapping[int, Answer]] = {200: Answer("It was done")}


@dataclass(frozen=True, slots=True)
class Route:
    """One method of one path.

    `form` is a `forms.Form` (or a TypedDict) for the body, or for the query and the body of a GET; None: neither is
    looked at.
    """

    method: Method
    path: str
    scope: Scope
    handler: Handler
    summary: str
    form: Any = None
    answers: Mapping[int, Answer] = field(default_factory=lambda: OK)
    doc: str = ""
    example: Any = None  # of the form
    named: str = ""  # what stands for {name} in the example

    def __post_init__(self) -> None:
        _check(self.path, self.scope)
        if self.method not in get_args(Method):
            raise TypeError(f"{self.path}: {self.method!r} is no method of ours")


@dataclass(frozen=True, slots=True)
class Socket:
    """A WebSocket. Whoever is not admitted gets an HTTP answer to the handshake."""

    path: str
    scope: Scope
    handler: Callable[[Session], Awaitable[None]]
    summary: str
    subprotocol: str | None = None
    doc: str = ""

    def __post_init__(self) -> None:
        _check(self.path, self.scope)


AnyRoute = Route | Socket


def _check(path: str, scope: object) -> None:
    """No route without a scope: what anybody may do is `open` because somebody wrote that."""
    if scope not in get_args(Scope):
        raise TypeError(f"{path}: {scope!r} is no scope; there are {', '.join(get_args(Scope))}")


def json(content: Any, status: int = 200, *, position: int | None = None, **headers: str) -> Response:
    """A JSON answer. `headers` are written with underscores: `X_Next_After="17"`."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    if position is not None:
        named[POSITION] = str(position)
    return Response(orjson.dumps(content), status, named, "application/json")


class Found(NamedTuple):
    """The routes of a path by their method, and what its parameters are."""

    routes: Mapping[str, AnyRoute]
    path: Mapping[str, Any]


class Table:
    """All routes. A path is found with and without its final slash."""

    def __init__(self, routes: Iterable[AnyRoute]) -> None:
        self.routes = tuple(routes)
        patterns: dict[str, dict[str, AnyRoute]] = {}
        for route in self.routes:
            if not isinstance(route, Route | Socket):
                raise TypeError(f"{route!r} is no route: declare it with Route or Socket")
            method = route.method if isinstance(route, Route) else "WEBSOCKET"
            by_method = patterns.setdefault(_regex(route.path), {})
            if method in by_method:
                raise TypeError(f"{method} {route.path} is declared twice")
            by_method[method] = route
        # What is spelled out comes before what is a parameter.
        ordered = sorted(patterns.items(), key=lambda pattern: (pattern[0].count("(?P<"), pattern[0]))
        self._patterns = [(re.compile(regex), by_method) for regex, by_method in ordered]

    def find(self, path: str) -> Found | None:
        if len(path) > MOST_PATH:
            return None
        bare = path[:-1] if path.endswith("/") and path != "/" else path
        for regex, by_method in self._patterns:
            matched = regex.fullmatch(bare)
            if matched is not None:
                ids = {name: int(text) for name, text in matched.groupdict().items() if name.endswith("_id")}
                if all(1 <= id <= LARGEST_ID for id in ids.values()):
                    return Found(by_method, cast(Mapping[str, Any], {**matched.groupdict(), **ids}))
        return None


def _regex(path: str) -> str:
    if not path.startswith("/"):
        raise TypeError(f"{path!r} does not begin with a slash")
    bare = path[:-1] if path.endswith("/") and path != "/" else path
    regex, end = "", 0
    for parameter in _PARAMETER.finditer(bare):
        name = parameter[1]
        value = "[1-9][0-9]{0,14}" if name.endswith("_id") else "[^/]+"
        regex += f"{re.escape(bare[end : parameter.start()])}(?P<{name}>{value})"
        end = parameter.end()
    return regex + re.escape(bare[end:])
