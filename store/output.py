"""What executions print: chunks by byte offset, read back by bytes or by characters.

Output is not state: it can be cut, expired and deleted without any event. A chunk may come twice, in pieces of
another size, or behind a gap; what is kept of a stream is always its beginning, without a hole. `append` tells how
far that goes, which is what a sender may forget and where it goes on.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, astuple

import sqlalchemy as sa

from scitq.errors import Malformed
from scitq.store.database import Database
from scitq.store.schema import check_schema, chunks, outputs
from scitq.store.tally import CHUNK_BYTES, Chunk, Size, Stream, Tally, begun, decode

CAP_BYTES = 1024**3
STREAMS = [stream.value for stream in Stream]
BATCH = 16  # chunks read at a time: a megabyte

Key = tuple[int, int]  # execution, stream


def open_output(url: str, *, cap_bytes: int = CAP_BYTES) -> OutputLog:
    """The output log at `sqlite:///file` or `postgresql://…`; both streams of an execution share the cap."""
    log = OutputLog(url, cap_bytes)
    try:
        with log.database.reading() as connection:
            check_schema(connection, "output", url)
    except BaseException:
        log.close()
        raise
    return log


class OutputLog:
    """Belongs to one thread: every thread opens its own."""

    def __init__(self, url: str, cap_bytes: int) -> None:
        self.database = Database(url)
        self._cap = cap_bytes

    def append(self, new: Sequence[Chunk]) -> dict[Key, int]:
        """Keep what is new, in one transaction. Answers how many bytes of each stream have now come without a gap."""
        if not all(chunk.stream in STREAMS for chunk in new):
            raise Malformed(f"the streams of output are {STREAMS}")
        pieces = []
        with self.database.writing() as connection:
            tallies = self._tallies(connection, sorted({chunk.execution for chunk in new}))
            before = {key: astuple(tally) for key, tally in tallies.items()}
            for chunk in new:
                key = chunk.execution, int(chunk.stream)
                kept = sum(tallies[chunk.execution, stream].size for stream in STREAMS)
                pieces += [(*key, *piece) for piece in tallies[key].take(chunk, self._cap - kept)]
            if pieces:
                self.database.dialect.insert(connection, chunks, [column.name for column in chunks.c], pieces)
            for key, tally in tallies.items():
                if astuple(tally) != before[key]:
                    this = outputs.c.execution == key[0], outputs.c.stream == key[1]
                    connection.execute(outputs.update().where(*this).values(asdict(tally)))
        return {(chunk.execution, chunk.stream): tallies[chunk.execution, chunk.stream].seen for chunk in new}

    def _tallies(self, connection: sa.Connection, executions: list[int]) -> dict[Key, Tally]:
        """How far each stream is. The rows stay locked to the end, so that two recorders take turns."""
        wanted = [(execution, stream) for execution in executions for stream in STREAMS]
        found: dict[Key, Tally] = {}
        self._lock(connection, executions, found)
        if missing := [key for key in wanted if key not in found]:
            fresh = [{"execution": key[0], "stream": key[1], **asdict(Tally())} for key in missing]
            connection.execute(self.database.dialect.add(outputs), fresh)
            self._lock(connection, executions, found)
        return found

    def _lock(self, connection: sa.Connection, executions: list[int], found: dict[Key, Tally]) -> None:
        rows = sa.select(outputs).order_by(outputs.c.execution, outputs.c.stream).with_for_update()
        for part in self.database.dialect.any_of(outputs.c.execution, executions):
            for execution, stream, seen, size, chars, pending, cut in connection.execute(rows.where(part)):
                found[execution, stream] = Tally(seen, size, chars, bytes(pending), cut)

    def size(self, execution: int, stream: int) -> Size:
        column = outputs.c
        wanted = sa.select(column.size, column.chars, column.seen, column.cut)
        wanted = wanted.where(column.execution == execution, column.stream == stream)
        with self.database.reading() as connection:
            row = connection.execute(wanted).one_or_none()
        return Size(0, 0, 0, False) if row is None else Size(*row)

    def read(self, execution: int, stream: int, start: int, length: int) -> bytes:
        """The bytes from `start` on, as many as there are of `length`."""
        if length <= 0:
            return b""
        first = max(start - CHUNK_BYTES, 0)  # no chunk is longer: the one that holds `start` begins behind this
        parts = []
        for offset, _, data in self._chunks(execution, stream, first, start + length):
            parts.append(data[max(start - offset, 0) : start + length - offset])
        return b"".join(parts)

    def tail(self, execution: int, stream: int, length: int) -> bytes:
        """The last bytes."""
        start = max(self.size(execution, stream).bytes - length, 0)
        return self.read(execution, stream, start, length)

    def ends(self, executions: Sequence[int], most: int) -> dict[Key, bytes]:
        """The last bytes of both streams of each of these, where there are any; what is short is read all at once."""
        column, found = outputs.c, dict[Key, bytes]()
        wanted = sa.select(column.execution, column.stream, column.size).where(column.size > 0)
        with self.database.reading() as connection:
            parts = self.database.dialect.any_of(column.execution, executions)
            sizes = {(row[0], row[1]): row[2] for part in parts for row in connection.execute(wanted.where(part))}
        long = {execution for (execution, _), size in sizes.items() if size > min(most, CHUNK_BYTES)}
        short = sorted({execution for execution, _ in sizes} - long)
        pieces = sa.select(chunks.c.execution, chunks.c.stream, chunks.c.data)
        pieces = pieces.where(chunks.c.stream.in_(STREAMS)).order_by(
            chunks.c.execution, chunks.c.stream, chunks.c.offset
        )
        with self.database.reading() as connection:
            for part in self.database.dialect.any_of(chunks.c.execution, short) if short else ():
                for execution, stream, data in connection.execute(pieces.where(part)):
                    found[execution, stream] = found.get((execution, stream), b"") + bytes(data)
        for (execution, stream), size in sizes.items():
            if execution in long:
                found[execution, stream] = self.read(execution, stream, max(size - most, 0), most)
        return {key: data[max(len(data) - most, 0) :] for key, data in found.items()}

    def read_chars(self, execution: int, stream: int, start: int, length: int, *, ended: bool = False) -> str:
        """The characters from the 0-based `start` on, as many as there are of `length`.

        A character whose last bytes have not come is left for later, unless the stream has `ended`.
        """
        column = chunks.c
        holding = (
            sa.select(column.offset, column.chars_before)
            .where(column.execution == execution, column.stream == stream, column.chars_before <= start)
            .order_by(column.chars_before.desc(), column.offset.desc())
            .limit(1)
        )
        with self.database.reading() as connection:
            row = connection.execute(holding).one_or_none()
        if row is None or length <= 0:
            return ""
        offset, before = row
        pending = begun(self.read(execution, stream, max(offset - 3, 0), min(offset, 3)))
        wanted, text = start - before + length, ""
        for _, _, data in self._chunks(execution, stream, offset):
            more, pending = decode(pending, data)
            text += more
            if len(text) >= wanted:
                break
        else:
            if ended:
                text += decode(pending, b"", final=True)[0]
        return text[start - before : wanted]

    def _chunks(
        self, execution: int, stream: int, first: int, end: int | None = None
    ) -> Iterator[tuple[int, int, bytes]]:
        """The chunks that begin in a range, a few at a time."""
        column = chunks.c
        wanted = sa.select(column.offset, column.chars_before, column.data).order_by(column.offset).limit(BATCH)
        wanted = wanted.where(column.execution == execution, column.stream == stream)
        if end is not None:
            wanted = wanted.where(column.offset < end)
        while True:
            with self.database.reading() as connection:
                rows = connection.execute(wanted.where(column.offset >= first)).all()
            for offset, before, data in rows:
                yield offset, before, bytes(data)
            if len(rows) < BATCH:
                return
            first = rows[-1].offset + 1

    def delete(self, executions: Sequence[int]) -> None:
        """Forget all output of these."""
        ids = list(executions)
        with self.database.writing() as connection:
            for table in (chunks, outputs):
                for part in self.database.dialect.any_of(table.c.execution, ids):
                    connection.execute(table.delete().where(part))

    def close(self) -> None:
        self.database.close()
