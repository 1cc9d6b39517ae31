"""Workers, and what they hold."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from scitq.lib.shapes import given, id_of
from scitq.lib.verbs import R, Verbs


class Workers(Verbs[R]):
    """The part of `Server` that is about workers."""

    def workers(self, **filters: Any) -> list[R]:
        """Workers by id. Filters: worker_id, name, status, batch."""
        found: list[R] = self._get("/workers/", **filters)
        return found

    def worker_get(self, id: Any) -> R:
        """One worker."""
        found: R = self._get(f"/workers/{_id(id)}")
        return found

    def worker_update(
        self,
        id: Any,
        concurrency: int | None = None,
        status: str | None = None,
        batch: str | None = None,
        prefetch: int | None = None,
        batches: Iterable[str] | None = None,
        asynchronous: bool | None = None,
    ) -> R:
        """Change a worker. `status`: running or paused; `batches`: those it serves, the first one first."""
        changes = given(
            concurrency=concurrency, status=status, batch=batch, prefetch=prefetch,
            batches=None if batches is None else list(batches),
        )  # fmt: skip
        changed: R = self._write("PUT", f"/workers/{_id(id)}", changes)
        return changed

    def worker_delete(self, id: Any, asynchronous: bool | None = None) -> R:
        """Take a worker off the list; what it holds goes back to the queue."""
        deleted: R = self._write("DELETE", f"/workers/{_id(id)}")
        return deleted

    def workers_tasks(self) -> list[R]:
        """How many executions each worker has in each status: worker_id, status, count."""
        found: list[R] = self._get("/workers/tasks")
        return found

    def worker_executions(self, id: Any, status: str | None = None) -> list[R]:
        """What a worker has in hand, or its executions of one status."""
        found: list[R] = self._get(f"/workers/{_id(id)}/executions" + ("" if status is None else f"/{status}"))
        return found

    def worker_create_signal(
        self, id: Any, execution_id: int | None, signal: int, asynchronous: bool | None = None
    ) -> None:
        """Have a worker send a Unix signal to one of its executions."""
        self._write("POST", f"/workers/{_id(id)}/signals", {"execution_id": execution_id, "signal": signal})

    def worker_invite(self, ttl_s: int | None = None) -> str:
        """An invitation, with which other machines may enrol as workers until it expires."""
        answer = self._connection.write("POST", "/workers/invite", given(ttl_s=ttl_s)).content
        return str(answer["invitation"])


def _id(worker: Any) -> int:
    return id_of(worker, "worker_id")
