"""How `scitq-manage watch` looks, and what its keys do: a picture and a size make lines, nothing else is known here."""

from __future__ import annotations

from datetime import UTC, datetime
from textwrap import wrap
from typing import Any, Final

from rich.console import Group
from rich.text import Text

from scitq.cli.tables import STYLES
from scitq.cli.texts import clean, left, middle
from scitq.cli.watch_eyes import Picture, Row, Wish, done
from scitq.lib.progress import span

BAR: Final = 16
HELP: Final = (
    "up, down, j, k    choose a batch, or go through its tasks",
    "enter             the tasks of the batch; esc, enter: back",
    "p                 start nothing more of the batch, or let it go on; what runs goes on",
    "/                 only what has these letters in it; esc: all again",
    "q                 leave; nothing ends with it",
    "?                 this",
)


class Screen:
    """What is chosen, typed and shown."""

    def __init__(self, url: str) -> None:
        self._url = url
        self.ended = False
        self.batch: str | None = None  # whose tasks are shown
        self._chosen = 0
        self._top = 0  # of the tasks
        self._filter = ""
        self._typing = self._helping = False

    # Keys -------------------------------------------------------------------------------------------------------

    def pressed(self, key: str, picture: Picture) -> Wish | None:
        """A key; what is to be done about it."""
        if self._helping:
            self._helping = False
            return None
        if self._typing:
            self._type(key)
            return None
        rows = self._batches(picture)
        steps = {"up": -1, "down": 1, "page up": -10, "page down": 10}
        if key in steps and self.batch is not None:
            self._top = max(0, min(self._top + steps[key], len(self._tasks(picture)) - 1))
        elif key in steps:
            self._chosen = max(0, min(self._chosen + steps[key], len(rows) - 1))
        elif key == "q":
            self.ended = True
        elif key == "?":
            self._helping = True
        elif key == "/":
            self._typing, self._filter = True, ""
        elif key == "back" and self._filter:
            self._filter = ""
        elif key in ("back", "enter") and self.batch is not None:
            self.batch, self._filter = None, ""
        elif rows and key == "enter":
            self.batch, self._top, self._filter = str(rows[self._at(rows)]["batch"]), 0, ""
        elif rows and key == "p" and self.batch is None:
            chosen = rows[self._at(rows)]
            return Wish("go" if chosen["stopped"] else "stop", str(chosen["batch"]))
        return None

    def _type(self, key: str) -> None:
        if key in ("enter", "back"):
            self._typing = False
            self._filter = self._filter if key == "enter" else ""
        elif key == "erase":
            self._filter = self._filter[:-1]
        elif len(key) == 1 and len(self._filter) < 50:
            self._filter += key
        self._chosen = self._top = 0

    def _at(self, rows: list[Row]) -> int:
        return max(0, min(self._chosen, len(rows) - 1))

    def _batches(self, picture: Picture) -> list[Row]:
        """Those where something is left to do come first."""
        rows = [row for row in picture.batches if self.batch is not None or self._has(row["batch"])]
        return sorted(rows, key=lambda row: (done(row) >= row["tasks"], str(row["batch"])))

    def _tasks(self, picture: Picture) -> list[Row]:
        rows = picture.tasks or () if picture.batch == self.batch else ()
        return [row for row in rows if self._has(row["name"], row["command"], row["status"], row["task_id"])]

    def _has(self, *texts: Any) -> bool:
        return self._filter.lower() in " ".join(str(text) for text in texts if text is not None).lower()

    # Lines ------------------------------------------------------------------------------------------------------

    def drawn(self, picture: Picture, width: int, height: int, now: float) -> Group:
        """So many lines, each so wide."""
        room = max(height - 2, 1)
        if self._helping:
            body = [Text(line) for text in HELP for line in wrap(text, width, subsequent_indent="  ")]
        elif not picture.seen:
            body = [Text("looking…", style="dim")]
        elif self.batch is not None:
            body = self._task_lines(picture, width, room)
        else:
            body = self._overview(picture, width, room, now)
        lines = [self._head(picture, now), *body[:room]]
        lines += [Text("")] * (height - 1 - len(lines))
        lines.append(self._foot(picture))
        for line in lines:
            line.no_wrap = True
            line.truncate(width, overflow="ellipsis")
        return Group(*lines[-height:])

    def _head(self, picture: Picture, now: float) -> Text:
        line = Text("scitq ", style="bold") + Text(clean(self._url.partition("://")[2]), style="not bold")
        if picture.away is not None:
            return line + Text("  reconnecting… ", style="bold red") + Text(clean(picture.away), style="red")
        left = sum(row["tasks"] - done(row) for row in picture.batches)
        line += Text(f"  {left:,} tasks left", style="not bold")
        line += Text(self._times(picture, "", left, now), style="not bold")
        if picture.seen and picture.message != "ready":
            line += Text(f"  {clean(picture.message)}", style="bold red")
        if picture.lag > 1_000:
            line += Text(f"  what is shown is {picture.lag:,} events behind", style="yellow")
        for text in picture.alerts[:1]:
            line += Text(f"  {clean(text)}", style="yellow")
        return line

    def _times(self, picture: Picture, name: str, left: int, now: float) -> str:
        pace = picture.paces.get(name)
        rate = pace.rate(now) if pace is not None and left else None
        if pace is None or rate is None:
            return ""
        per = f"{rate:,.0f}/s" if rate >= 10 else f"{rate:.1f}/s" if rate >= 1 else f"{rate * 60:.1f}/min"
        return f"  {per}  {span(pace.left_s(now, left) or 0)} left"

    def _foot(self, picture: Picture) -> Text:
        if self._typing:
            return Text(f"/{self._filter}_", style="bold")
        keys = "q leave  ? help  / filter  " + (
            "esc back" if self.batch is not None else "up down choose  enter tasks  p pause"
        )
        line = Text(keys, style="dim")
        if self._filter:
            line = Text(f"/{self._filter}  ", style="bold") + line
        return Text(f"{clean(picture.said)}  ", style="bold") + line if picture.said else line

    def _overview(self, picture: Picture, width: int, room: int, now: float) -> list[Text]:
        batches = self._batches(picture)
        sizes = shares(room - 3, (len(batches), len(picture.workers), len(picture.failures)))
        at = self._at(batches)
        first = max(0, min(at - sizes[0] + 1, len(batches) - sizes[0])) if sizes[0] else 0
        lines = [_title(f"BATCHES {len(batches)}", width)]
        for number, row in enumerate(batches[first : first + sizes[0]], first):
            lines.append(self._batch_line(picture, row, width, now, number == at))
        busy = sum(worker["running"] for worker in picture.workers)
        slots = sum(worker["concurrency"] for worker in picture.workers if worker["status"] == "running")
        lines.append(_title(f"WORKERS {len(picture.workers)}, {busy} of {slots} slots busy", width))
        workers = sorted(picture.workers, key=lambda one: (one["status"] != "running", -one["running"], one["name"]))
        lines += [_worker_line(row, width) for row in workers[: sizes[1]]]
        lines.append(_title("NEWEST FAILURES", width))
        return lines + [_failure_line(row, width) for row in picture.failures[: sizes[2]]]

    def _batch_line(self, picture: Picture, row: Row, width: int, now: float, chosen: bool) -> Text:
        ended, total, failed = done(row), int(row["tasks"]), int(row["failed"] or 0)
        bar = BAR if width >= 100 else BAR // 2
        filled = ended * bar // total if total else 0
        line = Text(left(middle(clean(row["batch"]), 20), 21), style="bold")
        line += Text("━" * filled, style="red" if failed else "green") + Text("─" * (bar - filled), style="dim")
        line += Text(f" {f'{ended:,}/{total:,}':>13}", style="not bold")
        if row["stopped"]:
            line += Text("  paused", style="yellow")
        for count, word, style in ((row["running"], "run", "cyan"), (failed, "failed", "red")):
            if count:
                line += Text(f"  {count:,} {word}", style=style)
        if ended < total and not row["workers"] and not row["stopped"]:
            line += Text("  no worker serves it", style="yellow")
        line += Text(self._times(picture, row["batch"], total - ended, now), style="not bold")
        if chosen:
            line.truncate(width, pad=True)
            line.stylize("reverse")
        return line

    def _task_lines(self, picture: Picture, width: int, room: int) -> list[Text]:
        rows = self._tasks(picture)
        name = clean(self.batch or "")
        lines = [_title(f"TASKS OF {name}, the newest first: {len(rows)}", width)]
        if picture.batch != self.batch:
            return [*lines, Text("looking…", style="dim")]
        for row in rows[self._top : self._top + room - 1]:
            line = Text(f"{row['task_id']:>8}  ") + Text(f"{row['status']:<10}", style=STYLES.get(row["status"], ""))
            line += Text(f"{since(row['status_date']):>10}  {left(middle(clean(row['name'] or ''), 16), 17)}")
            lines.append(line + Text(middle(clean(row["command"] or ""), max(width - line.cell_len, 8)), style="dim"))
        return lines


def shares(room: int, wanted: tuple[int, ...]) -> list[int]:
    """How many lines each part gets: what one does not need is for the others, the first one first."""
    given = [0] * len(wanted)
    while sum(given) < min(room, sum(wanted)):
        for number, most in enumerate(wanted):
            if given[number] < most and sum(given) < room:
                given[number] += 1
    return given


def since(at: Any) -> str:
    """How long ago, as people say it."""
    if not isinstance(at, datetime):
        return ""
    return f"{span((datetime.now(UTC).replace(tzinfo=None) - at).total_seconds())} ago"


def _title(text: str, width: int) -> Text:
    return Text(f"{text} ".ljust(width, "─"), style="bold dim")


def _worker_line(row: Row, width: int) -> Text:
    line = Text(left(middle(clean(row["name"]), 20), 21))
    line += Text(f"{row['status']:<9}", style=STYLES.get(row["status"], ""))
    slots = max(int(row["concurrency"]), int(row["running"]))
    shown = min(slots, BAR)
    busy = int(row["running"]) * shown // slots if slots else 0
    line += Text("■" * busy, style="cyan") + Text("□" * (shown - busy), style="dim")
    line += Text(f" {row['running']}/{row['concurrency']}  ")
    if row["load"]:
        line += Text(f"load {clean(str(row['load']))}  ")
    if row["status"] != "running":
        line += Text(f"heard {since(row['last_contact_date'])}  ")
    return line + Text(clean(row["batch"]), style="dim")


def _failure_line(row: Row, width: int) -> Text:
    reason = row["reason"] or (f"return code {row['return_code']}" if row["return_code"] is not None else "")
    line = Text(f"{row['task_id']:>8}  {since(row['ended_date']):>10}  ", style="red")
    line += Text(f"{left(middle(clean(row['task_name'] or row['batch'] or ''), 16), 17)}{clean(reason)}  ")
    return line + Text(middle(clean(row["command"] or ""), max(width - line.cell_len, 8)), style="dim")
