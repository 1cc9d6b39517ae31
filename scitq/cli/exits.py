"""With what number a command ends: the one place where that is decided. The table is in docs/usage.md."""

from __future__ import annotations

from typing import Final

from scitq.errors import Malformed, NothingFound, ServerError, Unreachable

DONE: Final = 0
REFUSED: Final = 1
"""It was refused, or failed."""
MISUSED: Final = 2
"""Wrong arguments, or settings; nothing was done."""
NOTHING: Final = 3
"""What it was about is not there; nothing was done."""
AWAY: Final = 4
"""No server answers, or it has no time: later it may work."""
INTERRUPTED: Final = 130
"""Ctrl-C."""
UNREAD: Final = 141
"""Who read what it prints has gone, as `head` does; shells say this of every such program."""

BUSY: Final = frozenset({429, 502, 503, 504})
MISFIT: Final = frozenset({400, 413, 414, 422})


def of(error: Exception) -> int:
    """For an error that ends a command."""
    match error:
        case ServerError(status=404):
            return NOTHING
        case ServerError() if error.status in BUSY:
            return AWAY
        case ServerError() if error.status in MISFIT:
            return MISUSED
        case NothingFound():
            return NOTHING
        case Malformed():
            return MISUSED
        case Unreachable():
            return AWAY
        case _:
            return REFUSED
