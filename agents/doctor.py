"""What works on this machine: many looks at once, each within its own time. `scitq worker doctor` shows what they find.

A look changes nothing that stays, and nobody waits for it longer than its bound: there are sockets that nobody serves,
servers that take a connection and then say nothing, and disks of other machines that have gone.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Final, Literal, NamedTuple

from scitq.errors import ScitqError

BOUND_S: Final = 15.0
State = Literal["good", "broken", "absent"]


class Finding(NamedTuple):
    """`broken`: it is here, or has to be, and does not work; `absent`: not here, and only some tasks need it.

    Without what is `needed` no task runs here. What is not good says in its text what to do.
    """

    state: State
    text: str
    needed: bool = False
    name: str = ""


def good(text: str) -> Finding:
    return Finding("good", text)


def broken(text: str, *, needed: bool = False) -> Finding:
    return Finding("broken", text, needed)


def absent(text: str) -> Finding:
    return Finding("absent", text)


class Look(NamedTuple):
    """One thing to look at. `needed`: that it cannot be looked at is as bad as that it does not work."""

    name: str
    find: Callable[[], Iterable[Finding]]
    needed: bool = False
    bound_s: float = BOUND_S


class Doctor:
    """Looks at everything at once."""

    def __init__(self, looks: Iterable[Look]) -> None:
        self._looking = [_Looking(look) for look in looks]

    def findings(self) -> Iterator[Finding]:
        """In the order of the looks, each as soon as it is there."""
        for one in self._looking:
            yield from one.findings()

    def wait(self, seconds: float) -> None:
        """For those that still look, and no longer than that."""
        deadline = time.monotonic() + seconds
        for one in self._looking:
            one.join(max(deadline - time.monotonic(), 0.0))

    @property
    def stuck(self) -> bool:
        """Somebody still looks, and may do so for ever."""
        return any(one.is_alive() for one in self._looking)


class _Looking(threading.Thread):
    """Nobody joins it: it may be in a call that does not come back."""

    def __init__(self, look: Look) -> None:
        super().__init__(name=look.name, daemon=True)
        self._look, self._found = look, queue.SimpleQueue[Finding | None]()
        self._timer = threading.Timer(look.bound_s, self._too_long)
        self._timer.daemon = True
        self._timer.start()
        self.start()

    def run(self) -> None:
        try:
            for finding in self._look.find():
                self._found.put(finding)
        except ScitqError as error:
            self._found.put(broken(str(error), needed=self._look.needed))
        except OSError as error:
            said = ": ".join(filter(None, (error.filename and str(error.filename), error.strerror or str(error))))
            self._found.put(broken(said, needed=self._look.needed))
        except Exception as error:
            said = f"looking at it failed ({type(error).__name__}: {error}): please report this"
            self._found.put(broken(said, needed=self._look.needed))
        self._found.put(None)
        self._timer.cancel()

    def _too_long(self) -> None:
        said = f"it does not answer: it was given up after {self._look.bound_s:g} s"
        self._found.put(broken(said, needed=self._look.needed))
        self._found.put(None)

    def findings(self) -> Iterator[Finding]:
        while (finding := self._found.get()) is not None:
            yield finding._replace(name=self._look.name)
