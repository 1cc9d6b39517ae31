"""Waiting for what comes about by itself: looked at often, and never for longer than said."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

SOON_S = 60.0
LOOK_EVERY_S = 0.005

T = TypeVar("T")


def eventually(look: Callable[[], T | None], what: str = "it did not come about", within_s: float = SOON_S) -> T:
    """What `look` gives as soon as that is something."""
    found: T | None = None

    def there() -> bool:
        nonlocal found
        found = look()
        return bool(found)

    assert holds_within(within_s, there) and found is not None, f"within {within_s} s: {what}"
    return found


def holds_within(seconds: float, condition: Callable[[], object]) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(LOOK_EVERY_S)
    return True
