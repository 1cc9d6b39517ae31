"""A large file that is nearly all holes: 5 GB in `make campaign`, 100 MB otherwise."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from scitq import fetch
from scitq.fetch import ftp_client, rclone_daemon
from tests.conftest import miss
from tests.services.ftp_files import FtpMissing, PythonFtp
from tests.services.s3 import S3Missing, S3rver

SIZE = 5_000_000_000 if os.environ.get("SCITQ_CAMPAIGN") else 100_000_000
ISLANDS = {0: b"begin", SIZE // 3: b"a third", 2**32 % SIZE: b"behind 32 bits", SIZE - 3: b"end"}
PATIENCE = fetch.Patience(tries=4, first_s=0.01, longest_s=0.05)


@pytest.fixture
def sparse(tmp_path: Path) -> Path:
    if shutil.disk_usage(tmp_path).free < 4 * SIZE:
        miss("the disk has too little room for this")
    path = tmp_path / "sparse"
    with path.open("wb") as file:
        file.truncate(SIZE)
        for at, content in ISLANDS.items():
            file.seek(at)
            file.write(content)
    return path


def is_it(path: Path) -> bool:
    """Looked at where something is, and at a place where nothing is."""
    with path.open("rb") as file:
        return path.stat().st_size == SIZE and all(
            file.seek(at) == at and file.read(len(content)) == content
            for at, content in {**ISLANDS, SIZE // 2: b"\0" * 4_096}.items()
        )


def test_here_its_holes_stay_holes(sparse: Path, tmp_path: Path) -> None:
    fetch.copy(sparse, tmp_path / "copy")
    assert is_it(tmp_path / "copy")
    assert (tmp_path / "copy").stat().st_blocks * 512 < 10_000_000


def test_over_ftp_with_a_cut_on_the_way(sparse: Path, tmp_path: Path) -> None:
    try:
        server = PythonFtp(SIZE * 6 // 10)
    except FtpMissing as missing:
        miss(str(missing))
    with server:
        os.rename(sparse, server.files / "sparse")
        fetch.get(f"{server.url}/sparse", tmp_path / "back", patience=PATIENCE)
        ftp_client.forget()
        assert f"REST {SIZE * 6 // 10}" in server.said()
    assert is_it(tmp_path / "back")


def test_to_a_store_and_back(sparse: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    try:
        store = S3rver()
    except S3Missing as missing:
        miss(str(missing))
    with store:
        monkeypatch.setenv("SCITQ_RCLONE_CONF", str(store.config))
        monkeypatch.delenv("AWS_CA_BUNDLE", raising=False)
        store.client().create_bucket(Bucket="bucket")
        fetch.put(sparse, "s3://bucket/", patience=PATIENCE)
        fetch.get("s3://bucket/sparse", tmp_path / "back", patience=PATIENCE)
        rclone_daemon.stop_all()
    assert is_it(tmp_path / "back")
