"""The log on disk: who may append, appending, and reading back.

There is one writer at a time, elected by the row in `lease`, which also says where the log ends. Every append
begins by moving that row on, under the epoch and from the head it expects: so nobody deposed can commit, nothing
is written twice or with a gap, and position order is commit order.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from typing import Any

import sqlalchemy as sa

from scitq.domain.envelope import Answer, Append, Envelope, Head, Lease
from scitq.errors import Corrupt, LeaseLost, StoreError, StoreUnavailable, VersionConflict
from scitq.store import queries, snapshots
from scitq.store.chain import extend
from scitq.store.database import Database
from scitq.store.schema import answers, check_schema, events, lease, payloads

EVENT_COLUMNS = [column.name for column in events.c]
ANSWER_COLUMNS = [column.name for column in answers.c]
PAGE = 5_000

APPEND_POINTS = (
    "before begin", "after begin", "after lease", "after events", "after payloads", "after answers", "after erasures",
    "before commit", "after commit",
)  # fmt: skip
"""Where an append can be cut: `tests/contract/test_crash_points.py` cuts at each of them."""

ERASE = (
    payloads.update()
    .where(payloads.c.position == sa.bindparam("erased"), payloads.c.data.is_not(None))
    .values(data=None, erased_by=sa.bindparam("by"))
)

ADVANCE = (
    lease.update()
    .where(
        lease.c.epoch == sa.bindparam("held_epoch"),
        lease.c.holder.is_not(None),
        lease.c.position == sa.bindparam("old_position"),
        lease.c.hash == sa.bindparam("old_hash"),
    )
    .values(position=sa.bindparam("new_position"), hash=sa.bindparam("new_hash"))
)
"""Made once: it begins every append, and making it took as long as running it."""


def wall_clock() -> int:
    return time.time_ns() // 1000


def open_journal(url: str, *, clock: Callable[[], int] = wall_clock) -> Journal:
    """The log at `sqlite:///file` or `postgresql://…`; refuses a database whose schema is not this release's.

    `clock` gives microseconds since 1970 and serves the lease of a SQLite file; PostgreSQL has its own clock.
    """
    journal = Journal(url, clock)
    try:
        with journal.database.reading() as connection:
            check_schema(connection, "journal", url)
    except BaseException:
        journal.close()
        raise
    return journal


class Journal:
    """Belongs to one thread: every thread opens its own."""

    def __init__(self, url: str, clock: Callable[[], int]) -> None:
        self.database = Database(url)
        self._clock = clock
        self._head: Head | None = None  # as we left it; the database compares before it believes
        now = self.database.dialect.now
        self._move_on = ADVANCE.values(renewed_at=sa.bindparam("now", type_=sa.BigInteger) if now is None else now)

    # --- the lease ---------------------------------------------------------------------------------------------

    def acquire(self, holder: str, ttl_s: float) -> Lease | None:
        """Take the lease and a new epoch, unless somebody else renewed it within `ttl_s`.

        A renewal in the future counts as old once it is as far away: a clock that was set back must not keep
        everybody out.
        """
        now, row = self._now(), lease.c
        since = sa.func.abs(now - row.renewed_at)
        free = sa.or_(row.holder.is_(None), row.holder == holder, since > int(ttl_s * 1_000_000))
        take = lease.update().where(free).values(holder=holder, epoch=row.epoch + 1, renewed_at=now)
        try:
            with self.database.writing() as connection:
                taken = connection.execute(take.returning(row.epoch, row.position, row.hash)).one_or_none()
        except StoreUnavailable:
            # Perhaps because a frozen leader holds the row, which is waited for only once its lease is old.
            with suppress(StoreUnavailable), self.database.reading() as connection:
                self.database.dialect.end_silent(connection, ttl_s)
            raise
        if taken is None:
            return None
        self._head = Head(taken.position, bytes(taken.hash))
        return Lease(taken.epoch, self._head)

    def renew(self, epoch: int) -> None:
        with self.database.writing() as connection:
            self._hold(connection, epoch, renewed_at=self._now())

    def release(self, epoch: int) -> None:
        """Give the lease back: the next engine that asks gets it at once."""
        with self.database.writing() as connection:
            self._hold(connection, epoch, holder=None)

    def _hold(self, connection: sa.Connection, epoch: int, **values: Any) -> None:
        mine = lease.update().where(lease.c.epoch == epoch, lease.c.holder.is_not(None))
        if connection.execute(mine.values(**values)).rowcount != 1:
            raise LeaseLost(epoch)

    def _now(self) -> sa.ColumnElement[int]:
        now = self.database.dialect.now
        return sa.literal(self._clock(), sa.BigInteger) if now is None else now

    # --- appending ---------------------------------------------------------------------------------------------

    def append(self, a: Append) -> None:
        """All of it or nothing, in one transaction. The same append again is success and changes nothing."""
        try:
            before = self._head or self.head()
            head = extend(before, a.events)
            with self.database.writing() as connection:
                self._write(connection, a, before, head)
            self._head = head
        except VersionConflict:
            self._head = None
            if not self._is_written(a):
                raise

    def _write(self, connection: sa.Connection, a: Append, before: Head, head: Head) -> None:
        insert, points = self.database.dialect.insert, self.database.points
        if not a.events:
            self._hold(connection, a.epoch, renewed_at=self._now())
        elif not self._advance(connection, a.epoch, before, head):
            raise VersionConflict(f"the log does not end at position {before.position} any more")
        points("after lease")
        if a.events:
            insert(connection, events, EVENT_COLUMNS, [event[:12] for event in a.events])
            points("after events")
            insert(connection, payloads, ["position", "data"], [(event.position, event.payload) for event in a.events])
            points("after payloads")
        if a.answers:
            insert(connection, answers, ANSWER_COLUMNS, a.answers)
            points("after answers")
        if a.erasures:
            if any(not 0 < erasure.position < erasure.by <= head.position for erasure in a.erasures):
                raise StoreError("an event can be erased by a later one only")
            connection.execute(ERASE, [{"erased": erasure.position, "by": erasure.by} for erasure in a.erasures])
            points("after erasures")

    def _advance(self, connection: sa.Connection, epoch: int, before: Head, head: Head) -> bool:
        values = {
            "held_epoch": epoch, "old_position": before.position, "old_hash": before.hash,
            "new_position": head.position, "new_hash": head.hash,
        }  # fmt: skip
        if self.database.dialect.now is None:
            values["now"] = self._clock()
        return connection.execute(self._move_on, values).rowcount == 1

    def _is_written(self, a: Append) -> bool:
        """Was exactly this append committed before? Raises LeaseLost if it is not ours to ask any more."""
        with self.database.reading() as connection:
            held = sa.select(lease.c.epoch).where(lease.c.holder.is_not(None))
            if connection.execute(held).scalar() != a.epoch:
                raise LeaseLost(a.epoch)
            if not a.events:
                known = self.answers([answer.id for answer in a.answers])
                return bool(a.answers) and all(known.get(answer.id) == answer for answer in a.answers)
            last = a.events[-1]
            stored = sa.select(events.c.hash).where(events.c.position == last.position)
            return connection.execute(stored).scalar() == last.hash

    # --- reading -----------------------------------------------------------------------------------------------

    def head(self) -> Head:
        with self.database.reading() as connection:
            row = connection.execute(sa.select(lease.c.position, lease.c.hash)).one()
        return Head(row.position, bytes(row.hash))

    def read(self, after: int, limit: int) -> list[Envelope]:
        with self.database.reading() as connection:
            return queries.page(connection, after, limit)

    def read_streams(self, streams: Sequence[str], types: Sequence[str] | None = None) -> list[Envelope]:
        """The events of these streams in position order, perhaps of these types only."""
        with self.database.reading() as connection:
            return queries.of_streams(connection, self.database.dialect, streams, types)

    def stream(self, after: int = 0) -> Iterator[Envelope]:
        """Everything behind a position, page by page; what the database cannot read is Corrupt, with its place."""
        size = PAGE
        while True:
            try:
                found = self.read(after, size)
            except StoreError as error:
                if type(error) is not StoreError:
                    raise
                if size == 1:
                    raise Corrupt(after + 1, f"the database cannot read it ({error})") from error
                size //= 2  # closing in on the event that cannot be read
                continue
            if not found:
                return
            yield from found
            after = found[-1].position

    def answers(self, ids: Iterable[str]) -> dict[str, Answer]:
        """What these commands were answered, as far as they are known."""
        wanted = list(ids)
        with self.database.reading() as connection:
            parts = self.database.dialect.any_of(answers.c.id, wanted)
            rows = [row for part in parts for row in connection.execute(sa.select(answers).where(part))]
        return {row.id: Answer(row.id, row.first, row.last, bytes(row.answer)) for row in rows}

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
        before: int | None = None,
    ) -> list[Envelope]:
        """Events by what they are about; `type` may end in `*`; times are microseconds, `until` excluded.

        `before`: only what comes before that position.
        """
        statement = queries.chosen(
            stream=stream, stream_prefix=stream_prefix, type=type, since=since, until=until, after=after,
            limit=limit, newest_first=newest_first, before=before,
        )  # fmt: skip
        with self.database.reading() as connection:
            return queries.select(connection, statement)

    # --- snapshots ---------------------------------------------------------------------------------------------

    def save_snapshot(self, position: int, fingerprint: str, data: bytes) -> None:
        """Keeps the two newest."""
        with self.database.writing() as connection:
            snapshots.save(connection, self.database.dialect, position, fingerprint, data)

    def load_snapshot(self, fingerprint: str) -> tuple[int, bytes] | None:
        """The newest that this code wrote and that is whole; None means: fold from the beginning."""
        with self.database.reading() as connection:
            return snapshots.load(connection, fingerprint)

    def newest_snapshot(self, fingerprint: str) -> int:
        """Its position; 0: there is none."""
        with self.database.reading() as connection:
            return snapshots.newest(connection, fingerprint)

    def close(self) -> None:
        self.database.close()
