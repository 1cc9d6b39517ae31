"""The server's threads, each with a loop of its own: the engine, the projections, the recorder of output."""

from __future__ import annotations

import logging
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Final

log = logging.getLogger(__name__)

TELL_EVERY_S: Final = 60.0


class Waiting:
    """Says what is waited for: when that begins or changes, and then once a minute until it is over."""

    def __init__(self, log: logging.Logger, sentence: str) -> None:
        self._log, self._sentence = log, sentence
        self._told, self._reason = 0.0, ""

    def goes_on(self, error: Exception) -> None:
        now, reason = time.monotonic(), str(error).partition("\n")[0]
        if reason != self._reason or now - self._told >= TELL_EVERY_S:
            self._told, self._reason = now, reason
            self._log.warning(self._sentence, extra={"error": reason})

    def is_over(self) -> None:
        self._reason = ""


class Host(ABC):
    """A thread that works until it is stopped. Should it fail, the server is told, and ends."""

    name: str

    def __init__(self, on_failure: Callable[[str, BaseException], None]) -> None:
        self._on_failure = on_failure
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=self.name, daemon=True)

    @property
    def started(self) -> bool:
        return self._thread.ident is not None

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Ask it to end; `join` waits for it."""
        self._stop.set()
        self._rouse()

    def join(self, timeout_s: float) -> bool:
        """Whether it has ended in time."""
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _run(self) -> None:
        try:
            self._work()
        except BaseException as error:
            if not self._stop.is_set():
                self._on_failure(self.name, error)
            else:
                log.info("a thread was stopped in its work", extra={"thread": self.name, "error": str(error)})

    @abstractmethod
    def _work(self) -> None: ...

    @abstractmethod
    def _rouse(self) -> None:
        """Have whatever it waits for end."""
