"""An execution at this moment, in lines for a terminal: how far its transfers are, and what its command uses."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from scitq.cli.texts import clean, left, middle
from scitq.lib.executions import LIVE
from scitq.lib.progress import drawable, span

EVERY_S: Final = 1.0
BAR: Final = 24
NAME: Final = 40
LEVELS: Final = "▁▂▃▄▅▆▇█"
_UNITS: Final = ("B", "KB", "MB", "GB", "TB", "PB")
WORDS: Final = {"downloading": "fetches", "uploading": "stores", "pulling": "fetches its image"}


def watch(server: Any, execution: int) -> None:
    """In a terminal, drawn anew each second until it has ended; elsewhere, as it is now."""
    found = server.execution_live(execution)
    if not drawable(sys.stdout):
        print("\n".join(lines(found)))
        return
    from rich.live import Live
    from rich.text import Text

    with Live(Text(""), auto_refresh=False) as screen:
        while True:
            screen.update(Text("\n".join(lines(found))), refresh=True)
            if found["status"] not in LIVE:
                return
            time.sleep(EVERY_S)
            found = server.execution_live(execution)


def lines(one: Mapping[str, Any]) -> list[str]:
    """All there is to say of it."""
    said = [f"execution {one['execution_id']} of task {one['task_id']} on worker {one['worker_id']}: {_stands(one)}"]
    if one["transfer"] is not None:
        said += _transfer(one["transfer"])
    if one["curve"]:
        said += _curve(one["curve"], "now" if one["status"] in LIVE else "at its end")
    elif one["status"] not in LIVE:
        said.append("what it used over time was not kept: it was short, or is long past")
    if one["age_s"] is None and one["status"] in LIVE:
        said.append("its worker has not said anything of it yet")
    elif (one["age_s"] or 0.0) > 5:
        said.append(f"its worker said so {span(one['age_s'])} ago")
    return said


def _stands(one: Mapping[str, Any]) -> str:
    return str(one["phase"] if one["status"] in LIVE else one["status"])


def _transfer(one: Mapping[str, Any]) -> Iterator[str]:
    what = WORDS.get(one["what"], one["what"])
    part = f" {one['part']} of {one['parts']}" if one["parts"] > 1 else ""
    files = "" if (one["total_files"] or 1) <= 1 else f", {one['done_files']} of {one['total_files']} files"
    yield f"{what}{part}  {_bar(one['done_bytes'], one['total_bytes'])}{_pace(one)}{files}"
    for file in one["files"]:
        name = left(middle(clean(file["name"]), NAME), NAME)
        yield f"  {name}  {_bar(file['done_bytes'], file['total_bytes'])}"


def _pace(one: Mapping[str, Any]) -> str:
    rate, total = one["rate"], one["total_bytes"]
    if not rate:
        return ""
    left_s = None if total is None else max(total - one["done_bytes"], 0) / rate
    return f", {size(rate)}/s" + ("" if left_s is None else f", {span(left_s)} left")


def _bar(done: int, total: int | None) -> str:
    if not total:
        return size(done)
    full = min(BAR * done // total, BAR)
    return f"[{'#' * full}{'-' * (BAR - full)}] {size(done)} of {size(total)}"


def _curve(points: Sequence[Mapping[str, Any]], then: str) -> Iterator[str]:
    last, memory = points[-1], [point["memory_bytes"] for point in points]
    cores = rates(points)
    yield f"memory  {spark(memory)}  {size(memory[-1])} {then}, at most {size(max(memory))}"
    yield f"cores   {spark(cores)}  {cores[-1]:.1f} {then}, {last['cpu_s']:,.1f} s of CPU in {span(last['at_s'])}"
    yield f"disk    {size(last['read_bytes'])} read, {size(last['written_bytes'])} written"


def rates(points: Sequence[Mapping[str, Any]]) -> list[float]:
    """How many cores were busy before each point."""
    found, at_s, cpu_s = [], 0.0, 0.0
    for point in points:
        passed = max(point["at_s"] - at_s, 1e-9)
        found.append(max(point["cpu_s"] - cpu_s, 0.0) / passed)
        at_s, cpu_s = point["at_s"], point["cpu_s"]
    return found


def spark(values: Sequence[float], width: int = 40) -> str:
    """A curve in one line: each sign is the highest of what it stands for."""
    most, count = max(values) or 1.0, len(values)
    parts = min(width, count)
    peaks = [max(values[at * count // parts : (at + 1) * count // parts]) for at in range(parts)]
    return "".join(LEVELS[min(int(peak / most * (len(LEVELS) - 1) + 0.5), len(LEVELS) - 1)] for peak in peaks)


def size(count: float) -> str:
    """Bytes, in powers of 1024 as memory is counted."""
    unit = 0
    while count >= 1024 and unit < len(_UNITS) - 1:
        count, unit = count / 1024, unit + 1
    return f"{count:,.0f} {_UNITS[unit]}" if unit == 0 or count >= 100 else f"{count:,.1f} {_UNITS[unit]}"
