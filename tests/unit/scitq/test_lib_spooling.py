"""What a sender is given is not lost: disks that fill up, forks, power cuts, and files of others in its folder."""

from __future__ import annotations

import asyncio
import errno
import os
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from threading import Event
from types import SimpleNamespace

import pytest

from scitq.errors import Damaged, NotSent, ServerError
from scitq.journal import Journal
from scitq.lib import AsyncServer, Server, spooling
from scitq.lib.spooling import SpoolFile
from tests.services.waiting import eventually
from tests.unit.scitq.scripted import Asked, Said, in_turn, serving

NOBODY = "127.0.0.1:1"
HERE = "http://here"


@pytest.fixture(autouse=True)
def surroundings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("SCITQ_SERVER", raising=False)
    monkeypatch.setattr("scitq.lib.patience.LONGEST_PAUSE_S", 0.02)


def created(asked: Asked) -> Said:
    return Said({"task_id": 1, "command": asked.json["command"]}, 201)


@contextmanager
def forked(run: object) -> Iterator[None]:
    """Beside a child that runs this, and then lives until the end of the block."""
    said, say = os.pipe()
    hold, release = os.pipe()
    child = os.fork()
    if not child:
        try:
            os.close(release)
            run()  # type: ignore[operator]
            os.write(say, b"1")
            os.read(hold, 1)
        finally:
            os._exit(0)
    try:
        os.close(say)
        assert os.read(said, 1) == b"1", "the child has failed"
        yield
    finally:
        for end in (release, hold, said):
            os.close(end)
        os.waitpid(child, 0)


def test_what_was_taken_is_on_the_disk_before_the_call_comes_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever `os.fdatasync` has not been told to keep is what a power cut takes."""
    kept = b""

    def fdatasync(fd: int) -> None:
        nonlocal kept
        kept = Path(f"/proc/self/fd/{fd}").read_bytes()

    monkeypatch.setattr(os, "fdatasync", fdatasync)
    with Server(NOBODY) as server:
        sender = server.background(tmp_path / "s")
        sender.task_create("echo 1")
        assert b"echo 1" in kept
        sender.close(0.0)
        taken_over = SpoolFile(tmp_path / "s", server.url)  # which removes the file of the first one
        assert b"echo 1" in kept and len(taken_over.left) == 1


def test_a_disk_that_cannot_say_so_is_told_of_and_the_request_goes_its_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fdatasync(fd: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    with serving(created) as there, Server(there.url) as server, server.background(tmp_path / "s") as sender:
        monkeypatch.setattr(os, "fdatasync", fdatasync)
        assert sender.task_create("a").result(30)["task_id"] == 1
        assert "would not survive a power cut" in caplog.text


def test_a_disk_that_is_full_when_an_answer_comes_stops_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    held = Event()

    def answer(asked: Asked) -> Said:
        held.wait(30)
        return created(asked)

    def full(fd: int, data: bytes) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    with serving(answer) as there, Server(there.url) as server, server.background(tmp_path / "s") as sender:
        first, second = sender.task_create("a"), sender.task_create("b")
        with monkeypatch.context() as disk:
            disk.setattr("scitq.journal.os", SimpleNamespace(**vars(os) | {"write": full}))
            held.set()
            assert second.result(30)["command"] == "b" and first.done()
            sender.flush(30)
        assert "could not be noted" in caplog.text


def test_what_nobody_has_foreseen_is_its_handles_and_the_others_go_on() -> None:
    with serving(created) as there, Server(there.url) as server, server.background() as sender:
        odd, fine = sender.put("/" + "x" * 70_000), sender.task_create("b")
        assert fine.result(30)["command"] == "b"
        with pytest.raises(Exception, match="URL"):
            odd.result(0)


def test_an_answer_that_comes_while_the_sender_closes_is_an_answer() -> None:
    asked_for, held = Event(), Event()

    def answer(asked: Asked) -> Said:
        asked_for.set()
        held.wait(30)
        return created(asked)

    with serving(answer) as there, Server(there.url) as server:
        sender = server.background()
        handle = sender.task_create("a")
        assert asked_for.wait(30)
        sender._own_line.stop.set = held.set  # type: ignore[method-assign]  # at the moment in which it closes
        sender.close(0.0)
        assert handle.result(0)["command"] == "a" and sender.waiting == 0


def test_what_was_taken_back_is_not_sent_by_the_next_one(tmp_path: Path) -> None:
    spool = tmp_path / "s"
    with serving(in_turn(Said({"message": "not now"}, 503))) as there, Server(there.url) as server:
        sender = server.background(spool)
        first, second = sender.task_create("a"), sender.task_create("b")
        eventually(first.running, "the first is on its way")
        assert second.cancel()
        sender.close(0.0)
        with pytest.raises(NotSent, match="1 request is"):
            first.result(0)
        assert [one.body for one in SpoolFile(spool, server.url).left] == [b'{"command":"a"}']


@pytest.mark.parametrize("status", [500, 200])
def test_what_stumbled_over_something_stays_for_the_next_one(tmp_path: Path, status: int) -> None:
    with serving(in_turn(Said(b"<html>", status))) as there, Server(there.url) as server:
        with server.background(tmp_path / "s") as sender, pytest.raises(ServerError):
            sender.task_create("a").result(30)
        assert len(SpoolFile(tmp_path / "s", server.url).left) == 1


def test_flushing_waits_for_what_was_given_before_and_for_no_more() -> None:
    go, held = Event(), Event()

    def answer(asked: Asked) -> Said:
        (go if asked.json["command"] == "a" else held).wait(30)
        return created(asked)

    with (
        serving(answer) as there,
        Server(there.url) as server,
        server.background() as sender,
        ThreadPoolExecutor(1) as pool,
    ):
        first = sender.task_create("a")
        flushed = pool.submit(sender.flush, 30)
        eventually(lambda: sender._outbox._changed._waiters, "the flush waits")  # type: ignore[attr-defined]
        sender.task_create("b")
        go.set()
        flushed.result(30)
        assert first.done() and sender.waiting == 1
        held.set()
        sender.close(30)


def test_a_child_that_outlives_its_parent_keeps_nothing_from_the_next_one(tmp_path: Path) -> None:
    with Server(NOBODY) as server:
        sender = server.background(tmp_path / "s")
        with forked(lambda: None):
            sender.task_create("a")
            sender.close(0.0)
            assert len(SpoolFile(tmp_path / "s", server.url).left) == 1


def test_a_child_that_leaves_the_with_leaves_the_file_of_its_parent(tmp_path: Path) -> None:
    with Server(NOBODY) as server:
        sender = server.background(tmp_path / "s")

        def leave() -> None:
            with pytest.raises(NotSent, match="after the fork"):
                sender.flush()
            sender.close()
            server.close()

        with forked(leave):
            sender.task_create("a")
        sender.close(0.0)
        assert len(SpoolFile(tmp_path / "s", server.url).left) == 1


def test_the_file_of_one_that_is_never_idle_does_not_grow_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spooling, "COMPACT_BYTES", 10_000)
    spool = SpoolFile(tmp_path, HERE)
    spool.add("0", "POST", "/", b"x")
    (file,) = tmp_path.glob("*.waiting")
    for number in range(1, 1_000):
        spool.add(str(number), "POST", "/", b"x" * 100)
        spool.sync()
        spool.forget(str(number - 1))
        assert file.stat().st_size < 11_000
    spool.close()
    assert [one.key for one in SpoolFile(tmp_path, HERE).left] == ["999"]


def test_files_of_others_are_left_as_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mine = SpoolFile(tmp_path, HERE)
    mine.add("1", "POST", "/", b"x")
    mine.close()
    (tmp_path / "notes.waiting").write_text("dear diary")
    with monkeypatch.context() as other_user:
        other_user.setattr(os, "geteuid", lambda: os.getuid() + 1)
        theirs = SpoolFile(tmp_path, HERE)
        assert not theirs.left, "what another user has put there would be sent with this one's token"
        theirs.close()
    assert len(SpoolFile(tmp_path, HERE).left) == 1
    assert (tmp_path / "notes.waiting").read_text() == "dear diary"


def test_who_finds_a_damaged_file_leaves_none_of_its_own(tmp_path: Path) -> None:
    spool = SpoolFile(tmp_path, HERE)
    (file,) = tmp_path.glob("*.waiting")
    spool.add("1", "POST", "/", b"one")
    spool.add("2", "POST", "/", b"two")
    spool.close()
    file.write_bytes(file.read_bytes().replace(b"one", b"oops"))
    before = set(tmp_path.iterdir())
    with pytest.raises(Damaged):
        SpoolFile(tmp_path, HERE)
    assert set(tmp_path.iterdir()) == before


def test_a_file_that_is_gone_by_the_time_it_is_looked_at_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = tmp_path / f"{'0' * 32}.waiting"
    glob = Path.glob
    monkeypatch.setattr(Path, "glob", lambda self, pattern: [*glob(self, pattern), gone])
    assert SpoolFile(tmp_path, HERE).left == []


def test_a_loop_goes_on_while_a_sender_ends() -> None:
    held = Event()

    def answer(asked: Asked) -> Said:
        held.wait(30)
        return created(asked)

    async def work(url: str) -> float:
        async with AsyncServer(url) as server:
            asyncio.get_running_loop().call_later(0.2, held.set)  # which no loop that stands still would do
            began = time.monotonic()
            async with server.background() as sender:
                handle = sender.task_create("a")
            assert handle.done()
            return time.monotonic() - began

    with serving(answer) as there:
        assert asyncio.run(work(there.url)) < 25


def test_a_journal_is_synced_as_one_for_all_that_ask_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[int] = []
    monkeypatch.setattr(Journal, "sync", lambda self: synced.append(self.size))
    spool = SpoolFile(tmp_path, HERE)
    for number in range(10):
        spool.add(str(number), "POST", "/", b"x")
    for _ in range(10):
        spool.sync()
    assert len(synced) == 1
