"""An effect: the broker has users for workers that exist, and for no others.

Level-triggered: it looks at what is there and at who exists, however that came about; an event only says that it is
worth a look. Removing is idempotent, so that several processes may do it at once. Making is not done here: a server
makes a user when its agent asks for one, with a credential that it has checked.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Mapping
from typing import Final, NamedTuple, Protocol

log = logging.getLogger(__name__)

INTRODUCES_ITSELF_S: Final = 120
"""So long an agent may take from getting its user to being known as a worker. Clocks may differ by as much."""


class Known(Protocol):
    """A user of the broker, when it was made, in seconds since 1970, and whether it is for a credential that holds."""

    @property
    def user(self) -> str: ...
    @property
    def made(self) -> int: ...
    @property
    def valid(self) -> bool: ...


class Users(Protocol):
    """The broker's side (`bus/rabbit_admin.py`)."""

    def present(self) -> Iterable[Known]: ...
    def remove(self, user: str) -> None: ...


class Workers(NamedTuple):
    """By the names of their users: those that exist, and when those that do not were deleted."""

    living: Collection[str]
    deleted: Mapping[str, int]


def superfluous(present: Iterable[Known], workers: Workers, now: int) -> list[str]:
    """Users whose worker was deleted, or never came, or whose agent would not get another one."""

    def is_superfluous(one: Known) -> bool:
        if not one.valid:
            return True
        if one.user in workers.living:
            return False
        return one.made <= workers.deleted.get(one.user, -1) or one.made + INTRODUCES_ITSELF_S < now

    return [one.user for one in present if is_superfluous(one)]


def keep(users: Users, workers: Workers, now: int) -> int:
    """Remove what is superfluous; how many those were."""
    gone = superfluous(users.present(), workers, now)
    for user in gone:
        users.remove(user)
        log.info("the broker user of a worker that does not exist was removed", extra={"user": user})
    return len(gone)
