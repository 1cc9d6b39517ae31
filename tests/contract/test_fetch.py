"""Every protocol does the same with the same verbs. HTTP, which only reads, is in tests/e2e/test_fetch_http.py."""

from __future__ import annotations

import hashlib
import os
import random
import secrets
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import pytest

from scitq import fetch
from scitq.fetch import ftp_client, rclone_daemon
from scitq.fetch.errors import NoSpace, NotFound
from tests.conftest import SmallDisk, miss
from tests.services.azure import AzureMissing, PrivateAzure
from tests.services.ftp_files import FtpMissing, PythonFtp, Vsftpd
from tests.services.s3 import PrivateS3, S3Missing, S3rver

QUICK = fetch.Patience(tries=3, first_s=0.01, longest_s=0.05, stall_s=20.0)
BIG = random.Random(1).randbytes(3_000_000)
TREE = {
    "reads_1.fq": b"@1\nACGT\n",
    "empty": b"",
    "big.bam": BIG,
    "sub/with space.txt": b"1",
    "sub/quo'te\"s;$(id)`id`.txt": b"2",
    "sub/deeper/ünïcode-日本.txt": b"3",
    "sub/deeper/[a]*?{b}.txt": b"4",
    "sub/deeper/-la": b"5",
    "sub/ leading": b"6",
    "sub/a%20b%7Cc|d#e?f@g": b"7",
    "sub/[x]/arrow -> not a link": b"8",
}
LINE_BREAKS = {"sub/new\nline": b"9", "sub/\r\n": b"10", os.fsdecode(b"sub/\xff\xfe"): b"11"}

S = TypeVar("S", PythonFtp, Vsftpd, PrivateS3, S3rver, PrivateAzure)


@dataclass
class Folder:
    """An empty place of some kind, and the folder of this machine in which its files lie."""

    uri: fetch.URI
    folder: Path
    names_any: bool = False
    has_folders = True
    keeps_time = True

    def plant(self, tree: dict[str, bytes]) -> None:
        plant(self.folder, tree)

    def harvest(self) -> dict[str, bytes]:
        return harvest(self.folder)


@dataclass
class Bucket:
    """The same in a store of objects, where folders are only beginnings of names. It is filled by rclone itself."""

    uri: fetch.URI
    place: str
    config: Path
    scratch: Path
    names_any = has_folders = keeps_time = False

    def plant(self, tree: dict[str, bytes]) -> None:
        plant(self.scratch / "planted", tree)
        self._rclone("copy", str(self.scratch / "planted"), self.place)

    def harvest(self) -> dict[str, bytes]:
        shutil.rmtree(self.scratch / "harvest", ignore_errors=True)
        # By one listing: s3rver, asked for one folder, does not name those that hold nothing but folders.
        self._rclone("copy", "--fast-list", self.place, str(self.scratch / "harvest"))
        return harvest(self.scratch / "harvest")

    def make(self) -> None:
        self._rclone("mkdir", self.place)

    def _rclone(self, *words: str) -> None:
        subprocess.run(["rclone", "--config", str(self.config), *words], check=True, timeout=120)


Store = Folder | Bucket


@pytest.fixture(scope="module")
def ftp_in_python() -> Iterator[PythonFtp]:
    yield from _started(PythonFtp)


@pytest.fixture(scope="module")
def vsftpd() -> Iterator[Vsftpd]:
    yield from _started(Vsftpd)


@pytest.fixture(scope="module")
def s3() -> Iterator[PrivateS3]:
    yield from _started(PrivateS3)
    rclone_daemon.stop_all()


@pytest.fixture(scope="module")
def s3rver() -> Iterator[S3rver]:
    yield from _started(S3rver)
    rclone_daemon.stop_all()


@pytest.fixture(scope="module")
def azure() -> Iterator[PrivateAzure]:
    yield from _started(PrivateAzure)
    rclone_daemon.stop_all()


def _started(kind: type[S]) -> Iterator[S]:
    try:
        server = kind()
    except (AzureMissing, FtpMissing, S3Missing) as missing:
        miss(str(missing))
    with server:
        yield server
        ftp_client.forget()


@pytest.fixture(params=["file", "ftp in Python", "vsftpd", "s3", "s3rver", "azure"])
def store(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> Store:
    if request.param == "file":
        folder = tmp_path_factory.mktemp("store")
        return Folder(fetch.URI.of_file(f"{folder}/"), folder, names_any=True)
    if request.param in ("s3", "s3rver", "azure"):
        server: PrivateS3 | S3rver | PrivateAzure = request.getfixturevalue(request.param)
        monkeypatch.setenv("SCITQ_RCLONE_CONF", str(server.config))
        monkeypatch.delenv("AWS_CA_BUNDLE", raising=False)  # older releases of rclone take it for one of their own
        scratch = tmp_path_factory.mktemp("scratch")
        name = f"bucket-{secrets.token_hex(6)}"
        remote = "azure" if request.param == "azure" else "s3"
        bucket = Bucket(fetch.URI(f"{remote}://{name}/"), f"{remote}:{name}", server.config, scratch)
        bucket.make()
        return bucket
    ftp: PythonFtp | Vsftpd = request.getfixturevalue("vsftpd" if request.param == "vsftpd" else "ftp_in_python")
    name = f"test{len(os.listdir(ftp.files))}"
    (ftp.files / name).mkdir()
    return Folder(fetch.URI(f"{ftp.url}/{name}/"), ftp.files / name)


def plant(folder: Path, tree: dict[str, bytes]) -> None:
    for name, content in tree.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
        os.utime(folder / name, (1_600_000_000, 1_600_000_000))


def harvest(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def tree_for(store: Store) -> dict[str, bytes]:
    return TREE | LINE_BREAKS if store.names_any else TREE


def test_a_folder_goes_there_and_comes_back(store: Store, tmp_path: Path) -> None:
    tree = tree_for(store)
    plant(tmp_path / "here", tree)
    fetch.put(tmp_path / "here", store.uri, patience=QUICK)
    assert store.harvest() == tree
    seen: list[fetch.Progress] = []
    fetch.get(store.uri, tmp_path / "back", patience=QUICK, progress=seen.append)
    assert harvest(tmp_path / "back") == tree
    total = sum(map(len, tree.values()))
    assert (seen[-1].done_bytes, seen[-1].total_bytes) == (total, total)
    assert (seen[-1].done_files, seen[-1].total_files) == (len(tree), len(tree))
    assert fetch.sync(store.uri, tmp_path / "back", patience=QUICK) == []


def test_a_file_goes_under_its_name_or_another(store: Store, tmp_path: Path) -> None:
    (tmp_path / "a b").write_bytes(BIG)
    fetch.put(tmp_path / "a b", store.uri, patience=QUICK)
    fetch.put(tmp_path / "a b", store.uri / "new/folders/c", patience=QUICK)
    assert store.harvest() == {"a b": BIG, "new/folders/c": BIG}
    fetch.get(store.uri / "a b", f"{tmp_path}/into/", patience=QUICK)
    fetch.get(store.uri / "a b", tmp_path / "as", patience=QUICK)
    assert (tmp_path / "into/a b").read_bytes() == (tmp_path / "as").read_bytes() == BIG
    (tmp_path / "a b").write_bytes(b"short")
    fetch.put(tmp_path / "a b", store.uri, patience=QUICK)  # what is there is replaced
    assert store.harvest()["a b"] == b"short"
    assert not [name for name in store.harvest() if name.startswith(".")]


def test_what_is_there_is_told(store: Store) -> None:
    store.plant(tree_for(store))
    items = {item.rel_name: item for item in fetch.list_content(store.uri)}
    files = {name: item.size for name, item in items.items() if item.type == "file"}
    assert files == {name: len(content) for name, content in tree_for(store).items()}
    assert {name for name, item in items.items() if item.type == "dir"} == {"sub/", "sub/deeper/", "sub/[x]/"}
    assert {item.rel_name for item in fetch.list_content(store.uri, no_rec=True)} == {
        "reads_1.fq", "empty", "big.bam", "sub/"
    }  # fmt: skip
    (alone,) = fetch.list_content(store.uri / "big.bam")
    assert (alone.rel_name, alone.size) == ("big.bam", len(BIG))
    found = fetch.info(store.uri / "big.bam")
    assert (found.type, found.size) == ("file", len(BIG))
    assert found.modification_date is not None
    assert not store.keeps_time or found.modification_date.timestamp() == 1_600_000_000
    assert fetch.info(store.uri / "sub").type == fetch.info(store.uri / "sub/").type == "dir"
    for item in items.values():
        assert fetch.URI(item.name) == item.uri


def test_what_is_not_there_is_said_at_once(store: Store, tmp_path: Path) -> None:
    for wrong in (
        lambda: fetch.get(store.uri / "none", tmp_path / "x"),
        lambda: fetch.get(store.uri / "none/", tmp_path / "x"),
        lambda: fetch.info(store.uri / "none"),
        lambda: fetch.list_content(store.uri / "none/"),
        lambda: fetch.delete(str(store.uri / "none")),
    ):
        with pytest.raises(NotFound, match="none"):
            wrong()
    assert os.listdir(tmp_path) == []


def test_a_full_disk_is_said_and_left_as_it_was(store: Store, small_disk: SmallDisk) -> None:
    store.plant({"big.bam": BIG, "sub/big.bam": BIG})
    disk = small_disk()
    (disk / "kept").write_bytes(b"1")
    for source in (store.uri / "big.bam", store.uri / "sub/big.bam", store.uri):
        with pytest.raises(NoSpace, match=r"[Nn]o space left|remaining disk space"):
            fetch.get(source, f"{disk}/", patience=QUICK)
        assert harvest(disk) == {"kept": b"1"}


def test_deleting_takes_what_is_named_and_nothing_else(store: Store) -> None:
    tree = tree_for(store)
    store.plant(tree)
    assert len(fetch.delete(store.uri, dryrun=True)) == len(tree) + 4  # and the folders
    assert store.harvest() == tree
    assert fetch.delete(store.uri / "sub", include="*.txt", dryrun=True) == fetch.delete(
        store.uri / "sub", include=["*.txt"]
    )
    left = {name: content for name, content in tree.items() if not (name.startswith("sub/") and name.endswith(".txt"))}
    assert store.harvest() == left
    fetch.delete(store.uri / "empty")
    fetch.delete(store.uri / "sub/")
    assert store.harvest() == {"reads_1.fq": tree["reads_1.fq"], "big.bam": BIG}
    assert "sub/" not in {item.rel_name for item in fetch.list_content(store.uri)}
    fetch.delete(store.uri)
    if store.has_folders:
        with pytest.raises(NotFound):
            fetch.list_content(store.uri)
    else:
        assert fetch.list_content(store.uri) == []  # the bucket stays


def test_sync_moves_what_differs_and_deletes_nothing(store: Store, tmp_path: Path) -> None:
    here = tmp_path / "here"
    plant(here, TREE)
    store.plant({"kept": b"1"})
    assert set(fetch.sync(here, store.uri, dryrun=True)) == set(TREE)
    assert store.harvest() == {"kept": b"1"}
    assert set(fetch.sync(here, store.uri, include="*.txt", patience=QUICK)) == {
        name for name in TREE if name.endswith(".txt")
    }
    assert len(fetch.sync(here, store.uri, patience=QUICK)) == len([n for n in TREE if not n.endswith(".txt")])
    assert fetch.sync(here, store.uri, patience=QUICK) == []
    assert store.harvest() == TREE | {"kept": b"1"}
    (here / "empty").write_bytes(b"no longer")
    assert fetch.sync(here, store.uri, patience=QUICK) == ["empty"]
    assert "kept" in fetch.sync(store.uri, here, patience=QUICK)
    assert harvest(here) == store.harvest()


def test_copy_goes_both_ways_and_takes_only_what_it_is_told(store: Store, tmp_path: Path) -> None:
    plant(tmp_path / "here", TREE)
    fetch.copy(tmp_path / "here", store.uri, file_list=["reads_1.fq", "sub/with space.txt"], patience=QUICK)
    assert store.harvest() == {"reads_1.fq": TREE["reads_1.fq"], "sub/with space.txt": b"1"}
    fetch.copy(store.uri / "sub/", store.uri / "copied/", patience=QUICK)
    assert {n[7:]: c for n, c in store.harvest().items() if n.startswith("copied/")} == {"with space.txt": b"1"}
    with pytest.raises(NotFound, match="none"):
        fetch.copy(store.uri, tmp_path / "x/", file_list=["none"])


def test_sixteen_at_once(store: Store, tmp_path: Path) -> None:
    tree = {f"{number % 7}/{number}": b"%d" % number for number in range(200)}
    store.plant(tree)
    fetch.get(store.uri, tmp_path / "back", parallel=16, patience=QUICK)
    assert harvest(tmp_path / "back") == tree


def test_an_md5_is_found_where_it_can_be(store: Store) -> None:
    store.plant({"a": b"1"})
    (item,) = fetch.list_content(store.uri, md5=True)
    assert item.md5 == (None if store.uri.protocol == "ftp" else hashlib.md5(b"1").hexdigest())
