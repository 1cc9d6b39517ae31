"""Files of this machine: links, holes, strange things, ten thousand of them, and a disk that is full."""

from __future__ import annotations

import hashlib
import os
import shutil
import socket
import stat
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from scitq import fetch
from scitq.fetch import file_copy
from scitq.fetch.errors import Changed, FetchError, NoSpace, NotAuthorised, NotFound, UnsupportedError
from tests.conftest import SmallDisk

QUICK = fetch.Patience(tries=2, first_s=0.001, longest_s=0.001)
MANY = 10_000


def uri(path: Path, more: str = "") -> str:
    return f"file://{path}{more}"


def test_links_inside_a_folder_are_followed_to_its_own_files_only(tmp_path: Path) -> None:
    source = tmp_path / "source"
    (source / "run_12").mkdir(parents=True)
    (source / "run_12/calls.vcf").write_bytes(b"1")
    (tmp_path / "secret").write_bytes(b"s")
    os.symlink("run_12/calls.vcf", source / "latest.vcf")
    os.symlink(source / "run_12/calls.vcf", source / "absolute.vcf")
    for name, to in {
        "out": "../secret",
        "folder": "run_12",
        "nothing": "none",
        "circle": "circle",
        "root": "/",
    }.items():
        os.symlink(to, source / name)
    os.mkfifo(source / "pipe")
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(str(source / "s"))
    listening.close()
    fetch.get(uri(source, "/"), tmp_path / "target")
    copied = {str(path.relative_to(tmp_path / "target")) for path in (tmp_path / "target").rglob("*") if path.is_file()}
    assert copied == {"latest.vcf", "absolute.vcf", "run_12/calls.vcf"}
    assert not any(path.is_symlink() for path in (tmp_path / "target").rglob("*"))
    kinds = {item.rel_name: item.type for item in fetch.list_content(source)}
    assert kinds["out"] == kinds["folder"] == kinds["nothing"] == kinds["circle"] == kinds["root"] == "link"
    assert kinds["pipe"] == kinds["s"] == "unknown"


def test_a_link_that_is_named_is_followed_and_when_deleted_is_not(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder/a").write_bytes(b"1")
    os.symlink("folder", tmp_path / "to folder")
    os.symlink("folder/a", tmp_path / "to file")
    fetch.get(uri(tmp_path / "to file"), tmp_path / "copy")
    fetch.get(uri(tmp_path / "to folder", "/"), tmp_path / "copies")
    assert (tmp_path / "copy").read_bytes() == (tmp_path / "copies/a").read_bytes() == b"1"
    assert not (tmp_path / "copy").is_symlink()
    fetch.delete(uri(tmp_path / "to folder", "/"))
    fetch.delete(uri(tmp_path / "to file"))
    assert sorted(os.listdir(tmp_path)) == ["copies", "copy", "folder"]
    assert os.listdir(tmp_path / "folder") == ["a"]


def test_what_is_no_file_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for name, word in {uri(tmp_path / "pipe"): "pipe", "file:///dev/zero": "device", uri(tmp_path): "a folder"}.items():
        with pytest.raises(UnsupportedError, match=word):
            fetch.get(name, tmp_path / "got")
    with pytest.raises(NotFound):
        fetch.get(uri(tmp_path / "none"), tmp_path / "got")
    assert os.listdir(tmp_path) == ["pipe"]


@pytest.mark.parametrize("name", ["file:///", "file:////", "file:///.", "file:///tmp/..", "/"])
def test_the_whole_machine_is_not_deleted(name: str) -> None:
    with pytest.raises(UnsupportedError, match="whole machine"):
        fetch.delete(name, dryrun=True)  # it is refused even so, and the test harmless if it is not


def test_mode_and_time_are_kept_and_setuid_is_not(tmp_path: Path) -> None:
    (tmp_path / "tool").write_bytes(b"#!")
    os.chmod(tmp_path / "tool", 0o6751)
    os.utime(tmp_path / "tool", ns=(1, 1_600_000_000_123_456_789))
    fetch.get(uri(tmp_path / "tool"), tmp_path / "copy")
    about = os.stat(tmp_path / "copy")
    assert stat.S_IMODE(about.st_mode) == 0o751
    assert about.st_mtime_ns == 1_600_000_000_123_456_789


@pytest.mark.parametrize("without", [0, 1, 2], ids=["in the kernel", "by sendfile", "by hand"])
def test_each_way_of_copying_keeps_bytes_and_holes(
    tmp_path: Path, without: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unknown(*of: object) -> int:
        raise OSError(95, "Operation not supported")

    for name in ("_cloned", "_in_kernel", "_by_sendfile")[1 : without + 1]:
        monkeypatch.setattr(file_copy, name, unknown)
    with open(tmp_path / "sparse", "wb") as file:
        file.truncate(40_000_000)
        for at in (0, 17_000_000, 39_999_000):
            file.seek(at)
            file.write(os.urandom(1000))
    (tmp_path / "plain").write_bytes(os.urandom(3_000_001))
    for name in ("sparse", "plain"):
        fetch.get(uri(tmp_path / name), tmp_path / "copy")
        assert _digest(tmp_path / "copy") == _digest(tmp_path / name)
        assert os.stat(tmp_path / "copy").st_blocks <= os.stat(tmp_path / name).st_blocks + 64


def test_files_of_the_kernel_that_say_they_are_empty_are_read(tmp_path: Path) -> None:
    fetch.get("file:///proc/self/status", tmp_path / "status")
    assert b"Name:" in (tmp_path / "status").read_bytes()


def test_a_file_that_changes_while_it_is_copied_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a").write_bytes(b"1" * 300_000)
    really = file_copy._in_kernel

    def changing(source: int, target: int, at: int, count: int) -> int:
        copied = really(source, target, at, count)
        (tmp_path / "a").write_bytes(b"2" * 300_000)
        os.utime(tmp_path / "a", (at, len(written)))
        written.append(copied)
        return copied

    written: list[int] = []
    monkeypatch.setattr(file_copy, "_in_kernel", changing)
    monkeypatch.setattr(file_copy, "_cloned", lambda source, target: False)
    with pytest.raises(Changed):
        fetch.get(uri(tmp_path / "a"), tmp_path / "copy", patience=QUICK)
    assert len(written) == QUICK.tries
    assert os.listdir(tmp_path) == ["a"]


def test_a_log_that_grows_is_copied_as_far_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "log").write_bytes(b"1" * 300_000)
    really = file_copy._in_kernel

    def growing(source: int, target: int, at: int, count: int) -> int:
        with open(tmp_path / "log", "ab") as log:
            log.write(b"more")
        return really(source, target, at, count)

    monkeypatch.setattr(file_copy, "_in_kernel", growing)
    monkeypatch.setattr(file_copy, "_cloned", lambda source, target: False)
    fetch.get(uri(tmp_path / "log"), tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == b"1" * 300_000


@pytest.fixture
def memory() -> Iterator[Path]:
    """A folder that no slow disk holds up."""
    with tempfile.TemporaryDirectory(dir="/dev/shm" if os.path.isdir("/dev/shm") else None) as folder:
        yield Path(folder)


def test_ten_thousand_small_files(memory: Path) -> None:
    for number in range(100):
        (memory / f"source/{number}").mkdir(parents=True)
    for number in range(MANY):
        with open(memory / f"source/{number % 100}/{number}", "wb") as file:
            file.write(b"%d" % number)
    seen: list[fetch.Progress] = []
    fetch.get(uri(memory / "source", "/"), memory / "target", progress=seen.append)
    assert sum(len(names) for _, _, names in os.walk(memory / "target")) == MANY
    assert (memory / "target/7/1207").read_bytes() == b"1207"
    assert (seen[-1].done_files, seen[-1].total_files) == (MANY, MANY)
    assert fetch.sync(memory / "source", memory / "target") == []
    assert len(fetch.delete(uri(memory / "target"))) == MANY + 101
    assert not (memory / "target").exists()


def test_a_full_disk_is_said_and_left_as_it_was(tmp_path: Path, small_disk: SmallDisk) -> None:
    disk = small_disk()
    (tmp_path / "big").write_bytes(os.urandom(3_000_000))
    (disk / "kept").write_bytes(b"1")
    subprocess.run(["tar", "czf", tmp_path / "big.tgz", "-C", tmp_path, "big"], check=True)
    for source in (uri(tmp_path / "big"), uri(tmp_path / "big.tgz", "|untar")):
        with pytest.raises(NoSpace, match="No space left"):
            fetch.get(source, f"{disk}/")
        assert os.listdir(disk) == ["kept"]
        assert shutil.disk_usage(disk).used < 100_000


def test_of_several_files_the_first_error_ends_the_others(tmp_path: Path, small_disk: SmallDisk) -> None:
    disk = small_disk()
    (tmp_path / "source").mkdir()
    for number in range(50):
        (tmp_path / f"source/{number}").write_bytes(os.urandom(200_000))
    with pytest.raises(NoSpace):
        fetch.get(uri(tmp_path / "source", "/"), disk, parallel=4)
    assert not [name for name in os.listdir(disk) if name.startswith(".")]


def test_what_may_not_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"1")
    for target, error in {"/proc/nowhere/a": FetchError, f"{tmp_path}/a/b": FetchError}.items():
        with pytest.raises(error):
            fetch.get(uri(tmp_path / "a"), target)
    if os.geteuid() != 0:
        with pytest.raises(NotAuthorised):
            fetch.get(uri(tmp_path / "a"), "/a")


def test_a_name_that_is_taken_by_a_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"1")
    (tmp_path / "target/a").mkdir(parents=True)
    with pytest.raises(UnsupportedError, match="is a folder"):
        fetch.get(uri(tmp_path / "a"), f"{tmp_path}/target/")
    assert os.listdir(tmp_path / "target") == ["a"]


def test_old_names_work_as_they_did(tmp_path: Path) -> None:
    assert fetch.get_file_uri("file:///a/b") == "/a/b"
    assert fetch.get_file_uri("http://a/b") is None
    assert fetch.pathjoin("s3://a/", "/b/", "./c") == "s3://a/b/c"
    assert fetch.pathjoin("/a", "b/") == "/a/b/"
    (tmp_path / "a").write_bytes(b"1")
    assert fetch.recursive_delete(uri(tmp_path), dryrun=True) == [uri(tmp_path / "a"), uri(tmp_path)]
    assert fetch.recursive_delete(uri(tmp_path), include=["*.b"]) == []


def test_importing_fetch_loads_nothing_of_a_server() -> None:
    """Nor does it load what only some protocols need."""
    program = "import sys, scitq.fetch; print(*sorted(name for name in sys.modules if name.startswith('scitq')))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert {name for name in loaded if not name.startswith("scitq.fetch")} == {"scitq", "scitq.errors"}
    assert not loaded & {"scitq.fetch.http", "scitq.fetch.ftp", "scitq.fetch.bars"}


def _digest(path: Path) -> str:
    return hashlib.md5(path.read_bytes()).hexdigest()


def test_a_call_from_another_thread_is_cut_off_with_the_others(tmp_path: Path) -> None:
    """Cancelled from within the callback, as a program with a window does."""
    (tmp_path / "source").mkdir()
    for number in range(200):
        (tmp_path / f"source/{number}").write_bytes(b"1")
    calling_off = fetch.Cancellation()
    ended: list[BaseException] = []

    def run(work: Callable[[], None]) -> None:
        try:
            work()
        except BaseException as error:
            ended.append(error)

    def work() -> None:
        fetch.get(
            uri(tmp_path / "source", "/"),
            tmp_path / "target",
            progress=lambda progress: calling_off.cancel(),
            cancellation=calling_off,
        )

    thread = threading.Thread(target=run, args=(work,))
    thread.start()
    thread.join(30)
    assert isinstance(ended[0], fetch.Cancelled)
    assert not [name for name in os.listdir(tmp_path / "target") if name.startswith(".")]
