"""Workers, and what they hold."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Generic

from scitq.lib.calling import change, operation
from scitq.lib.shapes import given, id_of
from scitq.lib.things import Execution, Worker
from scitq.lib.verbs import ExecutionT, Verbs, WorkerT


class Workers(Verbs, Generic[WorkerT, ExecutionT]):
    """The part of `Server` that is about workers."""

    @operation
    async def workers(self, /, **filters: Any) -> list[WorkerT]:
        """Workers by id. Filters: worker_id, name, status, batch."""
        found: list[WorkerT] = await self._get("/workers/", Worker, **filters)
        return found

    @operation
    async def worker_get(self, id: Any) -> WorkerT:
        """One worker."""
        found: WorkerT = await self._get(f"/workers/{_id(id)}", Worker)
        return found

    @change
    async def worker_update(
        self,
        id: Any,
        concurrency: int | None = None,
        status: str | None = None,
        batch: str | None = None,
        prefetch: int | None = None,
        batches: Iterable[str] | None = None,
        asynchronous: bool | None = None,
    ) -> WorkerT:
        """Change a worker. `status`: running or paused; `batches`: those it serves, the first one first."""
        changes = given(
            concurrency=concurrency, status=status, batch=batch, prefetch=prefetch,
            batches=None if batches is None else list(batches),
        )  # fmt: skip
        changed: WorkerT = await self._write("PUT", f"/workers/{_id(id)}", changes, Worker)
        return changed

    @change
    async def worker_delete(self, id: Any, asynchronous: bool | None = None) -> WorkerT:
        """Take a worker off the list; what it holds goes back to the queue."""
        deleted: WorkerT = await self._write("DELETE", f"/workers/{_id(id)}", thing=Worker)
        return deleted

    @operation
    async def workers_tasks(self) -> list[Any]:
        """How many executions each worker has in each status: worker_id, status, count."""
        found: list[Any] = await self._get("/workers/tasks")
        return found

    @operation
    async def worker_executions(self, id: Any, status: str | None = None) -> list[ExecutionT]:
        """What a worker has in hand, or its executions of one status."""
        path = f"/workers/{_id(id)}/executions" + ("" if status is None else f"/{status}")
        found: list[ExecutionT] = await self._get(path, Execution)
        return found

    @change
    async def worker_create_signal(
        self, id: Any, execution_id: int | None, signal: int, asynchronous: bool | None = None
    ) -> Any:
        """Have a worker send a Unix signal to one of its executions.

        Without an execution it is an order for the worker: -1 clean, -2 restart, -3 forget resources.
        """
        return await self._write(
            "POST", f"/workers/{_id(id)}/signals", {"execution_id": execution_id, "signal": signal}
        )

    @operation
    async def worker_invite(self, ttl_s: int | None = None) -> str:
        """An invitation, with which other machines may enrol as workers until it expires."""
        answer = (await self._connection.write("POST", "/workers/invite", given(ttl_s=ttl_s))).content
        return str(answer["invitation"])


def _id(worker: Any) -> int:
    return id_of(worker, "worker_id")
