"""Executions: the attempts at tasks, and what they print."""

from __future__ import annotations

import logging
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any, Final, Generic, Literal

from scitq.errors import Unreachable
from scitq.lib.calling import change, iteration, operation
from scitq.lib.shapes import given, id_of
from scitq.lib.things import Execution
from scitq.lib.verbs import ExecutionT, Verbs

log = logging.getLogger(__name__)

OFFSET: Final = "X-Scitq-Offset"
MISSING: Final = "X-Scitq-Missing"
SILENCE_S: Final = 60.0
PAUSE_S: Final = 1.0
LIVE: Final = frozenset({"pending", "accepted", "running"})


class Executions(Verbs, Generic[ExecutionT]):
    """The part of `Server` that is about executions."""

    @operation
    async def executions(self, /, **filters: Any) -> list[ExecutionT]:
        """Executions by id, with the end of what they printed.

        Filters: execution_id, task_id, worker_id, status, latest, batch, task_name, after, limit, reverse; `trunc`:
        only so many characters of what was printed; `no_output`: nothing of it.
        """
        found: list[ExecutionT] = await self._get("/executions/", Execution, **filters)
        return found

    @iteration
    async def iter_executions(self, /, **filters: Any) -> AsyncGenerator[ExecutionT, None]:
        """The same, one by one, however many there are: they are asked for a page at a time, as far as you come."""
        async with aclosing(self._pages("/executions/", Execution, "execution_id", filters)) as found:
            async for execution in found:
                yield execution

    @operation
    async def execution_get(self, id: Any) -> ExecutionT:
        """One execution."""
        found: ExecutionT = await self._get(f"/executions/{_id(id)}", Execution)
        return found

    @operation
    async def execution_output(
        self,
        id: Any,
        output: bool | None = None,
        error: bool | None = None,
        output_position: int | None = None,
        error_position: int | None = None,
    ) -> ExecutionT:
        """What an execution printed, from these characters on (the first is 1): `output` and `error`."""
        asked = given(output=output, error=error, output_position=output_position, error_position=error_position)
        found: ExecutionT = await self._get(f"/executions/{_id(id)}/output", data=asked)
        return found

    @operation
    async def execution_live(self, id: Any) -> Any:
        """How an execution is at this moment, as its worker tells each second while somebody asks.

        `transfer`: done_bytes, total_bytes, rate, files…; `curve`: what it has used since its start, also of one that
        is over.
        """
        return await self._get(f"/executions/{_id(id)}/live")

    @change
    async def execution_signal(self, id: Any, signal: int) -> Any:
        """Send a Unix signal to a running execution."""
        return await self._write("POST", f"/executions/{_id(id)}/signals", {"signal": signal})

    @iteration
    async def output(
        self,
        id: Any,
        stream: Literal["stdout", "stderr"] = "stdout",
        follow: bool = False,
        start: int = 0,
        lines: int | None = None,
    ) -> AsyncGenerator[bytes, None]:
        """What an execution printed, byte by byte as it was; with `follow`, to its end as it comes.

        `lines`: of what is there already, only so many lines at the end. A broken connection is opened again where it
        broke; following goes on however long the server is away. What was printed and did not reach the server is told
        as a warning of `logging`.
        """
        heard = time.monotonic()
        while True:
            query = f"?offset={start}" + ("&follow=true" if follow else "")
            query += "" if lines is None else f"&lines={lines}"
            path = f"/executions/{_id(id)}/{stream}{query}"
            try:
                async with self._connection.stream(path, {"Accept": "*/*"}, SILENCE_S) as opened:
                    told = opened.response.headers
                    if lines is not None:
                        start, lines = int(told.get(OFFSET, start)), None
                    missing = int(told.get(MISSING, 0))
                    async for piece in opened.pieces:
                        heard = time.monotonic()
                        start += len(piece)
                        yield piece
                if not follow:
                    if missing:
                        log.warning("%d bytes of what execution %d printed (%s) are missing", missing, _id(id), stream)
                    return
                if not await self._lives(id):
                    follow = False  # to be told what is missing
                    continue
                await self._connection.pause(PAUSE_S)  # the server ended it, because it ends itself
            except Unreachable:
                if not follow and self.get_timeout is not None and time.monotonic() - heard > self.get_timeout:
                    raise
                await self._connection.pause(PAUSE_S)

    async def _lives(self, id: Any) -> bool:
        found = (await self._connection.read("/executions/", {"execution_id": _id(id), "no_output": True})).content
        return any(one["status"] in LIVE for one in found)


def _id(execution: Any) -> int:
    return id_of(execution, "execution_id")
