"""How far many things have come, for whoever looks: a bar in a terminal, a line now and then where there is none.

A thread of its own draws it: telling it something costs nothing, and the time goes on while nothing comes.
"""

from __future__ import annotations

import logging
import os
import shutil
import sys
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from threading import Event, Thread
from types import TracebackType
from typing import Final, Self, TextIO

LOG: Final = logging.getLogger("scitq")
DRAW_S: Final = 0.25
LINE_S: Final = 10.0
FIRST_S: Final = 0.5
"""What is over before that has needed no bar."""
WINDOW_S: Final = 30.0
WINDOW_ENDS: Final = 30
"""The rate is that of the last half minute, or of the last 30 ends where those took longer."""
MOST_SAMPLES: Final = 600
BAR_CHARS: Final = 24
ENDED: Final = frozenset({"succeeded", "failed", "deleted"})
MENTIONED: Final = ("failed", "running", "waiting", "paused", "deleted")
RED, GREEN, PLAIN = "\x1b[31m", "\x1b[32m", "\x1b[0m"


def coloured(out: TextIO) -> bool:
    """Whether colours are welcome there: NO_COLOR and FORCE_COLOR are heeded, and a terminal that can do nothing."""
    if os.environ.get("NO_COLOR"):
        return False
    return bool(os.environ.get("FORCE_COLOR")) or drawable(out)


def drawable(out: TextIO) -> bool:
    """A terminal on which a line can be drawn again."""
    return out.isatty() and os.environ.get("TERM", "") not in ("", "dumb")


class Pace:
    """How fast it goes, and how long it will still take, from what happened lately."""

    def __init__(self, now: float, done: int = 0) -> None:
        self._samples: deque[tuple[float, int]] = deque([(now, done)])

    def see(self, now: float, done: int) -> None:
        samples = self._samples
        if done < samples[-1][1]:  # something that had ended begins again
            samples.clear()
        if not samples or done > samples[-1][1]:
            samples.append((now, done))
        while len(samples) > 2 and (self._is_old(now, done) or len(samples) > MOST_SAMPLES):
            samples.popleft()

    def _is_old(self, now: float, done: int) -> bool:
        """The first sample is not needed: the second one reaches far enough back."""
        when, count = self._samples[1]
        return now - when >= WINDOW_S and done - count >= WINDOW_ENDS

    def rate(self, now: float) -> float | None:
        """A second; None while too little is known."""
        (first, count), (_, latest) = self._samples[0], self._samples[-1]
        return (latest - count) / (now - first) if latest > count and now > first else None

    def left_s(self, now: float, left: int) -> float | None:
        rate = self.rate(now)
        return None if rate is None else left / rate


class Meter:
    """Shows how far `total` things have come, from `with` on. `lines`: also where there is no terminal."""

    def __init__(
        self,
        total: int | None,
        *,
        lines: bool = False,
        what: str = "tasks",
        did: str = "ended",
        out: TextIO | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.total, self._what, self._did, self._clock = total, what, did, clock
        self._out = out or sys.stderr
        self._draws = drawable(self._out)
        self._shown = lines or self._draws
        self._ended = Event()
        self._drawn = False
        self._done = 0
        self._statuses: Mapping[int, str] = {}
        self._began = clock()
        self._pace: Pace | None = None
        self._above = _Above(self._out)
        self._thread = Thread(target=self._go_on, name="scitq-progress", daemon=True)

    def tell(self, statuses: Mapping[int, str]) -> None:
        """How each of them stands; the same mapping may change afterwards."""
        if self._pace is None:  # what had ended before anybody looked says nothing about how fast it goes
            self._pace = Pace(self._clock(), sum(status in ENDED for status in statuses.values()))
        self._statuses = statuses

    def count(self, done: int) -> None:
        """So many are done."""
        if self._pace is None:
            self._pace = Pace(self._began)
        self._done = done

    def __enter__(self) -> Self:
        if self._draws and not LOG.hasHandlers():  # what Python would put behind the bar stands above it
            LOG.addHandler(self._above)
        if self._shown:
            self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        LOG.removeHandler(self._above)
        if not self._shown:
            return
        self._ended.set()
        self._thread.join()
        if self._drawn:  # what stays on the screen is how it stood in the end
            self._write(f"\r\x1b[K{self.bar(self._width())}\n" if self._draws else f"{self.line()}\n")

    def _go_on(self) -> None:
        pause = FIRST_S if self._draws else LINE_S
        while not self._ended.wait(pause):
            text = f"\r{self.bar(self._width())}\x1b[K" if self._draws else f"{self.line()}\n"
            self._drawn = self._write(text)
            if not self._drawn:
                return
            pause = DRAW_S if self._draws else LINE_S

    def _write(self, text: str) -> bool:
        try:
            self._out.write(text)
            self._out.flush()
        except (OSError, ValueError):  # the terminal has gone, or was closed: nobody looks any more
            return False
        return True

    def _width(self) -> int:
        try:
            return (
                os.get_terminal_size(self._out.fileno()).columns - 1
            )  # it may have been resized, whatever COLUMNS says
        except (OSError, ValueError):
            return shutil.get_terminal_size().columns - 1

    def line(self) -> str:
        """In words, for a log."""
        counts, done = self._counted()
        text = f"{done}{'' if self.total is None else f' of {self.total}'} {self._what} have {self._did}"
        told = ", ".join(f"{counts[status]} {status}" for status in MENTIONED if counts[status])
        return "; ".join([text + (f" ({told})" if told else ""), *self._times(done)])

    def bar(self, width: int) -> str:
        """One line that is no wider than that; what there is no room for is left out, the bar first."""
        counts, done = self._counted()
        numbers = f"{done:,}" if self.total is None else f"{done:,}/{self.total:,} {self._what}"
        parts = [numbers, *(f"{counts[status]:,} {status}" for status in MENTIONED if counts[status])]
        parts += self._times(done)
        if self.total:
            parts.insert(1, f"{done * 100 // self.total}%")
        while len(parts) > 1 and len(" · ".join(parts)) > width:
            parts.pop()
        text = " · ".join(parts)
        room = min(BAR_CHARS, width - len(text) - 2)
        if self.total and room >= 8:
            filled = done * room // self.total
            bar = "\N{BOX DRAWINGS HEAVY HORIZONTAL}" * filled
            rest = "\N{BOX DRAWINGS LIGHT HORIZONTAL}" * (room - filled)
            if coloured(self._out):
                bar = f"{RED if counts['failed'] else GREEN}{bar}{PLAIN}"
            text = f"{bar}{rest}  {text}"
        encoding = self._out.encoding or "ascii"
        return text.encode(encoding, "replace").decode(encoding)

    def _counted(self) -> tuple[Counter[str], int]:
        counts = Counter(self._statuses.values())
        done = sum(counts[status] for status in ENDED) if self._statuses else self._done
        if self._pace is not None:
            self._pace.see(self._clock(), done)
        return counts, done

    def _times(self, done: int) -> list[str]:
        now = self._clock()
        if self.total is not None and done >= self.total:
            return [f"in {span(now - self._began)}"]
        rate = self._pace.rate(now) if self._pace else None
        if rate is None:
            return [span(now - self._began)]
        told = [f"{rate:,.0f}/s" if rate >= 10 else f"{rate:.1f}/s" if rate >= 1 else f"{rate * 60:.1f}/min"]
        left = self._pace.left_s(now, self.total - done) if self._pace and self.total is not None else None
        return told + ([] if left is None else [f"{span(left)} left"])


class _Above(logging.Handler):
    """A line where a bar was; the bar is drawn again below."""

    def __init__(self, out: TextIO) -> None:
        super().__init__(logging.WARNING)
        self._out = out

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self._out.write(f"\r\x1b[K{self.format(record)}\n")
            self._out.flush()
        except (OSError, ValueError):  # as a handler of Python's own does
            self.handleError(record)


OnStatuses = Callable[[Mapping[int, str]], None]
Wish = OnStatuses | bool | None
"""What is wished to be told: to whom; or True: a bar, or lines; None: a bar in a terminal; False: nothing."""


@contextmanager
def watching(wish: Wish, total: int) -> Iterator[OnStatuses | None]:
    """Whom to tell how tasks stand that are waited for. Ctrl-C says what becomes of them."""
    try:
        if callable(wish) or wish is False:
            yield wish or None
        else:
            with Meter(total, lines=wish is True) as meter:
                yield meter.tell
    except KeyboardInterrupt as error:
        error.add_note("the tasks go on: wait for the same ids again to be told how they end")
        raise


@contextmanager
def counting(wish: Callable[[int], None] | bool | None, total: int | None) -> Iterator[Callable[[int], None] | None]:
    """Whom to tell how many tasks have been created."""
    if callable(wish) or wish is False:
        yield wish or None
    else:
        with Meter(total, lines=wish is True, did="been queued") as meter:
            yield meter.count


def span(seconds: float) -> str:
    """As people say it: 8 s, 5 min, 2 h 10 min, 3 d 4 h."""
    whole = max(0, round(seconds))
    if whole < 100:
        return f"{whole} s"
    minutes = round(whole / 60)
    if minutes < 100:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    days, hours = divmod(round(whole / 3600), 24)
    return f"{days} d {hours} h" if hours else f"{days} d"
