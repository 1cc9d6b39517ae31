"""Where messages wait for whoever takes them: a thread with `take`, a coroutine with `receive`. One taker at a time."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from threading import Condition
from types import TracebackType
from typing import Generic, Self, TypeVar

T = TypeVar("T")


class Inbox(Generic[T]):
    """Filled by the bus, from any thread."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._items: deque[T] = deque()
        self._changed = Condition()
        self._wake: tuple[asyncio.AbstractEventLoop, asyncio.Future[None]] | None = None
        self.closed = False
        self.dropped = 0

    @property
    def waiting(self) -> int:
        """How much is there to be taken now."""
        return len(self._items)

    def put(self, item: T) -> None:
        """For the bus. When it is full the oldest goes: whoever reads is behind already."""
        with self._changed:
            if self.closed:
                return
            if len(self._items) >= self._most:
                self._items.popleft()
                self.dropped += 1
            self._items.append(item)
            self._rouse()

    def take(self, most: int, wait_s: float | None = None) -> list[T]:
        """In a thread: what there is, waiting for the first; nothing when the time is over or the inbox closed."""
        with self._changed:
            self._changed.wait_for(self._is_ready, wait_s)
            return self._pop(most)

    async def receive(self, most: int, wait_s: float | None = None) -> list[T]:
        """In an event loop: the same."""
        with self._changed:
            if self._is_ready():
                return self._pop(most)
            loop = asyncio.get_running_loop()
            arrived = loop.create_future()
            self._wake = (loop, arrived)
        try:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    await arrived
        finally:
            with self._changed:
                self._wake = None
        with self._changed:
            return self._pop(most)

    def close(self) -> None:
        with self._changed:
            self.closed = True
            self._rouse()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def _is_ready(self) -> bool:
        return self.closed or bool(self._items)

    def _pop(self, most: int) -> list[T]:
        return [self._items.popleft() for _ in range(min(most, len(self._items)))]

    def _rouse(self) -> None:
        self._changed.notify_all()
        if self._wake is not None:
            loop, arrived = self._wake
            self._wake = None
            with contextlib.suppress(RuntimeError):  # the loop ended, and its coroutine with it
                loop.call_soon_threadsafe(_arrive, arrived)


def _arrive(arrived: asyncio.Future[None]) -> None:
    if not arrived.done():
        arrived.set_result(None)
