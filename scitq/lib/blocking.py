"""The line of a `Server`: whoever calls waits. From any thread, and in a process that was forked off as well."""

from __future__ import annotations

import os
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import asynccontextmanager
from threading import Lock
from typing import Any, Generic, TypeVar

import httpx

from scitq.lib.calling import at_once
from scitq.lib.line import Ends, Outgoing, Stream

T = TypeVar("T")


class BlockingLine:
    def __init__(self, ends: Ends) -> None:
        self._ends = ends
        self._client, self._process = httpx.Client(**ends.options()), os.getpid()
        self._of_parent: list[httpx.Client] = []  # kept, for to close them would close the parent's connections
        self._forked = Lock()

    async def send(self, request: Outgoing) -> httpx.Response:
        return self._here().request(
            request.method, request.path, content=request.content, headers=request.headers, timeout=request.timeout
        )

    @asynccontextmanager
    async def stream(self, request: Outgoing) -> AsyncIterator[Stream]:
        with self._here().stream(
            request.method, request.path, headers=request.headers, timeout=request.timeout
        ) as response:
            if not response.is_success:
                response.read()
            yield Stream(response, _pieces(response))

    async def pause(self, seconds: float) -> None:
        time.sleep(seconds)

    @asynccontextmanager
    async def crew(self, size: int) -> AsyncIterator[Threads]:
        with ThreadPoolExecutor(size, "scitq") as pool:
            yield Threads(pool)

    async def close(self) -> None:
        if self._process == os.getpid():  # else it is the parent's, and perhaps locked for ever in this process
            self._client.close()

    def _here(self) -> httpx.Client:
        """The client of this process: two that share a connection would get each other's answers."""
        if self._process != os.getpid():
            with self._forked:
                if self._process != os.getpid():
                    self._of_parent.append(self._client)
                    self._client, self._process = httpx.Client(**self._ends.options()), os.getpid()
        return self._client


async def _pieces(response: httpx.Response) -> AsyncIterator[bytes]:
    for piece in response.iter_raw():
        yield piece


class Threads:
    """Each coroutine in a thread of its own, as soon as there is one."""

    def __init__(self, pool: ThreadPoolExecutor) -> None:
        self._pool = pool

    def start(self, work: Callable[..., Coroutine[Any, Any, T]], *args: Any) -> InThread[T]:
        return InThread(self._pool.submit(lambda: at_once(work(*args))))


class InThread(Generic[T]):
    def __init__(self, future: Future[T]) -> None:
        self._future = future

    async def result(self) -> T:
        return self._future.result()

    async def settled(self, drop: bool) -> T | None:
        if self._future.cancel() or self._future.exception() is not None:
            return None
        return self._future.result()
