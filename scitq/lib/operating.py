"""The server itself: how it is, its views, and the messages that its bus has put aside."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Collection
from typing import Any, Final
from urllib.parse import quote, urlencode

import orjson

from scitq.errors import ServerError
from scitq.lib.calling import iteration, operation
from scitq.lib.verbs import Verbs

SETTLE_S: Final = 3_600.0
SILENCE_S: Final = 120.0


class Operating(Verbs):
    """The part of `Server` that is for whoever looks after it."""

    @operation
    async def status(self) -> dict[str, Any]:
        """Whether it is ready and who leads; how far its views are behind, how full its queues; of what it consists."""
        found: dict[str, Any] = (await self._connection.read("/status")).content
        return found

    @operation
    async def projections(self) -> list[dict[str, Any]]:
        """How far each view has followed the log: name, version, position, lag, stopped."""
        found: list[dict[str, Any]] = (await self._connection.read("/projections")).content
        return found

    @operation
    async def projection_rebuild(self, name: str) -> None:
        """Have a view folded anew from the log."""
        await self._connection.write("POST", f"/projections/{name}/rebuild")

    @operation
    async def parked(self, limit: int = 100, queue: str | None = None, newest: bool = False) -> dict[str, Any]:
        """Messages that were put aside, without their bodies: `messages`, and of how many in `count`."""
        asked = {"limit": limit, "queue": queue, "newest": newest or None}
        query = urlencode({name: value for name, value in asked.items() if value is not None})
        found: dict[str, Any] = (await self._connection.read(f"/bus/parked?{query}")).content
        return found

    @operation
    async def parked_message(self, id: str) -> dict[str, Any]:
        """One of them, with its body."""
        found: dict[str, Any] = (await self._connection.read(f"/bus/parked/{quote(id, safe='')}")).content
        return found

    @iteration
    async def parked_export(self) -> AsyncGenerator[dict[str, Any], None]:
        """All of them, with their bodies, as they come."""
        rest = b""
        async with self._connection.stream("/bus/parked/export", {}, SILENCE_S) as stream:
            async for piece in stream.pieces:
                *lines, rest = (rest + piece).split(b"\n")
                for line in lines:
                    yield orjson.loads(line)
        if rest:
            raise ServerError(200, "the server's answer ends in the middle of a message")

    @operation
    async def parked_requeue(
        self, ids: Collection[str] | None = None, *, queue: str | None = None, dry_run: bool = False
    ) -> dict[str, Any]:
        """Put messages back into their queues; without `ids` all of them (of one queue)."""
        return await self._settle("requeue", ids, queue, dry_run)

    @operation
    async def parked_discard(
        self, ids: Collection[str] | None = None, *, queue: str | None = None, dry_run: bool = False
    ) -> dict[str, Any]:
        """Throw messages away; without `ids` all of them (of one queue)."""
        return await self._settle("discard", ids, queue, dry_run)

    async def _settle(self, verb: str, ids: Collection[str] | None, queue: str | None, dry_run: bool) -> dict[str, Any]:
        form: dict[str, Any] = {"all": True} if ids is None else {"ids": list(ids)}
        form |= {"dry_run": dry_run} | ({} if queue is None else {"queue": queue})
        found: dict[str, Any] = (
            await self._connection.write("POST", f"/bus/parked/{verb}", form, timeout=SETTLE_S)
        ).content
        return found
