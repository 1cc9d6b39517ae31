"""Processes that are started again whenever they end, as systemd would: what is killed comes back by itself."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from typing import Final

from tests.services.scitq import Process, eventually

LOOK_EVERY_S: Final = 0.02
RESTART_S: Final = 0.1
"""As RestartSec of systemd, whose default it is too."""


class Unit:
    """One process at a time, under a name."""

    def __init__(self, name: str, start: Callable[[], Process]) -> None:
        self.name, self._start = name, start
        self.codes: list[int] = []
        """How each that has ended did so: negative is the number of the signal."""
        self._stopping = threading.Event()
        self._process = start()
        self._keeper = threading.Thread(target=self._keep, name=name, daemon=True)
        self._keeper.start()

    @property
    def pid(self) -> int:
        return self._process.pid

    def kill(self) -> None:
        """SIGKILL to what runs now; returns when it has ended."""
        ended = len(self.codes)
        os.kill(self.pid, signal.SIGKILL)
        eventually(lambda: len(self.codes) > ended, f"{self.name} was killed")

    def freeze(self) -> None:
        os.kill(self.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        os.kill(self.pid, signal.SIGCONT)

    def stop(self) -> None:
        """SIGKILL, and nobody starts it again."""
        self._stopping.set()
        self._keeper.join()
        self._process.kill()

    def start(self) -> None:
        """After `stop`."""
        self._stopping.clear()
        self._process = self._start()
        self._keeper = threading.Thread(target=self._keep, name=self.name, daemon=True)
        self._keeper.start()

    def _keep(self) -> None:
        while not self._stopping.wait(LOOK_EVERY_S):
            if not self._process.running():
                self.codes.append(self._process.wait())
                if self._stopping.wait(RESTART_S):
                    return
                self._process = self._start()
