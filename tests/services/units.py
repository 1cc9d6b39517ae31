"""Processes that are started again whenever they end, as systemd would: what is killed comes back by itself."""

from __future__ import annotations

import os
import signal
import threading
from typing import Final

from tests.services.scitq import Machine, Process

LOOK_EVERY_S: Final = 0.02
RESTART_S: Final = 0.1
"""As RestartSec of systemd, whose default it is too."""


class Unit:
    """One process at a time, under a name; each with a log of its own."""

    def __init__(self, name: str, machine: Machine, *words: str) -> None:
        self.name, self._machine, self._words = name, machine, words
        self.lives: list[Process] = []
        self._stopping = threading.Event()
        self._live()
        self._keeper = threading.Thread(target=self._keep, name=name, daemon=True)
        self._keeper.start()

    @property
    def pid(self) -> int:
        return self.lives[-1].pid

    def said(self) -> str:
        """Of what runs now."""
        return self.lives[-1].said()

    def kill(self) -> None:
        """SIGKILL to what runs now; returns when it has ended."""
        self.lives[-1].kill()

    def freeze(self) -> None:
        os.kill(self.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        os.kill(self.pid, signal.SIGCONT)

    def stop(self) -> None:
        """SIGKILL, and nobody starts it again until `start`."""
        self._stopping.set()
        self._keeper.join()
        self.kill()

    def start(self) -> None:
        self._stopping.clear()
        self._live()
        self._keeper = threading.Thread(target=self._keep, name=self.name, daemon=True)
        self._keeper.start()

    def _live(self) -> None:
        log = f"{self.name}-{len(self.lives)}"
        self.lives.append(self._machine.start(*self._words, log=log))

    def _keep(self) -> None:
        while not self._stopping.wait(LOOK_EVERY_S):
            if not self.lives[-1].running():
                if self._stopping.wait(RESTART_S):
                    return
                self._live()
