"""Threads that read the stores. A journal or an output log belongs to one thread: each of these has its own of both."""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final, TypeVar

from scitq.errors import StoreUnavailable
from scitq.store.journal import Journal, open_journal
from scitq.store.output import OutputLog, open_output
from scitq.store.urls import StoreUrls

T = TypeVar("T")
COUNT: Final = 8
PATIENCE_S: Final = 10.0
"""Whoever asked is told then that it cannot be had. The thread goes on: what it waits for has an end of its own."""
Job = tuple[asyncio.AbstractEventLoop, "asyncio.Future[Any]", Callable[..., Any], tuple[Any, ...]]


class Threads:
    """Started when first needed; `close` ends them when they have done what was asked of them."""

    def __init__(self, store: StoreUrls, count: int = COUNT) -> None:
        self._store, self._count = store, count
        self._jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._own = threading.local()
        self._idle = 0
        self._lock = threading.Lock()

    async def run(self, function: Callable[..., T], *args: Any) -> T:
        """What the function answers, from one of the threads."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        with self._lock:
            if self._idle > 0 or len(self._threads) == self._count:
                self._idle -= 1  # below zero: more wait than are idle
            else:
                thread = threading.Thread(target=self._serve, name=f"web-{len(self._threads) + 1}", daemon=True)
                self._threads.append(thread)
                thread.start()
        self._jobs.put((loop, future, function, args))
        try:
            async with asyncio.timeout(PATIENCE_S):
                return await future
        except TimeoutError as error:
            raise StoreUnavailable(f"the store has not answered for {PATIENCE_S:g} s") from error

    def journal(self) -> Journal:
        """This thread's own; within `run` only."""
        if not hasattr(self._own, "journal"):
            self._own.journal = open_journal(self._store.events)
        journal: Journal = self._own.journal
        return journal

    def output(self) -> OutputLog:
        """This thread's own; within `run` only."""
        if not hasattr(self._own, "output"):
            self._own.output = open_output(self._store.output)
        output: OutputLog = self._own.output
        return output

    def close(self) -> None:
        for _ in self._threads:
            self._jobs.put(None)
        for thread in self._threads:
            thread.join()
        self._threads.clear()

    def _serve(self) -> None:
        try:
            while (job := self._jobs.get()) is not None:
                self._do(*job)
                with self._lock:
                    self._idle += 1
        finally:
            for name in ("journal", "output"):
                if hasattr(self._own, name):
                    getattr(self._own, name).close()

    def _do(
        self,
        loop: asyncio.AbstractEventLoop,
        future: asyncio.Future[Any],
        function: Callable[..., Any],
        args: tuple[Any, ...],
    ) -> None:
        if future.cancelled():  # nobody waits for it any more
            return
        try:
            result = function(*args)
        except BaseException as error:  # whoever asked gets it
            _tell(loop, _fail, future, error)
        else:
            _tell(loop, _finish, future, result)


def _tell(loop: asyncio.AbstractEventLoop, how: Callable[..., None], future: asyncio.Future[Any], what: Any) -> None:
    with suppress(RuntimeError):  # the loop has ended, and whoever waited with it
        loop.call_soon_threadsafe(how, future, what)


def _finish(future: asyncio.Future[Any], result: Any) -> None:
    if not future.done():
        future.set_result(result)


def _fail(future: asyncio.Future[Any], error: BaseException) -> None:
    if not future.done():
        future.set_exception(error)
