"""Lines of several tasks: under their names, whole, as they were, and in a terminal without what steers it."""

from __future__ import annotations

import io
import sys
from threading import Lock
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scitq.cli import following
from scitq.cli.following import Lines, title
from scitq.errors import Unreachable
from tests.services.waiting import eventually
from tests.unit.scitq.test_lib_progress import Terminal


def piped() -> io.TextIOWrapper:
    return io.TextIOWrapper(io.BytesIO(), write_through=True)


def shown(out: io.TextIOWrapper) -> bytes:
    buffer: Any = out.buffer
    return bytes(buffer.getvalue())


@given(st.lists(st.binary(max_size=30), max_size=8))
def test_wherever_it_is_cut_each_line_is_whole_and_as_it_was(pieces: list[bytes]) -> None:
    out = piped()
    lines = Lines(out, "7 | ", Lock())
    for piece in pieces:
        lines.take(piece)
    lines.end()
    whole = b"".join(pieces)
    expected = whole.removesuffix(b"\n").split(b"\n") if whole else []
    assert shown(out) == b"".join(b"7 | " + line + b"\n" for line in expected)


def test_what_has_no_end_of_line_does_not_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(following, "LINE_BYTES", 10)
    out = piped()
    lines = Lines(out, "", Lock())
    for _ in range(100):
        lines.take(b"abc")
        assert len(lines._rest) <= 10
    assert shown(out).startswith(b"abcabcabca\n")


def test_a_terminal_is_shown_what_was_drawn_last_and_cannot_be_steered() -> None:
    out = Terminal()
    lines = Lines(out, "7 | ", Lock())
    lines.take(b"10%\r20%\r30%\r\n\x1b[2J\tred\n\xff\n")
    assert out.getvalue().splitlines() == [
        "7 | 30%", "7 | \N{REPLACEMENT CHARACTER}[2J\tred", "7 | \N{REPLACEMENT CHARACTER}",
    ]  # fmt: skip


def test_a_title_is_short_and_cannot_steer_a_terminal() -> None:
    assert title({"task_id": 7, "name": None}) == "7"
    assert title({"task_id": 7, "name": "a\x1bb\n"}).isprintable()
    assert len(title({"task_id": 7, "name": "n" * 99})) == following.TITLE_CHARS


class FakeServer:
    """Two attempts at one task, and one at another, which somebody's reader does not want."""

    def __init__(self) -> None:
        self.asked: list[tuple[int, int | None]] = []

    def wait(self, ids: list[int], on_progress: Any) -> dict[int, str]:
        on_progress(dict.fromkeys(ids, "running"))
        return {1: "succeeded", 2: "failed"}

    def executions(self, **filters: Any) -> list[dict[str, Any]]:
        rows = [(10, 1, "failed"), (11, 2, "failed"), (12, 1, "succeeded")]
        found: list[dict[str, Any]] = [
            {"execution_id": execution, "task_id": task, "status": status} for execution, task, status in rows
        ]
        return [row for row in found if row["execution_id"] > filters.get("after", 0)]

    def output(self, execution: int, stream: str, follow: bool, lines: int | None = None) -> Any:
        self.asked.append((execution, lines))
        return iter([b"%d\n" % execution] if stream == "stdout" else [])


ROWS: list[dict[str, Any]] = [{"task_id": 1, "name": "one"}, {"task_id": 2, "name": None}]


def test_every_attempt_is_shown_in_order_and_told(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    server: Any = FakeServer()
    assert following.follow_tasks(server, ROWS) == {1: "succeeded", 2: "failed"}
    out, err = capfdbinary.readouterr()
    assert sorted(out.splitlines()) == [b"1 one | 10", b"1 one | 12", b"2     | 11"]
    assert out.index(b"10") < out.index(b"12")
    assert sorted(err.splitlines()) == [b"1 one: attempt 2 begins", b"1 one: it has succeeded", b"2: it has failed"]


def test_with_a_tail_only_the_latest_attempt_is_begun_with() -> None:
    server: Any = FakeServer()
    following.follow_tasks(server, ROWS, ["stdout"], 3)
    assert sorted(server.asked) == [(11, 3), (12, 3)]


def test_from_now_on_nothing_is_told_of_what_was_over_before(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    class Half(FakeServer):
        def wait(self, ids: list[int], on_progress: Any) -> dict[int, str]:
            on_progress({1: "succeeded", 2: "running"})
            eventually(lambda: self.asked)
            return {1: "succeeded", 2: "failed"}

    server: Any = Half()
    assert following.follow_tasks(server, ROWS, ["stdout"], 0) == {1: "succeeded", 2: "failed"}
    assert server.asked == [(11, 0)]
    assert capfdbinary.readouterr().err == b"2: it has failed\n"


def test_a_server_that_is_away_does_not_end_it(
    capfdbinary: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Away(FakeServer):
        left = 3

        def executions(self, **filters: Any) -> list[dict[str, Any]]:
            self.left -= 1
            if self.left > 0:
                raise Unreachable("nobody answers")
            return super().executions(**filters)

    monkeypatch.setattr(following, "AWAY_S", 0.001)
    server: Any = Away()
    assert following.follow_tasks(server, ROWS) == {1: "succeeded", 2: "failed"}
    assert len(capfdbinary.readouterr().out.splitlines()) == 3


def test_a_reader_that_has_gone_ends_it_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    class Gone(io.StringIO):
        @property
        def buffer(self) -> Any:
            raise BrokenPipeError

    class Endless(FakeServer):
        def wait(self, ids: list[int], on_progress: Any) -> dict[int, str]:
            on_progress(dict.fromkeys(ids, "running"))
            (lock := Lock()).acquire()
            lock.acquire()
            raise AssertionError("nobody releases it")

    server: Any = Endless()
    monkeypatch.setattr(sys, "stdout", Gone())
    with pytest.raises(BrokenPipeError):
        following.follow_tasks(server, ROWS)
