"""What the bus has put aside: seen, kept elsewhere, put back, thrown away. For whoever looks after the server."""

from __future__ import annotations

import asyncio
import base64
import heapq
from collections import OrderedDict
from collections.abc import AsyncGenerator, Iterator
from itertools import islice
from typing import Annotated, Any, Final, Literal

import orjson
from annotated_types import Ge, Le, MaxLen
from pydantic import BeforeValidator, StringConstraints
from starlette.responses import Response
from typing_extensions import TypedDict

from scitq.bus import Parked, Shelf
from scitq.errors import BusUnavailable, Rejected
from scitq.web import forms, shapes
from scitq.web.errors import bad_request, not_found
from scitq.web.routing import Answer, Call, Route, json
from scitq.web.services import Services
from scitq.web.streaming import CutOff, Stream

PORTION: Final = 200
PORTION_BYTES: Final = 4 * 1024 * 1024
MOST_KEPT: Final = 100
MOST_NAMED: Final = 10_000

QueueName = Literal["reports", "commands", "output"]
Key = Annotated[str, StringConstraints(pattern="^[0-9a-f]{16}$")]
Keys = Annotated[list[Key], forms.SEVERAL, MaxLen(MOST_NAMED)]


class ParkedMessage(TypedDict):
    """One of those put aside. `queue` is empty when nobody vouches for whoever sent it."""

    id: str
    queue: str
    reason: str
    date: shapes.Date | None
    size_bytes: int


class WholeMessage(ParkedMessage):
    """`body` is the text of it; what is none is in `body_base64`."""

    headers: dict[str, str]
    body: str | None
    body_base64: str | None


class ParkedList(TypedDict):
    """`count`: how many there are altogether."""

    count: int
    messages: list[ParkedMessage]


class Settled(TypedDict):
    """`messages`: for how many it was done, or would be. `missing`: ids that are not there (any more). `left`: so many
    stay, because the broker did not confirm in time that they are back. `refused`: those that cannot be put back."""

    messages: int
    missing: list[str]
    left: int
    refused: list[str]
    dry_run: bool


class Listed(forms.Form):
    limit: Annotated[int, BeforeValidator(forms.whole), Ge(1), Le(1_000)] = 100
    queue: QueueName | None = None
    newest: forms.Flag = False


class Chosen(forms.Form):
    """Some of them by their ids, or all; with `queue` only those that are from there."""

    ids: Keys | None = None
    all: forms.Flag = False
    queue: QueueName | None = None
    dry_run: forms.Flag = False


def listed(call: Call) -> Response:
    form: Listed = call.form
    with call.services.bus.parked() as shelf:
        found = (_row(one) for one in shelf if form.queue in (None, one.queue))
        pick = heapq.nlargest if form.newest else heapq.nsmallest
        rows = pick(form.limit, found, key=lambda row: (row["date"] or "", row["id"]))
        return json({"count": shelf.count, "messages": rows})


def shown(call: Call) -> Response:
    with call.services.bus.parked() as shelf:
        for one in shelf:
            if one.id == call.path["name"]:
                return json(_whole(one))
    raise not_found(f"there is no message {call.path['name'][:100]!r} among those put aside")


async def exported(call: Call) -> Response:
    """Opened before the answer begins: that somebody else looks is a refusal, and no broken answer."""
    run = call.services.run
    shelf = await run(_open, call.services)
    return Stream(_lines(call, shelf), 200, {}, "application/x-ndjson")


async def _lines(call: Call, shelf: Shelf) -> AsyncGenerator[bytes, None]:
    run, messages = call.services.run, iter(shelf)
    try:
        while portion := await run(_portion, messages):
            yield portion
    except BusUnavailable as error:
        raise CutOff(str(error)) from error
    finally:
        await asyncio.shield(run(shelf.__exit__, None, None, None))


def _open(services: Services) -> Shelf:
    return services.bus.parked().__enter__()


def _portion(messages: Iterator[Parked]) -> bytes:
    found, size = [], 0
    for one in islice(messages, PORTION):
        found.append(orjson.dumps(_whole(one), option=orjson.OPT_APPEND_NEWLINE))
        size += len(found[-1])
        if size > PORTION_BYTES:
            break
    return b"".join(found)


class Settlings:
    """Those that go on: a client that sends its request again waits for the same one, and does nothing twice."""

    def __init__(self, services: Services) -> None:
        self._known: OrderedDict[str, asyncio.Future[Settled]] = OrderedDict()

    async def once(self, call: Call, *, requeue: bool) -> Settled:
        future = self._known.get(call.command_id)
        if future is None:
            future = asyncio.ensure_future(call.services.run(_settle, call.services, call.form, requeue))
            self._known[call.command_id] = future
            while len(self._known) > MOST_KEPT:
                self._known.popitem(last=False)
        try:
            return await asyncio.shield(future)
        except BusUnavailable:
            self._known.pop(call.command_id, None)
            raise

    async def close(self) -> None:
        """They go on to their end in their threads."""


def _settle(services: Services, form: Chosen, requeue: bool) -> Settled:
    wanted = None if form.ids is None else set(form.ids)
    seen: set[str] = set()
    done, refused = 0, list[str]()
    with services.bus.parked() as shelf:
        for one in shelf:
            if (wanted is not None and one.id not in wanted) or form.queue not in (None, one.queue):
                continue
            seen.add(one.id)
            try:
                if requeue and not one.queue:
                    raise Rejected("nobody vouches for whoever sent it")
                if not form.dry_run:
                    (shelf.requeue if requeue else shelf.discard)(one)
                done += 1
            except Rejected:
                refused.append(one.id)
    missing = [] if wanted is None else sorted(wanted - seen)
    return Settled(
        messages=done - shelf.left, missing=missing, left=shelf.left, refused=refused[:MOST_NAMED], dry_run=form.dry_run
    )


async def requeue(call: Call) -> Response:
    return await _settled(call, requeue=True)


async def discard(call: Call) -> Response:
    return await _settled(call, requeue=False)


async def _settled(call: Call, *, requeue: bool) -> Response:
    form: Chosen = call.form
    if (form.ids is None) is not form.all:
        raise bad_request("say which: `ids`, or `all`")
    return json(await call.services.part(Settlings).once(call, requeue=requeue))


def _row(one: Parked) -> ParkedMessage:
    date = shapes.date(one.at) if one.at else None
    return ParkedMessage(id=one.id, queue=one.queue, reason=one.reason, date=date, size_bytes=len(one.body))


def _whole(one: Parked) -> dict[str, Any]:
    text: str | None
    try:
        text = one.body.decode()
    except UnicodeDecodeError:
        text = None
    coded = None if text is not None else base64.b64encode(one.body).decode()
    return {**_row(one), "headers": dict(one.headers), "body": text, "body_base64": coded}


ROUTES = [
    Route(
        "GET", "/bus/parked", "admin", listed, "Messages that were put aside", form=Listed,
        answers={200: Answer("The oldest of them, or the newest", ParkedList)}, example={"newest": True, "limit": 10},
    ),
    Route(
        "GET", "/bus/parked/export", "admin", exported, "All messages put aside, one on each line", form=forms.Nothing,
        answers={200: Answer("All of them, with their bodies", WholeMessage, "application/x-ndjson")},
    ),
    Route(
        "GET", "/bus/parked/{name}", "admin", shown, "One message that was put aside", form=forms.Nothing,
        named="3f1c5e0a9b7d2c48",
        answers={200: Answer("The message", WholeMessage)},
    ),
    Route(
        "POST", "/bus/parked/requeue", "admin", requeue, "Put messages back into their queues", form=Chosen,
        example={"all": True, "queue": "commands"},
        answers={200: Answer("How many", Settled)},
        doc="A message leaves those put aside when its queue has it; what is put aside again meanwhile is not taken.",
    ),
    Route(
        "POST", "/bus/parked/discard", "admin", discard, "Throw messages away that were put aside", form=Chosen,
        example={"all": True, "dry_run": True},
        answers={200: Answer("How many", Settled)},
    ),
]  # fmt: skip
