"""Bars and lines: what they say, how wide they are, and where there is none."""

from __future__ import annotations

import io
import logging
import re
from collections.abc import Callable

import pytest

from scitq.lib import progress
from scitq.lib.progress import Meter, Pace, coloured, counting, span, watching
from tests.services.waiting import eventually


class Terminal(io.StringIO):
    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def surroundings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NO_COLOR", "FORCE_COLOR", "COLUMNS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    for name in ("FIRST_S", "DRAW_S", "LINE_S"):
        monkeypatch.setattr(progress, name, 0.001)


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def meter(total: int | None, out: io.StringIO, clock: Callable[[], float]) -> Meter:
    return Meter(total, out=out, clock=clock)


def test_the_pace_is_that_of_lately_and_falls_when_nothing_ends() -> None:
    pace = Pace(0.0)
    assert pace.rate(5.0) is None and pace.left_s(5.0, 10) is None
    for second in range(1, 201):
        pace.see(second, second * (1 if second <= 100 else 3) - (0 if second <= 100 else 200))
    assert pace.rate(200.0) == pytest.approx(3.0, rel=0.1), "the first hundred seconds are forgotten"
    assert pace.left_s(200.0, 300) == pytest.approx(100, rel=0.1)
    assert (pace.rate(260.0) or 0) < 1.1, "a minute without an end"


def test_the_pace_of_what_takes_long_looks_back_further_than_half_a_minute() -> None:
    pace = Pace(0.0)
    for hour in range(1, 6):
        pace.see(hour * 3_600, hour)
    assert pace.left_s(5 * 3_600, 2) == pytest.approx(2 * 3_600)


def test_what_runs_again_does_not_make_the_pace_negative() -> None:
    pace = Pace(0.0, 10)
    for now, done in ((1.0, 12), (2.0, 8), (3.0, 9)):
        pace.see(now, done)
    assert pace.rate(4.0) == pytest.approx(0.5)


def test_it_never_keeps_more_than_some_samples() -> None:
    pace = Pace(0.0)
    for number in range(1, 5_000):
        pace.see(number / 1_000, number)
    assert len(pace._samples) <= progress.MOST_SAMPLES


def test_a_bar_says_how_far_it_is_and_when_it_will_be_there() -> None:
    clock = Clock()
    shown = meter(3_000, Terminal(), clock)
    statuses = dict.fromkeys(range(3_000), "pending")
    shown.tell(statuses)
    clock.now += 10
    statuses |= dict.fromkeys(range(100), "succeeded") | {100: "failed", 101: "running"}
    text = re.sub(r"\x1b\[\d*m", "", shown.bar(100))
    assert text.endswith("101/3,000 tasks · 3% · 1 failed · 1 running · 10/s · 5 min left") and len(text) <= 100
    assert shown.line() == "101 of 3000 tasks have ended (1 failed, 1 running); 10/s; 5 min left"


@pytest.mark.parametrize("width", range(5, 120, 7))
def test_a_bar_is_no_wider_than_its_terminal(width: int) -> None:
    shown = meter(10, Terminal(), Clock())
    shown.tell({1: "failed", 2: "running", **dict.fromkeys(range(3, 11), "waiting")})
    text = re.sub(r"\x1b\[\d*m", "", shown.bar(width))
    assert len(text) <= max(width, len("1/10 tasks")) and text.lstrip("━─ ").startswith("1/10")


def test_what_had_ended_before_says_nothing_about_the_pace() -> None:
    clock = Clock()
    shown = meter(100, Terminal(), clock)
    shown.tell(dict.fromkeys(range(90), "succeeded") | dict.fromkeys(range(90, 100), "pending"))
    clock.now += 3
    assert shown.bar(80).endswith("90% · 3 s")


def test_a_terminal_keeps_the_last_state_on_a_line_of_its_own() -> None:
    out = Terminal()
    with meter(2, out, Clock()) as shown:
        shown.tell({1: "running", 2: "succeeded"})
        eventually(lambda: "1/2" in out.getvalue(), "it is drawn")
        shown.tell({1: "succeeded", 2: "succeeded"})
    assert re.search(r"\r\x1b\[K[^\n]*2/2 tasks[^\n]*\n$", out.getvalue())


def test_a_terminal_that_goes_away_takes_nothing_else_with_it() -> None:
    class Gone(Terminal):
        def write(self, text: str) -> int:
            super().write(text)
            if "2/2" in text:
                raise OSError(5, "Input/output error")
            return len(text)

    out = Gone()
    with meter(2, out, Clock()) as shown:
        shown.tell({1: "running", 2: "succeeded"})
        eventually(lambda: "1/2" in out.getvalue(), "it is drawn")
        shown.tell({1: "succeeded", 2: "succeeded"})
    assert "2/2" in out.getvalue()


def test_what_is_logged_stands_above_the_bar_unless_logging_is_set_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress.LOG, "propagate", False)  # pytest has set it up
    out = Terminal()
    with meter(2, out, Clock()):
        logging.getLogger("scitq.lib.events").warning("the server is away")
    assert "\r\x1b[Kthe server is away\n" in out.getvalue() and not progress.LOG.hasHandlers()
    monkeypatch.setattr(progress.LOG, "handlers", [logging.NullHandler()])
    with meter(2, out := Terminal(), Clock()):
        logging.getLogger("scitq.lib.events").warning("the server is away")
    assert "away" not in out.getvalue()


def test_ctrl_c_leaves_a_clean_line_and_says_what_becomes_of_the_tasks(monkeypatch: pytest.MonkeyPatch) -> None:
    out = Terminal()
    monkeypatch.setattr("sys.stderr", out)
    with pytest.raises(KeyboardInterrupt) as caught, watching(None, 2) as tell:
        assert tell is not None
        tell({1: "running", 2: "succeeded"})
        eventually(lambda: "1/2" in out.getvalue(), "it is drawn")
        raise KeyboardInterrupt
    assert out.getvalue().endswith("\n") and "go on" in caught.value.__notes__[0]


def test_without_a_terminal_there_are_lines_only_where_they_are_wished_for(monkeypatch: pytest.MonkeyPatch) -> None:
    out = io.StringIO()
    monkeypatch.setattr("sys.stderr", out)
    for wish in (None, False):
        with counting(wish, 5) as tell:
            if tell is not None:
                tell(5)
    assert out.getvalue() == ""
    with counting(True, 5) as tell:
        assert tell is not None
        tell(3)
        eventually(lambda: "3 of 5 tasks have been queued" in out.getvalue(), "a line is written")
    assert "\x1b" not in out.getvalue() and "\r" not in out.getvalue()


def test_what_is_over_at_once_shows_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "FIRST_S", 60.0)
    out = Terminal()
    with meter(2, out, Clock()) as shown:
        shown.tell({1: "succeeded", 2: "succeeded"})
    assert out.getvalue() == ""


def test_a_terminal_that_cannot_draw_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "dumb")
    assert not coloured(Terminal()) and not progress.drawable(Terminal())
    monkeypatch.setenv("TERM", "xterm")
    assert coloured(Terminal()) and not coloured(io.StringIO())
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert coloured(io.StringIO())
    monkeypatch.setenv("NO_COLOR", "1")
    assert not coloured(Terminal()), "it has the last word"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s"), (59.6, "60 s"), (300, "5 min"), (7_800, "2 h 10 min"), (7_200, "2 h"), (273_600, "3 d 4 h")],
)
def test_times_are_told_as_people_tell_them(seconds: float, text: str) -> None:
    assert span(seconds) == text
