"""Silence, and what an agent holds against what the log says that it holds."""

from __future__ import annotations

from typing import Any

import pytest

from scitq.domain import execution as ex
from scitq.domain.commands import TaskSpec
from scitq.domain.messages import Assign, Cancel
from scitq.domain.worker import EditWorker, NoteSilence, PauseWorker
from scitq.handlers.actions import Action, OnExecution, OnWorker
from scitq.handlers.contacts import Contacts
from scitq.handlers.leases import compare, watch
from tests.unit.handlers.server import MINUTE, SECOND, Server


@pytest.fixture
def server() -> Server:
    return Server()


def silence(server: Server, at: int) -> list[OnWorker]:
    """What a first look at that time finds."""
    return list(watch(server.state, Contacts(0), at))


@pytest.mark.parametrize(
    ("silent", "found"),
    [
        (30 * SECOND, []),
        (30 * SECOND + 1, [OnWorker(1, NoteSilence(lost=False))]),
        (15 * MINUTE, [OnWorker(1, NoteSilence(lost=False))]),
        (15 * MINUTE + 1, [OnWorker(1, NoteSilence(lost=True))]),
    ],
)
def test_offline_after_30_seconds_and_lost_after_15_minutes(server: Server, silent: int, found: list[OnWorker]) -> None:
    server.hello()
    assert silence(server, silent) == found


def test_a_paused_worker_is_watched_like_any_other(server: Server) -> None:
    server.steer_worker(server.hello(), PauseWorker())
    assert silence(server, MINUTE) == [OnWorker(1, NoteSilence(lost=False))]


def test_silence_that_was_noted_is_not_noted_again(server: Server) -> None:
    server.hello()
    server.passes(MINUTE)
    assert silence(server, MINUTE) == []
    server.passes(20 * MINUTE)
    assert silence(server, 60 * MINUTE) == []


def test_a_worker_lost_before_its_patience_was_raised_stays_lost_until_it_is_heard(server: Server) -> None:
    server.hello()
    server.passes(16 * MINUTE)
    server.steer_worker(1, EditWorker({"lost_after_s": 86_400}))
    assert server.passes(MINUTE) == []
    assert server.worker(1).contact == "lost"


def test_the_watch_looks_once_a_second_however_often_it_is_called(server: Server) -> None:
    server.hello()
    contacts = Contacts(0)
    assert list(watch(server.state, contacts, 30 * SECOND)) == []
    assert list(watch(server.state, contacts, 31 * SECOND - 1)) == [], "it is silent for long enough, but see above"
    assert len(list(watch(server.state, contacts, 31 * SECOND))) == 1


def compared(server: Server, held: dict[int, Any]) -> tuple[list[Action], list[Any]]:
    return compare(server.state, server.worker(1), held)


@pytest.mark.parametrize("status", ["pending", "accepted", "running", "ended"])
def test_what_both_know_needs_no_word_at_any_stage(server: Server, status: str) -> None:
    server.hello()
    server.submit()
    assert compared(server, {1: status}) == ([], [])


def test_what_the_agent_lacks_is_offered_again(server: Server) -> None:
    server.hello(concurrency=2)
    first, second = server.submit(TaskSpec("a"), TaskSpec("b"))
    assert compared(server, {1: "pending"}) == ([], [Assign(2, second)])
    assert compared(server, {}) == ([], [Assign(1, first), Assign(2, second)])


def test_what_is_nobodys_is_taken_from_the_agent(server: Server) -> None:
    server.hello()
    assert compared(server, {77: "running"}) == ([], [Cancel(77)])


def test_what_is_anothers_is_taken_from_the_agent(server: Server) -> None:
    server.hello("idle", concurrency=0)
    server.hello("busy")
    server.submit()
    assert compared(server, {1: "running"}) == ([], [Cancel(1)])


def test_what_has_ended_at_the_agent_waits_for_its_reports(server: Server) -> None:
    server.hello()
    assert compared(server, {77: "ended"}) == ([], [])


@pytest.mark.parametrize("status", ["pending", "accepted", "running"])
def test_what_was_lost_and_nobody_else_has_goes_on_as_the_agent_has_it(server: Server, status: Any) -> None:
    server.hello()
    server.submit()
    server.passes(16 * MINUTE)
    assert compared(server, {1: status}) == ([OnExecution(1, ex.RecoverExecution(status))], [])


def test_a_lost_worker_that_is_heard_again_gets_work_again(server: Server) -> None:
    worker = server.hello()
    server.passes(16 * MINUTE)
    (task,) = server.submit()
    assert server.status(task) == "pending"
    server.beat(worker)
    assert server.status(task) == "assigned"
