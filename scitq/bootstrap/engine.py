"""The engine in a thread of its own."""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import socket
from collections.abc import Callable
from functools import partial

from scitq.bootstrap.adapters import EngineBus, Stopping, StoreJournal, SystemClock, Unheard
from scitq.bootstrap.threads import Host
from scitq.bus import Bus
from scitq.domain.state import State
from scitq.errors import LeaseLost, StoreError
from scitq.handlers.engine import Engine
from scitq.store.journal import Journal, open_journal
from scitq.web.processes import EngineProcess

log = logging.getLogger(__name__)


class EngineHost(Host):
    """Follows the log until it may lead, and leads until it is stopped."""

    name = "engine"

    def __init__(self, url: str, bus: Bus, on_failure: Callable[[str, BaseException], None]) -> None:
        super().__init__(on_failure)
        self._url = url
        self._bus = EngineBus(bus, self._stop)
        self._engine: Engine | None = None

    def standing(self) -> EngineProcess | None:
        """From any thread: whether it leads, and how far it is."""
        if self._engine is None:
            return None
        lease = self._engine.lease
        epoch = None if lease is None else lease.epoch
        return EngineProcess(leads=lease is not None, epoch=epoch, position=self._engine.state.position)

    def _work(self) -> None:
        journal = open_journal(self._url)
        # Two containers may have one name, and their processes one number: none may take the lease for its own.
        holder = f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(3)}"
        clock, state = SystemClock(self._stop), None
        try:
            while not self._stop.is_set():
                engine = Engine(StoreJournal(journal, self._bus), self._bus, clock, holder, state=state)
                self._engine = engine
                self._bus.state = partial(getattr, engine, "state")
                state = self._lead(engine, journal)
        finally:
            journal.close()

    def _lead(self, engine: Engine, journal: Journal) -> State | None:
        """Until it is stopped, or has to stand by again. What it knows, if all of that is appended."""
        try:
            asyncio.run(engine.run())
        except Stopping:
            log.info("the engine was stopped")
        except LeaseLost:
            log.warning("another engine has taken over; this one begins anew and stands by")
            self._bus.leave()
            engine.lease = None
        except Unheard as error:
            log.warning("the engine gives the lease back: the broker carries nothing", extra={"reason": str(error)})
            return engine.state
        finally:
            if engine.lease is not None:
                _give_back(journal.release, engine.lease.epoch)
        return None

    def _rouse(self) -> None:
        self._bus.close()


def _give_back(release: Callable[[int], None], epoch: int) -> None:
    """So that the next engine need not wait for the lease to run out."""
    try:
        release(epoch)
    except StoreError as error:
        log.warning("the lease could not be given back; it runs out by itself", extra={"error": str(error)})
