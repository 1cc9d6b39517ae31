"""What the commands are made of: quoting, tables, texts for a terminal, and what is loaded."""

from __future__ import annotations

import io
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st

from scitq.cli import tables, terminal
from scitq.cli.output import copy
from scitq.cli.selecting import required
from scitq.cli.texts import clean
from scitq.cli.worker import check_name

ROOT = Path(__file__).parents[3]
SERVER_ONLY = ("alembic", "psycopg2", "sqlalchemy", "starlette", "uvicorn", "websockets")


def test_ids_are_separated_by_spaces_or_commas() -> None:
    assert required("1,2 3,\n 04") == [1, 2, 3, 4]
    for wrong in ("", ",", "0", "-1", "x", "1.5", "9" * 20, "²"):
        with pytest.raises(typer.BadParameter):
            required(wrong)


@pytest.mark.parametrize("name", ["", " ", ".", "..", "a/b", "a\nb", "a\0", "n" * 201])
def test_a_workers_name_is_fit_for_a_folder(name: str) -> None:
    with pytest.raises(typer.BadParameter):
        check_name(name)


def test_names_of_workers_may_have_any_letters() -> None:
    assert check_name("Zürich 1.local") == "Zürich 1.local"


@given(st.text())
def test_nothing_that_steers_a_terminal_is_left(text: str) -> None:
    assert clean(text).isprintable() and len(clean(text)) == len(text)


def test_columns_are_aligned_numbers_to_the_right(capsys: pytest.CaptureFixture[str]) -> None:
    rows: list[dict[str, Any]] = [
        {"id": 7, "name": "a", "on": True, "more": [1, 2], "long": "x" * 60},
        {"id": 12_345, "name": None, "on": False, "more": [], "long": "\x1b[31m"},
    ]
    tables.show(rows, ["id", "name", "on", "more", "long"])
    assert capsys.readouterr().out.splitlines() == [
        "   id  name  on  more  long",
        "    7  a     X   1,2   " + "x" * 49 + "...",
        "12345                  \N{REPLACEMENT CHARACTER}[31m",
    ]
    tables.show(rows, ["id", "long"], header=False, long=True)
    assert capsys.readouterr().out.splitlines()[0] == "    7  " + "x" * 60


def test_an_empty_table_has_its_headings(capsys: pytest.CaptureFixture[str]) -> None:
    tables.show([], ["id", "name"])
    assert capsys.readouterr().out == "id  name\n"


@pytest.mark.parametrize(("room", "left"), [(200, 5), (66, 4), (32, 2), (5, 1)])
def test_a_narrow_terminal_keeps_the_columns_that_say_most(room: int, left: int) -> None:
    columns = ["task_id", "name", "creation_date", "status", "batch"]
    widths = [7, 60, 26, 7, 7]
    found, given = terminal.fitted(widths, columns, room, tables.TEXTS, tables.FIRST_TO_GO)
    chosen = [columns[one] for one in found]
    assert len(chosen) == left and chosen[0] == "task_id", chosen
    assert ("creation_date" in chosen) == (left == 5), "the first to go"
    if left > 1:
        assert sum(given[one] + 2 for one in found) - 2 <= room, "no line is broken"
    assert room != 200 or given[1] == 60, "what there is room for is whole"


@pytest.mark.parametrize(
    ("words", "moved"),
    [
        ("task list --color never -L", "--color never task list -L"),
        ("task list --no-pager --color=always", "--no-pager --color=always task list"),
        ("task update -c -- --no-pager", "task update -c -- --no-pager"),
        ("task list --color", "--color task list"),
    ],
)
def test_how_it_looks_may_be_said_anywhere(words: str, moved: str) -> None:
    assert terminal.to_the_front(words.split()) == moved.split()


def test_colours_are_forced_into_a_pipe_only_where_somebody_insists(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [{"id": 1, "status": "failed", "name": "failed-once"}]
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("FORCE_COLOR", "1")
    tables.show(rows, ["id", "status", "name"], header=False)
    assert capsys.readouterr().out == " 1  \x1b[31mfailed\x1b[0m  failed-once\n".lstrip()
    monkeypatch.setenv("NO_COLOR", "1")
    tables.show(rows, ["id", "status", "name"], header=False)
    assert "\x1b" not in capsys.readouterr().out


def test_a_moment_is_told_as_people_say_it() -> None:
    now = datetime.now(UTC).replace(tzinfo=None)
    assert terminal.ago(now) == terminal.ago(now + timedelta(hours=1)) == "now"
    assert terminal.ago(now - timedelta(minutes=3)) == "3 min ago"


@pytest.mark.parametrize(
    ("pager", "height", "shown"),
    [("tr a-z A-Z", 2, "ONE\nTWO\n"), ("tr a-z A-Z", 3, "one\ntwo\n"), ("", 1, "one\ntwo\n"),
     ("no-such-pager-anywhere", 1, "one\ntwo\n"), ("true", 1, "")],
)  # fmt: skip
def test_what_is_longer_than_the_terminal_goes_through_the_pager(
    pager: str, height: int, shown: str, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PAGER", pager)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    terminal.paged("one\ntwo\n", height)
    assert capfd.readouterr().out == shown


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_output_for_a_terminal_cannot_steer_it_wherever_it_is_cut() -> None:
    data = "ä\x1b[2J\r\nné\t\x07\N{BOM}".encode()
    for cut in range(len(data)):
        out = Terminal()
        copy(iter([data[:cut], data[cut:]]), out)
        text = out.getvalue()
        assert text.startswith("ä\N{REPLACEMENT CHARACTER}[2J") and "né\t" in text
        assert all(char.isprintable() or char in "\n\t" for char in text)


@pytest.mark.parametrize("program", ["launch", "manage", "main", "worker"])
def test_no_library_of_a_server_is_loaded_by_a_client(program: str, tmp_path: Path) -> None:
    """Nothing listens on that port: everything up to the connection has been loaded."""
    call = {"launch": ["echo"], "manage": ["task", "list"], "main": ["manage", "task", "list"], "worker": ["invite"]}
    code = f"""
import sys
sys.argv = ["scitq", *{call[program]!r}]
from scitq.cli import {program}
try:
    {program}.main()
except SystemExit as end:
    assert end.code == 4, end.code
loaded = sorted(set({SERVER_ONLY!r}) & set(sys.modules))
assert not loaded, loaded
"""
    environment = {"HOME": str(tmp_path), "PYTHONPATH": str(ROOT), "SCITQ_SERVER": "127.0.0.1:9"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0 and "Connection refused" in done.stderr, done.stderr
