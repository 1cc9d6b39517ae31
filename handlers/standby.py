"""A candidate that does not have the lease yet: it folds along behind the leader, so that it can take over hot."""

from __future__ import annotations

import gc
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from scitq.domain import wire
from scitq.domain.envelope import Head, Lease, is_chained
from scitq.domain.snapshot import FINGERPRINT, dump, load
from scitq.domain.state import State
from scitq.errors import Malformed, StoreError
from scitq.handlers.patience import patiently
from scitq.handlers.ports import Clock, Journal

log = logging.getLogger(__name__)

LEASE_S: Final = 3.0
ASK_EVERY_S: Final = 0.3
"""Together with what a take-over does, they are the time for which nobody leads after a crash: five seconds at most."""
READ_AT_ONCE: Final = 5_000
SNAPSHOT_EVERY: Final = 100_000


class Standby:
    """Follows the log under the name `holder`."""

    def __init__(
        self, journal: Journal, clock: Clock, holder: str, state: State, *, snapshot_every: int = SNAPSHOT_EVERY
    ) -> None:
        self._journal, self._clock, self._holder = journal, clock, holder
        self._snapshot_every = snapshot_every
        self._snapshot_at = state.position
        self._hash: bytes | None = None  # of the last event that was folded here
        self.state = state

    async def follow(self) -> Lease:
        """The lease, once it is ours; the state is then at the end of the log."""
        if self.state.position == 0:
            await self._start()
        lease: Lease | None = None
        standing_by = False
        while lease is None:
            if await self._catch_up():
                continue
            lease = await patiently(self._clock, lambda: self._journal.acquire(self._holder, LEASE_S))
            if lease is None:
                if not standing_by:
                    standing_by = True
                    log.info("another engine leads; this one stands by", extra={"position": self.state.position})
                await self._snapshot_if_due()
                await self._clock.sleep(ASK_EVERY_S)
        while await self._catch_up():
            pass
        if lease.head != Head(self.state.position, self._hash or lease.head.hash):
            raise _another_log(self.state.position)
        return lease

    async def write_snapshot(self) -> int:
        """One, of what the log says now, for whoever starts next; its position. This is no candidate: it then ends."""
        await self._start()
        await self._save_snapshot()
        return self.state.position

    async def _start(self) -> None:
        with _in_bulk():
            await self._start_from_snapshot()
            while await self._catch_up():
                pass

    async def _start_from_snapshot(self) -> None:
        found = await patiently(self._clock, lambda: self._journal.load_snapshot(FINGERPRINT))
        if found is None:
            return
        position, data = found
        try:
            self.state, self._snapshot_at = load(data), position
        except Malformed:
            log.warning("the snapshot cannot be read; folding the whole log", extra={"position": position})

    async def _catch_up(self) -> bool:
        """Fold what is new, a page at a time; whether there may be more."""
        page = await patiently(self._clock, lambda: self._journal.read(self.state.position, READ_AT_ONCE))
        if page:
            if self._hash is not None and not is_chained(self._hash, page[0]):
                raise _another_log(self.state.position)
            self._hash = page[-1].hash
        self.state.fold(wire.recorded(envelope) for envelope in page)
        return len(page) == READ_AT_ONCE

    async def _snapshot_if_due(self) -> None:
        """Only a follower writes snapshots: writing one takes long."""
        position = self.state.position
        if position >= self._snapshot_at + self._snapshot_every:
            await self._save_snapshot()

    async def _save_snapshot(self) -> None:
        position = self._snapshot_at = self.state.position
        data = dump(self.state)
        await patiently(self._clock, lambda: self._journal.save_snapshot(position, FINGERPRINT, data))


def _another_log(position: int) -> StoreError:
    return StoreError(
        f"the log is not the one that was followed up to event {position}: it was brought back from a copy while this "
        "server ran; start the server again, and it begins with what is there"
    )


@contextmanager
def _in_bulk() -> Iterator[None]:
    """Millions of objects are made and none is thrown away: the collector would look through all of them in vain."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
