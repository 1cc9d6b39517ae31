"""Which of the broker's users are removed: those of workers that do not exist, and of nobody who is about to come."""

from __future__ import annotations

from typing import NamedTuple

from scitq.handlers.broker_users import INTRODUCES_ITSELF_S, Workers, keep, superfluous

NOW = 1_000_000


class User(NamedTuple):
    user: str
    made: int
    valid: bool = True


class Users:
    def __init__(self, *present: User) -> None:
        self._present = list(present)

    def present(self) -> list[User]:
        return list(self._present)

    def remove(self, user: str) -> None:
        self._present = [one for one in self._present if one.user != user]


def test_the_user_of_a_worker_that_exists_stays_however_old() -> None:
    assert superfluous([User("a", 0)], Workers({"a"}, {"a": 5}), NOW) == []


def test_the_user_of_a_deleted_worker_goes_at_once() -> None:
    assert superfluous([User("a", NOW - 10)], Workers((), {"a": NOW - 5}), NOW) == ["a"]


def test_a_worker_that_was_deleted_and_comes_again_has_time_to_introduce_itself() -> None:
    workers = Workers((), {"a": NOW - 10})
    assert superfluous([User("a", NOW - 5)], workers, NOW) == []
    assert superfluous([User("a", NOW - 5)], workers, NOW + INTRODUCES_ITSELF_S) == ["a"]


def test_the_user_of_a_worker_that_never_came_goes_after_a_while() -> None:
    young, old = User("a", NOW - 1), User("b", NOW - INTRODUCES_ITSELF_S - 1)
    assert superfluous([young, old], Workers((), {}), NOW) == ["b"]


def test_a_user_that_was_made_for_a_credential_of_before_goes_and_its_agent_may_ask_again() -> None:
    assert superfluous([User("a", NOW, valid=False)], Workers({"a"}, {}), NOW) == ["a"]


def test_what_is_kept_is_the_same_when_it_is_done_again() -> None:
    users = Users(User("a", 0), User("b", 0), User("c", NOW))
    workers = Workers({"a"}, {"c": NOW})
    assert keep(users, workers, NOW) == 2 and users.present() == [User("a", 0)]
    assert keep(users, workers, NOW) == 0
