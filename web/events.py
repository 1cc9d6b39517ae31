"""The log over HTTP: as pages of JSON, and live, as server-sent events that go on from any position.

    GET /events?after=41            a page                    Accept: application/json
    GET /events?after=41            from there on, for ever   Accept: text/event-stream

What comes live is read from the store, up to where the last few thousand events take over, which are kept in memory
for all clients together. A client may be as slow as it likes: nothing is kept for it but its position.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import AsyncGenerator, Sequence
from time import monotonic
from typing import Annotated, Any, Final, NamedTuple

import orjson
from annotated_types import Ge, Le
from pydantic import BaseModel, Field
from starlette.responses import Response

from scitq.bus import Message
from scitq.domain.envelope import Envelope, unpack
from scitq.domain.event_json import as_json
from scitq.web import forms
from scitq.web.errors import bad_request, unavailable
from scitq.web.followed import Bell, Followed, rung
from scitq.web.routing import Answer, Call, Route, json
from scitq.web.services import Services
from scitq.web.streaming import Stream

ERASES: Final = "payload-erased"
COMMENT_S: Final = 10.0
MOST_KEPT: Final = 5_000
MOST_KEPT_BYTES: Final = 16 * 1024 * 1024
MOST_AT_ONCE: Final = 200
MOST_CLIENTS: Final = 1_000
PAGE: Final = 100
PAGE_BYTES: Final = 4 * 1024 * 1024
_POSITION = re.compile(r"[0-9]{1,15}")
Position = Annotated[forms.Int, Ge(0), Le(forms.LARGEST_ID)]


class Asked(forms.Form):
    """Which events. `newest`: a page begins with the last one; what is sent live begins with the next one.

    `brief`, live: only up to which position there is something new, for those who then ask for what they show.
    """

    after: Position | None = None
    limit: Annotated[forms.Int, Ge(1), Le(1_000)] = 100
    stream: forms.Word | None = None
    type: forms.Word | None = None
    newest: forms.Flag = False
    brief: forms.Flag = False


class Event(BaseModel):
    """One event. What was erased has no payload, and says so."""

    position: int
    time: str
    stream: str
    version: int
    type: str
    schema_: int = Field(alias="schema")  # pydantic wants that name for itself
    actor: str
    command: int
    cause: int
    payload: Any
    erased: bool
    digest: str
    hash: str
    epoch: int
    mark: dict[str, Any] | None


class Chosen(NamedTuple):
    """Which events: of one stream, of one type (`task-*`: of all that begin so), or all."""

    stream: str | None = None
    type: str | None = None

    def has(self, event: Envelope) -> bool:
        if self.stream is not None and event.stream != self.stream:
            return False
        if self.type is None:
            return True
        return event.type.startswith(self.type[:-1]) if self.type.endswith("*") else event.type == self.type


class Kept:
    """An event in memory, and what is sent of it, made when it is first sent."""

    __slots__ = ("_frame", "envelope", "size")

    def __init__(self, envelope: Envelope) -> None:
        self.envelope, self.size = envelope, len(envelope.header) + len(envelope.payload or b"")
        self._frame: bytes | None = None

    @property
    def frame(self) -> bytes:
        if self._frame is None:
            self._frame = frame(self.envelope)
        return self._frame


def frame(event: Envelope) -> bytes:
    return b"id: %d\ndata: %b\n\n" % (event.position, orjson.dumps(as_json(event)))


def _mark(event: Envelope) -> bytes:
    return b"id: %d\ndata:\n\n" % event.position


class EventFeed(Followed):
    """The newest events without a gap, as they were published, while anybody listens."""

    channel = "events"

    def __init__(self, services: Services) -> None:
        self.bell = Bell()
        self._kept: deque[Kept] = deque()
        self._bytes = 0
        self._before: int | None = None  # the position before the first that is kept
        super().__init__(services)

    def take(self, messages: Sequence[Message]) -> None:
        try:
            for message in messages:
                if self.bell.listeners:
                    self._keep(unpack(message.body))
                else:
                    self._forget(None)
        except BaseException:
            self._forget(None)  # there may be a gap
            raise
        finally:
            self.bell.strike()

    def wake_all(self) -> None:
        self.bell.strike()

    def since(self, position: int, most: int) -> list[Kept] | None:
        """The next of what is kept behind a position; None: that begins before what is kept."""
        if self._before is None or position < self._before:
            return None
        first = position - self._before
        return [self._kept[at] for at in range(first, min(first + most, len(self._kept)))]

    def _keep(self, events: list[Envelope]) -> None:
        for event in events:
            last = None if self._before is None else self._before + len(self._kept)
            if last is not None and event.position <= last:
                continue
            if last is None or event.position != last + 1:
                self._forget(event.position - 1)
            self._kept.append(Kept(event))
            self._bytes += self._kept[-1].size
        if any(event.type == ERASES for event in events):  # what is kept may hold what was just erased
            self._forget(events[-1].position)
        while len(self._kept) > MOST_KEPT or self._bytes > MOST_KEPT_BYTES:
            self._bytes -= self._kept.popleft().size
            self._before = (self._before or 0) + 1

    def _forget(self, before: int | None) -> None:
        self._kept.clear()
        self._bytes, self._before = 0, before


async def live(
    services: Services, feed: EventFeed, position: int, chosen: Chosen, brief: bool = False
) -> AsyncGenerator[bytes, None]:
    """Everything behind a position, in order and without a gap, for ever; a comment where nothing comes for long.

    `brief`: whatever has come, only its last position is told.
    """
    yield b"retry: 1000\n\n"
    sent_at, page = monotonic(), PAGE
    doubted = False  # a notice may have been lost: the store knows
    with feed.bell.listening():
        while not feed.ended:
            ring = feed.bell.ring
            kept = None if doubted else feed.since(position, MOST_AT_ONCE)
            if kept is None:
                events, moved = await services.run(_read, services, position, chosen, page)
                frames = [_mark(events[-1])] if brief and events else [frame(event) for event in events]
                page, doubted = _page_after(frames, page), False
            else:
                found = [one for one in kept if chosen.has(one.envelope)]
                frames = [_mark(found[-1].envelope)] if brief and found else [one.frame for one in found]
                moved = position + len(kept)
            if not frames and moved == position:
                doubted = not await rung(ring, max(sent_at + COMMENT_S - monotonic(), 0))
            if frames or monotonic() >= sent_at + COMMENT_S:
                yield b"".join(frames) or b":\n\n"
                sent_at = monotonic()
            position = moved


def _read(services: Services, after: int, chosen: Chosen, most: int) -> tuple[list[Envelope], int]:
    """A page from the store, and the position up to which there is nothing else."""
    journal = services.journal()
    head = journal.head().position  # first: what is appended in between is not passed over
    if head <= after:
        return [], after
    events = journal.select(stream=chosen.stream, type=chosen.type, after=after, limit=most)
    if len(events) == most:
        return events, events[-1].position
    return events, max(head, events[-1].position if events else 0)


def _page_after(frames: list[bytes], page: int) -> int:
    """How many to read next, so that a page of long ones is not long for long."""
    size = sum(len(one) for one in frames)
    if size > PAGE_BYTES:
        return max(page // 4, 1)
    return min(page * 2, 1_000) if size < PAGE_BYTES // 4 else page


async def events(call: Call) -> Response:
    """One page, or everything from there on."""
    asked: Asked = call.form
    if "text/event-stream" not in call.request.headers.get("accept", ""):
        return await call.services.run(_page, call.services, asked)
    feed = call.services.part(EventFeed)
    if feed.bell.listeners >= MOST_CLIENTS:
        raise unavailable(f"{MOST_CLIENTS} clients follow the events already")
    after = asked.after or 0
    known = call.request.headers.get("last-event-id")
    if known is not None:
        if not _POSITION.fullmatch(known):
            raise bad_request("Last-Event-ID: it is no position")
        after = int(known)
    elif asked.newest:
        after = await call.services.run(_head, call.services)
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    sent = live(call.services, feed, after, Chosen(asked.stream, asked.type), asked.brief)
    return Stream(sent, 200, headers, "text/event-stream")


def _head(services: Services) -> int:
    return services.journal().head().position


def _page(services: Services, asked: Asked) -> Response:
    journal = services.journal()
    head, after = journal.head().position, asked.after or 0
    if asked.newest:
        found = journal.select(
            stream=asked.stream, type=asked.type, after=after, limit=asked.limit, newest_first=True
        )  # fmt: skip
        return json([as_json(event) for event in found], position=head)
    found, bytes_ = [], 0
    while len(found) < asked.limit and bytes_ < PAGE_BYTES:
        most = min(PAGE, asked.limit - len(found))
        more = journal.select(stream=asked.stream, type=asked.type, after=after, limit=most)
        found += more
        if len(more) < most:
            return json([as_json(event) for event in found], position=head)
        after = more[-1].position
        bytes_ += sum(len(event.payload or b"") for event in more)
    return json([as_json(event) for event in found], position=head, X_Next_After=str(after))


ROUTES = [
    Route(
        "GET",
        "/events",
        "read",
        events,
        "What happened: a page of events, or all from a position on as they come",
        form=Asked,
        answers={200: Answer("The events, by position", list[Event])},
        doc="With `Accept: text/event-stream` the answer is a stream of server-sent events that never ends: `id` is "
        "the position, and `Last-Event-ID` goes on behind it. Ten seconds without an event bring a comment.",
        example={"stream": "task-1", "limit": 10},
    )
]
