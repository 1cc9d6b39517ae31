"""Reports in order, whatever the order in which they come; and how long a worker has been silent."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import given, settings
from hypothesis import strategies as st

from scitq.domain.execution import Started
from scitq.handlers.contacts import MOST_AHEAD, Contact, Contacts


def run(first: int, count: int) -> tuple[Started, ...]:
    """Reports number `first` and on; each is about the execution of its own number."""
    return tuple(Started(number) for number in range(first, first + count))


def numbers(due: Sequence[tuple[int, object]]) -> list[int]:
    return [number for number, _ in due]


def test_reports_in_order_are_due_at_once() -> None:
    contact = Contact("spool", 0, 0)
    assert contact.in_order(1, 1, run(1, 3)) == [(1, Started(1)), (2, Started(2)), (3, Started(3))]
    assert contact.applied == 3 and contact.ahead == {}


def test_reports_that_come_again_are_due_only_once() -> None:
    contact = Contact("spool", 0, 0)
    contact.in_order(1, 1, run(1, 3))
    assert numbers(contact.in_order(2, 1, run(2, 3))) == [4]
    assert contact.in_order(1, 1, run(1, 4)) == []


def test_reports_that_come_early_wait_for_those_before_them() -> None:
    contact = Contact("spool", 0, 0)
    assert contact.in_order(3, 1, run(3, 2)) == []
    assert contact.in_order(2, 1, run(2, 1)) == []
    assert numbers(contact.in_order(1, 1, run(1, 1))) == [1, 2, 3, 4]
    assert contact.ahead == {}


def test_what_lies_below_the_floor_was_applied_by_an_engine_before() -> None:
    contact = Contact("spool", 0, 0)
    assert numbers(contact.in_order(7, 7, run(7, 2))) == [7, 8]


def test_what_waits_below_a_new_floor_is_not_applied_again() -> None:
    contact = Contact("spool", 0, 0)
    contact.in_order(3, 1, run(3, 3))
    assert numbers(contact.in_order(5, 5, run(5, 1))) == [5]
    assert contact.ahead == {}


def test_a_floor_that_is_behind_takes_nothing_back() -> None:
    contact = Contact("spool", 0, 9)
    assert numbers(contact.in_order(9, 3, run(9, 2))) == [10]


def test_a_missing_report_is_taken_however_many_wait_for_it() -> None:
    contact = Contact("spool", 0, 0)
    contact.in_order(2, 1, run(2, 2 * MOST_AHEAD))
    assert len(contact.ahead) <= MOST_AHEAD, "memory has its bounds"
    due = numbers(contact.in_order(1, 1, run(1, 1_000)))
    assert due[:1_000] == list(range(1, 1_001))


@settings(max_examples=500, deadline=None)
@given(st.integers(1, 30), st.lists(st.tuples(st.integers(1, 30), st.integers(1, 10)), max_size=20))
def test_whatever_comes_when_each_report_is_due_once_and_in_order(count: int, windows: list[tuple[int, int]]) -> None:
    contact = Contact("spool", 0, 0)
    due: list[int] = []
    for first, length in windows:
        present = run(first, min(length, max(0, count + 1 - first)))
        due += numbers(contact.in_order(first, contact.applied + 1 if first % 3 == 0 else 1, present))
        assert contact.applied == len(due)
    due += numbers(contact.in_order(1, 1, run(1, count)))
    assert due == list(range(1, count + 1)) and contact.ahead == {}


def test_a_worker_is_silent_since_it_was_heard() -> None:
    contacts = Contacts(100)
    contacts.heard(1, "spool", 0, 250)
    assert contacts.silent_for(1, 300) == 50


def test_a_worker_that_was_never_heard_has_a_lease_from_the_start() -> None:
    assert Contacts(100).silent_for(1, 300) == 200


def test_a_fresh_lease_is_for_everybody_and_shortens_none() -> None:
    contacts = Contacts(0)
    contacts.heard(1, "spool", 0, 50)
    contacts.refresh(200)
    contacts.heard(2, "spool", 0, 250)
    assert (contacts.silent_for(1, 300), contacts.silent_for(2, 300), contacts.silent_for(3, 300)) == (100, 50, 100)


def test_the_mark_in_the_log_is_where_an_agent_goes_on() -> None:
    contacts = Contacts(0)
    contact = contacts.heard(1, "spool", 7, 0)
    assert contact.applied == 7
    contact.applied = 9
    assert contacts.heard(1, "spool", 7, 1).applied == 9, "the memory knows more than the mark"


def test_another_incarnation_counts_anew() -> None:
    contacts = Contacts(0)
    contacts.heard(1, "spool", 7, 0)
    assert contacts.heard(1, "other", 0, 1).applied == 0


def test_a_worker_whose_reports_are_forgotten_keeps_its_lease() -> None:
    contacts = Contacts(0)
    contacts.heard(1, "spool", 0, 50).applied = 9
    contacts.forget(1)
    assert contacts.silent_for(1, 60) == 10
    assert contacts.heard(1, "spool", 4, 70).applied == 4
    contacts.forget(2)
    assert contacts.silent_for(2, 60) == 60
