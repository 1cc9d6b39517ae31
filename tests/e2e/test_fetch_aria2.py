"""`@aria2`: the same file by five connections, with the same promises as without."""

from __future__ import annotations

import base64
import hashlib
import os
import random
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from scitq import fetch
from scitq.fetch import ftp_client
from scitq.fetch.errors import (
    Cancelled,
    Corrupt,
    NotAuthorised,
    NotFound,
    NotInstalled,
    TimedOut,
    Unreachable,
    UnsupportedError,
)
from tests.conftest import miss
from tests.services.certificates import certify
from tests.services.ftp_files import FtpMissing, PythonFtp, Vsftpd
from tests.services.waiting import eventually, holds_within
from tests.services.web_files import WebFiles

SIZE = 30_000_000
CONTENT = random.Random(1).randbytes(SIZE)
QUICK = fetch.Patience(tries=4, first_s=0.01, longest_s=0.05, stall_s=20.0)
MD5 = base64.b64encode(hashlib.md5(CONTENT).digest()).decode()


@pytest.fixture(autouse=True)
def _installed() -> None:
    if shutil.which("aria2c") is None:
        miss("no aria2c found (Debian: apt-get install aria2)")


@pytest.fixture
def web() -> Iterator[WebFiles]:
    with WebFiles() as server:
        yield server


def with_aria2(url: str) -> str:
    return url.replace("://", "@aria2://", 1)


def get(web: WebFiles, folder: Path, name: str = "reads", **how: object) -> bytes:
    """What arrives; and nothing else is left in the folder."""
    fetch.get(f"{with_aria2(web.url)}/{name}", f"{folder}/got", **{"patience": QUICK, **how})  # type: ignore[arg-type]
    assert os.listdir(folder) == ["got"]
    return (folder / "got").read_bytes()


def gets(web: WebFiles) -> list[str]:
    return [one.headers.get("Range", "") for one in web.requests if one.method == "GET"]


def test_a_file_comes_by_several_connections_with_its_time(web: WebFiles, tmp_path: Path) -> None:
    served = web.serve("reads", CONTENT, headers={"Content-MD5": MD5}, pieces_per_s=1_000)
    seen: list[fetch.Progress] = []
    assert get(web, tmp_path, progress=seen.append) == CONTENT
    assert len(gets(web)) == 5
    assert (tmp_path / "got").stat().st_mtime == served.changed_s
    assert seen[-1] == fetch.Progress("got", SIZE, SIZE, 1, 1)
    web.serve("reads", b"")
    assert get(web, tmp_path) == b""
    web.serve("reads", b"1" * 1_000, has_length=False)
    assert get(web, tmp_path) == b"1" * 1_000


def test_what_was_cut_goes_on_where_it_was(web: WebFiles, tmp_path: Path) -> None:
    """Each of the first connections breaks in the middle: what each has brought is not asked for again."""
    served = web.serve("reads", CONTENT, cuts=[SIZE // 8] * 5)
    assert get(web, tmp_path) == CONTENT
    assert served.cuts == []
    starts = [int(asked[6:].partition("-")[0]) for asked in gets(web) if asked]  # without a range, it asks for the size
    brought = {start // 1_000_000 for start in starts[:4]}
    assert len(starts) > 4
    assert not brought & {start // 1_000_000 for start in starts[4:]}, starts


@pytest.mark.parametrize("ranges", ["none", "wrong"])
def test_without_good_ranges_it_comes_by_one(web: WebFiles, tmp_path: Path, ranges: str) -> None:
    web.serve("reads", CONTENT, ranges=ranges)
    assert get(web, tmp_path) == CONTENT
    web.serve("reads", CONTENT, ranges=ranges, cuts=[SIZE // 2])
    assert get(web, tmp_path) == CONTENT


def test_another_md5_is_noticed(web: WebFiles, tmp_path: Path) -> None:
    web.serve("reads", CONTENT[::-1], headers={"Content-MD5": MD5})
    with pytest.raises(Corrupt, match="MD5"):
        get(web, tmp_path)
    assert os.listdir(tmp_path) == []


def test_a_file_that_changes_meanwhile_is_fetched_again(web: WebFiles, tmp_path: Path) -> None:
    new = CONTENT[::-1]
    served = web.serve("reads", CONTENT, cuts=[SIZE // 10])

    def change() -> None:
        served.content, served.etag = new, '"2"'

    served.then = change
    assert get(web, tmp_path) == new


def test_a_stall_is_noticed(web: WebFiles, tmp_path: Path) -> None:
    web.serve("reads", CONTENT, stalls=[SIZE // 10] * 100)
    with pytest.raises(TimedOut, match="says nothing"):
        get(web, tmp_path, patience=fetch.Patience(tries=1, stall_s=1.0))
    assert os.listdir(tmp_path) == []


def test_it_can_be_called_off_and_nothing_is_left(web: WebFiles, tmp_path: Path) -> None:
    web.serve("reads", CONTENT, stalls=[SIZE // 10] * 100)
    calling_off = fetch.Cancellation()
    errors: list[BaseException] = []

    def run() -> None:
        try:
            fetch.get(f"{with_aria2(web.url)}/reads", f"{tmp_path}/got", cancellation=calling_off)
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    eventually(lambda: gets(web), "it was asked for")
    (child,) = [one for one in psutil.Process().children() if one.name() == "aria2c"]
    assert web.url not in " ".join(child.cmdline()), "an address may hold a password"
    calling_off.cancel()
    thread.join(5)
    assert not thread.is_alive()
    assert isinstance(errors[0], Cancelled)
    assert os.listdir(tmp_path) == []
    assert holds_within(20, lambda: not child.is_running())


@pytest.mark.parametrize(
    ("refusal", "error"), [(404, NotFound), (403, NotAuthorised), (503, Unreachable)], ids=["404", "403", "503"]
)
def test_what_a_server_refuses_is_said(web: WebFiles, tmp_path: Path, refusal: int, error: type[Exception]) -> None:
    web.serve("reads", CONTENT, refusals=[(refusal, {})] * 20)
    with pytest.raises(error, match=str(refusal)):
        get(web, tmp_path)
    assert os.listdir(tmp_path) == []


def test_names_of_any_kind_and_folders_with_line_breaks(web: WebFiles, tmp_path: Path) -> None:
    folder = tmp_path / "quo'te\n$(id)"
    folder.mkdir()
    served = web.serve("reads", CONTENT)
    web.files = type("Any", (dict,), {"get": lambda self, path: served})()
    assert get(web, folder, "a b'\"$(id)\n") == CONTENT


def test_a_torrent_is_a_file_like_others(web: WebFiles, tmp_path: Path) -> None:
    torrent = b"d4:infod6:lengthi1eee" + CONTENT
    web.serve("reads.torrent", torrent, headers={"Content-Type": "application/x-bittorrent"})
    assert get(web, tmp_path, "reads.torrent") == torrent


def test_own_authorities_are_trusted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from scitq.fetch import http_request

    (tmp_path / "keys").mkdir()
    (tmp_path / "here").mkdir()
    certify(tmp_path / "keys")
    with WebFiles(tmp_path / "keys") as web:
        web.serve("reads", CONTENT)
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "keys/authority.pem"))
        http_request._trust.cache_clear()
        assert get(web, tmp_path / "here") == CONTENT
    http_request._trust.cache_clear()


@pytest.mark.parametrize("kind", [PythonFtp, Vsftpd])
def test_from_ftp(kind: type[PythonFtp | Vsftpd], tmp_path: Path) -> None:
    try:
        server = kind()
    except FtpMissing as missing:
        miss(str(missing))
    with server:
        (server.files / "sub dir").mkdir()
        (server.files / "sub dir" / "é'$(id)%20|a").write_bytes(CONTENT)
        (server.files / "sub dir" / "b").write_bytes(b"1")
        fetch.get(f"{with_aria2(server.url)}/sub dir/", f"{tmp_path}/got", patience=QUICK)
        assert {one.name: one.read_bytes() for one in (tmp_path / "got").iterdir()} == {
            "é'$(id)%20|a": CONTENT, "b": b"1"
        }  # fmt: skip
        with pytest.raises(NotFound):
            fetch.get(f"{with_aria2(server.url)}/none", tmp_path / "x", patience=QUICK)
        ftp_client.forget()


def test_it_is_refused_in_words_where_it_cannot_be(
    web: WebFiles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    web.serve("reads", CONTENT)
    with pytest.raises(UnsupportedError, match="only there"):
        fetch.put(__file__, "ftp@aria2://127.0.0.1:9/a")
    with pytest.raises(UnsupportedError, match="has no option aria2"):
        fetch.get("file@aria2:///etc/hosts", tmp_path / "got")
    with pytest.raises(UnsupportedError, match="cannot be listed"):
        fetch.list_content(f"{with_aria2(web.url)}/")
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(NotInstalled, match="apt-get install aria2"):
        get(web, tmp_path)
