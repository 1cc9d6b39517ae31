"""When to try again: decided without a clock, a network or a thread, so that both kinds of server decide alike."""

from __future__ import annotations

import os
import random
from threading import Lock
from typing import Final, Protocol
from weakref import WeakSet

FIRST_PAUSE_S: Final = 0.1
LONGEST_PAUSE_S: Final = 5.0
APART_S: Final = 1.0
LOOK_S: Final = 0.25  # so often whoever waits for its turn looks whether it has come


class Attempts:
    """At one request: `began` and `now` are of the same clock."""

    def __init__(self, began: float) -> None:
        self._began, self._made = began, 0

    def pause_s(self, now: float, least_s: float, end_s: float | None) -> float | None:
        """How long to wait after one that failed; None: the time that it may take, `end_s`, would be over.

        Full jitter: clients that lost the same server at the same moment do not come back together.
        """
        longest = min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2 ** min(self._made, 10))
        self._made += 1
        pause_s = max(least_s, random.uniform(0, longest))
        return None if self.over(now + pause_s, end_s) else pause_s

    def over(self, now: float, end_s: float | None) -> bool:
        return end_s is not None and now - self._began > end_s


class _Locked(Protocol):
    def forked(self) -> None:
        """Make new locks: whoever held the old ones is not in this process."""


_locked: WeakSet[_Locked] = WeakSet()


def renew_locks_of(one: _Locked) -> None:
    """In processes that are forked off."""
    _locked.add(one)


def _forked() -> None:
    for one in _locked:
        one.forked()


os.register_at_fork(after_in_child=_forked)


class Seen:
    """The newest position of the log that any answer has reflected, for all threads."""

    def __init__(self) -> None:
        self.position = 0
        self._lock = Lock()
        renew_locks_of(self)

    def saw(self, position: int | None) -> None:
        if position is not None:
            with self._lock:
                self.position = max(self.position, position)

    def forget(self, position: int) -> None:
        with self._lock:
            self.position = position

    def forked(self) -> None:
        self._lock = Lock()


class Away:
    """All that have lost the same server try again in turn, so that many threads ask it no more often than a few."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._latest: object | None = None
        self._next = self._crowded = 0.0
        self._returns = 0
        renew_locks_of(self)

    @property
    def returns(self) -> int:
        """How often it has answered: whoever sees this number change may try at once."""
        return self._returns

    def may_try(self, who: object, now: float, returns: int) -> bool:
        """Whoever tries alone pauses for itself; where several do, there is some time between any two attempts."""
        with self._lock:
            alone = self._latest is who and now >= self._crowded
            if self._returns == returns and not alone and now < self._next:
                self._crowded = now + LONGEST_PAUSE_S
                return False
            self._latest, self._next = who, now + APART_S
            return True

    def is_back(self) -> None:
        with self._lock:
            self._returns += 1
            self._next = self._crowded = 0.0

    def forked(self) -> None:
        self._lock = Lock()
