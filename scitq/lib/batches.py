"""Batches: what is in them, and stopping and starting them."""

from __future__ import annotations

from typing import Any, Generic
from urllib.parse import quote

from scitq.lib.calling import change, operation
from scitq.lib.things import Batch
from scitq.lib.verbs import BatchT, Verbs


class Batches(Verbs, Generic[BatchT]):
    """The part of `Server` that is about batches."""

    @operation
    async def batches(self) -> list[BatchT]:
        """How many tasks of each batch stand how, and which workers serve it."""
        found: list[BatchT] = await self._get("/batch/", Batch)
        return found

    @change
    async def batch_stop(self, batch: str, signal: int = 0, asynchronous: bool | None = None) -> Any:
        """Start nothing more of a batch; a `signal` goes to what runs of it."""
        return await self._write("PUT", f"{_path(batch)}/stop", {"signal": signal} if signal else {})

    @change
    async def batch_go(self, batch: str, signal: int = 0, asynchronous: bool | None = None) -> Any:
        """Let a stopped batch go on; a `signal` goes to what runs of it."""
        return await self._write("PUT", f"{_path(batch)}/go", {"signal": signal} if signal else {})

    @change
    async def batch_delete(self, batch: str, asynchronous: bool | None = None) -> Any:
        """Delete all tasks of a batch."""
        return await self._write("DELETE", _path(batch))


def _path(batch: str) -> str:
    return f"/batch/{quote(batch, safe='')}"
