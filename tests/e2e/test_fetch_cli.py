"""scitq-fetch as it is typed."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import miss
from tests.services.waiting import eventually
from tests.services.web_files import WebFiles

TREE = {"a.bam": b"1", "b.txt": b"22", "sub/c.bam": b"333", "sub/é'\n\x1b[31m": b"4444"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, content in TREE.items():
        (tmp_path / "data" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "data" / name).write_bytes(content)
    return tmp_path


@pytest.fixture
def web() -> Iterator[WebFiles]:
    with WebFiles() as server:
        yield server


def run(folder: Path, *words: str, code: int = 0, **more: str) -> tuple[str, str]:
    """What it prints, and says. `more` is its environment's."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)} | more
    command = [sys.executable, "-m", "scitq.fetch", *words]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout, done.stderr


def test_listings_are_tables_for_pipes_and_json_for_programs(folder: Path) -> None:
    printed, _ = run(folder, "rlist", "--md5", "data")
    lines = printed.splitlines()
    assert lines[0].split() == ["rel_name", "creation_date", "modification_date", "size", "md5"]
    assert lines[1].split()[0] == "a.bam" and lines[1].split()[-2:] == ["1", "c4ca4238a0b923820dcc509a6f75849b"]
    assert lines[1].split()[1] == "-" and "+00:00" in lines[1]
    assert "\x1b" not in printed
    assert len(lines) == 1 + len(TREE) + 1
    flat = [line.split()[0] for line in run(folder, "nrlist", "data")[0].splitlines()[1:]]
    assert flat == ["a.bam", "b.txt", "sub/"]
    assert run(folder, "rlist", "--not-recursive", "data") == run(folder, "nrlist", "data")
    assert f"file://{folder}/data/sub/" in run(folder, "nlist", "data")[0]
    rows = json.loads(run(folder, "list", "--json", "--md5", f"file://{folder}/data/")[0])["rows"]
    assert {row["rel_name"]: row["size"] for row in rows if row["type"] == "file"} == {
        name: len(content) for name, content in TREE.items()
    }
    assert rows[0]["name"] == f"file://{folder}/data/a.bam"


def test_copy_comes_here_unless_told_otherwise(folder: Path, web: WebFiles) -> None:
    web.serve("reads.fq", b"@1\nACGT\n")
    assert run(folder, "copy", f"{web.url}/reads.fq") == ("", "")
    assert (folder / "reads.fq").read_bytes() == b"@1\nACGT\n"
    run(folder, "-p", "3", "copy", "data", "copied/")
    assert (folder / "copied/sub/c.bam").read_bytes() == b"333"
    run(folder, "copy", "data/a.bam", "other")
    assert (folder / "other").read_bytes() == b"1"


def test_a_dry_run_does_nothing(folder: Path) -> None:
    before = sorted(os.walk(folder))
    printed, said = run(folder, "delete", "--dryrun", f"file://{folder}/data/")
    assert len(printed.splitlines()) == len(TREE) + 2 and "would be deleted" in said
    printed, said = run(folder, "sync", "--dryrun", "--include", "*.bam", "data", "new")
    assert sorted(printed.split()) == ["a.bam", "sub/c.bam"] and said == "2 files would be copied\n"
    assert sorted(os.walk(folder)) == before


def test_sync_and_delete_do_what_the_dry_run_said(folder: Path) -> None:
    assert run(folder, "sync", "--include", "*.bam", "data", "new") == ("", "2 files copied\n")
    assert json.loads(run(folder, "sync", "--include", "*.bam", "--json", "data", "new")[0])["files"] == []
    run(folder, "delete", "--include", "*.bam", "data")
    assert sorted(os.listdir(folder / "data")) == ["b.txt", "sub"]
    run(folder, "delete", "data")
    assert sorted(os.listdir(folder)) == ["new"]


def test_info(folder: Path) -> None:
    printed, _ = run(folder, "info", "--md5", "data/b.txt")
    assert "type: file\nsize: 2\n" in printed and "md5: b6d767d2f8ed5d21a44b0e5886680cb9\n" in printed
    assert json.loads(run(folder, "info", "--json", "data")[0])["type"] == "dir"


def test_ncdu_reads_what_is_written_for_it(folder: Path) -> None:
    if shutil.which("ncdu") is None:
        miss("no ncdu found (Debian: apt-get install ncdu)")
    for name in ("data/sub/\udcff", "data/a/b/c/d", "data/a.d/e"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"1" * 5_000)
    os.mkfifo(folder / "data/pipe")
    path = run(folder, "ncdu", "data")[0].removesuffix("\n")
    assert json.loads(run(folder, "ncdu", "--json", "--only-file", "data")[0])["file"] != path
    read = subprocess.run(["ncdu", "-0", "-o", "-", "-f", path], capture_output=True, check=True)
    assert read.stderr == b""
    tree = json.loads(read.stdout.decode("utf-8", "surrogateescape"))[3]
    files = {os.path.relpath(name, f"file://{folder}/data"): size for name, size in sizes_in(tree)}
    assert files == {
        "a.bam": 1, "b.txt": 2, "sub/c.bam": 3, "sub/é'\n\x1b[31m": 4,
        "sub/\udcff": 5_000, "a/b/c/d": 5_000, "a.d/e": 5_000, "pipe": 0,
    }  # fmt: skip
    assert os.stat(path).st_mode & 0o777 == 0o600, "names are nobody else's business"
    os.unlink(path)


def sizes_in(tree: list[Any], above: str = "") -> Iterator[tuple[str, int]]:
    """Of an export of ncdu."""
    here = f"{above}{tree[0]['name']}/"
    for entry in tree[1:]:
        if isinstance(entry, list):
            yield from sizes_in(entry, here)
        else:
            yield here + entry["name"], entry.get("asize", 0)


def test_ncdu_is_opened_in_this_terminal_and_its_file_removed(folder: Path) -> None:
    (folder / "bin").mkdir()
    (folder / "bin/ncdu").write_text('#!/bin/sh\necho "$1"; cp "$2" seen\nexit 3\n')
    (folder / "bin/ncdu").chmod(0o755)
    path = f"{folder}/bin:{os.environ['PATH']}"
    assert run(folder, "ncdu", "--run", "data", code=3, PATH=path, TMPDIR=str(folder))[0] == "-f\n"
    assert [name for name in os.listdir(folder) if "ncdu" in name] == []
    assert "a.bam" in (folder / "seen").read_text()
    said = run(folder, "ncdu", "--run", "data", code=1, PATH="/nowhere", TMPDIR=str(folder))[1]
    assert said.count("\n") == 1 and "apt-get install ncdu" in said
    assert "--only-file" in run(folder, "ncdu", "--run", "--only-file", "data", code=2)[1]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["copy", "fiel:///a"], "did you mean file://"),
        (["copy", "s3:/bucket/a"], "s3:/bucket/a"),
        (["copy", "none"], "none: No such file or directory"),
        (["list", "file@aria2:///a"], "has no option aria2"),
        (["delete", "file:///"], "the whole machine"),
        (["copy", "http://127.0.0.1:99999/a"], "no such port"),
    ],
)
def test_what_is_wrong_is_said_in_one_sentence(folder: Path, words: list[str], sentence: str) -> None:
    printed, said = run(folder, *words, code=1)
    assert printed == ""
    assert said.startswith("scitq-fetch: ") and said.count("\n") == 1 and sentence in said


def test_a_retry_is_told(folder: Path, web: WebFiles) -> None:
    web.serve("reads", b"1", refusals=[(503, {})])
    _, said = run(folder, "copy", f"{web.url}/reads")
    assert said.count("\n") == 1 and "503 Service Unavailable" in said and "tried again" in said


def test_control_c_leaves_nothing(folder: Path, web: WebFiles) -> None:
    web.serve("reads", b"1" * 3_000_000, stalls=[2_000_000])
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    command = [sys.executable, "-m", "scitq.fetch", "copy", f"{web.url}/reads", f"{folder}/got/"]
    process = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)
    try:
        eventually(lambda: [entry for entry in os.scandir(folder / "got") if entry.stat().st_size > 1_000_000]
                   if (folder / "got").exists() else None)  # fmt: skip
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=30)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 130
    assert "Traceback" not in said
    assert os.listdir(folder / "got") == []
