"""Asking the store until it answers. A missing store is a pause, not an error."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from scitq.errors import OutcomeUnknown, StoreUnavailable
from scitq.handlers.ports import Clock

log = logging.getLogger(__name__)

FIRST_PAUSE_S: Final = 0.1
LONGEST_PAUSE_S: Final = 5.0
TELL_EVERY_US: Final = 60_000_000
T = TypeVar("T")


async def patiently(clock: Clock, ask: Callable[[], Awaitable[T]]) -> T:
    """The store's answer, however long it takes: the same question again, so that an unknown outcome becomes known."""
    pause_s, told, reason = FIRST_PAUSE_S, 0, ""
    while True:
        try:
            answer = await ask()
        except (StoreUnavailable, OutcomeUnknown) as error:
            if str(error) != reason or clock.steady() - told >= TELL_EVERY_US:
                told, reason = clock.steady(), str(error)
                log.warning("the store does not answer; trying again", extra={"error": reason})
            await clock.sleep(pause_s)
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
        else:
            if reason:
                log.info("the store answers again")
            return answer
