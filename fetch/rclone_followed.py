"""What takes rclone long: its progress is asked for while it runs, and it is stopped when it is called off."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import Any, Final

from scitq.fetch.errors import TimedOut
from scitq.fetch.rclone_daemon import daemon
from scitq.fetch.watch import Cancellation, Moving, Progress

_LOOK_EVERY_S: Final = 0.25
_PATIENCE: Final = 5
"""How often as long as others rclone may stand still: it tries again by itself."""


@dataclass(frozen=True, slots=True)
class Followed:
    """`tell` is given what rclone has done and knows of, counted from the beginning of the call."""

    shown: str
    cancellation: Cancellation
    stall_s: float
    tell: Callable[[Progress], object]

    def run(self, verb: str, **what: Any) -> None:
        """Until it is done; raises what it failed of. rclone answers when it is done, and stops when nobody waits for
        its answer any more."""
        group = secrets.token_hex(8)
        own = Cancellation()
        with ThreadPoolExecutor(1, "rclone-call") as calls, self.cancellation.cutting(own.cancel):
            call = calls.submit(daemon().call, verb, own, self.shown, answer_s=None, _group=group, **what)
            try:
                self._follow(call, group)
            finally:
                own.cancel()
        call.result()

    def _follow(self, call: Future[Any], group: str) -> None:
        seen: Progress | None = None
        moved_at = time.monotonic()
        running = True
        while running:
            running = bool(wait([call], _LOOK_EVERY_S).not_done)
            now = _progress(daemon().call("core/stats", self.cancellation, self.shown, group=group))
            if now != seen:
                self.tell(now)
                seen, moved_at = now, time.monotonic()
            if time.monotonic() - moved_at > self.stall_s * _PATIENCE:
                raise TimedOut(f"{self.shown}: nothing is moved any more")


def _moving(one: dict[str, Any]) -> Moving:
    size = int(one.get("size", -1))
    return Moving(str(one.get("name", "")), int(one.get("bytes", 0)), None if size < 0 else size)


def _progress(stats: dict[str, Any]) -> Progress:
    moving = tuple(map(_moving, stats.get("transferring") or ()))
    done_bytes, done_files = int(stats.get("bytes", 0)), int(stats.get("transfers", 0))
    return Progress(
        moving[0].name if moving else "",
        done_bytes,
        max(done_bytes, int(stats.get("totalBytes", 0))),
        done_files,
        max(done_files, int(stats.get("totalTransfers", 0))),
        moving,
    )
