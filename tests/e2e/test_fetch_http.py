"""Downloads over HTTP from a server on which everything goes wrong that goes wrong on the Internet."""

from __future__ import annotations

import base64
import gzip
import hashlib
import os
import random
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from scitq import fetch
from scitq.fetch import http_request
from scitq.fetch.errors import (
    Changed,
    Corrupt,
    FetchError,
    FetchErrorNoRepeat,
    NoSpace,
    NotAuthorised,
    NotFound,
    NotSafe,
    TimedOut,
    Unreachable,
    UnsupportedError,
)
from scitq.fetch.moving import Move, Mover
from scitq.fetch.watch import Watch
from tests.conftest import SmallDisk
from tests.services.certificates import certify
from tests.services.waiting import eventually
from tests.services.web_files import Served, WebFiles

SIZE = 3_000_000
CONTENT = random.Random(1).randbytes(SIZE)
OTHER = random.Random(2).randbytes(SIZE)
CUT = SIZE * 6 // 10
QUICK = fetch.Patience(tries=4, first_s=0.01, longest_s=0.05, stall_s=0.5)
MD5 = base64.b64encode(hashlib.md5(CONTENT).digest()).decode()


@pytest.fixture
def web() -> Iterator[WebFiles]:
    with WebFiles() as server:
        yield server


def get(web: WebFiles, folder: Path, name: str = "reads", **how: object) -> bytes:
    """What arrives; and nothing else is left in the folder."""
    fetch.get(f"{web.url}/{name}", f"{folder}/got", patience=QUICK, **how)  # type: ignore[arg-type]
    assert os.listdir(folder) == ["got"]
    return (folder / "got").read_bytes()


def test_a_file_arrives_with_its_time(web: WebFiles, tmp_path: Path) -> None:
    served = web.serve("reads", CONTENT)
    assert get(web, tmp_path) == CONTENT
    assert (tmp_path / "got").stat().st_mtime == served.changed_s
    assert web.requests[0].headers["Accept-Encoding"] == "identity"


def test_a_cut_connection_is_resumed_where_it_was_cut(web: WebFiles, tmp_path: Path) -> None:
    web.serve("reads", CONTENT, cuts=[CUT, SIZE // 10])
    seen: list[fetch.Progress] = []
    assert get(web, tmp_path, progress=seen.append) == CONTENT
    first, second, third = web.asked_from("/reads")
    assert (first, second, third) == (0, CUT, CUT + SIZE // 10)
    assert seen[-1] == fetch.Progress("got", SIZE, SIZE, 1, 1)


def test_a_download_that_advances_is_never_given_up(web: WebFiles, tmp_path: Path) -> None:
    web.serve("reads", CONTENT, cuts=[SIZE // 20] * (3 * QUICK.tries))
    assert get(web, tmp_path) == CONTENT


def test_one_that_stands_still_is_given_up_and_leaves_nothing(web: WebFiles, tmp_path: Path) -> None:
    web.serve("reads", CONTENT, cuts=[CUT, *[0] * 20])
    with pytest.raises(Unreachable, match=f"cut at {CUT} of {SIZE} bytes"):
        get(web, tmp_path)
    assert os.listdir(tmp_path) == []
    assert len(web.requests) == QUICK.tries


@pytest.mark.parametrize("ranges", ["none", "wrong", "whole"])
def test_without_good_ranges_it_is_fetched_again(web: WebFiles, tmp_path: Path, ranges: str) -> None:
    web.serve("reads", CONTENT, cuts=[CUT], ranges=ranges)
    assert get(web, tmp_path) == CONTENT


def test_wrong_ranges_are_not_asked_for_twice(web: WebFiles, tmp_path: Path) -> None:
    web.serve("reads", CONTENT, cuts=[CUT, CUT + 1, CUT + 2], ranges="wrong")
    assert get(web, tmp_path) == CONTENT
    assert web.asked_from("/reads") == [0, CUT, 0, 0]


@pytest.mark.parametrize("etag", ['"1"', 'W/"1"', None])
@pytest.mark.parametrize("changed_s", [1_600_000_000, None])
def test_a_file_that_changes_meanwhile_is_fetched_again(
    web: WebFiles, tmp_path: Path, etag: str | None, changed_s: int | None
) -> None:
    """However little the server says about which one it is: here the new one also has another size."""
    served = web.serve("reads", CONTENT, cuts=[CUT], etag=etag, changed_s=changed_s)
    new = OTHER + b"more"

    def change() -> None:
        served.content = new
        served.etag = etag and etag.replace("1", "2")
        served.changed_s = changed_s and changed_s + 60

    served.then = change
    assert get(web, tmp_path) == new


def test_a_file_that_always_changes_is_given_up(web: WebFiles, tmp_path: Path) -> None:
    served = web.serve("reads", CONTENT, cuts=[CUT] * 100, ranges="right", etag='W/"0"', changed_s=None)

    def change() -> None:
        served.etag = f'W/"{len(web.requests)}"'

    served.then = change
    with pytest.raises(Changed):
        get(web, tmp_path)


def test_a_cut_at_the_very_end_is_whole(web: WebFiles, tmp_path: Path) -> None:
    """Without a length, only the end of the chunks says that it is the end."""
    served = web.serve("reads", CONTENT, chunked=True, cuts=[SIZE - 1, 1])
    served.then = lambda: None
    assert get(web, tmp_path) == CONTENT


def test_a_file_of_unknown_length(web: WebFiles, tmp_path: Path) -> None:
    web.serve("reads", CONTENT, has_length=False)
    assert get(web, tmp_path) == CONTENT
    web.serve("reads", b"")
    assert get(web, tmp_path) == b""


def test_a_stall_is_noticed_and_resumed(web: WebFiles, tmp_path: Path) -> None:
    web.serve("reads", CONTENT, stalls=[CUT])
    assert get(web, tmp_path) == CONTENT
    assert web.asked_from("/reads")[1] > CUT - (1 << 18)
    web.serve("reads", CONTENT, stalls=[0] * 10)
    with pytest.raises(TimedOut, match="says nothing"):
        get(web, tmp_path / "again/")


def test_a_busy_server_is_asked_again_when_it_wants(web: WebFiles, tmp_path: Path) -> None:
    patience = fetch.Patience(tries=4, first_s=0.001, longest_s=1.0)
    web.serve("reads", CONTENT, refusals=[(503, {"Retry-After": "1"}), (429, {}), (500, {"Retry-After": "nonsense"})])
    waits: list[float] = []

    class Counting(fetch.Cancellation):
        def wait(self, seconds: float) -> None:
            waits.append(seconds)

    move = Move(fetch.URI(f"{web.url}/reads"), fetch.URI.of_file(tmp_path / "got"), "got")
    Mover(Watch(None, Counting()), patience).files([move])
    assert (tmp_path / "got").read_bytes() == CONTENT
    assert waits[0] == 1.0
    assert waits[1] < 0.5 and waits[2] < 0.5


@pytest.mark.parametrize(
    ("status", "error"),
    [(404, NotFound), (410, NotFound), (401, NotAuthorised), (403, NotAuthorised), (400, FetchErrorNoRepeat)],
)
def test_what_cannot_heal_is_asked_once(web: WebFiles, tmp_path: Path, status: int, error: type[FetchError]) -> None:
    web.serve("reads", CONTENT, refusals=[(status, {})] * 5)
    with pytest.raises(error, match=str(status)):
        get(web, tmp_path)
    assert len(web.requests) == 1
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    "headers",
    [
        {"Content-MD5": MD5},
        {"Digest": f"sha-256=abc,MD5={MD5}"},
        {"Repr-Digest": f"md5=:{MD5}:"},
        {"x-goog-hash": f"crc32c=n03x6A==,md5={MD5}"},
        {"Server": "AmazonS3", "ETag": f'"{hashlib.md5(CONTENT).hexdigest()}"'},
    ],
    ids=lambda headers: next(iter(headers)),
)
def test_the_md5_that_a_server_offers_is_verified(web: WebFiles, tmp_path: Path, headers: dict[str, str]) -> None:
    web.serve("reads", CONTENT, headers=headers, etag=None, cuts=[CUT])
    assert get(web, tmp_path) == CONTENT
    assert len(web.requests) == 2
    web.serve("reads", OTHER, headers=headers, etag=None)
    with pytest.raises(Corrupt, match="MD5"):
        get(web, tmp_path)
    assert (tmp_path / "got").read_bytes() == CONTENT  # what was there stays
    assert len(web.requests) == 2 + QUICK.tries


def test_an_md5_in_no_known_form_is_none(web: WebFiles, tmp_path: Path) -> None:
    web.serve("reads", CONTENT, headers={"Content-MD5": "?", "Digest": "md5", "ETag": '"' + "0" * 32 + '"'}, etag=None)
    assert get(web, tmp_path) == CONTENT


def test_a_redirect_is_followed_and_a_circle_is_not(web: WebFiles, tmp_path: Path) -> None:
    web.serve("real file", CONTENT).then = None
    web.files["/real%20file"] = web.files["/real file"]
    web.serve("reads", b"", refusals=[(302, {"Location": "/real file"})])
    assert get(web, tmp_path) == CONTENT
    web.serve("reads", b"", refusals=[(301, {"Location": "/reads"})] * 50)
    with pytest.raises(FetchErrorNoRepeat, match="for ever"):
        get(web, tmp_path)
    web.serve("reads", b"", refusals=[(302, {"Location": "file:///etc/passwd"})])
    with pytest.raises(NotSafe):
        get(web, tmp_path)


def test_a_password_is_sent_to_its_server_only(web: WebFiles, tmp_path: Path) -> None:
    with WebFiles() as other:
        other.serve("reads", CONTENT)
        web.serve("reads", b"", refusals=[(307, {"Location": f"{other.url}/reads"})])
        with_password = web.url.replace("://", "://someone:Gehe%20im@")
        fetch.get(f"{with_password}/reads", tmp_path / "got", patience=QUICK)
        sent = web.requests[0].headers["Authorization"]
        assert base64.b64decode(sent.removeprefix("Basic ")) == b"someone:Gehe im"
        assert "Authorization" not in other.requests[0].headers


def test_errors_hide_passwords_and_signatures(web: WebFiles, tmp_path: Path) -> None:
    address = web.url.replace("://", "://someone:Geheim@") + "/none?X-Signature=Geheim"
    with pytest.raises(NotFound) as refused:
        fetch.get(address, tmp_path / "got")
    assert "Geheim" not in str(refused.value)


@pytest.mark.parametrize("name", ["with space", "quo'te\"s", "new\nline", "ünïcode", "a%b", "100%25", "a+b&c=d;e"])
def test_any_name_can_be_asked_for(web: WebFiles, tmp_path: Path, name: str) -> None:
    web.serve("x", CONTENT)
    served = Served(CONTENT)
    web.files = type("Any", (dict,), {"get": lambda self, path: served})()
    fetch.get(f"{web.url}/{name}", f"{tmp_path}/", patience=QUICK)
    (got,) = os.listdir(tmp_path)
    assert (tmp_path / got).read_bytes() == CONTENT
    assert got == {"100%25": "100%"}.get(name, name)


def test_a_name_that_leads_elsewhere_is_refused(web: WebFiles, tmp_path: Path) -> None:
    for name in ("..", "%2e%2e", "a/%2e%2e", ""):
        with pytest.raises(UnsupportedError):
            fetch.get(f"{web.url}/{name}", f"{tmp_path}/", patience=QUICK)
    web.files["/a%2Fb"] = Served(CONTENT)
    fetch.get(f"{web.url}/a%2Fb", f"{tmp_path}/", patience=QUICK)
    assert os.listdir(tmp_path) == ["b"]


def test_what_is_there_can_be_asked(web: WebFiles) -> None:
    web.serve("reads", CONTENT, headers={"Content-MD5": MD5})
    found = fetch.info(f"{web.url}/reads", md5=True)
    assert (found.type, found.size, found.md5) == ("file", SIZE, hashlib.md5(CONTENT).hexdigest())
    assert found.modification_date is not None and found.modification_date.timestamp() == 1_600_000_000
    web.serve("signed", CONTENT, refusals=[(403, {})])  # HEAD is refused, GET is not
    assert fetch.info(f"{web.url}/signed").size == SIZE
    with pytest.raises(NotFound):
        fetch.info(f"{web.url}/none")


def test_what_http_cannot_do_is_said(web: WebFiles, tmp_path: Path) -> None:
    (tmp_path / "here").write_bytes(b"1")
    for refused in (
        lambda: fetch.put(tmp_path / "here", f"{web.url}/there"),
        lambda: fetch.list_content(f"{web.url}/"),
        lambda: fetch.get(f"{web.url}/folder/", tmp_path),
        lambda: fetch.delete(f"{web.url}/there"),
    ):
        with pytest.raises(UnsupportedError, match=r"^http:// cannot be "):
            refused()


def test_a_download_can_be_called_off_also_while_nothing_comes(web: WebFiles, tmp_path: Path) -> None:
    web.serve("reads", CONTENT, stalls=[CUT] * 100)
    calling_off = fetch.Cancellation()
    errors: list[BaseException] = []

    def run() -> None:
        try:
            fetch.get(f"{web.url}/reads", f"{tmp_path}/got", cancellation=calling_off)  # would stall for a minute
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    eventually(lambda: web.requests, "it was asked for")
    calling_off.cancel()
    thread.join(20)
    assert not thread.is_alive()
    assert isinstance(errors[0], fetch.Cancelled)
    assert os.listdir(tmp_path) == []
    with pytest.raises(fetch.Cancelled):
        fetch.get(f"{web.url}/reads", f"{tmp_path}/got", cancellation=calling_off)


@pytest.mark.parametrize("protocol", ["http", "http@aria2"])
def test_a_full_disk_is_said_and_left_as_it_was(web: WebFiles, small_disk: SmallDisk, protocol: str) -> None:
    web.serve("reads", CONTENT * 4)
    disk = small_disk()
    (disk / "kept").write_bytes(b"1")
    with pytest.raises(NoSpace, match=r"[Nn]o space"):
        fetch.get(f"{web.url.replace('http', protocol, 1)}/reads", f"{disk}/", patience=QUICK)
    assert os.listdir(disk) == ["kept"]
    assert len([one for one in web.requests if one.method == "GET"]) <= 6, "it is not tried again"


def test_nobody_at_the_address(tmp_path: Path) -> None:
    with WebFiles() as gone:
        pass
    with pytest.raises(Unreachable, match="refused"):
        get(gone, tmp_path)
    with pytest.raises(FetchErrorNoRepeat):
        fetch.get("http://[::1/a", tmp_path / "got")


def test_tls_is_verified(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keys = tmp_path / "keys"
    keys.mkdir()
    certify(keys)
    with WebFiles(keys) as web:
        web.serve("reads", CONTENT, cuts=[CUT])
        http_request._trust.cache_clear()
        with pytest.raises(FetchErrorNoRepeat, match="certificate is not trusted"):
            fetch.get(f"{web.url}/reads", tmp_path / "got", patience=QUICK)
        monkeypatch.setenv("SSL_CERT_FILE", str(keys / "authority.pem"))
        http_request._trust.cache_clear()
        fetch.get(f"{web.url}/reads", tmp_path / "got", patience=QUICK)
        assert (tmp_path / "got").read_bytes() == CONTENT
        assert web.asked_from("/reads")[1] == CUT
    http_request._trust.cache_clear()


def test_a_proxy_of_the_environment_is_used(web: WebFiles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    web.files["http://far.example/reads"] = Served(CONTENT)
    monkeypatch.setenv("http_proxy", web.url)
    monkeypatch.setenv("no_proxy", "")
    fetch.get("http://someone:Geheim@far.example/reads", tmp_path / "got", patience=QUICK)
    assert (tmp_path / "got").read_bytes() == CONTENT
    assert web.requests[0].headers["Host"] == "far.example"


def test_actions_follow_a_download(web: WebFiles, tmp_path: Path) -> None:
    web.serve("genome.fa.gz", gzip.compress(CONTENT[:5000]))
    fetch.get(f"{web.url}/genome.fa.gz|gunzip|mv:db", f"{tmp_path}/", patience=QUICK)
    assert (tmp_path / "db/genome.fa").read_bytes() == CONTENT[:5000]
    assert os.listdir(tmp_path) == ["db"]
