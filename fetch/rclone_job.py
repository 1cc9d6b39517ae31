"""What takes rclone long is a job there: followed until it ends, and stopped when it is called off."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from scitq.fetch.errors import FetchError, TimedOut
from scitq.fetch.rclone_answers import refusal
from scitq.fetch.rclone_daemon import daemon
from scitq.fetch.watch import Cancellation, Moving, Progress

_LOOK_EVERY_S: Final = (0.02, 0.3)
_LOOK_OF: Final = 0.03
"""The share of its time for which the end of a job may go unnoticed: a look costs rclone more than a small file."""
_PATIENCE: Final = 5
"""How often as long as others rclone may stand still: it tries again by itself."""


@dataclass(frozen=True, slots=True)
class Followed:
    """`tell` is given what rclone has done and knows of, counted from the beginning of the job."""

    shown: str
    cancellation: Cancellation
    stall_s: float
    tell: Callable[[Progress], object]

    def run(self, verb: str, **what: Any) -> None:
        """Until it is done; raises what it failed of."""
        group = secrets.token_hex(8)
        job = daemon().call(verb, self.cancellation, self.shown, **what, _async=True, _group=group)["jobid"]
        try:
            self._follow(job, group)
        except FetchError:
            # Not with the cancellation of the call: that may be what has just ended it.
            daemon().call("job/stop", Cancellation(), self.shown, jobid=job)
            raise

    def _follow(self, job: int, group: str) -> None:
        seen: Progress | None = None
        began = moved_at = time.monotonic()
        while True:
            status = daemon().call("job/status", self.cancellation, self.shown, jobid=job)
            stats = daemon().call("core/stats", self.cancellation, self.shown, group=group)
            now = _progress(stats)
            if now != seen:
                self.tell(now)
                seen, moved_at = now, time.monotonic()
            if status["finished"]:
                if not status["success"]:
                    raise refusal(str(status["error"]), self.shown)
                return
            if time.monotonic() - moved_at > self.stall_s * _PATIENCE:
                raise TimedOut(f"{self.shown}: nothing is moved any more")
            soonest_s, latest_s = _LOOK_EVERY_S
            self.cancellation.wait(min(max((time.monotonic() - began) * _LOOK_OF, soonest_s), latest_s))


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
