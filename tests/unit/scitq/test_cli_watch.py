"""The screen of `scitq-manage watch`: every size, every key; and what it does when the server is away."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from rich.cells import cell_len
from rich.text import Text

from scitq.cli.tables import show
from scitq.cli.texts import cells, middle
from scitq.cli.watch import keys
from scitq.cli.watch_eyes import Eyes, Picture, Wish
from scitq.cli.watch_screen import Screen, shares
from scitq.errors import Unreachable
from scitq.lib.progress import Pace

NOW = datetime.now(UTC).replace(tzinfo=None)


def batch(name: str, tasks: int = 10, **more: Any) -> dict[str, Any]:
    counts = dict.fromkeys(("succeeded", "failed", "running"), None)
    return {"batch": name, "tasks": tasks, "workers": "here", "stopped": False, **counts, **more}


def task(id: int, **more: Any) -> dict[str, Any]:
    return {
        "task_id": id,
        "status": "running",
        "name": f"s{id}",
        "command": "run " + "x" * 99,
        "status_date": NOW,
    } | more


WORKER = {
    "name": "here\x1b[2J", "status": "running", "running": 3, "concurrency": 4, "load": None, "batch": "Default",
    "last_contact_date": NOW,
}  # fmt: skip
FAILURE = {
    "task_id": 7, "ended_date": NOW, "task_name": "日本" * 20, "batch": "b", "reason": None, "return_code": 3,
    "command": "make it",
}  # fmt: skip
PICTURE = Picture(
    batches=(
        batch("done", succeeded=10),
        batch("a\x1bb", succeeded=2, failed=1, running=3),
        batch("held", stopped=True),
    ),
    workers=(WORKER,) * 30,
    failures=(FAILURE,) * 30,
    message="ready",
    seen=True,
)


def lines(screen: Screen, picture: Picture = PICTURE, width: int = 80, height: int = 24) -> list[str]:
    drawn = screen.drawn(picture, width, height, 10.0).renderables
    assert all(isinstance(line, Text) for line in drawn)
    return [str(line) for line in drawn]


@pytest.mark.parametrize("width", [1, 20, 80, 200])
@pytest.mark.parametrize("height", [1, 2, 5, 24, 90])
@pytest.mark.parametrize("pressed", ["", "?", "/x", "\n"])
def test_it_fits_every_terminal_and_nothing_steers_it(width: int, height: int, pressed: str) -> None:
    screen = Screen("http://127.0.0.1:5000")
    for key in keys(pressed.encode()):
        screen.pressed(key, PICTURE)
    found = lines(screen, PICTURE, width, height)
    assert len(found) == height
    assert all(cell_len(line) <= width and line.isprintable() for line in found)


def test_batches_with_something_left_come_first_and_the_last_lines_are_for_all_parts() -> None:
    found = lines(Screen("http://h:1"))
    assert [line.split()[0] for line in found[2:5]] == ["a\N{REPLACEMENT CHARACTER}b", "held", "done"]
    assert "3/10" in found[2] and "1 failed" in found[2] and "3 run" in found[2] and "paused" in found[3]
    assert sum("3/4" in line for line in found) >= 5 and sum("return code 3" in line for line in found) >= 5


def test_a_batch_that_nobody_serves_is_said_to_be() -> None:
    found = lines(Screen("http://h:1"), Picture(batches=(batch("lonely", workers=None),), seen=True, message="ready"))
    assert "no worker serves it" in found[2]


def test_the_pace_and_the_time_that_is_left_are_told() -> None:
    pace = Pace(0.0)
    pace.see(10.0, 2)
    found = lines(Screen("http://h:1"), Picture(batches=(batch("b"),), paces={"b": pace}, seen=True, message="ready"))
    assert "12.0/min  50 s left" in found[2]


def test_keys_choose_pause_look_into_filter_and_leave() -> None:
    screen = Screen("http://h:1")
    assert screen.pressed("p", PICTURE) == Wish("stop", "a\x1bb")
    screen.pressed("down", PICTURE)
    assert screen.pressed("p", PICTURE) == Wish("go", "held")
    for _ in range(5):
        screen.pressed("down", PICTURE)
    screen.pressed("enter", PICTURE)
    assert lines(screen)[1].startswith("TASKS OF done")
    tasks = Picture(batch="done", tasks=tuple(task(id) for id in range(100, 0, -1)), seen=True, message="ready")
    assert "s100" in lines(screen, tasks)[2]
    screen.pressed("page down", tasks)
    assert "s90" in lines(screen, tasks)[2]
    for key in "/s7\n":
        screen.pressed("enter" if key == "\n" else key, tasks)
    assert [line.split()[0] for line in lines(screen, tasks)[2:5]] == ["79", "78", "77"]
    screen.pressed("back", tasks)
    assert "s100" in lines(screen, tasks)[2], "first all tasks again"
    screen.pressed("back", tasks)
    assert lines(screen)[1].startswith("BATCHES")
    screen.pressed("?", PICTURE)
    assert any("start nothing more" in line for line in lines(screen))
    screen.pressed("q", PICTURE)
    put_away = screen.ended
    screen.pressed("q", PICTURE)
    assert (put_away, screen.ended) == (False, True), "the first one only put the help away"


def test_keys_are_told_apart() -> None:
    data = b"\x1b[Aj\r\x1b[6~\xc3\xa4\xff\x1b[99;5~"
    assert list(keys(data)) == ["up", "down", "enter", "page down", "ä", "back"]
    assert list(keys(b"\x1b")) == ["back"] and list(keys(b"\x00\x07")) == []


@pytest.mark.parametrize("room", range(30))
def test_no_line_is_given_away_or_lost(room: int) -> None:
    given = shares(room, (3, 1, 50))
    assert sum(given) == min(room, 54) and all(one <= most for one, most in zip(given, (3, 1, 50), strict=True))


def test_signs_that_are_two_columns_wide_do_not_push_the_others_aside(capsys: pytest.CaptureFixture[str]) -> None:
    rows = [{"name": name, "status": "failed"} for name in ("S1", "\U0001f9ec 日本", "e\u0301")]
    show(rows, ["name", "status"])
    at = {cells(line.partition("failed")[0]) for line in capsys.readouterr().out.splitlines()[1:]}
    assert at == {9}
    assert middle("日本語日本語", 7) == "日本\N{HORIZONTAL ELLIPSIS}語"
    assert all(cells(middle("日本語abc", most)) <= most for most in range(12))


def test_its_keys_are_told_in_a_narrow_terminal_too() -> None:
    screen = Screen("http://x")
    screen.pressed("?", Picture())
    text = " ".join(str(line) for line in screen.drawn(Picture(), 40, 30, 0.0).renderables)
    assert "nothing ends with it" in " ".join(text.split()) and "all again" in " ".join(text.split())


def test_what_is_too_long_is_cut_in_its_middle() -> None:
    assert middle("gzip -9 sample1.fastq", 12) == "gzip -9\N{HORIZONTAL ELLIPSIS}astq"
    assert all(len(middle("x" * 20, most)) <= most for most in range(25)) and middle("abc", 3) == "abc"


class Away:
    """A server that answers once."""

    position = 7

    def __init__(self) -> None:
        self.left = 1

    def status(self) -> dict[str, Any]:
        if self.left == 0:
            raise Unreachable("nobody answers")
        self.left -= 1
        return {"message": "ready", "alerts": [], "projections": []}

    def batches(self) -> list[dict[str, Any]]:
        return [batch("kept", succeeded=1)]

    def workers(self) -> list[dict[str, Any]]:
        return []

    def executions(self, **filters: Any) -> list[dict[str, Any]]:
        return []


def test_while_the_server_is_away_what_was_seen_last_stays() -> None:
    eyes = Eyes(Away(), 0.01, lambda: None)
    seen = eyes.look()
    assert seen.paces.keys() == {"kept", ""}
    screen = Screen("http://h:1")
    assert "kept" in lines(screen, seen)[2]
    with pytest.raises(Unreachable):
        eyes.look()
    found = lines(screen, replace(seen, away="nobody answers"))
    assert "reconnecting… nobody answers" in found[0] and "kept" in found[2]
