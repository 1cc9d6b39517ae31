"""What executions print, as it was printed: whole, in part, its end, or live until the execution has ended.

    GET /executions/7/stdout                 Range: bytes=0-999
    GET /executions/7/stdout?tail=4096&follow=true

It is read from the store piece by piece while it is sent, so that its length costs no memory.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator, Collection, Iterator, Sequence
from contextlib import contextmanager
from time import monotonic, time
from typing import Annotated, Final, NamedTuple

import orjson
from annotated_types import Ge, Le
from pydantic import BaseModel
from starlette.responses import Response

from scitq.bus import Message
from scitq.projections import executions
from scitq.store.tally import Size
from scitq.web import forms
from scitq.web.errors import Refusal, not_found, unavailable
from scitq.web.followed import Bell, Followed, rung
from scitq.web.routing import Answer, Call, Route
from scitq.web.services import Services
from scitq.web.streaming import CutOff, Stream
from scitq.web.views import looking

STDOUT, STDERR = 1, 2
INLINE_BYTES: Final = 1024 * 1024
PIECE_BYTES: Final = 512 * 1024
PIECE_CHARS: Final = 256 * 1024
LATE_S: Final = 10.0
"""For the chunks of an execution that has ended: its end may overtake them, and they may never come."""
UNCOUNTED_S: Final = 1.0
"""The same, for one that ended without saying how much it had printed."""
LOOK_EVERY_S: Final = 2.0
LATE_LOOK_S: Final = 0.5
MOST_AWAITED: Final = 16
"""Of a list, the output of so many executions at most, the newest, is waited for."""
MISSING: Final = "X-Scitq-Missing"
"""So many bytes were printed and have not arrived, or not yet."""
OFFSET: Final = "X-Scitq-Offset"
"""The place of the first byte of the answer in all that was printed."""
MOST_LINES: Final = 100_000
MOST_LINE_BYTES: Final = 16 * 1024 * 1024
"""Looked through for the last lines; where they are longer, they are not whole."""
VIEWS_S, COALESCE_S = 0.2, 0.02
MOST_FOLLOWED: Final = 200
MEDIA: Final = "text/plain; charset=utf-8"
HEADERS: Final = {
    "X-Content-Type-Options": "nosniff",
    "Content-Disposition": "inline",
    "Cache-Control": "no-store",
    "Accept-Ranges": "bytes",
}
_RANGE = re.compile(r"\s*bytes\s*=\s*([0-9]{0,18})\s*-\s*([0-9]{0,18})\s*", re.ASCII)


def inline(services: Services, executions: Sequence[int], chars: int | None) -> dict[tuple[int, int], str]:
    """The ends of outputs, as texts, for a list of executions: the last megabyte of each, or the last characters."""
    most = INLINE_BYTES if chars is None else min(max(chars, 0) * 4, INLINE_BYTES)
    found = services.output().ends(executions, most) if most else {}
    return {key: _text_of_end(data, most, chars) for key, data in found.items()}


def _text_of_end(data: bytes, most: int, chars: int | None) -> str:
    if len(data) == most:  # it may begin in the middle of a character
        data = data[next((at for at, byte in enumerate(data[:4]) if byte & 0xC0 != 0x80), 0) :]
    text = data.decode(errors="replace")
    return text if chars is None else text[max(len(text) - chars, 0) :]


# One stream, as bytes --------------------------------------------------------------------------------------------


class Wanted(forms.Form):
    """Which part. `offset`: from that byte on; `tail`: so many bytes at the end; `lines`: so many lines of what is
    there; `follow`: until the execution ends."""

    tail: Annotated[forms.Int, Ge(0), Le(2**62)] | None = None
    lines: Annotated[forms.Int, Ge(0), Le(MOST_LINES)] | None = None
    offset: Annotated[forms.Int, Ge(0), Le(2**62)] | None = None
    follow: forms.Flag = False


async def stdout(call: Call) -> Response:
    return await _raw(call, STDOUT)


async def stderr(call: Call) -> Response:
    return await _raw(call, STDERR)


async def _raw(call: Call, stream: int) -> Response:
    wanted: Wanted = call.form
    services, id = call.services, call.path["execution_id"]
    standing = await _standing(services, id, (stream,), wait=not wanted.follow)
    there = standing.size.bytes
    start = there - min(wanted.tail, there) if wanted.tail is not None else min(wanted.offset or 0, there)
    if wanted.lines is not None:
        start = max(start, await services.run(_last_lines, services, id, stream, there, wanted.lines))
    if wanted.follow:
        watch = services.part(OutputWatch)
        if watch.listeners >= MOST_FOLLOWED:
            raise unavailable(f"{MOST_FOLLOWED} outputs are followed already")
        start = max(start, wanted.offset or 0)  # what has that offset may not be there yet
        sent = _followed(services, watch, id, stream, start)
        return Stream(sent, 200, HEADERS | {OFFSET: str(start)}, MEDIA)
    status, end, headers = 200, there, HEADERS | {OFFSET: str(start)} | _told(standing)
    header = call.request.headers.get("range")
    # What If-Range names we never gave out: then the whole is sent.
    whole = wanted.tail is None and wanted.lines is None and wanted.offset is None
    if header is not None and whole and "if-range" not in call.request.headers:
        part = _part(header, there)
        if part is not None:
            status, (start, end) = 206, part
            headers[OFFSET] = str(start)
            headers["Content-Range"] = f"bytes {start}-{end - 1}/{there}"
    headers["Content-Length"] = str(end - start)
    return Stream(_pieces(services, id, stream, start, end), status, headers, MEDIA)


def _part(header: str, there: int) -> tuple[int, int] | None:
    """The first byte and the one behind the last; None where the header says nothing: then the whole is sent."""
    found = _RANGE.fullmatch(header)
    if found is None or not (found[1] or found[2]):
        return None
    if not found[1]:
        start, end = max(there - int(found[2]), 0), there
    else:
        start, end = int(found[1]), min(int(found[2] or there) + 1, there)
        if found[2] and int(found[2]) < start:
            return None
    if start >= end:
        headers = {"Content-Range": f"bytes */{there}", "Accept-Ranges": "bytes"}
        raise Refusal(416, f"the output has {there} bytes", headers=headers)
    return start, end


async def _pieces(services: Services, id: int, stream: int, start: int, end: int) -> AsyncGenerator[bytes, None]:
    while start < end:
        data = await services.run(_read, services, id, stream, start, min(PIECE_BYTES, end - start))
        if not data:
            raise CutOff(f"the output of execution {id} was deleted")
        yield data
        start += len(data)


class Standing(NamedTuple):
    """Where an output is. `total`: how much there will be; None until that is known."""

    known: bool
    ended: bool
    total: int | None
    size: Size

    @property
    def is_complete(self) -> bool:
        return self.ended and self.total is not None and self.size.seen >= self.total

    @property
    def missing(self) -> int:
        """So much was printed by what has ended, and is not there."""
        return max(self.total - self.size.seen, 0) if self.ended and self.total is not None else 0


async def _standing(services: Services, id: int, streams: Sequence[int], *, wait: bool = True) -> Standing:
    """Where the first of these streams is; of what ended a moment ago, when what all of them still miss has come."""
    found = [await services.run(_look, services, id, stream) for stream in streams]
    if not found[0].known:
        raise not_found(f"there is no execution {id}")
    if wait and any(one.missing for one in found):
        await arrived(services, [id])
        return await services.run(_look, services, id, streams[0])
    return found[0]


def _told(*standings: Standing) -> dict[str, str]:
    """Whoever reads now is told if that is not all."""
    missing = sum(one.missing for one in standings)
    return {MISSING: str(missing)} if missing else {}


async def arrived(services: Services, ids: Collection[int] | None = None, tasks: Collection[int] | None = None) -> None:
    """Wait for what those of these executions that ended a moment ago had printed: an end may overtake it. Not longer
    than it can be expected to come, and not at all for what ended long ago."""
    watch, until = services.part(OutputWatch), monotonic() + LATE_S
    while late := await services.run(_late, services, ids, tasks):
        with watch.listening(late[0]) as bell:
            ring, late = bell.ring, await services.run(_late, services, late, None)
            left_s = until - monotonic()
            if watch.ended or left_s <= 0:
                return
            if late:
                await rung(ring, min(left_s, LATE_LOOK_S))


def _late(services: Services, ids: Collection[int] | None, tasks: Collection[int] | None) -> list[int]:
    """Those that ended a moment ago, and whose output is not all there."""
    since = (time() - LATE_S) * 1_000_000
    with looking(services.views) as (connection, _):
        found = [one.execution for one in executions.page(
            connection, ids=ids, tasks=tasks, limit=MOST_AWAITED, newest_first=True
        )]  # fmt: skip
    return [
        row.id
        for row in found
        if row.ended_at is not None
        and row.ended_at > since
        and any(
            total is not None and services.output().size(row.id, stream).seen < total
            for stream, total in ((STDOUT, row.stdout_bytes), (STDERR, row.stderr_bytes))
        )
    ]


def _look(services: Services, id: int, stream: int) -> Standing:
    """The execution first: what it had printed when it was seen to have ended, is then seen as well."""
    with looking(services.views) as (connection, _):
        found = executions.page(connection, ids=[id], limit=1)
    size = services.output().size(id, stream)
    if not found:
        return Standing(False, True, None, size)
    row = found[0].execution
    return Standing(True, row.ended_at is not None, row.stdout_bytes if stream == STDOUT else row.stderr_bytes, size)


def _read(services: Services, id: int, stream: int, start: int, length: int) -> bytes:
    return services.output().read(id, stream, start, length)


def _last_lines(services: Services, id: int, stream: int, end: int, lines: int) -> int:
    """Where the last so many lines begin; the last one may have no end yet."""
    start, left = end, lines
    while start > max(end - MOST_LINE_BYTES, 0):
        begin = max(start - PIECE_BYTES, end - MOST_LINE_BYTES, 0)
        data = _read(services, id, stream, begin, start - begin)
        at = len(data) - 1 if start == end and data.endswith(b"\n") else len(data)
        if lines == 0:
            return end
        while (at := data.rfind(b"\n", 0, at)) >= 0:
            left -= 1
            if left == 0:
                return begin + at + 1
        start = begin
    return start


# Live ------------------------------------------------------------------------------------------------------------


class OutputWatch(Followed):
    """Who waits for the output of which execution."""

    channel = "output"

    def __init__(self, services: Services) -> None:
        self.bells: dict[int, Bell] = {}
        super().__init__(services)

    @property
    def listeners(self) -> int:
        return sum(bell.listeners for bell in self.bells.values())

    @contextmanager
    def listening(self, execution: int) -> Iterator[Bell]:
        bell = self.bells.setdefault(execution, Bell())
        try:
            with bell.listening():
                yield bell
        finally:
            if not bell.listeners:
                del self.bells[execution]

    def take(self, messages: Sequence[Message]) -> None:
        if not self.bells:
            return
        for message in messages:
            for execution, _, _ in orjson.loads(message.body):
                if (bell := self.bells.get(execution)) is not None:
                    bell.strike()

    def wake_all(self) -> None:
        for bell in self.bells.values():
            bell.strike()


async def _followed(
    services: Services, watch: OutputWatch, id: int, stream: int, start: int
) -> AsyncGenerator[bytes, None]:
    """All from `start` on, until the execution has ended and all it had printed was sent."""
    ended_at: float | None = None
    yield b""  # the answer begins, whenever its first byte comes
    with watch.listening(id) as bell:
        while not watch.ended:
            ring, views = bell.ring, services.freshness.views
            standing = await services.run(_look, services, id, stream)
            while start < standing.size.bytes:
                data = await services.run(_read, services, id, stream, start, PIECE_BYTES)
                if not data:
                    raise CutOff(f"the output of execution {id} was deleted")
                yield data
                start += len(data)
            if standing.is_complete:
                return
            ended_at = (ended_at or monotonic()) if standing.ended else None
            if ended_at is not None:
                left_s = ended_at + (UNCOUNTED_S if standing.total is None else LATE_S) - monotonic()
                if left_s <= 0:
                    return
                await rung(ring, min(left_s, LOOK_EVERY_S))
            else:
                await _moved(services, ring, views)


async def _moved(services: Services, ring: asyncio.Event, views: int) -> None:
    """Until there is more output, or the views have moved, which may be the end: not more than a few times a second."""
    waits = [asyncio.create_task(ring.wait()), asyncio.create_task(services.freshness.reach(views + 1, LOOK_EVERY_S))]
    try:
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()
    if not await rung(ring, VIEWS_S):
        return
    await asyncio.sleep(COALESCE_S)


# Both streams, as text by characters, as of old --------------------------------------------------------------------


class Part(forms.Form):
    """Whether standard output and error are wanted, and from which character on; the first is 1."""

    output: forms.Flag = True
    error: forms.Flag = True
    output_position: Annotated[forms.Int, Ge(1), Le(2**62)] = 1
    error_position: Annotated[forms.Int, Ge(1), Le(2**62)] = 1


class OldPart(Part):
    """The same, wrapped: that is how the clients of the first scitq ask."""

    data: Part | None = None


class Texts(BaseModel):
    output: str | None
    error: str | None


async def texts(call: Call) -> Response:
    form: OldPart = call.form
    part = form.data or form
    services, id = call.services, call.path["execution_id"]
    wanted = {
        "output": (STDOUT, part.output_position - 1 if part.output else None),
        "error": (STDERR, part.error_position - 1 if part.error else None),
    }
    asked = [stream for stream, start in wanted.values() if start is not None]
    standing = await _standing(services, id, asked or [STDOUT], wait=bool(asked))
    others = [await services.run(_look, services, id, stream) for stream in asked[1:]]
    headers = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"} | _told(standing, *others)
    return Stream(_as_json(services, id, wanted, standing.ended), 200, headers, "application/json")


async def _as_json(
    services: Services, id: int, wanted: dict[str, tuple[int, int | None]], ended: bool
) -> AsyncGenerator[bytes, None]:
    """A JSON object of texts, each written piece by piece."""
    before = b"{"
    for name, (stream, start) in wanted.items():
        yield before + orjson.dumps(name) + (b":null" if start is None else b':"')
        before = b","
        if start is None:
            continue
        end = start + (await services.run(_chars, services, id, stream, start)) + ended
        while start < end:
            text = await services.run(_text, services, id, stream, start, min(PIECE_CHARS, end - start), ended)
            if not text:
                break
            yield orjson.dumps(text)[1:-1]
            start += len(text)
        yield b'"'
    yield b"}"


def _chars(services: Services, id: int, stream: int, start: int) -> int:
    return max(services.output().size(id, stream).chars - start, 0)


def _text(services: Services, id: int, stream: int, start: int, length: int, ended: bool) -> str:
    return services.output().read_chars(id, stream, start, length, ended=ended)


_RAW: Final = {
    200: Answer("The bytes", media=MEDIA),
    206: Answer("The bytes of the range", media=MEDIA),
    416: Answer("The range begins behind the end", media=""),
}
_DOC: Final = (
    "`Range: bytes=` with one range is understood. `tail` gives so many bytes at the end, `lines` so many lines, "
    "`offset` all from that byte on, and with `follow` the answer goes on until the execution has ended. "
    "`X-Scitq-Offset` says which byte is the first. Whoever has followed to the end, and wants to know whether that "
    "was all, asks for the rest without `follow`: `X-Scitq-Missing`."
)
_PART: Final = {"tail": 4_096}

ROUTES = [
    Route("GET", "/executions/{execution_id}/stdout", "read", stdout, "What it printed", Wanted, _RAW, _DOC, _PART),
    Route(
        "GET",
        "/executions/{execution_id}/stderr",
        "read",
        stderr,
        "What it printed as error",
        Wanted,
        _RAW,
        _DOC,
        _PART,
    ),
    Route(
        "GET",
        "/executions/{execution_id}/output",
        "read",
        texts,
        "Both outputs as text, by characters",
        OldPart,
        {200: Answer("What was asked for; null for what was not", Texts)},
        "What is not UTF-8 is replaced. A client that asks again begins behind the characters that it has.",
        {"error": False, "output_position": 1},
    ),
]
