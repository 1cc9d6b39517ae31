"""What tasks leave behind is removed: of a success at once, of a failure when somebody could have looked at it.

When the disk is nearly full nothing waits: first the folders of failures go, the oldest first, then the resources that
nobody uses, the one that was not used for longest first. What anybody still uses is never touched.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Final

from scitq.agents.resources import Resources
from scitq.agents.workshop import remove_tree

log = logging.getLogger(__name__)

KEEP_FAILED_S: Final = 3_600.0
AUTOCLEAN: Final = 90
"""Percent of the disk."""
LOOK_EVERY_S: Final = 30.0
KEPT: Final = ".failed"
"""In the folder of an execution that failed: since when it is kept is the date of this file."""


class Cleaner(threading.Thread):
    """Of one agent; a thread of its own, for removing a tree may take long. Nobody waits for it."""

    def __init__(
        self,
        base: str,
        resources: Resources,
        *,
        keep_failed_s: float = KEEP_FAILED_S,
        autoclean: int = AUTOCLEAN,
        used_percent: Callable[[str], float] | None = None,
    ) -> None:
        super().__init__(name="cleaner", daemon=True)
        self._base, self._resources = base, resources
        self._keep_failed_s, self._autoclean = keep_failed_s, autoclean
        self._used_percent = used_percent or percent_used
        self._kept: dict[int, float] = {}
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._ends = self._all = False

    def run(self) -> None:
        while not self._ends:
            self.look()
            self._wake.wait(LOOK_EVERY_S)
            self._wake.clear()

    def close(self) -> None:
        self._ends = True
        self._wake.set()

    @property
    def keeps(self) -> bool:
        return self._keep_failed_s > 0

    def keep(self, execution: int) -> None:
        """It failed: its folder stays for a while."""
        with suppress(OSError):  # no room: then it goes with the agent's next life
            Path(self._base, str(execution), KEPT).touch()
        with self._lock:
            self._kept[execution] = time.time()

    def found(self, executions: Iterable[int]) -> list[int]:
        """Of the folders that an earlier life of the agent left: those that are of no use to anybody."""
        useless: list[int] = []
        for execution in executions:
            try:
                self._kept[execution] = os.stat(f"{self._base}/{execution}/{KEPT}").st_mtime
            except OSError:
                useless.append(execution)
        return useless

    def clean(self) -> None:
        """All of it, now: somebody asked for that."""
        self._all = True
        self._wake.set()

    def look(self) -> None:
        """Remove what has been kept long enough, or, when the disk is nearly full, what can be spared."""
        now, self._all, everything = time.time(), False, self._all
        with self._lock:
            kept = dict(self._kept)
        for execution, since in kept.items():
            if everything or not 0 <= now - since < self._keep_failed_s:
                self._let_go(execution)
        while self._is_full() and self._spare_one():
            continue

    def _is_full(self) -> bool:
        return self._used_percent(self._base) >= self._autoclean

    def _spare_one(self) -> bool:
        with self._lock:
            oldest = min(self._kept, key=lambda id: (self._kept[id], id), default=None)
        if oldest is None:
            return self._resources.evict_one()
        log.info("the disk is nearly full: the folder of a failed task goes", extra={"execution": oldest})
        self._let_go(oldest)
        return True

    def _let_go(self, execution: int) -> None:
        with self._lock:
            self._kept.pop(execution, None)
        remove_tree(f"{self._base}/{execution}")


def percent_used(folder: str) -> float:
    """Of its disk, as `df` says it. 0 where there is no folder yet."""
    try:
        found = os.statvfs(folder)
    except OSError:
        return 0.0
    used = found.f_blocks - found.f_bfree
    return 100.0 * used / (used + found.f_bavail) if used + found.f_bavail else 0.0
