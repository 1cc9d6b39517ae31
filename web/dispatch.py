"""From a request to its response: found, admitted, read, answered. The same steps for every route, in this order."""

from __future__ import annotations

import inspect
import logging
import re
import uuid
from collections.abc import Mapping
from typing import Any, Final, cast

import orjson
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Send
from starlette.types import Scope as Connection
from starlette.websockets import WebSocket

from scitq.domain.requests import MOST_BYTES
from scitq.errors import ScitqError
from scitq.web import errors, forms
from scitq.web.errors import Refusal, bad_request, not_found, too_large
from scitq.web.routing import POSITION, Call, Found, Route, Session, Socket, Table
from scitq.web.services import Services

log = logging.getLogger(__name__)

_KEY = re.compile(r"[A-Za-z0-9._:-]{8,64}")
_POSITION = re.compile(r"[0-9]{1,18}")
_PAGE_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_POLICY: Final = "default-src 'none'; frame-ancestors 'none'"
_HEADERS: Final[Mapping[str, str]] = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}


class Dispatch:
    """The application behind its middleware."""

    def __init__(self, services: Services, table: Table) -> None:
        self.services, self.table = services, table

    async def __call__(self, scope: Connection, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await self._talk(WebSocket(scope, receive, send))
        else:
            request = Request(scope, receive, send)
            response = await self._answer(request)
            await response(scope, receive, send)

    # --- requests ----------------------------------------------------------------------------------------------

    async def _answer(self, request: Request) -> Response:
        route: Route | None = None
        try:
            found = self._find(request.scope["path"])
            route = _of_method(found, request.method)
            response = await self._call(request, route, found.path)
        except ScitqError as error:
            refusal = errors.from_ours(error)
            response = self._stumble(request, route) if refusal is None else errors.response(refusal)
        except ClientDisconnect:
            response = errors.response(bad_request("the body has not come to its end"))
        except Exception:
            response = self._stumble(request, route)
        return self._finished(response, route)

    def _find(self, path: str) -> Found:
        found = self.table.find(path)
        if found is None:
            raise not_found(f"there is nothing at {path[:200]!r}: GET /docs shows what there is")
        return found

    async def _call(self, request: Request, route: Route, path: Mapping[str, Any]) -> Response:
        services = self.services
        _refuse_two_lengths(request)
        caller = services.access.admit(request, route.scope)
        form = await _form(request, route)
        key = request.headers.get("idempotency-key")
        if key is not None and not _KEY.fullmatch(key):
            raise bad_request("an Idempotency-Key has 8 to 64 letters, digits or ._:-")
        if route.scope == "read":
            await self._until_position(request)
        call = Call(request, services, route, caller, path, form, key or uuid.uuid4().hex)
        if inspect.iscoroutinefunction(route.handler):
            return cast(Response, await route.handler(call))
        return cast(Response, await services.run(route.handler, call))

    async def _until_position(self, request: Request) -> None:
        text = request.headers.get(POSITION)
        if text is None:
            return
        if not _POSITION.fullmatch(text):
            raise bad_request(f"{POSITION} is the number of an event")
        await self.services.until(int(text))

    def _stumble(self, request: Request, route: Route | None) -> Response:
        """The last resort: whoever looks after the server reads why, and nobody else."""
        where = request.scope["path"][:200] if route is None else route.path
        log.exception("a request made the server stumble", extra={"method": request.method, "route": where})
        return errors.response(Refusal(500, "the server stumbled over this request: its log says why"))

    def _finished(self, response: Response, route: Route | None) -> Response:
        for name, value in _HEADERS.items():
            response.headers.setdefault(name, value)
        page = response.headers.get("content-type", "").startswith("text/html")
        response.headers.setdefault("Content-Security-Policy", _PAGE_POLICY if page else _POLICY)
        if route is not None and route.scope in ("read", "write"):
            response.headers.setdefault(POSITION, str(self.services.freshness.views))
        return response

    # --- WebSockets --------------------------------------------------------------------------------------------

    async def _talk(self, websocket: WebSocket) -> None:
        try:
            found = self._find(websocket.scope["path"])
            route = found.routes.get("WEBSOCKET")
            if not isinstance(route, Socket):
                raise not_found("there is no WebSocket here")
            caller = self.services.access.admit(websocket, route.scope)
        except ScitqError as error:
            refusal = errors.from_ours(error)
            if refusal is None:
                raise
            await _deny(websocket, refusal)
        else:
            await route.handler(Session(websocket, self.services, route, caller, found.path))


async def _deny(websocket: WebSocket, refusal: Refusal) -> None:
    """An HTTP answer to the handshake, where the server can send one; else the handshake is just refused."""
    if "websocket.http.response" in websocket.scope.get("extensions", {}):
        await websocket.send_denial_response(errors.response(refusal))
    else:
        await websocket.close()


def _of_method(found: Found, method: str) -> Route:
    route = found.routes.get(method)
    if isinstance(route, Route):
        return route
    of_get = found.routes.get("GET")
    if method == "HEAD" and isinstance(of_get, Route) and of_get.scope == "open":  # for those who watch the server
        return of_get
    if set(found.routes) == {"WEBSOCKET"}:
        raise Refusal(426, "this is a WebSocket", headers={"Upgrade": "websocket", "Connection": "upgrade"})
    allowed = ", ".join(sorted(set(found.routes) - {"WEBSOCKET"}))
    raise Refusal(405, f"{method[:20]} is not possible here: {allowed} is", headers={"Allow": allowed})


def _refuse_two_lengths(request: Request) -> None:
    """A proxy may have understood the other one, and then takes what is left of the body for the next request."""
    if "transfer-encoding" in request.headers and "content-length" in request.headers:
        sentence = "a request has one length: Content-Length or Transfer-Encoding"
        raise Refusal(400, sentence, headers={"Connection": "close"})


async def _form(request: Request, route: Route) -> Any:
    """The body, or the query, as the route's form."""
    reads = request.method in ("GET", "HEAD")
    has_body = request.headers.get("content-length", "0") != "0" or "transfer-encoding" in request.headers
    if has_body and not reads:
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != "application/json":
            raise Refusal(415, "the body must be JSON, with Content-Type: application/json")
    if route.form is None:
        return None
    body = await _body(request) if has_body else b""
    content: Any = {}
    if body:
        try:
            content = orjson.loads(body)
        except orjson.JSONDecodeError as error:
            raise bad_request(f"the body is not JSON: {error}") from error
    if reads and isinstance(content, dict):
        content = {**forms.from_query(route.form, request.query_params.multi_items()), **content}
    return forms.read(route.form, content)


async def _body(request: Request) -> bytes:
    """All of it, unless it is too much: then not even what has come is kept."""
    told = request.headers.get("content-length", "")
    if told.isdecimal() and int(told[:18]) > MOST_BYTES:
        raise _too_much()
    parts, size = [], 0
    async for part in request.stream():
        size += len(part)
        if size > MOST_BYTES:
            raise _too_much()
        parts.append(part)
    return b"".join(parts)


def _too_much() -> Refusal:
    return too_large(f"a body has at most {MOST_BYTES} bytes: send it in parts")
