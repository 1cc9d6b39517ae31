"""The event store in memory: what the simulation appends to, under the same contract as the real ones.

One object is the store; every engine of a simulation shares it, as they would share a database. It copies
nothing, draws nothing at random, and knows only the time it is told.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from hashlib import sha256
from operator import attrgetter

from scitq.domain.envelope import Answer, Append, Envelope, Head, Lease
from scitq.errors import LeaseLost, StoreError, VersionConflict
from scitq.store.chain import EMPTY, ERASES, extend


class MemoryJournal:
    """`clock` gives microseconds since 1970, like every time in the log."""

    def __init__(self, clock: Callable[[], int]) -> None:
        self.clock = clock
        self.log: list[Envelope] = []
        self.epoch = 0
        self.holder: str | None = None
        self._renewed_at = 0
        self._head = EMPTY
        self._streams: dict[str, list[int]] = {}  # positions; the index + 1 is the version
        self._answers: dict[str, Answer] = {}
        self._snapshots: list[tuple[int, str, bytes, bytes]] = []

    def acquire(self, holder: str, ttl_s: float) -> Lease | None:
        """Take the lease and a new epoch, unless somebody else renewed it within `ttl_s`."""
        now = self.clock()
        if self.holder not in (None, holder) and abs(now - self._renewed_at) <= ttl_s * 1_000_000:
            return None
        self.holder, self._renewed_at = holder, now
        self.epoch += 1
        return Lease(self.epoch, self._head)

    def renew(self, epoch: int) -> None:
        if epoch != self.epoch or self.holder is None:
            raise LeaseLost(epoch)
        self._renewed_at = self.clock()

    def release(self, epoch: int) -> None:
        """Give the lease back: the next engine that asks gets it at once."""
        if epoch != self.epoch or self.holder is None:
            raise LeaseLost(epoch)
        self.holder = None

    def append(self, a: Append) -> None:
        """All of it or nothing. The same append again is success and changes nothing."""
        if a.epoch != self.epoch or self.holder is None:
            raise LeaseLost(a.epoch)
        if self._is_written(a):
            return
        head = extend(self._head, a.events)
        self._check(a)
        for event in a.events:
            self._streams.setdefault(event.stream, []).append(event.position)
        self.log += a.events
        for answer in a.answers:
            self._answers[answer.id] = answer
        for erasure in a.erasures:
            self.log[erasure.position - 1] = self.log[erasure.position - 1]._replace(payload=None)
        self._head, self._renewed_at = head, self.clock()

    def _is_written(self, a: Append) -> bool:
        if a.events:
            last = a.events[-1]
            return last.position <= len(self.log) and self.log[last.position - 1].hash == last.hash
        return bool(a.answers) and all(self._answers.get(answer.id) == answer for answer in a.answers)

    def _check(self, a: Append) -> None:
        """Refuse before anything is changed: there is no rollback here."""
        ahead: dict[str, int] = {}
        erasers = {event.position for event in a.events if event.type == ERASES}
        for event in a.events:
            stream = event.stream
            version = ahead.get(stream)
            if version is None:
                version = len(self._streams.get(stream, ()))
            if event.version != version + 1:
                raise VersionConflict(f"stream {stream} is at version {version}, not {event.version - 1}")
            ahead[stream] = event.version
            if event.payload is None:
                raise StoreError(f"event {event.position} has no payload to store")
        known: set[str] = set()
        for answer in a.answers:
            if answer.id in self._answers or answer.id in known:
                raise VersionConflict(f"command {answer.id} has been answered before")
            known.add(answer.id)
        for position, by in a.erasures:
            if not (by in erasers or (0 < by <= len(self.log) and self.log[by - 1].type == ERASES)):
                raise StoreError(f"event {by} does not say that a payload is erased")
            if not 0 < position < by:
                raise StoreError(f"event {position} cannot be erased by event {by}")
            erased = self.log[position - 1] if position <= len(self.log) else a.events[position - len(self.log) - 1]
            if erased.type == ERASES:
                raise StoreError(f"event {position} says what was erased, and stays")

    def head(self) -> Head:
        return self._head

    def read(self, after: int, limit: int) -> list[Envelope]:
        return self.log[after : after + limit]

    def read_streams(self, streams: Sequence[str], types: Sequence[str] | None = None) -> list[Envelope]:
        """The events of these streams in position order, perhaps of these types only."""
        log = self.log
        found = [log[position - 1] for stream in set(streams) for position in self._streams.get(stream, ())]
        if types is not None:
            found = [event for event in found if event.type in types]
        found.sort(key=attrgetter("position"))
        return found

    def answers(self, ids: Iterable[str]) -> dict[str, Answer]:
        return {id_: self._answers[id_] for id_ in ids if id_ in self._answers}

    def select(
        self,
        *,
        stream: str | None = None,
        stream_prefix: str | None = None,
        type: str | None = None,
        since: int | None = None,
        until: int | None = None,
        after: int = 0,
        limit: int = 100,
        newest_first: bool = False,
    ) -> list[Envelope]:
        """Events by what they are about; `type` may end in `*`; times are microseconds, `until` excluded."""

        def wanted(event: Envelope) -> bool:
            return (
                (stream is None or event.stream == stream)
                and (stream_prefix is None or event.stream.startswith(stream_prefix))
                and (type is None or event.type == type or (type[-1:] == "*" and event.type.startswith(type[:-1])))
                and (since is None or event.time >= since)
                and (until is None or event.time < until)
            )

        found = [event for event in self.log[after:] if wanted(event)]
        return found[::-1][:limit] if newest_first else found[:limit]

    def save_snapshot(self, position: int, fingerprint: str, data: bytes) -> None:
        """Keeps the two newest."""
        others = [kept for kept in self._snapshots if kept[0] != position]
        kept = [*others, (position, fingerprint, data, sha256(data).digest())]
        self._snapshots = sorted(kept, key=lambda snapshot: snapshot[0])[-2:]

    def newest_snapshot(self, fingerprint: str) -> int:
        return max((position for position, writer, *_ in self._snapshots if writer == fingerprint), default=0)

    def load_snapshot(self, fingerprint: str) -> tuple[int, bytes] | None:
        """The newest that this code wrote and that is whole; None means: fold from the beginning."""
        for position, writer, data, digest in reversed(self._snapshots):
            if writer == fingerprint and position <= self._head.position and sha256(data).digest() == digest:
                return position, data
        return None

    def close(self) -> None:
        """Nothing is open."""
