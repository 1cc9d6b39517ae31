"""scitq-fetch as it is typed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

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


def run(folder: Path, *words: str, code: int = 0) -> tuple[str, str]:
    """What it prints, and says."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
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
