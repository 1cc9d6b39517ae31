"""Sending in the background: nothing is lost or doubled, whatever becomes of the server, the program or the memory."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections import Counter
from concurrent.futures import CancelledError, ThreadPoolExecutor
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from scitq.errors import Damaged, Malformed, NotAllowed, NotSent, QueueFull, ServerError
from scitq.lib import AsyncServer, Server
from tests.services.waiting import eventually
from tests.unit.scitq.scripted import LOST, Asked, Said, in_turn, serving

NOBODY = "127.0.0.1:1"


@pytest.fixture(autouse=True)
def surroundings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("SCITQ_SERVER", raising=False)
    monkeypatch.setattr("scitq.lib.patience.LONGEST_PAUSE_S", 0.02)


class Engine:
    """Does each request once, and remembers by which key."""

    def __init__(self, *, loses: int = 0) -> None:
        self.done: dict[str, Any] = {}
        self._loses = loses
        self.heard: Counter[str] = Counter()

    def __call__(self, asked: Asked) -> Said:
        key = asked.headers["idempotency-key"]
        self.heard[key] += 1
        self.done.setdefault(key, {"task_id": len(self.done) + 1, "command": asked.json["command"]})
        return LOST if self.heard[key] <= self._loses else Said(self.done[key], 201)


def test_calls_give_handles_and_answers_come_in_order_although_answers_are_lost() -> None:
    engine = Engine(loses=2)
    with serving(engine) as there, Server(there.url, style="object") as server:
        with server.background() as sender:
            handles = [sender.task_create(f"echo {number}") for number in range(20)]
        assert [handle.result(0).command for handle in handles] == [f"echo {number}" for number in range(20)]
    assert [one["command"] for one in engine.done.values()] == [f"echo {number}" for number in range(20)]
    assert set(engine.heard.values()) == {3} and sender.waiting == 0 and "done" in repr(handles[0])


def test_what_can_be_sent_is_what_changes_something() -> None:
    with Server(NOBODY) as server, server.background() as sender, pytest.raises(AttributeError, match="on the server"):
        sender.tasks()  # type: ignore[call-overload]


def test_all_kinds_of_changes_give_what_they_give_otherwise() -> None:
    def answer(asked: Asked) -> Said:
        if asked.path == "/tasks/bulk":
            return Said({"task_ids": [7, 8], "position": 1}, 201)
        if asked.path == "/tasks/actions":
            return Said({"done": [], "refused": {"7": "it has ended"}, "position": 1})
        return Said({"result": "Ok"})

    with serving(answer) as there, Server(there.url) as server, server.background() as sender:
        created = sender.tasks_create([{"command": "a"}, {"command": "b", "required_task_ids": [-1]}])
        paused = sender.tasks_action("pause", [7])
        told = [sender.execution_signal(3, 9), sender.batch_stop("b"), sender.put("/x", {}), sender.delete("/y")]
        assert created.result(30) == [7, 8] and paused.result(30) == {7: "it has ended"}
        assert [one.result(30) for one in told] == [{"result": "Ok"}] * 4
        with pytest.raises(Malformed, match="at most 10000 of these"):
            sender.tasks_create({"command": "a"} for _ in range(10_001))


def test_a_refusal_is_the_handles_and_the_others_go_on(caplog: pytest.LogCaptureFixture) -> None:
    answers = in_turn(Said({"message": "No, because."}, 409), Said({"task_id": 2}, 201))
    with serving(answers) as there, Server(there.url) as server, server.background() as sender:
        refused, fine = sender.task_create("a"), sender.task_create("b")
        with pytest.raises(ServerError, match="No, because"):
            refused.result(30)
        assert fine.result(30)["task_id"] == 2
    assert "POST /tasks/: No, because." in caplog.text


def test_a_full_sender_refuses_in_words_or_waits_for_room() -> None:
    engine = Engine()
    there_again = Event()

    def answer(asked: Asked) -> Said:
        there_again.wait(30)
        return engine(asked)

    with serving(answer) as there, Server(there.url) as server:
        with server.background(most_bytes=2_000, wait_s=0.0) as sender:
            handles = [sender.task_create("x" * 100) for _ in range(3)]
            with pytest.raises(QueueFull, match="3 requests wait to be sent already, and there is room for 2000 bytes"):
                sender.task_create("x" * 100)
            with pytest.raises(QueueFull, match="larger than what may wait altogether"):
                sender.task_create("x" * 2_000)
            there_again.set()
            assert {handle.result(30)["task_id"] for handle in handles} == {1, 2, 3}
        with server.background(most_bytes=2_000) as patient, ThreadPoolExecutor(8) as pool:
            many = list(pool.map(lambda number: patient.task_create(f"{number}"), range(100)))
            assert len({one.result(30)["task_id"] for one in many}) == 100
    assert len(engine.done) == 103


def test_what_is_taken_back_is_not_sent() -> None:
    held, engine = Event(), Engine()

    def answer(asked: Asked) -> Said:
        held.wait(30)
        return engine(asked)

    with serving(answer) as there, Server(there.url) as server:
        with server.background() as sender:
            first, second, third = (sender.task_create(name) for name in "abc")
            eventually(first.running, "the first is on its way")
            assert second.cancel() and not first.cancel()
            held.set()
            assert third.result(30)["task_id"] == 2
        with pytest.raises(CancelledError):
            second.result(0)
    assert [one["command"] for one in engine.done.values()] == ["a", "c"]


def test_what_is_not_through_at_the_end_is_told() -> None:
    with Server(NOBODY) as server:
        sender = server.background()
        handle = sender.task_create("a")
        with pytest.raises(NotSent, match=r"after 0\.05 s 1 request is not sent to http://127\.0\.0\.1:1") as error:
            sender.flush(0.05)
        assert error.value.count == 1
        with pytest.raises(NotSent, match="1 request is not sent"):
            sender.close(0.05)
        with pytest.raises(NotSent, match="1 request"):
            handle.result(0)
        with pytest.raises(NotSent, match="this sender is closed"):
            sender.task_create("b")


def test_an_error_in_a_with_is_not_hidden_by_what_was_not_sent(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("scitq.lib.background.EXIT_S", 0.05)
    with pytest.raises(ZeroDivisionError), Server(NOBODY) as server, server.background() as sender:
        sender.task_create("a")
        sender.task_create(str(1 // 0))
    assert "1 request is not sent" in caplog.text


def test_a_spool_keeps_what_was_not_sent_for_the_next_sender_to_this_server(tmp_path: Path) -> None:
    engine, spool = Engine(loses=1), tmp_path / "spool"
    up = Event()

    def answer(asked: Asked) -> Said:
        return engine(asked) if up.is_set() else LOST

    with serving(answer) as there, Server(there.url) as server:
        for name in "ab":
            sender = server.background(spool)
            sender.task_create(name)
            sender.close(0.05)
        with Server(NOBODY) as elsewhere:
            other = elsewhere.background(spool)
            assert other.waiting == 0, "that is not for it"
            other.close()
        assert os.stat(spool).st_mode & 0o777 == 0o700
        up.set()
        with server.background(spool) as sender:
            sender.flush(30)
        assert [one["command"] for one in engine.done.values()] == ["a", "b"]
        assert not list(spool.iterdir())


KILLED = """
import sys
from scitq.lib import Server
sender = Server(sys.argv[1]).background(sys.argv[2])
for number in range(50):
    sender.task_create(f"echo {number}")
print("taken", flush=True)
sys.stdin.read()
"""


def test_a_program_that_is_killed_has_sent_each_request_once_when_the_next_one_ends(tmp_path: Path) -> None:
    engine, spool = Engine(loses=1), tmp_path / "spool"
    with serving(engine) as there:
        for _ in range(2):
            program = subprocess.Popen(
                [sys.executable, "-c", KILLED, there.url, str(spool)],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            )  # fmt: skip
            with program:
                assert program.stdout is not None and program.stdout.readline() == "taken\n"
                program.send_signal(signal.SIGKILL)
        with Server(there.url) as server, server.background(spool):
            pass
    assert Counter(one["command"] for one in engine.done.values()) == {f"echo {number}": 2 for number in range(50)}


def test_two_senders_may_share_a_folder(tmp_path: Path) -> None:
    engine = Engine()
    with (
        serving(engine) as there,
        Server(there.url) as server,
        server.background(tmp_path / "s") as one,
        server.background(tmp_path / "s") as other,
    ):
        handles = [sender.task_create(str(number)) for number in range(20) for sender in (one, other)]
        assert len({handle.result(30)["task_id"] for handle in handles}) == 40


def test_without_the_right_token_a_spool_keeps_what_it_has(tmp_path: Path) -> None:
    answers = in_turn(Said({"message": "no"}, 401))
    with serving(answers) as there, Server(there.url) as server:
        with server.background(tmp_path / "s") as sender, pytest.raises(NotAllowed):
            sender.task_create("a").result(30)
        there.answer = engine = Engine()
        with server.background(tmp_path / "s"):
            pass
    assert [one["command"] for one in engine.done.values()] == ["a"]


def test_a_spool_that_is_damaged_is_said_to_be(tmp_path: Path) -> None:
    with Server(NOBODY) as server:
        sender = server.background(tmp_path)
        sender.task_create("a")
        sender.task_create("b")
        sender.close(0.0)
        (file,) = tmp_path.glob("*.waiting")
        file.write_bytes(file.read_bytes().replace(b'"a"', b'"c"'))
        with pytest.raises(Damaged, match="use an empty one instead"):
            server.background(tmp_path)


def test_a_sender_says_so_when_it_is_used_after_a_fork() -> None:
    with serving(Engine()) as there, Server(there.url) as server, server.background() as sender:
        child = os.fork()
        if not child:
            try:
                sender.task_create("a")
            except NotSent as error:
                os._exit(0 if "make one after the fork" in str(error) else 1)
            os._exit(2)
        assert os.waitpid(child, 0)[1] == 0


def test_handles_can_be_awaited_and_an_event_loop_never_waits_for_room() -> None:
    async def work(url: str) -> None:
        async with AsyncServer(url) as server:
            with server.background(most_bytes=2_000) as sender:
                assert (await sender.task_create("a"))["task_id"] == 1
        async with AsyncServer(NOBODY) as server:
            sender = server.background(most_bytes=2_000)
            with pytest.raises(QueueFull):
                for _ in range(10):
                    sender.task_create("x" * 100)
            with pytest.raises(NotSent):
                sender.close(0.0)

    with serving(Engine()) as there:
        asyncio.run(work(there.url))
