"""How answers look in a notebook: tables, cards, and bars of batches. Whatever comes from outside stays text.

Styles are written at each element and take the notebook's own colours for text, so that they fit a dark theme too.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from html import escape
from typing import Any, Final

MOST_ROWS: Final = 50
MOST_CHARS: Final = 120
COLOURS: Final = {
    "succeeded": "#2e9e5b",
    "running": "#2f7fd1",
    "accepted": "#6aa9e0",
    "assigned": "#9cc4e8",
    "pending": "#c9a227",
    "waiting": "#b7b09a",
    "paused": "#8b8b8b",
    "stopped": "#8b8b8b",
    "failed": "#d0453a",
    "deleted": "#777777",
    "offline": "#d0453a",
    "lost": "#d0453a",
}
"""Of statuses, in the order in which a bar shows them."""
COLUMNS: Final[Mapping[str, tuple[str, ...]]] = {
    "Task": ("task_id", "name", "status", "batch", "command", "attempts", "worker_id", "status_date"),
    "Execution": ("execution_id", "task_id", "worker_id", "status", "return_code", "command", "modification_date"),
    "Worker": ("worker_id", "name", "status", "concurrency", "prefetch", "batch", "running", "succeeded", "failed"),
}
CELL: Final = "text-align:left;vertical-align:top;padding:2px 8px"
CODE: Final = "white-space:pre-wrap;overflow-wrap:anywhere;margin:0;font-family:monospace"


def table(kind: str, rows: Sequence[Mapping[str, Any]]) -> str:
    """The first rows as a table of what matters of their kind, and how many there are beside."""
    if not rows:
        return f"<i>no {_plural(kind)}</i>"
    shown = rows[:MOST_ROWS]
    columns = [name for name in COLUMNS.get(kind, tuple(shown[0])) if any(name in row for row in shown)]
    head = "".join(f'<th style="{CELL}">{_text(name)}</th>' for name in columns)
    body = "".join(f"<tr>{''.join(_cell(name, row.get(name)) for name in columns)}</tr>" for row in shown)
    more = f"<div><i>and {len(rows) - len(shown):,} more</i></div>" if len(rows) > len(shown) else ""
    return f"<div><table style='color:inherit'><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{more}</div>"


def card(kind: str, row: Mapping[str, Any]) -> str:
    """One thing: its name and status above, and whatever is known of it."""
    first = f"{kind} {_text(row.get(f'{kind.lower()}_id', row.get('batch', '')))}".strip()
    status = f" {_badge(str(row['status']))}" if row.get("status") else ""
    known = [(name, value) for name, value in row.items() if value not in (None, "", []) and name != "status"]
    rows = "".join(
        f'<tr><th style="{CELL}">{_text(name)}</th>{_cell(name, value, whole=True)}</tr>' for name, value in known
    )
    return f"<div><b>{first}</b>{status}<table style='color:inherit'><tbody>{rows}</tbody></table></div>"


def bars(rows: Sequence[Mapping[str, Any]]) -> str:
    """Each batch with a bar of how its tasks stand."""
    if not rows:
        return "<i>no batches</i>"
    lines = "".join(map(_batch, rows[:MOST_ROWS]))
    more = f"<div><i>and {len(rows) - MOST_ROWS:,} more</i></div>" if len(rows) > MOST_ROWS else ""
    return f"<div><table style='color:inherit'><tbody>{lines}</tbody></table>{more}</div>"


def _batch(row: Mapping[str, Any]) -> str:
    name = f"<b>{_text(row.get('batch'))}</b>" + (" (stopped)" if row.get("stopped") else "")
    counts = _text(", ".join(_counts(row)))
    cells = (name, f"{_text(row.get('tasks'))} tasks", bar(row), counts, _text(row.get("workers")))
    return "<tr>" + "".join(f'<td style="{CELL}">{cell}</td>' for cell in cells) + "</tr>"


def bar(row: Mapping[str, Any]) -> str:
    whole = sum(count for _, count in _standing(row)) or 1
    parts = "".join(
        f'<span title="{count} {status}" style="display:inline-block;height:10px;background:{COLOURS[status]};'
        f'width:{100 * count / whole:.2f}%"></span>'
        for status, count in _standing(row)
    )
    return f'<div style="width:240px;white-space:nowrap;line-height:0;background:#8883">{parts}</div>'


def _standing(row: Mapping[str, Any]) -> Iterable[tuple[str, int]]:
    for status in COLOURS:
        count = row.get(status)
        if isinstance(count, int) and not isinstance(count, bool) and count > 0:
            yield status, count


def _counts(row: Mapping[str, Any]) -> list[str]:
    return [f"{count:,} {status}" for status, count in _standing(row)]


def _cell(name: str, value: Any, whole: bool = False) -> str:
    if name == "status" and value:
        return f'<td style="{CELL}">{_badge(str(value))}</td>'
    if name in ("command", "output", "error"):
        return f'<td style="{CELL}"><pre style="{CODE}">{_text(value, whole)}</pre></td>'
    nowrap = ";white-space:nowrap" if isinstance(value, datetime) else ""
    return f'<td style="{CELL}{nowrap}">{_text(value, whole)}</td>'


def _badge(status: str) -> str:
    colour = COLOURS.get(status, "#777777")
    return f'<span style="border-left:10px solid {colour};padding-left:4px">{_text(status)}</span>'


def _text(value: Any, whole: bool = False) -> str:
    if value is None:
        return ""
    text = f"{value:%Y-%m-%d %H:%M:%S}" if isinstance(value, datetime) else str(value)
    if not whole and len(text) > MOST_CHARS:
        text = text[: MOST_CHARS - 1] + "…"
    return escape(text)


def _plural(kind: str) -> str:
    return {"Batch": "batches"}.get(kind, f"{kind.lower()}s")
