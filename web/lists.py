"""Lists, however long: a page when a limit is given, else all of it, streamed a portion at a time.

A portion is one transaction, so a list of many portions is no picture of one moment; its position is that of the first.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Collection, Sequence
from contextlib import aclosing
from typing import Any, Final, NamedTuple

import orjson
from starlette.responses import Response

from scitq.web.forms import Page
from scitq.web.routing import POSITION, Call
from scitq.web.streaming import Stream

PORTION: Final = 2_000
AT_ONCE: Final = 16
"""As many rows are finished at a time: what that adds to each may be two megabytes."""
NEXT: Final = "X-Next-After"


class Rows(NamedTuple):
    """A portion of a list."""

    position: int
    rows: Sequence[Any]


class Wanted(NamedTuple):
    """Which portion. `ids` are those to choose from, when they were given."""

    ids: Collection[int] | None
    after: int | None
    limit: int
    reverse: bool


Fetch = Callable[[Wanted], Rows]
Finish = Callable[[Sequence[Any]], Sequence[Any]]


async def answer(
    call: Call, page: Page, ids: Collection[int] | None, key: str, fetch: Fetch, finish: Finish | None = None
) -> Response:
    """What `fetch` finds, by the id named `key`; `finish` adds what is big, to a few rows at a time. In threads."""
    portions = _portions(call, page, ids, key, fetch)
    first = await anext(portions)
    headers = {POSITION: str(first.position)}
    if page.limit is not None and len(first.rows) == page.limit:
        headers[NEXT] = str(first.rows[-1][key])
    whole = page.limit is not None or (len(first.rows) < PORTION and (ids is None or len(ids) <= PORTION))
    if whole and finish is None:
        await portions.aclose()
        return Response(orjson.dumps(first.rows), 200, headers, "application/json")
    pieces = _pieces(call, first, portions, finish)
    begun = await anext(pieces)  # what cannot be read is found out while it can still be said with a status
    return Stream(_all(begun, pieces), 200, headers, "application/json")


async def _all(first: bytes, rest: AsyncGenerator[bytes, None]) -> AsyncGenerator[bytes, None]:
    async with aclosing(rest):
        yield first
        async for piece in rest:
            yield piece


async def _portions(
    call: Call, page: Page, ids: Collection[int] | None, key: str, fetch: Fetch
) -> AsyncGenerator[Rows, None]:
    """One if there is a limit. Each portion is asked for its share of the ids: all of them would take too long."""
    run, after, reverse = call.services.run, page.after, page.reverse
    if page.limit is not None:
        yield await run(fetch, Wanted(ids, after, page.limit, reverse))
    elif ids is not None:
        chosen = [id for id in set(ids) if after is None or (id < after if reverse else id > after)]
        chosen.sort(reverse=reverse)
        for start in range(0, max(len(chosen), 1), PORTION):
            yield await run(fetch, Wanted(chosen[start : start + PORTION], None, PORTION, reverse))
    else:
        full = True
        while full:
            portion = await run(fetch, Wanted(None, after, PORTION, reverse))
            yield portion
            full = len(portion.rows) == PORTION
            after = portion.rows[-1][key] if full else None


async def _pieces(
    call: Call, first: Rows, rest: AsyncGenerator[Rows, None], finish: Finish | None
) -> AsyncGenerator[bytes, None]:
    before = b"["
    portion: Sequence[Any] | None = first.rows
    async with aclosing(rest):
        while portion is not None:
            step = len(portion) if finish is None else AT_ONCE
            for start in range(0, len(portion), max(step, 1)):
                rows = portion[start : start + step]
                if finish is not None:
                    rows = await call.services.run(finish, rows)
                yield before + orjson.dumps(rows)[1:-1]
                before = b","
            following = await anext(rest, None)
            portion = None if following is None else following.rows
    yield b"[]" if before == b"[" else b"]"
