"""The line of an `AsyncServer`: whoever waits leaves the event loop (asyncio's) to others, and can be cancelled."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any, Generic, TypeVar

import httpx

from scitq.lib.line import Ends, Outgoing, Stream

T = TypeVar("T")


class LoopingLine:
    """In one event loop at a time; another one, of a later `asyncio.run`, gets connections of its own."""

    def __init__(self, ends: Ends) -> None:
        self._ends = ends
        self._client: httpx.AsyncClient | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    async def send(self, request: Outgoing) -> httpx.Response:
        return await self._here().request(
            request.method, request.path, content=request.content, headers=request.headers, timeout=request.timeout
        )

    @asynccontextmanager
    async def stream(self, request: Outgoing) -> AsyncIterator[Stream]:
        async with self._here().stream(
            request.method, request.path, headers=request.headers, timeout=request.timeout
        ) as response:
            if not response.is_success:
                await response.aread()
            yield Stream(response, response.aiter_raw())

    async def pause(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    @asynccontextmanager
    async def crew(self, size: int) -> AsyncIterator[Tasks]:
        tasks = Tasks()
        try:
            yield tasks
        finally:
            await tasks.end()

    async def close(self) -> None:
        if self._client is not None and self._loop is asyncio.get_running_loop():  # else they ended with their loop
            await self._client.aclose()

    def _here(self) -> httpx.AsyncClient:
        """The client of this event loop: connections of one that is over cannot be used any more."""
        loop = asyncio.get_running_loop()
        if self._client is None or self._loop is not loop:
            self._client, self._loop = httpx.AsyncClient(**self._ends.options()), loop
        return self._client


class Tasks:
    """Each coroutine as a task."""

    def __init__(self) -> None:
        self._all: list[InLoop[Any]] = []

    def start(self, work: Callable[..., Coroutine[Any, Any, T]], *args: Any) -> InLoop[T]:
        self._all = [one for one in self._all if not one.task.done()]
        job = InLoop(asyncio.ensure_future(work(*args)))
        self._all.append(job)
        return job

    async def end(self) -> None:
        for job in self._all:
            job.task.cancel()
        for job in self._all:
            await job.settled(drop=True)


class InLoop(Generic[T]):
    def __init__(self, task: asyncio.Future[T]) -> None:
        self.task = task

    async def result(self) -> T:
        return await self.task

    async def settled(self, drop: bool) -> T | None:
        if drop:
            self.task.cancel()
        await asyncio.wait([self.task])
        return None if self.task.cancelled() or self.task.exception() is not None else self.task.result()
