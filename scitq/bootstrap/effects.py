"""What the server does to the world outside, in a thread of its own: at present, it looks after the broker's users."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Final, get_args

from sqlalchemy import Engine

from scitq.bootstrap.threads import Host
from scitq.bus import Bus
from scitq.bus.rabbit_admin import BrokerUsers
from scitq.config import Settings
from scitq.config.values import Token
from scitq.credentials import Credentials
from scitq.domain import wire
from scitq.domain.worker import WorkerDeleted
from scitq.errors import BusUnavailable, StoreUnavailable
from scitq.handlers.broker_users import Workers, keep
from scitq.projections import database, workers
from scitq.web import views

log = logging.getLogger(__name__)

HINT: Final = wire.name_of(WorkerDeleted(0))[0].encode()
ALL: Final = get_args(workers.Status)
LOOK_EVERY_S: Final = 60.0
SOON_S: Final = 0.3
FIRST_PAUSE_S, LONGEST_PAUSE_S = 1.0, 60.0
MOST_MESSAGES: Final = 1_000


def broker_users(settings: Settings, token: Token | None) -> BrokerUsers | None:
    """None: agents reach this server through its gateway only. Without its token nothing is said of credentials."""
    if settings.bus_admin is None:
        return None
    series = "" if token is None else Credentials(token).series()
    return BrokerUsers(
        settings.bus_admin,
        settings.bus,
        public=settings.bus_public or (),
        prefix=settings.bus_prefix,
        series=series,
    )


class EffectsHost(Host):
    """Any number of them may look at once."""

    name = "effects"

    def __init__(
        self, users: BrokerUsers, url: str, bus: Bus, on_failure: Callable[[str, BaseException], None]
    ) -> None:
        super().__init__(on_failure)
        self._users, self._views = users, url
        self._inbox = bus.follow("events")
        self._pause_s = FIRST_PAUSE_S
        self._trouble = False
        self._wanted = 0

    def _work(self) -> None:
        engine = database.reader(self._views)
        try:
            self._look_again_and_again(engine)
        finally:
            self._users.close()
            engine.dispose()

    def _look_again_and_again(self, engine: Engine) -> None:
        due = 0.0
        while not self._stop.is_set():
            for message in self._inbox.take(MOST_MESSAGES, max(due - time.monotonic(), 0.0)):
                if HINT in message.body:  # it may as well be in a command line: a look too many does no harm
                    self._wanted = int(message.headers.get("last", "0"))
                    due = due if self._trouble else 0.0
            if time.monotonic() >= due and not self._stop.is_set():
                due = time.monotonic() + self._look(engine)

    def _look(self, engine: Engine) -> float:
        """Put right what is not; after how many seconds to look again."""
        try:
            with views.looking(engine) as view:
                if view.position < self._wanted:
                    return SOON_S
                existing = self._existing(workers.every(view.connection, statuses=ALL))
            keep(self._users, existing, int(time.time()))
        except (BusUnavailable, StoreUnavailable) as error:
            if not self._trouble:
                log.warning("the broker's users cannot be looked after; trying again", extra={"reason": str(error)})
            self._trouble = True
            pause_s, self._pause_s = self._pause_s, min(2 * self._pause_s, LONGEST_PAUSE_S)
            return pause_s
        if self._trouble:
            log.info("the broker's users are looked after again")
        self._trouble, self._pause_s = False, FIRST_PAUSE_S
        return LOOK_EVERY_S

    def _existing(self, every: list[workers.Loaded]) -> Workers:
        living: set[str] = set()
        deleted: dict[str, int] = {}
        for worker in (loaded.worker for loaded in every):
            user = self._users.user_of(worker.name)
            if worker.status == "deleted":
                deleted[user] = max(deleted.get(user, 0), worker.status_at // 1_000_000)
            else:
                living.add(user)
        return Workers(living, deleted)

    def _rouse(self) -> None:
        self._inbox.close()
