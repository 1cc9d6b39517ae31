"""`scitq worker doctor` as it is typed: what is printed, and with what it ends."""

from __future__ import annotations

import io
import os
import sys
import threading
from pathlib import Path

import orjson
import pytest

from scitq.agents import doctor
from scitq.cli import doctor as cli_doctor
from scitq.cli import exits
from tests.unit.scitq.typed import NOWHERE, Typed


def test_a_line_for_each_thing_and_a_last_one_that_says_what_it_means(typed: Typed) -> None:
    done = typed("worker", "doctor", typed.place)
    assert done.code == exits.DONE and not done.err, done
    *lines, empty, last = done.out.splitlines()
    assert (empty, last) == ("", "Tasks without extras can run here.")
    assert {line[0] for line in lines} <= {"✓", "–", "✗"}
    assert f"✓ server           http://{typed.place} answers: scitq 0-test; this is" in done.out
    assert "\n✓                  it takes this worker's token or credential\n" in done.out


def test_what_is_broken_and_needed_is_named_at_the_end(typed: Typed, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    done = typed("worker", "doctor", NOWHERE, "--base", str(tmp_path / "file"))
    assert done.code == exits.REFUSED, done
    assert done.out.endswith("\nNo task can run here before this is mended: server, working folder.\n")


def test_for_programs_each_finding_has_its_name_and_state(typed: Typed) -> None:
    done = typed("worker", "doctor", "--json", SCITQ_TOKEN="wrong" * 5)
    said = orjson.loads(done.out)
    assert done.code == exits.REFUSED and said["schema"] == "scitq.doctor/1" and said["good"] is False
    assert {tuple(one) for one in said["findings"]} == {("state", "text", "needed", "name")}
    needed = [one for one in said["findings"] if one["state"] == "broken" and one["needed"]]
    assert [one["name"] for one in needed] == ["server"]
    assert "wrong" not in done.out and "set SCITQ_TOKEN" in needed[0]["text"]


def test_without_a_server_that_somebody_named_there_may_be_none(typed: Typed, tmp_path: Path) -> None:
    done = typed("worker", "doctor", HOME=str(tmp_path), SCITQ_SERVER="")
    assert "– server           none was named" in done.out and done.code == exits.DONE, done


def test_a_name_or_an_address_that_is_none_is_refused_at_once(typed: Typed) -> None:
    for words in (("-n", "a/b"), ("no server",), ("a", "b"), ("--autoclean", "0")):
        done = typed("worker", "doctor", *words)
        assert done.code == exits.MISUSED and not done.out and done.err.startswith("scitq"), done


def test_in_a_terminal_it_is_wrapped_and_coloured(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = io.StringIO()
    screen.isatty = lambda: True  # type: ignore[method-assign]
    monkeypatch.setattr(sys, "stdout", screen)
    monkeypatch.setenv("COLUMNS", "60")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    cli_doctor._print(doctor.broken("words " * 20)._replace(name="it"), repeated=False)
    first, *others = screen.getvalue().splitlines()
    assert first.startswith("\x1b[31m✗\x1b[0m it               words") and all(len(one) <= 60 for one in others)
    assert {one[:19].strip() for one in others} == {""} and len(others) > 1


def test_a_terminal_without_such_signs_has_others(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = io.TextIOWrapper(io.BytesIO(), encoding="ascii", errors="replace", write_through=True)
    monkeypatch.setattr(sys, "stdout", screen)
    cli_doctor._print(doctor.good("all is well…")._replace(name="it"), repeated=False)
    assert screen.buffer.getvalue() == b"+ it               all is well?\n"


def test_what_does_not_come_back_is_not_waited_for_at_the_end(typed: Typed, monkeypatch: pytest.MonkeyPatch) -> None:
    for_ever, ended = threading.Event(), list[int]()

    def end(code: int) -> None:
        ended.append(code)

    def hangs() -> list[doctor.Finding]:
        for_ever.wait()
        return []

    monkeypatch.setattr(cli_doctor, "_looks", lambda *_: [doctor.Look("disk", hangs, needed=True, bound_s=0.05)])
    monkeypatch.setattr(os, "_exit", end)
    done = typed("worker", "doctor")
    for_ever.set()
    assert ended == [exits.REFUSED] and "✗ disk " in done.out
