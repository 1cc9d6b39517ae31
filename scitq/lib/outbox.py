"""Requests that wait to be sent, in order: so many bytes of them in memory and, where wished, in a folder too."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from pathlib import Path
from threading import Condition
from typing import Final, Generic, NamedTuple, TypeVar

from scitq.errors import AgentError, NotSent, QueueFull
from scitq.lib.patience import renew_locks_of
from scitq.lib.spooling import SpoolFile

log = logging.getLogger(__name__)

OVERHEAD_BYTES: Final = 500
"""Of each request, beside its body."""

H = TypeVar("H")


class Letter(NamedTuple, Generic[H]):
    """One request, and whoever waits for its answer."""

    key: str
    method: str
    path: str
    body: bytes
    handle: H

    @property
    def size(self) -> int:
        return len(self.body) + OVERHEAD_BYTES


class Outbox(Generic[H]):
    """For many threads that put in, and one that takes out. `new_handle`: for what an earlier process has left."""

    def __init__(self, url: str, folder: Path | None, most_bytes: int, new_handle: Callable[[str], H]) -> None:
        self._most_bytes, self._bytes = most_bytes, 0
        self._letters: deque[Letter[H]] = deque()
        self._changed = Condition()
        self._closed = False
        self._taken = self._through = 0  # so many, ever
        self._spool = None if folder is None else SpoolFile(folder, url)
        for key, method, path, body in self._spool.left if self._spool else ():
            self._take(Letter(key, method, path, body, new_handle(key)))
        renew_locks_of(self)

    def __len__(self) -> int:
        return len(self._letters)

    def put(self, letter: Letter[H], wait_s: float | None) -> None:
        """Take it, once there is room: QueueFull when there was none for so long (None: however long it takes)."""
        room = f"{self._most_bytes} bytes"
        if letter.size > self._most_bytes:
            raise QueueFull(f"this request is larger than what may wait altogether: {room}")
        with self._changed:
            if not self._changed.wait_for(lambda: self._closed or self._has_room(letter), wait_s):
                raise QueueFull(
                    f"{len(self)} requests wait to be sent already, and there is room for {room}: "
                    "try again when the server is back"
                )
            if self._closed:
                raise NotSent("this sender is closed: make another one")
            spool = self._spool
            if spool is not None:
                spool.add(letter.key, letter.method, letter.path, letter.body)
            self._take(letter)
            self._changed.notify_all()
        if spool is not None:
            try:
                spool.sync()
            except AgentError as error:  # it is on its way all the same: nobody must send it a second time
                log.warning("what was sent in the background just now would not survive a power cut: %s", error)

    def _take(self, letter: Letter[H]) -> None:
        self._letters.append(letter)
        self._bytes += letter.size
        self._taken += 1

    def _has_room(self, letter: Letter[H]) -> bool:
        return self._bytes + letter.size <= self._most_bytes

    def first(self) -> Letter[H] | None:
        """The next one to be sent, when there is one; None: it is closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._letters)
            return None if self._closed else self._letters[0]

    def done(self, *, keep: bool = False) -> None:
        """The first one is through. `keep`: not for the next process, which is to try it again."""
        with self._changed:
            letter = self._letters.popleft()
            self._bytes -= letter.size
            self._through += 1
            self._changed.notify_all()
            if not keep:
                self._forget(letter.key)

    def taken_back(self, key: str) -> None:
        """It is not to be sent, by the next process neither. It still stands in line."""
        with self._changed:
            self._forget(key)

    def _forget(self, key: str) -> None:
        try:
            if self._spool is not None:
                self._spool.forget(key)
        except AgentError as error:  # the next process asks again, and is told what became of it
            log.warning("what is through in the background could not be noted: %s", error)

    def through(self, wait_s: float | None) -> bool:
        """Wait until all that was put in until now is through."""
        with self._changed:
            until = self._taken
            return self._changed.wait_for(lambda: self._through >= until, wait_s)

    def close(self) -> None:
        """Take nothing any more, and give nothing out."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def left(self) -> list[Letter[H]]:
        """What is not through."""
        with self._changed:
            return list(self._letters)

    def put_away(self) -> None:
        """After `close`, when nobody sends any more: leave in the folder what is left, and nothing if nothing is."""
        with self._changed:
            spool, self._spool = self._spool, None
            if spool is not None:
                spool.close()

    def forked(self) -> None:
        """In the new process: what waits, and its file, are the parent's, for as long as that lives and no longer."""
        self._changed, self._closed = Condition(), True
        spool, self._spool = self._spool, None
        if spool is not None:
            spool.let_go()
