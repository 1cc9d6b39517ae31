"""How often a server that is away is asked, and by how many; and what a fork leaves of a client."""

from __future__ import annotations

import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from scitq.errors import Busy, NotAllowed, NotFound, QueueFull, ScitqError, ServerError, StoreFull, Unreachable
from scitq.lib import Server
from scitq.lib.patience import APART_S, LONGEST_PAUSE_S, Attempts, Away
from tests.unit.scitq.scripted import Asked, Said, in_turn, serving


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("SCITQ_SERVER", raising=False)


def test_pauses_grow_to_a_bound_and_end_with_the_time_that_was_given() -> None:
    attempts = Attempts(100.0)
    pauses = [attempts.pause_s(100.0, 0.0, None) for _ in range(2_000)]
    made = [pause for pause in pauses if pause is not None]
    assert len(made) == 2_000 and max(made) <= LONGEST_PAUSE_S and max(made[:3]) <= 0.4
    assert sum(made) / len(made) == pytest.approx(LONGEST_PAUSE_S / 2, rel=0.1)
    assert attempts.pause_s(100.0, 7.0, None) == 7.0
    assert attempts.pause_s(100.0, 7.0, 6.9) is None and attempts.over(107.0, 6.9)


def test_those_that_have_lost_the_same_server_try_in_turn_until_it_answers() -> None:
    away, one, other = Away(), object(), object()
    assert away.may_try(one, 10.0, 0) and away.may_try(one, 10.1, 0)
    assert not away.may_try(other, 10.1 + APART_S / 2, 0), "and from now on they are two"
    assert not away.may_try(one, 10.1 + APART_S / 2, 0)
    assert away.may_try(other, 10.2 + APART_S, 0) and not away.may_try(one, 10.3 + APART_S, 0)
    away.is_back()
    assert away.may_try(one, 10.3 + APART_S, 0) and away.may_try(object(), 30.0, 1)


def test_many_threads_ask_no_more_often_than_a_few() -> None:
    busy = Said({"message": "starting"}, 503)
    times: list[float] = []
    answers = {"back": False}

    def answer(asked: Asked) -> Said:
        times.append(time.monotonic())
        return Said([]) if answers["back"] else busy

    with serving(answer) as there, Server(there.url) as server, ThreadPoolExecutor(8) as pool:
        began = time.monotonic()
        asked = [pool.submit(server.tasks) for _ in range(8)]
        while time.monotonic() < began + 2:
            time.sleep(0.01)
        retried = len(times) - 8
        answers["back"] = True
        assert [one.result(60) for one in asked] == [[]] * 8
    assert retried <= 2 * 2 + 2, f"{retried} in 2 s: the first quick ones of the one, and one of another a second"


@pytest.mark.parametrize(
    ("status", "kind", "retryable"),
    [(400, ServerError, False), (401, NotAllowed, False), (403, NotAllowed, False), (404, NotFound, False),
     (409, ServerError, False), (500, ServerError, False), (429, Busy, True), (503, Busy, True)],
)  # fmt: skip
def test_an_error_is_of_its_kind_and_says_whether_to_try_again(
    status: int, kind: type[ServerError], retryable: bool
) -> None:
    with (
        serving(in_turn(Said({"message": "Because."}, status))) as there,
        Server(there.url, get_timeout=0.0) as server,
        pytest.raises(ServerError) as error,
    ):
        server.tasks()
    assert type(error.value) is kind and error.value.retryable is retryable and error.value.status == status
    assert Unreachable.retryable and QueueFull.retryable and StoreFull.retryable and not ScitqError.retryable


def test_a_client_works_on_in_a_process_that_was_forked_off() -> None:
    """Parent and child share no connection: the answers of the one would reach the other."""
    with serving(lambda asked: Said([asked.json["task_id"]])) as there, Server(there.url) as server:
        assert server.get("/tasks/", task_id=1) == [1]
        with server._connection._seen._lock:  # held by a thread that the child does not have
            child = os.fork()
            if not child:
                signal.alarm(30)
                ok = all(server.get("/tasks/", task_id=number) == [number] for number in range(1_000, 1_030))
                os._exit(0 if ok else 1)
        assert all(server.get("/tasks/", task_id=number) == [number] for number in range(2_000, 2_030))
        assert os.waitpid(child, 0)[1] == 0
