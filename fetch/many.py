"""Several at once, and never more: the things to be done are taken one by one, so that a million of them may wait."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection
from typing import TypeVar

from scitq.fetch.errors import Cancelled
from scitq.fetch.watch import Cancellation

T = TypeVar("T")


def each(work: Callable[[T], object], things: Collection[T], at_once: int, cancellation: Cancellation) -> None:
    """All of them, or the first error: then the others are called off."""
    if len(things) <= 1 or at_once <= 1:
        for thing in things:
            work(thing)
        return
    waiting = iter(things)
    lock = threading.Lock()
    errors: list[BaseException] = []

    def run() -> None:
        while not cancellation.cancelled:
            with lock:
                try:
                    thing = next(waiting)
                except StopIteration:
                    return
            try:
                work(thing)
            except BaseException as error:  # raised again by whoever waits for us
                with lock:
                    errors.append(error)
                cancellation.cancel()

    threads = [threading.Thread(target=run, name="fetch", daemon=True) for _ in range(min(at_once, len(things)))]
    for thread in threads:
        thread.start()
    try:
        for thread in threads:
            thread.join()
    except BaseException:  # Ctrl-C: nothing is left running
        cancellation.cancel()
        for thread in threads:
            thread.join()
        raise
    if errors:
        raise next((error for error in errors if not isinstance(error, Cancelled)), errors[0])
    cancellation.check()
