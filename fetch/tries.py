"""Trying again, once for all protocols: only what can heal, with growing pauses that are spread by chance.

A try that got further than the one before is no failure of the source: the count begins anew, so that a long download
over a bad line ends, while one that stands still is given up.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeVar

from scitq.fetch.errors import FetchError, Unreachable
from scitq.fetch.watch import STALL_S, Cancellation

log = logging.getLogger(__name__)

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a source that fails is tried: about a quarter of an hour unless it is told otherwise."""

    tries: int = 10
    first_s: float = 1.0
    longest_s: float = 300.0
    stall_s: float = STALL_S

    def pause_s(self, failed: int, error: FetchError) -> float:
        """Before the next try. At least what the server asks for, if that is no longer than our longest."""
        grown = min(self.longest_s, self.first_s * 2.0 ** (failed - 1))
        asked = (error.retry_after_s or 0.0) if isinstance(error, Unreachable) else 0.0
        return max(grown * random.uniform(0.5, 1.0), min(asked, self.longest_s))


PATIENT: Final = Patience()


def persistently(
    work: Callable[[], T],
    what: str,
    cancellation: Cancellation,
    patience: Patience = PATIENT,
    reached: Callable[[], int] = lambda: 0,
) -> T:
    """What `work` gives. `reached`: how far it got, to be told a try that advances from one that does not."""
    failed, best = 0, 0
    while True:
        cancellation.check()
        try:
            return work()
        except FetchError as error:
            cancellation.check()  # a connection that was cut to end it fails in many ways
            if reached() > best:
                failed, best = 0, reached()
            failed += 1
            if not error.retryable or failed >= patience.tries:
                raise
            pause_s = patience.pause_s(failed, error)
            log.warning("a transfer failed and is tried again", extra={"what": what, "error": str(error)})
        cancellation.wait(pause_s)
