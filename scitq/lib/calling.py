"""How what is written once can be called from threads and from an event loop.

An operation is a coroutine on the core of the library. What it waits for are requests and pauses of a `Line`
(`line.py`). That of a `Server` waits where it is called, so that the coroutine never stands still and one step is all
of it; that of an `AsyncServer` leaves the event loop to others. Type checkers see of each what it is.
"""

from __future__ import annotations

import functools
import types
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator
from concurrent.futures import Future
from typing import Any, Concatenate, Generic, ParamSpec, TypeVar, overload

P = ParamSpec("P")
T = TypeVar("T")
Ways = dict[type, Callable[..., Any]]


class Blocking:
    """The mark of a server whose operations are functions: they come back when they are done."""


class Awaited:
    """The mark of a server whose operations are coroutines."""


class Posted:
    """The mark of what only sends, and gives handles."""


class Handle(Future[T]):
    """The answer to what is sent in the background, once there is one: `handle.result()`, or `await handle`.

    `cancel` takes it back if it has not been sent yet. `key` is the name by which the server does it once.
    """

    def __init__(self, key: str) -> None:
        super().__init__()
        self.key = key

    def __await__(self) -> Generator[Any, None, T]:
        import asyncio

        return asyncio.wrap_future(self).__await__()

    def __repr__(self) -> str:
        if not self.done() or self.cancelled():
            return f"<Handle {self.key}: {'was cancelled' if self.cancelled() else 'waits'}>"
        return f"<Handle {self.key}: {self.exception() or 'done'}>"


def at_once(work: Coroutine[Any, Any, T]) -> T:
    """What a coroutine comes to that waits for nothing but a line that blocks."""
    try:
        work.send(None)
    except StopIteration as end:
        result: T = end.value
        return result
    work.close()
    raise AssertionError("an operation waits for an event loop, and there is none")


class operation(Generic[P, T]):
    """A method that gives one answer: `server.task_get(1)`, or `await server.task_get(1)`."""

    def __init__(self, written: Callable[Concatenate[Any, P], Coroutine[Any, Any, T]]) -> None:
        @functools.wraps(written)
        def blocking(server: Any, /, *args: P.args, **kwargs: P.kwargs) -> T:
            return at_once(written(server, *args, **kwargs))

        self._ways: Ways = {Blocking: blocking, Awaited: written}
        self.__doc__ = written.__doc__

    @overload
    def __get__(self, server: Blocking, owner: Any = None) -> Callable[P, T]: ...
    @overload
    def __get__(self, server: Awaited, owner: Any = None) -> Callable[P, Coroutine[Any, Any, T]]: ...
    @overload
    def __get__(self, server: None, owner: Any = None) -> Callable[Concatenate[Any, P], Any]: ...
    def __get__(self, server: Any, owner: Any = None) -> Any:
        return _bound(self._ways, server, owner)


class change(operation[P, T]):
    """An operation that is one request, which changes something: a `Sender` sends it in the background."""

    def __init__(self, written: Callable[Concatenate[Any, P], Coroutine[Any, Any, T]]) -> None:
        super().__init__(written)
        self._ways[Posted] = self._ways[Blocking]  # it comes back at once, with a handle

    @overload
    def __get__(self, server: Blocking, owner: Any = None) -> Callable[P, T]: ...
    @overload
    def __get__(self, server: Awaited, owner: Any = None) -> Callable[P, Coroutine[Any, Any, T]]: ...
    @overload
    def __get__(self, server: Posted, owner: Any = None) -> Callable[P, Handle[T]]: ...
    @overload
    def __get__(self, server: None, owner: Any = None) -> Callable[Concatenate[Any, P], Any]: ...
    def __get__(self, server: Any, owner: Any = None) -> Any:
        return _bound(self._ways, server, owner)


class iteration(Generic[P, T]):
    """A method that gives one thing after the other: `for` on a Server, `async for` on an AsyncServer.

    What is left half-way is closed by `with closing(…)`, `async with aclosing(…)`, or when nothing refers to it.
    """

    def __init__(self, written: Callable[Concatenate[Any, P], AsyncGenerator[T, None]]) -> None:
        @functools.wraps(written)
        def blocking(server: Any, /, *args: P.args, **kwargs: P.kwargs) -> Generator[T, None, None]:
            return _one_by_one(written(server, *args, **kwargs))

        self._ways: Ways = {Blocking: blocking, Awaited: written}
        self.__doc__ = written.__doc__

    @overload
    def __get__(self, server: Blocking, owner: Any = None) -> Callable[P, Generator[T, None, None]]: ...
    @overload
    def __get__(self, server: Awaited, owner: Any = None) -> Callable[P, AsyncGenerator[T, None]]: ...
    @overload
    def __get__(self, server: None, owner: Any = None) -> Callable[Concatenate[Any, P], Any]: ...
    def __get__(self, server: Any, owner: Any = None) -> Any:
        return _bound(self._ways, server, owner)


def _one_by_one(given: AsyncGenerator[T, None]) -> Generator[T, None, None]:
    try:
        while True:
            try:
                one = at_once(given.__anext__())
            except StopAsyncIteration:
                return
            yield one
    finally:
        at_once(given.aclose())


def _bound(ways: Ways, server: Any, owner: Any) -> Any:
    """The method of an instance; of a class, the function, so that `help(Server)` shows it as it is called."""
    kind = type(server) if server is not None else owner
    for mark in (Blocking, Awaited, Posted):
        if issubclass(kind, mark):
            way = ways.get(mark)
            if way is None:
                raise AttributeError("this is nothing to be sent in the background: call it on the server itself")
            break
    else:
        way = ways[Awaited]
    return way if server is None else types.MethodType(way, server)
