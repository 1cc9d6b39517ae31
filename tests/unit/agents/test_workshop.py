"""Where a task runs and what it is: its words, its folders, its environment."""

from __future__ import annotations

import errno
import os
import threading
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

from scitq.agents.workshop import (
    FOLDERS,
    LEAST_FREE_BYTES,
    Workshop,
    check_room,
    environ_of_tasks,
    remove_tree,
    words,
)
from scitq.errors import AgentError, DiskFull, Rejected


@pytest.fixture
def workshop(tmp_path: Path) -> Workshop:
    return Workshop(tmp_path / "base", {"PATH": "/bin", "HOME": "/home/x", "USER": "x", "SECRET": "s"})


@pytest.mark.parametrize(
    ("command", "argv"),
    [
        ("echo hello", ["echo", "hello"]),
        ("sh -c 'a | b; c'", ["sh", "-c", "a | b; c"]),
        ('echo "a  b" c\\ d $X > f', ["echo", "a  b", "c d", "$X", ">", "f"]),
        ("écho\tä\n€", ["écho", "ä", "€"]),
    ],
)
def test_a_command_is_split_and_no_shell_reads_it(command: str, argv: list[str]) -> None:
    assert words({"command": command, "container": None, "input": ""}) == argv


@pytest.mark.parametrize(
    ("texts", "why"),
    [
        (None, "came without its command"),
        ({}, "came without its command"),
        ({"command": 5}, "came without its command"),
        ({"command": " "}, "is empty"),
        ({"command": "'' x"}, "is empty"),
        ({"command": "a\0b"}, "NUL"),
        ({"command": "a 'b"}, "cannot be split into words: no closing quotation"),
        ({"command": "a \\"}, "cannot be split into words: no escaped character"),
    ],
)
def test_what_cannot_be_run_is_refused_in_words(workshop: Workshop, texts: dict[str, Any] | None, why: str) -> None:
    with pytest.raises(Rejected, match=why):
        workshop.command(1, texts, 1)
    assert not Path(workshop.base).exists()


def test_each_execution_has_folders_of_its_own_and_knows_them(workshop: Workshop) -> None:
    for _ in range(2):  # a second time after a restart
        command = workshop.command(5, {"command": "x"}, 1)
    folder = Path(workshop.base) / "5"
    assert command.cwd == str(folder) and (folder.stat().st_mode & 0o777) == 0o700
    assert sorted(os.listdir(folder)) == sorted(FOLDERS)
    for name in FOLDERS:
        assert command.env[name.upper()] == str(folder / name)
    assert command.env["TMPDIR"] == command.env["TEMP"]


def test_a_command_gets_little_of_the_agents_environment(workshop: Workshop) -> None:
    env = workshop.command(5, {"command": "x"}, 1).env
    assert {name: env[name] for name in ("PATH", "HOME", "USER", "LANG")} == {
        "PATH": "/bin", "HOME": "/home/x", "USER": "x", "LANG": "C.UTF-8"
    }  # fmt: skip
    assert "SECRET" not in env
    assert all(environ_of_tasks({}).values()), "an agent without an environment has sane defaults"


def test_cores_are_shared_out(workshop: Workshop) -> None:
    cores = len(os.sched_getaffinity(0))
    assert workshop.command(1, {"command": "x"}, 1).env["CPU"] == str(cores)
    for many in (0, cores * 10):
        assert int(workshop.command(1, {"command": "x"}, many).env["CPU"]) == (cores if many == 0 else 1)


def test_a_folder_that_somebody_else_has_made_is_not_used(workshop: Workshop, tmp_path: Path) -> None:
    Path(workshop.base).mkdir()
    (tmp_path / "elsewhere").mkdir()
    (Path(workshop.base) / "1").symlink_to(tmp_path / "elsewhere")
    (Path(workshop.base) / "2").mkdir()
    (Path(workshop.base) / "2").chmod(0o777)
    Path(workshop.base).chmod(0o777)
    for execution in (1, 2):
        with pytest.raises(Rejected, match="is not this worker's"):
            workshop.command(execution, {"command": "x"}, 1)
    assert os.listdir(tmp_path / "elsewhere") == []


def test_a_machine_that_has_no_room_says_so_and_the_task_is_not_to_blame(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "mkdir", full)
        with pytest.raises(DiskFull, match="no space is left for the working folder"):
            workshop.command(1, {"command": "x"}, 1)
    (tmp_path / "base").write_text("a file")
    with pytest.raises(AgentError, match="cannot be made"):
        workshop.command(1, {"command": "x"}, 1)


def test_nothing_is_started_where_next_to_no_space_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    check_room(str(tmp_path))
    check_room(str(tmp_path / "not-there-yet"))
    found = os.statvfs(tmp_path)
    for blocks, free, is_full in ((1000, 0, True), (1000, LEAST_FREE_BYTES, False), (0, 0, False)):
        answer = os.statvfs_result((1, 1, blocks, free, free, *found[5:10]))
        monkeypatch.setattr(os, "statvfs", lambda _, answer=answer: answer)
        with pytest.raises(DiskFull) if is_full else nullcontext():
            check_room(str(tmp_path))


def test_an_empty_folder_goes_at_once_and_a_full_one_aside(workshop: Workshop) -> None:
    gone: list[int] = []
    told = threading.Event()

    def note(execution: int) -> None:
        gone.append(execution)
        told.set()

    for execution in (1, 2):
        workshop.command(execution, {"command": "x"}, 1)
    assert workshop.remove(1, note) and workshop.remove(1, note) and workshop.remove(77, note)
    (Path(workshop.base) / "2" / "output" / "result").write_text("x")
    assert not workshop.remove(2, note)
    assert told.wait(30) and gone == [2] and os.listdir(workshop.base) == []


def test_links_are_removed_and_not_followed(tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    kept.mkdir()
    (kept / "file").write_text("x")
    (kept / "file").chmod(0o444)
    tree = tmp_path / "tree"
    (tree / "sub").mkdir(parents=True)
    (tree / "sub" / "link").symlink_to(kept)
    (tree / "file").symlink_to(kept / "file")
    (tree / "sub").chmod(0o500)
    remove_tree(str(tree))
    assert not tree.exists() and (kept / "file").stat().st_mode & 0o777 == 0o444
