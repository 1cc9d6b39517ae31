"""Keeps the read models up to date with the log, in a thread of its own, and lets it be known how far they are."""

from __future__ import annotations

import logging
from collections.abc import Callable
from threading import Event
from typing import Final

from sqlalchemy.exc import DatabaseError

from scitq.bootstrap.threads import Host, Waiting
from scitq.bus import Bus, Message
from scitq.domain.envelope import unpack
from scitq.domain.wire import Recorded, recorded
from scitq.errors import Malformed, Rejected, ScitqError, StoreError, StoreUnavailable
from scitq.projections import catalog, database
from scitq.projections.following import ProjectionStopped
from scitq.projections.runner import Projector
from scitq.projections.together import Together
from scitq.store.journal import Journal, open_journal
from scitq.store.urls import shown

log = logging.getLogger(__name__)

ADDRESS: Final = "projections"
LOOK_EVERY_S: Final = 1.0
MOST_MESSAGES: Final = 200
REBUILD_S: Final = 3_600.0
GATHER_S: Final = 0.04
BUSY: Final = 20
"""Events at once; the few of a single task are shown without delay."""
FIRST_PAUSE_S: Final = 0.1
LONGEST_PAUSE_S: Final = 5.0


class ProjectionHost(Host):
    """Every projection there is, on one store."""

    name = "projections"

    def __init__(self, events: str, views: str, bus: Bus, on_failure: Callable[[str, BaseException], None]) -> None:
        super().__init__(on_failure)
        self._events, self._views, self._bus = events, views, bus
        self._inbox = bus.follow("events")  # from now on: what comes while the projections catch up is not missed
        self._orders = bus.mailbox()
        self._orders.bind(ADDRESS)
        self._busy = False
        self.opened = Event()  # the tables are there, and can be read; or the thread has ended

    def _work(self) -> None:
        journal = open_journal(self._events)
        writer = database.writer(self._views)
        try:
            self._following = {one.name: Projector(one, writer, journal) for one in catalog.ALL}
            self._together = Together(writer, self._following.values())
            self._keep(journal)
        except DatabaseError as error:
            if type(error) is not DatabaseError:  # its kinds are mistakes of ours; the thing itself is a damaged file
                raise
            where = shown(self._views)
            raise StoreError(f"the views {where}: {error.orig}; move them away, and they are made anew") from error
        finally:
            self.opened.set()  # it is no use to wait for them any more
            writer.dispose()
            journal.close()

    def _keep(self, journal: Journal) -> None:
        """Until it is stopped. The store may be away for a while: then everything is read from it again."""
        pause_s, behind = FIRST_PAUSE_S, True
        waiting = Waiting(log, "the projections wait for the store")
        while not self._stop.is_set():
            try:
                if behind:
                    self._open()
                    self._each(Projector.catch_up)
                    behind = False
                messages = self._gathered()
                self._take_orders()
                behind = not self._receive(messages) or (not messages and self._is_behind(journal))
                pause_s = FIRST_PAUSE_S
                waiting.is_over()
            except StoreUnavailable as error:
                waiting.goes_on(error)
                self._stop.wait(pause_s)
                pause_s, behind = min(2 * pause_s, LONGEST_PAUSE_S), True

    def _gathered(self) -> list[Message]:
        """What was published. When much is, it is gathered for a moment: a transaction costs more than an event."""
        if self._busy:
            self._stop.wait(GATHER_S)
        return self._inbox.take(MOST_MESSAGES, LOOK_EVERY_S)

    def _is_behind(self, journal: Journal) -> bool:
        """Nothing came: because nothing happened, or because it got lost. A look a second is told to everybody too."""
        self._tell()
        end = journal.head().position
        return any(one.position < end for one in self._following.values())

    def _open(self) -> None:
        if not self.opened.is_set():
            for projector in self._following.values():
                projector.open()
            self.opened.set()

    def _receive(self, messages: list[Message]) -> bool:
        """Fold what was published; whether all of it could be read."""
        events: list[Recorded] = []
        try:
            for message in messages:
                events += [recorded(envelope) for envelope in unpack(message.body)]
        except Malformed as error:
            log.warning("a message of events cannot be read; the log is read instead", extra={"error": str(error)})
            return False
        self._busy = len(events) >= BUSY
        if events and len(self._following) == len(catalog.ALL) and self._together.receive(events):
            self._tell()
        elif events:
            self._each(lambda projector: projector.receive(events))
        return True

    def _each(self, do: Callable[[Projector], None]) -> None:
        for name, projector in list(self._following.items()):
            self._guarded(name, projector, do)
        self._tell()

    def _guarded(self, name: str, projector: Projector, do: Callable[[Projector], None]) -> None:
        try:
            do(projector)
        except ProjectionStopped as stopped:
            log.error("a projection has stopped; the others go on", extra={"reason": str(stopped)})
            self._following.pop(name, None)

    def _take_orders(self) -> None:
        """Fold a projection anew for whoever asked for it; the others wait meanwhile."""
        for order in self._orders.take(MOST_MESSAGES, 0):
            refusal = ""
            try:
                self._rebuild(order.body.decode(errors="replace"))
            except ScitqError as error:
                refusal = str(error)
            self._bus.post(order.headers.get("reply_to", ""), refusal.encode())

    def _rebuild(self, name: str) -> None:
        projector = self._following.get(name)
        if projector is None:
            raise Rejected(f"there is no projection {name!r} that runs")
        self._guarded(name, projector, lambda one: one.rebuild())

    def _tell(self) -> None:
        reached = min((projector.position for projector in self._following.values()), default=0)
        self._bus.publish("views", b"", {"position": str(reached)})

    def _rouse(self) -> None:
        self._inbox.close()
        self._orders.close()


async def rebuild(bus: Bus, name: str) -> None:
    """Have the process that keeps the projections fold one of them anew, and wait for it."""
    with bus.mailbox() as answers:
        bus.post(ADDRESS, name.encode(), {"reply_to": answers.address})
        found = await answers.receive(1, REBUILD_S)
    if not found:
        raise Rejected("the process that keeps the projections does not answer")
    if found[0].body:
        raise Rejected(found[0].body.decode())
