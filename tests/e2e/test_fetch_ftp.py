"""Downloads over FTP that are cut, changed and refused. What works is in tests/contract/test_fetch.py."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from scitq import fetch
from scitq.fetch import ftp, ftp_client
from scitq.fetch.errors import NotAuthorised, Unreachable, UnsupportedError
from tests.conftest import miss
from tests.services.ftp_files import FtpMissing, PythonFtp

SIZE = 3_000_000
CONTENT = random.Random(1).randbytes(SIZE)
CUT = SIZE * 6 // 10
QUICK = fetch.Patience(tries=4, first_s=0.01, longest_s=0.05, stall_s=20.0)
Start = Callable[..., PythonFtp]


@pytest.fixture
def start() -> Iterator[Start]:
    """A server whose first downloads are cut after so many bytes."""
    with ExitStack() as stack:

        def started(*cuts: int) -> PythonFtp:
            try:
                server = stack.enter_context(PythonFtp(*cuts))
            except FtpMissing as missing:
                miss(str(missing))
            (server.files / "reads").write_bytes(CONTENT)
            return server

        yield started
        ftp_client.forget()


def commands(server: PythonFtp, verb: str) -> list[str]:
    """What was asked of it."""
    return [line for line in server.said().splitlines() if line.startswith(verb + " ")]


def test_a_cut_connection_is_resumed_where_it_was_cut(start: Start, tmp_path: Path) -> None:
    server = start(CUT, SIZE // 10)
    fetch.get(f"{server.url}/reads", tmp_path / "got", patience=QUICK)
    assert (tmp_path / "got").read_bytes() == CONTENT
    assert commands(server, "REST") == [f"REST {CUT}", f"REST {CUT + SIZE // 10}"]
    assert os.listdir(tmp_path) == ["got"]


def test_one_that_stands_still_is_given_up_and_leaves_nothing(start: Start, tmp_path: Path) -> None:
    server = start(CUT, *[0] * 20)
    with pytest.raises(Unreachable):
        fetch.get(f"{server.url}/reads", tmp_path / "got", patience=QUICK)
    assert os.listdir(tmp_path) == []


def test_a_file_that_changes_meanwhile_is_fetched_again(start: Start, tmp_path: Path) -> None:
    server = start(CUT)
    new = CONTENT[::-1]

    def change(progress: fetch.Progress) -> None:
        if progress.done_bytes and (server.files / "reads").read_bytes() == CONTENT:
            (server.files / "new").write_bytes(new)
            os.utime(server.files / "new", (1_700_000_000, 1_700_000_000))
            os.rename(server.files / "new", server.files / "reads")

    fetch.get(
        f"{server.url}/reads", tmp_path / "got", patience=replace(QUICK, first_s=0.5, longest_s=0.5), progress=change
    )
    assert (tmp_path / "got").read_bytes() == new
    assert commands(server, "REST") == []


def test_a_login_is_used_and_never_shown(start: Start, tmp_path: Path) -> None:
    server = start()
    with_login = server.url.replace("://", "://someone:Geh@im@")
    fetch.get(f"{with_login}/reads", tmp_path / "got", patience=QUICK)
    assert commands(server, "USER") == ["USER someone"]
    with pytest.raises(NotAuthorised) as refused:
        fetch.put(tmp_path / "got", f"{with_login}/not/mine", patience=QUICK)
    assert "Geh@im" not in str(refused.value)
    with pytest.raises(NotAuthorised) as refused:
        fetch.get(f"{server.url.replace('://', '://someone:wrong@')}/reads", tmp_path / "x", patience=QUICK)
    assert "wrong" not in str(refused.value)


def test_connections_are_kept_for_the_next_file(start: Start, tmp_path: Path) -> None:
    server = start()
    for number in range(20):
        (server.files / f"{number}").write_bytes(b"%d" % number)
    fetch.get(f"{server.url}/", tmp_path, parallel=4, patience=QUICK)
    assert len(os.listdir(tmp_path)) == 21
    assert len(commands(server, "USER")) <= 5


def test_a_server_that_was_started_anew_is_connected_anew(start: Start, tmp_path: Path) -> None:
    server = start()
    fetch.get(f"{server.url}/reads", tmp_path / "got", patience=QUICK)
    server.kill()
    with pytest.raises(Unreachable, match="refused"):
        fetch.get(f"{server.url}/reads", tmp_path / "got", patience=QUICK)
    server.begin()
    fetch.get(f"{server.url}/reads", tmp_path / "again", patience=QUICK)
    assert (tmp_path / "again").read_bytes() == CONTENT


def test_a_line_break_in_a_name_is_refused_before_it_is_sent(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedError, match="line break"):
        fetch.get("ftp://127.0.0.1:1/a\r\nDELE b", tmp_path / "got")


@pytest.mark.parametrize(
    ("line", "entry"),
    [
        ("-rw-r--r--    1 0        0            1024 Nov 20  2024 a b ", ("a b ", "file", 1024, (2024, 11, 20))),
        ("drwxr-xr-x   12 ftp      ftp          4096 Jan 02 13:37 sub", ("sub", "dir", 4096, (2026, 1, 2, 13, 37))),
        ("lrwxrwxrwx    1 0 0   11 Dec 31 23:59 latest -> v1/x", ("latest", "link", 11, (2025, 12, 31, 23, 59))),
        ("-rw-rw-r--+ 1 u g 5 Feb 30 2024 odd", ("odd", "file", 5, None)),
        ("total 12", None),
        ("-rw-r--r-- 1 u g x Nov 20 2024 a", None),
    ],
)
def test_a_listing_as_ls_writes_it_is_read(
    line: str, entry: tuple[str, str, int, tuple[int, ...] | None] | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = ftp.from_line(line, now=datetime(2026, 11, 21, tzinfo=UTC))
    if entry is None:
        assert found is None
    else:
        assert found is not None
        *told, date = entry
        assert list(found[:3]) == told
        assert found[3] == (None if date is None else datetime(*date, tzinfo=UTC))  # type: ignore[arg-type, misc]
