"""Events for people: as a table, as lines; and times as people write them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
from rich.console import Console
from rich.table import Table
from rich.text import Text

from scitq.cli.terminal import paged
from scitq.cli.texts import clean
from scitq.domain.envelope import Envelope
from scitq.domain.event_json import iso
from scitq.errors import Malformed

ERASED = "(erased)"
HEADINGS = ("position", "time", "stream", "type", "actor", "what")
UNITS_S = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}
SUMMARY_CHARS = 160


def moment(text: str, now: datetime) -> int:
    """`2h` ago, or an ISO date and time (UTC unless it says otherwise), as microseconds since 1970."""
    ago = re.fullmatch(r"(\d+(?:\.\d+)?)([smhdw])", text)
    try:
        then = now - timedelta(seconds=float(ago[1]) * UNITS_S[ago[2]]) if ago else datetime.fromisoformat(text)
    except OverflowError as error:
        raise Malformed(f"{text!r} is before the beginning of all dates") from error
    except ValueError as error:
        raise Malformed(f"{text!r} is neither a date and time (2026-11-20T18:00) nor an age (2h)") from error
    if then.tzinfo is None:
        then = then.replace(tzinfo=UTC)
    return (then - datetime.fromtimestamp(0, UTC)) // timedelta(microseconds=1)


def summary(payload: bytes | None) -> str:
    """The payload in one line: `name=value`, what is empty left out."""
    if payload is None:
        return ERASED
    try:
        return _told(orjson.loads(payload))
    except orjson.JSONDecodeError:
        return f"({len(payload)} bytes)"


def _told(content: Any) -> str:
    if isinstance(content, dict):
        given = {name: value for name, value in content.items() if value not in (None, "", [], {})}
        text = " ".join(f"{name}={_short(value)}" for name, value in given.items())
    else:
        text = _short(content)
    text = clean(text)
    return text if len(text) <= SUMMARY_CHARS else text[: SUMMARY_CHARS - 1] + "\N{HORIZONTAL ELLIPSIS}"


def _short(value: object) -> str:
    return value if isinstance(value, str) else orjson.dumps(value).decode()


def table(events: Iterable[Envelope], console: Console) -> None:
    """For a terminal."""
    grid = Table(box=None, pad_edge=False, header_style="bold")
    for heading in HEADINGS:
        grid.add_column(
            heading, justify="right" if heading == "position" else "left", no_wrap=True, overflow="ellipsis"
        )
    for event in events:
        cells = row(event)
        grid.add_row(*(Text(cell, style="dim" if cell == ERASED else "") for cell in cells))
    with console.capture() as captured:
        console.print(grid)
    paged(captured.get(), console.height)


def row_of(event: Mapping[str, Any]) -> list[str]:
    """The same, of an event as a server tells it."""
    cells = [clean(str(event[name])) for name in HEADINGS[:-1]]
    return [*cells, ERASED if event["erased"] else _told(event["payload"])]


def row(event: Envelope) -> list[str]:
    cells = [str(event.position), iso(event.time), event.stream, event.type, event.actor]
    return [clean(cell) for cell in cells] + [summary(event.payload)]
