"""How everybody here is connected to PostgreSQL: so that neither end waits for an other that is not there any more.

A network that is cut says nothing, and left to itself TCP waits for a quarter of an hour, or for ever. Here both ends
know after some ten seconds. The server's end counts as much as ours: what it thinks is still there keeps its locks.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

CONNECT: Final = {
    "connect_timeout": 5,
    "keepalives": 1,
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,
}
"""For `psycopg2.connect`: our end."""

THEIR_END: Final = (
    "SET tcp_keepalives_idle = 3; SET tcp_keepalives_interval = 1; SET tcp_keepalives_count = 3; "
    "SET tcp_user_timeout = 10000;"
)
"""The server's end, for the session: without it, one that waits for the rest of a COPY waits for two hours, with the
row of the lease in its hand."""

_PASSING: Final = ("08", "25", "40", "53", "54", "55", "57")
"""Of the codes of errors, the classes of those that pass: 08: the connection; 25: a transaction that idled, or a server
that is read-only at present; 40: deadlock; 53, 54: resources; 55: lock not available; 57: cancelled, or shut down."""


def passes(code: str | None) -> bool:
    """Whether the same may work later, by the code of the error; one without a code came of the connection."""
    return code is None or code.startswith(_PASSING)


def first_line(error: BaseException) -> str:
    """What a driver says, in one line and without the statement it is about."""
    return next(iter(_lines(str(getattr(error, "orig", None) or error))), type(error).__name__)


def _lines(text: str) -> Iterator[str]:
    return (line.strip() for line in text.splitlines() if line.strip())
