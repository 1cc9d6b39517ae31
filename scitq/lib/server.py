"""All that can be asked of a server, in one class for threads and in one for an event loop."""

from __future__ import annotations

import os
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, Literal, Self, Unpack, overload

from scitq.lib.background import MOST_BYTES, SendsLater
from scitq.lib.batches import Batches
from scitq.lib.blocking import BlockingLine
from scitq.lib.calling import Awaited, Blocking, Posted, at_once
from scitq.lib.executions import Executions
from scitq.lib.line import Ends, Line
from scitq.lib.operating import Operating
from scitq.lib.tasks import Tasks
from scitq.lib.things import Batch, Execution, Task, Worker
from scitq.lib.verbs import Options
from scitq.lib.workers import Workers

if TYPE_CHECKING:
    from typing_extensions import TypeVar

    TaskT = TypeVar("TaskT", default=dict[str, Any], covariant=True)
    WorkerT = TypeVar("WorkerT", default=TaskT, covariant=True)
    ExecutionT = TypeVar("ExecutionT", default=TaskT, covariant=True)
    BatchT = TypeVar("BatchT", default=TaskT, covariant=True)
else:
    from scitq.lib.verbs import BatchT, ExecutionT, TaskT, WorkerT


class Everything(
    Tasks[TaskT],
    Workers[WorkerT, ExecutionT],
    Executions[ExecutionT],
    Batches[BatchT],
    Operating,
    Generic[TaskT, WorkerT, ExecutionT, BatchT],
):
    """Each operation, over any line."""

    def background(
        self, spool: str | os.PathLike[str] | None = None, *, most_bytes: int = MOST_BYTES, wait_s: float | None = None
    ) -> Sender[TaskT, WorkerT, ExecutionT, BatchT]:
        """Who sends what changes something while you go on, also when the server is away: calls give handles.

        With `spool`, a folder, what waits survives this process, and a power cut. When `most_bytes` wait, a call waits
        for room for `wait_s` (None: however long it takes; in an event loop not at all), and is then refused with
        QueueFull.
        """
        return Sender(self, spool, most_bytes, 0.0 if isinstance(self, Awaited) else wait_s)

    if not TYPE_CHECKING:

        def __class_getitem__(cls, things: Any) -> type:
            """`Server[dict]` is for type checkers, whatever the number of things."""
            return cls


class Server(Everything[TaskT, WorkerT, ExecutionT, BatchT], Blocking):
    """A scitq server: `Server()` is the one that SCITQ_SERVER names, `Server("host")` that on another machine.

    Answers are dicts, or, with `style="object"`, objects with attributes. Whatever fails on the way is sent again, and
    is done once. What cannot be is a ScitqError: ServerError, NotAllowed, Unreachable. Everything may be called from
    any thread, and from a process that was forked off; a `with` closes the connections.
    """

    @staticmethod
    def _line(ends: Ends) -> Line:
        return BlockingLine(ends)

    # For type checkers: what the style makes of the answers. `Verbs.__init__` does the work.
    if TYPE_CHECKING:

        @overload
        def __init__(
            self: Server[dict[str, Any]],
            url_or_host: str | None = None,
            style: Literal["dict"] = "dict",
            **options: Unpack[Options],
        ) -> None: ...
        @overload
        def __init__(
            self: Server[Task, Worker, Execution, Batch],
            url_or_host: str | None = None,
            *,
            style: Literal["object"],
            **options: Unpack[Options],
        ) -> None: ...
        def __init__(self, *args: Any, **options: Any) -> None: ...

    def close(self) -> None:
        """Close the connections: nothing can be asked after that."""
        at_once(self._connection.close())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()


class Sender(SendsLater, Everything[TaskT, WorkerT, ExecutionT, BatchT], Posted):
    """Sends what changes something in the background, in order: `server.background()` makes one.

    Each call gives a `Handle` of its answer at once. While the server is away it is tried again, with growing pauses,
    for ever; each request is done once. A `with` waits at its end until all of it is through; in an event loop,
    `async with` lets others go on meanwhile.
    """

    def __init__(
        self,
        server: Everything[TaskT, WorkerT, ExecutionT, BatchT],
        spool: str | os.PathLike[str] | None = None,
        most_bytes: int = MOST_BYTES,
        wait_s: float | None = None,
    ) -> None:
        self._begin(server, spool, most_bytes, wait_s)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.end(error is None)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        import asyncio

        await asyncio.to_thread(self.end, error is None)  # half a minute, perhaps: the loop goes on


class AsyncServer(Everything[TaskT, WorkerT, ExecutionT, BatchT], Awaited):
    """The same for an event loop (asyncio's): `await server.task_get(1)`, `async for event in server.events()`.

    An operation may be cancelled at any moment, and leaves nothing behind here; what it has sent may have been done.
    """

    @staticmethod
    def _line(ends: Ends) -> Line:
        from scitq.lib.looping import LoopingLine  # asyncio takes its time, and most programs have no loop

        return LoopingLine(ends)

    if TYPE_CHECKING:

        @overload
        def __init__(
            self: AsyncServer[dict[str, Any]],
            url_or_host: str | None = None,
            style: Literal["dict"] = "dict",
            **options: Unpack[Options],
        ) -> None: ...
        @overload
        def __init__(
            self: AsyncServer[Task, Worker, Execution, Batch],
            url_or_host: str | None = None,
            *,
            style: Literal["object"],
            **options: Unpack[Options],
        ) -> None: ...
        def __init__(self, *args: Any, **options: Any) -> None: ...

    async def close(self) -> None:
        """Close the connections: nothing can be asked after that."""
        await self._connection.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        await self.close()
