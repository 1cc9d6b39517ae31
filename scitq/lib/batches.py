"""Batches: what is in them, and stopping and starting them."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from scitq.lib.verbs import R, Verbs


class Batches(Verbs[R]):
    """The part of `Server` that is about batches."""

    def batches(self) -> list[R]:
        """How many tasks of each batch stand how, and which workers serve it."""
        found: list[R] = self._get("/batch/")
        return found

    def batch_stop(self, batch: str, signal: int = 0, asynchronous: bool | None = None) -> Any:
        """Start nothing more of a batch; a `signal` goes to what runs of it."""
        return self._write("PUT", f"{_path(batch)}/stop", {"signal": signal} if signal else {})

    def batch_go(self, batch: str, signal: int = 0, asynchronous: bool | None = None) -> Any:
        """Let a stopped batch go on; a `signal` goes to what runs of it."""
        return self._write("PUT", f"{_path(batch)}/go", {"signal": signal} if signal else {})

    def batch_delete(self, batch: str, asynchronous: bool | None = None) -> Any:
        """Delete all tasks of a batch."""
        return self._write("DELETE", _path(batch))


def _path(batch: str) -> str:
    return f"/batch/{quote(batch, safe='')}"
