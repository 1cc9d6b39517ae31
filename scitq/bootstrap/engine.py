"""The engine in a thread of its own."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import Callable

from scitq.bootstrap.adapters import EngineBus, Stopping, StoreJournal, SystemClock
from scitq.bootstrap.threads import Host
from scitq.bus import Bus
from scitq.errors import StoreError
from scitq.handlers.engine import Engine
from scitq.store.journal import open_journal

log = logging.getLogger(__name__)


class EngineHost(Host):
    """Follows the log until it may lead, and leads until it is stopped."""

    name = "engine"

    def __init__(self, url: str, bus: Bus, on_failure: Callable[[str, BaseException], None]) -> None:
        super().__init__(on_failure)
        self._url = url
        self._bus = EngineBus(bus, self._stop)

    def _work(self) -> None:
        journal = open_journal(self._url)
        holder = f"{socket.gethostname()}:{os.getpid()}"
        engine = Engine(StoreJournal(journal), self._bus, SystemClock(self._stop), holder)
        self._bus.state = lambda: engine.state
        try:
            asyncio.run(engine.run())
        except Stopping:
            log.info("the engine was stopped")
        finally:
            if engine.lease is not None:
                _give_back(journal.release, engine.lease.epoch)
            journal.close()

    def _rouse(self) -> None:
        self._bus.close()


def _give_back(release: Callable[[int], None], epoch: int) -> None:
    """So that the next engine need not wait for the lease to run out."""
    try:
        release(epoch)
    except StoreError as error:
        log.warning("the lease could not be given back; it runs out by itself", extra={"error": str(error)})
