"""The live page: a few static files, which hold no data and need no right. What they show they ask the API for."""

from __future__ import annotations

from hashlib import sha256
from importlib import resources
from typing import Final

from starlette.responses import RedirectResponse, Response

from scitq.web.errors import not_found
from scitq.web.routing import Answer, Call, Route

TYPES: Final = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
}


class _File:
    def __init__(self, name: str, content: bytes) -> None:
        self.content, self.media_type = content, TYPES[name[name.rindex(".") :]]
        self.tag = f'"{sha256(content).hexdigest()[:32]}"'


_FOLDER: Final = resources.files("scitq.web").joinpath("page")
_FILES: Final = {file.name: _File(file.name, file.read_bytes()) for file in _FOLDER.iterdir()}


async def root(call: Call) -> Response:
    return RedirectResponse("/ui/", 303)


async def page(call: Call) -> Response:
    return file(call, "index.html")


async def part(call: Call) -> Response:
    return file(call, call.path["name"])


def file(call: Call, name: str) -> Response:
    """One of the files, or that it has not changed."""
    found = _FILES.get(name)
    if found is None:
        raise not_found(f"the page has no part {name[:100]!r}")
    headers = {"ETag": found.tag, "Cache-Control": "no-cache"}
    if call.request.headers.get("if-none-match") == found.tag:
        # With its type, which decides on its policy: what a 304 says replaces what the browser had kept.
        return Response(None, 304, headers, found.media_type)
    return Response(found.content, 200, headers, found.media_type)


ROUTES = [
    Route("GET", "/", "open", root, "Leads to the live page", answers={303: Answer("It is at /ui/", media="")}),
    Route("GET", "/ui/", "open", page, "The live page", answers={200: Answer("The page", media="text/html")}),
    Route(
        "GET",
        "/ui/{name}",
        "open",
        part,
        "A part of the live page",
        named="page.css",
        answers={200: Answer("Its style or its program", media="text/css"), 304: Answer("It has not changed")},
    ),
]
