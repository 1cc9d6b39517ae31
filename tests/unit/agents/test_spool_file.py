"""The spool on disk: what is written is there again, and what is damaged is not believed."""

from __future__ import annotations

import errno
import os
import resource
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings

from scitq.agents.spool import MOST_REMEMBERED, Confirmed, Dropped, Entry, Given, Reported, Spool
from scitq.agents.spool_file import SpoolWriter, open_spool
from scitq.domain.execution import Accepted, Failed, Refused, Started, Succeeded
from scitq.errors import AgentError, Damaged, DiskFull, FolderInUse
from scitq.journal import Journal
from tests.unit.domain.given import Choices, choices

NONE = Spool(lambda entry: None)  # for those who do not grow
EVERY_KIND: list[Entry] = [
    Given(5, 1, {"command": "echo 'ä\n\r €'", "nested": {"a": [1, None]}}),
    Given(6, 2),
    Reported(1, Accepted(5)),
    Reported(2, Started(5, 77)),
    Reported(3, Succeeded(5, 10, 20)),
    Reported(4, Failed(6, None, "no \r such\n thing", 1, 2)),
    Reported(5, Refused(6, "no")),
    Confirmed(3),
    Dropped(6),
]


@contextmanager
def opened(folder: Path, **options: Any) -> Iterator[tuple[str, list[Entry], SpoolWriter]]:
    incarnation, entries, writer = open_spool(folder, **options)
    try:
        yield incarnation, entries, writer
    finally:
        writer.close()


def write(folder: Path, *entries: Entry) -> Path:
    with opened(folder) as (_, _, writer):
        for entry in entries:
            writer(entry)
        writer.flush(NONE)
    return folder / "spool"


def read(folder: Path) -> list[Entry]:
    with opened(folder) as (_, entries, _):
        return entries


def everything(spool: Spool) -> dict[str, Any]:
    return {
        "held": sorted(spool.held.items()),
        "given": sorted(spool.given),
        "reports": list(spool.reports.items()),
        "last and floor": (spool.last, spool.floor),
        "over": (list(spool._over), spool._over_below),
    }


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    write(tmp_path, *EVERY_KIND[:5])
    write(tmp_path, *EVERY_KIND[5:])
    assert read(tmp_path) == EVERY_KIND


def test_the_incarnation_lasts_as_long_as_the_folder(tmp_path: Path) -> None:
    with opened(tmp_path / "a") as (first, _, _):
        pass
    with opened(tmp_path / "a") as (again, _, _), opened(tmp_path / "b") as (other, _, _):
        assert again == first and other != first and len(first) == 32


def test_a_second_agent_on_a_folder_is_refused_in_words(tmp_path: Path) -> None:
    with opened(tmp_path), pytest.raises(FolderInUse, match=rf"another agent \(process {os.getpid()}\) works in"):
        open_spool(tmp_path)
    assert read(tmp_path) == []


def test_a_folder_whose_agent_was_killed_is_free_and_whole(tmp_path: Path) -> None:
    program = """
import os, signal, sys
from pathlib import Path
from scitq.agents.spool import Given, Spool
from scitq.agents.spool_file import open_spool
_, _, writer = open_spool(Path(sys.argv[1]))
for number in range(1, 51):
    writer(Given(number, number))
writer.flush(Spool(writer))
os.kill(os.getpid(), signal.SIGKILL)
"""
    subprocess.run([sys.executable, "-c", program, str(tmp_path)], check=False, timeout=60)
    assert read(tmp_path) == [Given(number, number) for number in range(1, 51)]


def test_a_torn_end_is_cut_off_wherever_it_is_torn(tmp_path: Path) -> None:
    path = write(tmp_path, *EVERY_KIND)
    whole = path.read_bytes()
    before_last = whole[:-1].rindex(b"\n") + 1
    for length in range(before_last, len(whole)):
        path.write_bytes(whole[:length])
        assert read(tmp_path) == EVERY_KIND[:-1]
        assert path.stat().st_size == before_last
    write(tmp_path, EVERY_KIND[-1])
    assert read(tmp_path) == EVERY_KIND


@pytest.mark.parametrize("rubbish", [b"\0" * 5000, b"\n\n\n", b"x" * 300 + b"\n" + b"\0" * 10, b"00000000 {}\n"])
def test_what_a_power_cut_leaves_at_the_end_is_cut_off(tmp_path: Path, rubbish: bytes) -> None:
    path = write(tmp_path, *EVERY_KIND)
    path.write_bytes(path.read_bytes() + rubbish)
    assert read(tmp_path) == EVERY_KIND


def test_damage_in_the_middle_is_said_with_its_line(tmp_path: Path) -> None:
    path = write(tmp_path, *EVERY_KIND)
    content = bytearray(path.read_bytes())
    content[content.index(b"77")] = ord("8")
    path.write_bytes(content)
    with pytest.raises(Damaged, match=r"spool is damaged in line 4, and goes on behind it"):
        open_spool(tmp_path)
    assert path.read_bytes() == content, "it is left for inquiry"


def test_a_spool_of_an_unknown_release_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path)
    journal = Journal(str(path))
    journal.append(b'{"is":"promised","execution":4}')
    journal.close()
    with pytest.raises(Damaged, match=r"line 1 of .* was written by another release"):
        open_spool(tmp_path)


def test_a_spool_without_its_incarnation_is_refused(tmp_path: Path) -> None:
    write(tmp_path, *EVERY_KIND)
    (tmp_path / "incarnation").unlink()
    with pytest.raises(Damaged, match="is gone"):
        open_spool(tmp_path)
    (tmp_path / "incarnation").write_text("")
    with pytest.raises(Damaged, match="does not hold the id"):
        open_spool(tmp_path)


def test_a_folder_that_cannot_be_used_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(AgentError, match="cannot be used"):
        open_spool(tmp_path / "file" / "folder")


@contextmanager
def file_size_limit(limit: int) -> Iterator[None]:
    """As a full disk: what is longer is written in part, then not at all."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_on_a_full_disk_entries_wait_and_are_written_whole_once_there_is_room(tmp_path: Path) -> None:
    path = write(tmp_path, *EVERY_KIND)
    size = path.stat().st_size
    with opened(tmp_path) as (_, entries, writer):
        mine = Spool.reopen(entries, writer)
        mine.give(8, 8, {"command": "x" * 100})
        for room in (0, 1, 30):
            with file_size_limit(size + room), pytest.raises(DiskFull, match=r"no space is left to write .*spool"):
                writer.flush(mine)
            assert path.stat().st_size == size and not writer.is_written
        mine.drop(8)
        writer.flush(mine)
        assert writer.is_written
    assert read(tmp_path) == [*EVERY_KIND, Given(8, 8, {"command": "x" * 100}), Dropped(8)]


def test_without_room_to_be_compacted_the_spool_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(fd: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with opened(tmp_path, compact_bytes=500) as (_, _, writer):
        monkeypatch.setattr(os, "fsync", full)
        mine = Spool(writer)
        for number in range(1, 40):
            mine.give(number, number, None)
            writer.flush(mine)
        monkeypatch.undo()
    assert read(tmp_path) == [Given(number, number) for number in range(1, 40)]
    assert not (tmp_path / "spool.new").exists()


def test_syncing_waits_for_the_disk_once_for_all_entries(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[int] = []
    real = os.fdatasync

    def fdatasync(fd: int) -> None:
        synced.append(fd)
        real(fd)

    with opened(tmp_path) as (_, _, writer):
        monkeypatch.setattr(os, "fdatasync", fdatasync)
        for entry in EVERY_KIND:
            writer(entry)
            writer.flush(NONE)
        writer.sync()
        writer.sync()
    assert len(synced) == 1


def test_after_a_failed_sync_the_file_is_written_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a disk has of a file that it could not sync, nobody knows."""

    def fails(fd: int) -> None:
        raise OSError(5, "Input/output error")

    with opened(tmp_path) as (_, _, writer):
        mine = Spool(writer)
        mine.give(1, 1, None)
        writer.flush(mine)
        monkeypatch.setattr(os, "fdatasync", fails)
        with pytest.raises(AgentError, match="Input/output error"):
            writer.sync()
        mine.give(2, 2, None)
        monkeypatch.setattr(os, "fsync", fails)
        with pytest.raises(AgentError, match="Input/output error"):
            writer.flush(mine)
        assert not writer.is_written
        monkeypatch.undo()
        writer.flush(mine)
        writer.sync()
    assert everything(Spool.reopen(read(tmp_path), lambda entry: None)) == everything(mine)


def lives(drawn: Choices, mine: Spool, most: int = 12) -> None:
    """Whatever may happen to a spool."""
    while drawn.left:
        id = 1 + drawn.number(most)
        match drawn.number(5):
            case 0:
                if not mine.knows(id):
                    mine.give(id, 100 + id, {"command": "work"})
            case 1 | 2:
                mine.report(drawn.of((Accepted(id), Started(id), Succeeded(id), Failed(id, 1), Refused(id, "no"))))
            case 3:
                mine.confirm(drawn.number(mine.last + 3))
            case _:
                mine.drop(id)


@settings(max_examples=300, deadline=None)
@given(choices(20, 120))
def test_the_fewest_entries_make_the_same_spool(drawn: Choices) -> None:
    shadow = Spool(lambda entry: None)
    lives(drawn, shadow)
    assert everything(Spool.reopen(shadow.fewest(), lambda entry: None)) == everything(shadow)


def test_the_fewest_entries_know_what_is_over_by_its_age() -> None:
    shadow = Spool(lambda entry: None)
    shadow.give(3, 3, None)
    for id in range(4, MOST_REMEMBERED + 20):
        shadow.drop(id)
    assert everything(Spool.reopen(shadow.fewest(), lambda entry: None)) == everything(shadow)


def test_a_spool_that_has_grown_is_written_anew_and_stays_the_same(tmp_path: Path) -> None:
    with opened(tmp_path, compact_bytes=4_000) as (_, entries, writer):
        mine = Spool.reopen(entries, writer)
        mine.give(1, 1, {"command": "stays"})
        mine.report(Started(1))
        sizes: list[int] = []
        for id in range(2, 400):
            mine.give(id, id, {"command": "work"})
            mine.report(Started(id))
            mine.report(Succeeded(id))
            mine.confirm(mine.last)
            writer.flush(mine)
            sizes.append(writer._journal.size)
        assert sum(after < before for before, after in pairwise(sizes)) > 5
    assert everything(Spool.reopen(read(tmp_path), lambda entry: None)) == everything(mine)
    assert not (tmp_path / "spool.new").exists()


@pytest.mark.parametrize("broken", ["fsync", "rename"])
def test_a_crash_while_it_is_written_anew_loses_nothing(
    tmp_path: Path, broken: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Crash(BaseException):
        pass

    def crash(*_: object) -> None:
        raise Crash

    doing: Callable[..., None] = crash
    with opened(tmp_path, compact_bytes=100) as (_, _, writer):
        mine = Spool(writer)
        monkeypatch.setattr(os, broken, doing)
        with pytest.raises(Crash):
            for number in range(1, 10):
                mine.give(number, number, None)
                writer.flush(mine)
        monkeypatch.undo()
    entries = read(tmp_path)
    assert entries and entries == [Given(number, number) for number in range(1, len(entries) + 1)]
