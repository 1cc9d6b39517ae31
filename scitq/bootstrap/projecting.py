"""Keeps the read models up to date with the log, in a thread of its own, and lets it be known how far they are."""

from __future__ import annotations

import logging
from collections.abc import Callable
from concurrent.futures import Future
from queue import Empty, SimpleQueue
from threading import Event
from typing import Final

from sqlalchemy.exc import DatabaseError

from scitq.bootstrap.threads import Host
from scitq.bus import Bus, Message
from scitq.domain.envelope import unpack
from scitq.domain.wire import Recorded, recorded
from scitq.errors import Malformed, Rejected, ScitqError, StoreError, StoreUnavailable
from scitq.projections import catalog, database
from scitq.projections.following import ProjectionStopped
from scitq.projections.runner import Projector
from scitq.store.journal import open_journal
from scitq.store.urls import shown

log = logging.getLogger(__name__)

LOOK_EVERY_S: Final = 1.0
MOST_MESSAGES: Final = 200
GATHER_S: Final = 0.01
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
        self._wanted: SimpleQueue[tuple[str, Future[None]]] = SimpleQueue()
        self._told = -1
        self._busy = False
        self.opened = Event()  # the tables are there, and can be read; or the thread has ended

    def rebuild(self, name: str) -> Future[None]:
        """Have a projection folded anew; the others wait meanwhile."""
        done: Future[None] = Future()
        self._wanted.put((name, done))
        return done

    def _work(self) -> None:
        journal = open_journal(self._events)
        writer = database.writer(self._views)
        try:
            self._following = {one.name: Projector(one, writer, journal) for one in catalog.ALL}
            self._keep()
        except DatabaseError as error:
            if type(error) is not DatabaseError:  # its kinds are mistakes of ours; the thing itself is a damaged file
                raise
            where = shown(self._views)
            raise StoreError(f"the views {where}: {error.orig}; move them away, and they are made anew") from error
        finally:
            self.opened.set()  # it is no use to wait for them any more
            writer.dispose()
            journal.close()

    def _keep(self) -> None:
        """Until it is stopped. The store may be away for a while: then everything is read from it again."""
        pause_s, behind = FIRST_PAUSE_S, True
        while not self._stop.is_set():
            try:
                if behind:
                    self._open()
                    self._each(Projector.catch_up)
                    behind = False
                messages = self._gathered()
                self._rebuild_what_is_wanted()
                behind = not self._receive(messages)
                pause_s = FIRST_PAUSE_S
            except StoreUnavailable as error:
                log.warning("the projections wait for the store", extra={"error": str(error).partition("\n")[0]})
                self._stop.wait(pause_s)
                pause_s, behind = min(2 * pause_s, LONGEST_PAUSE_S), True

    def _gathered(self) -> list[Message]:
        """What was published. When much is, it is gathered for a moment: a transaction costs more than an event."""
        if self._busy:
            self._stop.wait(GATHER_S)
        return self._inbox.take(MOST_MESSAGES, LOOK_EVERY_S)

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
        if events:
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

    def _rebuild_what_is_wanted(self) -> None:
        while True:
            try:
                name, done = self._wanted.get_nowait()
            except Empty:
                return
            try:
                self._rebuild(name)
            except StoreUnavailable as error:
                done.set_exception(error)
                raise
            except ScitqError as error:
                done.set_exception(error)
            else:
                done.set_result(None)

    def _rebuild(self, name: str) -> None:
        projector = self._following.get(name)
        if projector is None:
            raise Rejected(f"there is no projection {name!r} that runs")
        self._guarded(name, projector, lambda one: one.rebuild())

    def _tell(self) -> None:
        reached = min((projector.position for projector in self._following.values()), default=0)
        if reached != self._told:
            self._told = reached
            self._bus.publish("views", b"", {"position": str(reached)})

    def _rouse(self) -> None:
        self._inbox.close()
