"""Stores through rclone: its one process, what it says when things fail, and its names as protocols."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from scitq import fetch
from scitq.fetch import rclone_daemon
from scitq.fetch.errors import (
    BadURI,
    Cancelled,
    FetchErrorNoRepeat,
    NotAuthorised,
    NotFound,
    NotInstalled,
    Quota,
    Unreachable,
    UnsupportedError,
)
from scitq.fetch.rclone_answers import refusal
from tests.conftest import miss
from tests.services.s3 import PrivateS3, S3Missing
from tests.services.waiting import eventually, holds_within

QUICK = fetch.Patience(tries=2, first_s=0.01, longest_s=0.05)
BIG = random.Random(1).randbytes(20_000_000)


@pytest.fixture(scope="module")
def server() -> Iterator[PrivateS3]:
    try:
        started = PrivateS3()
    except S3Missing as missing:
        miss(str(missing))
    with started:
        started.client().create_bucket(Bucket="bucket")
        yield started


@pytest.fixture
def s3(server: PrivateS3, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.delenv("AWS_CA_BUNDLE", raising=False)  # older releases of rclone take it for one of their own
    monkeypatch.setenv("SCITQ_RCLONE_CONF", str(server.config))
    yield server.client()
    rclone_daemon.stop_all()


def test_each_remote_is_a_protocol(s3: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert fetch.check_uri("s3://bucket/a|untar") == "s3"
    assert fetch.check_uri("other://bucket/a") == "other"
    with pytest.raises(BadURI, match="did you mean other://"):
        fetch.check_uri("othr://bucket/a")
    monkeypatch.setenv("SCITQ_RCLONE_CONF", str(tmp_path / "none"))
    with pytest.raises(BadURI, match=r"as soon as rclone\.conf has a remote of the name s3"):
        fetch.check_uri("s3://bucket/a")
    (tmp_path / "none").write_text("no configuration\n")
    with pytest.raises(FetchErrorNoRepeat, match="cannot be understood"):
        fetch.check_uri("s3://bucket/a")


def test_one_process_serves_all_and_ends_with_us(s3: Any, tmp_path: Path) -> None:
    for name in ("a", "b"):
        s3.put_object(Bucket="bucket", Key=f"one/{name}", Body=b"1")
    fetch.get("s3://bucket/one/", tmp_path, parallel=4, patience=QUICK)
    fetch.get("other://bucket/one/a", tmp_path / "c", patience=QUICK)
    (child,) = [one for one in psutil.Process().children() if "rclone" in " ".join(one.cmdline())]
    words = " ".join(child.cmdline())
    assert "Geheim" not in words and "rc-pass" not in words
    (listening,) = child.net_connections("tcp")[:1]
    assert listening.laddr.ip == "127.0.0.1"
    assert subprocess.run(
        ["rclone", "rc", "--rc-addr", f"127.0.0.1:{rclone_daemon.daemon()._port}", "core/version"],
        capture_output=True, check=False,
    ).returncode != 0, "who has no password is not heard"  # fmt: skip
    rclone_daemon.stop_all()
    assert holds_within(20, lambda: not child.is_running() or child.status() == psutil.STATUS_ZOMBIE)


def test_it_ends_also_when_we_are_killed(s3: Any, tmp_path: Path) -> None:
    program = "from scitq.fetch.rclone_daemon import daemon; daemon(); print('up', flush=True); input()"
    with subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stdout.readline() == b"up\n"
        (child,) = psutil.Process(process.pid).children()
        process.send_signal(signal.SIGKILL)
    assert holds_within(20, lambda: not child.is_running() or child.status() == psutil.STATUS_ZOMBIE)


def test_one_that_died_is_started_anew(s3: Any, tmp_path: Path) -> None:
    s3.put_object(Bucket="bucket", Key="a", Body=b"1")
    fetch.get("s3://bucket/a", tmp_path / "a", patience=QUICK)
    process = rclone_daemon.daemon()._process
    assert process is not None
    process.kill()
    process.wait()
    fetch.get("s3://bucket/a", tmp_path / "b", patience=QUICK)
    assert (tmp_path / "b").read_bytes() == b"1"


def test_a_large_file_is_followed_and_its_md5_known(s3: Any, tmp_path: Path) -> None:
    (tmp_path / "big").write_bytes(BIG)
    seen: list[fetch.Progress] = []
    fetch.put(tmp_path / "big", "s3://bucket/large/", progress=seen.append, patience=QUICK)
    assert seen[-1] == fetch.Progress("big", len(BIG), len(BIG), 1, 1)
    fetch.get("s3://bucket/large/big", tmp_path / "back", progress=seen.append, patience=QUICK)
    assert (tmp_path / "back").read_bytes() == BIG
    assert seen[-1].done_bytes == len(BIG)
    sent, kept = fetch.info(tmp_path / "big", md5=True), fetch.info("s3://bucket/large/big", md5=True)
    assert kept.md5 == sent.md5


def test_it_can_be_called_off_in_the_middle(s3: Any, tmp_path: Path) -> None:
    s3.put_object(Bucket="bucket", Key="big", Body=BIG)
    calling_off = fetch.Cancellation()
    ended: list[BaseException] = []

    def run() -> None:
        try:
            fetch.get("s3://bucket/big", f"{tmp_path}/target/big", cancellation=calling_off)
        except BaseException as error:
            ended.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    eventually(lambda: (tmp_path / "target").exists() and os.listdir(tmp_path / "target"))
    calling_off.cancel()
    thread.join(30)
    assert not thread.is_alive()
    assert not ended or isinstance(ended[0], Cancelled)
    assert os.listdir(tmp_path / "target") in ([], ["big"])


def test_a_folder_that_is_called_off_is_sent_no_further(s3: Any, tmp_path: Path) -> None:
    for number in range(1_000):
        (tmp_path / str(number)).write_bytes(b"1")
    calling_off = fetch.Cancellation()

    def tell(progress: fetch.Progress) -> None:
        if progress.done_files:
            calling_off.cancel()

    with pytest.raises(Cancelled):
        fetch.copy(f"{tmp_path}/", "s3://bucket/half/", progress=tell, cancellation=calling_off, parallel=1)
    assert holds_within(
        20, lambda: not rclone_daemon.daemon().call("core/stats", fetch.Cancellation(), "").get("transferring")
    )
    sent = s3.list_objects_v2(Bucket="bucket", Prefix="half/")["KeyCount"]
    assert 0 < sent < 1_000
    fetch.copy(f"{tmp_path}/", "s3://bucket/after/", patience=QUICK)
    assert s3.list_objects_v2(Bucket="bucket", Prefix="half/")["KeyCount"] == sent


def test_from_store_to_store_nothing_comes_here(s3: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    s3.put_object(Bucket="bucket", Key="from/a b", Body=b"1")
    s3.put_object(Bucket="bucket", Key="from/sub/c", Body=b"2")
    monkeypatch.setenv("TMPDIR", str(tmp_path / "nowhere"))
    fetch.copy("s3://bucket/from/", "other://bucket/to/", patience=QUICK)
    names = {item.rel_name for item in fetch.list_content("s3://bucket/to/") if item.type == "file"}
    assert names == {"a b", "sub/c"}


def test_actions_work_on_what_a_store_has(s3: Any, tmp_path: Path) -> None:
    s3.put_object(Bucket="bucket", Key="out/sub/a", Body=b"1")
    fetch.get("s3://bucket/out/sub/|mv:merged", tmp_path, patience=QUICK)
    assert (tmp_path / "merged/a").read_bytes() == b"1"
    fetch.copy("s3://bucket/out/sub/|mv:merged", "s3://bucket/again/", patience=QUICK)
    assert s3.get_object(Bucket="bucket", Key="again/merged/a")["Body"].read() == b"1"


def test_what_is_wrong_is_said(s3: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(NotFound):
        fetch.get("s3://bucket/none", tmp_path / "a", patience=QUICK)
    s3.put_object(Bucket="bucket", Key="some/folder/a", Body=b"1")
    for where in ("s3://bucket/some", "s3://bucket/some/folder", "s3://bucket"):
        with pytest.raises(NotFound, match=f"{where} is a folder: end its name with a slash"):
            fetch.get(where, tmp_path / "a", patience=QUICK)
        with pytest.raises(NotFound, match=f"{where} is a folder: end its name with a slash"):
            fetch.copy(where, "other://bucket/a", patience=QUICK)
    with pytest.raises(NotFound, match="s3://bucket is a folder"):
        fetch.copy("other://bucket/some/folder/a", "s3://bucket", patience=QUICK)
    with pytest.raises(NotFound, match="s3://none: "):
        fetch.list_content("s3://none")
    (tmp_path / "x").write_bytes(b"1")
    with pytest.raises(UnsupportedError, match="UTF-8 only"):
        fetch.put(tmp_path / "x", fetch.URI("s3://bucket/").child("\udcff"), patience=QUICK)
    with pytest.raises(NotFound, match="s3://bucket is a folder"):
        fetch.put(tmp_path / "x", "s3://bucket", patience=QUICK)
    away = tmp_path / "rclone.conf"
    away.write_text(Path(os.environ["SCITQ_RCLONE_CONF"]).read_text().replace("127.0.0.1:", "127.0.0.1:1"))
    monkeypatch.setenv("SCITQ_RCLONE_CONF", str(away))
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(NotInstalled, match="apt-get install rclone"):
        fetch.get("s3://bucket/a", tmp_path / "a")


@pytest.mark.parametrize(
    ("said", "error"),
    [
        ("object not found", NotFound),
        ("NoSuchBucket: The specified bucket does not exist\n\tstatus code: 404", NotFound),
        ("AccessDenied: Access Denied\n\tstatus code: 403, request id: 1", NotAuthorised),
        ("SignatureDoesNotMatch: …", NotAuthorised),
        ("googleapi: Error 403: The user's Drive storage quota has been exceeded, storageQuotaExceeded", Quota),
        ("didn't find section in config file", FetchErrorNoRepeat),
        ("dial tcp 127.0.0.1:1: connect: connection refused", Unreachable),
        ("SlowDown: Please reduce your request rate\n\tstatus code: 503", Unreachable),
        (
            "… RESPONSE ERROR (ServiceCode=OutOfRangeInput) …\n RESPONSE Status: 400 The name is too short.",
            FetchErrorNoRepeat,
        ),
        ("RESPONSE 400: 400 The name is too short.\nERROR CODE: OutOfRangeInput", FetchErrorNoRepeat),
        ("something that nobody foresaw", Unreachable),
    ],
)
def test_what_stores_say_is_understood(said: str, error: type[Exception]) -> None:
    assert type(refusal(said, "s3://a")) is error


def test_of_the_thirty_lines_that_azure_says_the_one_that_tells_is_shown() -> None:
    said = """-> github.com/Azure/azure-storage-blob-go/azblob.newStorageError, zc_storage_error.go:42
===== RESPONSE ERROR (ServiceCode=OutOfRangeInput) =====
   PUT http://127.0.0.1:29503/devstoreaccount1/b?restype=container&timeout=31536001
   Authorization: REDACTED
   RESPONSE Status: 400 The specified resource name length is not within the permissible limits.
   Connection: [keep-alive]"""
    expected = "azure://b: 400 The specified resource name length is not within the permissible limits."
    assert str(refusal(said, "azure://b")) == expected


def test_a_signature_is_not_told() -> None:
    assert "Geheim" not in str(refusal('Put "https://a.blob/b?sv=1&sig=Geheim": EOF', "azure://b"))
