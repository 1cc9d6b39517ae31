"""A stand-by that has followed one log does not lead another: the log was brought back from a copy under its feet."""

from __future__ import annotations

import asyncio

import pytest

from scitq.domain import wire
from scitq.domain.engine_log import EngineStarted
from scitq.domain.envelope import Append
from scitq.domain.state import State
from scitq.domain.wire import Recorded
from scitq.errors import StoreError
from scitq.handlers.standby import Standby
from tests.simulation.memory_journal import MemoryJournal
from tests.unit.handlers.server import START
from tests.unit.handlers.test_engine import Clock, Store


def log_of(*holders: str) -> MemoryJournal:
    """An engine after the other has led it."""
    journal = MemoryJournal(lambda: START)
    for number, holder in enumerate(holders, 1):
        lease = journal.acquire(holder, 3.0)
        assert lease is not None and lease.epoch == number
        started = EngineStarted(holder, number)
        event = Recorded(number, "engine", number, START, "engine", 0, 0, None, started)
        sealed = wire.seal_all(lease.head.hash, [event], [wire.encode(started)], number)
        journal.append(Append(number, sealed, [], []))
        journal.release(number)
    return journal


def test_it_leads_the_log_that_it_has_followed() -> None:
    store = Store(log_of("a", "b"), [])
    standby = Standby(store, Clock(), "me", State())
    assert asyncio.run(standby.follow()).head.position == 2


@pytest.mark.parametrize("now", [("a",), ("a", "c"), ("a", "c", "d")], ids=["shorter", "as-long", "longer"])
def test_it_does_not_lead_one_that_took_its_place(now: tuple[str, ...]) -> None:
    standby = Standby(Store(log_of("a", "b"), []), Clock(), "me", State())
    asyncio.run(standby.follow())
    standby._journal = Store(log_of(*now), [])
    with pytest.raises(StoreError, match="brought back from a copy"):
        asyncio.run(standby.follow())
