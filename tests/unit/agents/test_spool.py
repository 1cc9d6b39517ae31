"""What an agent remembers, however it ended."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings

from scitq.agents.spool import MOST_REMEMBERED, Confirmed, Dropped, Entry, Given, Reported, Spool
from scitq.domain.execution import Accepted, Failed, Refused, Started, Succeeded
from tests.unit.domain.given import Choices, choices


def spool(*entries: Entry) -> tuple[Spool, list[Entry]]:
    written: list[Entry] = list(entries)
    return Spool.reopen(entries, written.append), written


def everything(spool: Spool) -> dict[str, Any]:
    return {
        "held": spool.held,
        "given": spool.given,
        "reports": spool.reports,
        "last": spool.last,
        "floor": spool.floor,
        "knows": [id for id in range(30) if spool.knows(id)],
    }


def test_what_is_given_is_held_and_known() -> None:
    mine, written = spool()
    mine.give(5, 1, {"command": "work"})
    assert mine.held == {5: "pending"} and mine.knows(5) and not mine.knows(6)
    assert written == [Given(5, 1, {"command": "work"})]


@pytest.mark.parametrize(
    ("report", "status"),
    [
        (Accepted(5), "accepted"),
        (Started(5), "running"),
        (Succeeded(5), "ended"),
        (Failed(5, 1), "ended"),
        (Refused(5, "no"), "ended"),
    ],
)
def test_a_report_says_what_becomes_of_what_is_held(report: Any, status: str) -> None:
    mine, _ = spool(Given(5, 1))
    mine.report(report)
    assert mine.held == {5: status} and mine.reports == {1: report}


def test_reports_are_numbered_without_a_gap_whatever_was_confirmed() -> None:
    mine, _ = spool(Given(5, 1))
    for report in (Accepted(5), Started(5), Succeeded(5)):
        mine.report(report)
        mine.confirm(mine.last)
    assert mine.last == 3 and mine.reports == {} and mine.floor == 4
    mine.report(Started(6))
    assert list(mine.reports) == [4] and mine.floor == 4


def test_the_floor_is_the_first_report_that_is_kept() -> None:
    mine, _ = spool()
    assert mine.floor == 1
    for _ in range(3):
        mine.report(Started(5))
    assert mine.floor == 1
    mine.confirm(2)
    assert mine.floor == 3 and list(mine.reports) == [3]


def test_a_confirmation_that_is_old_is_not_even_written() -> None:
    mine, written = spool(Reported(1, Started(5)), Reported(2, Started(6)))
    mine.confirm(1)
    mine.confirm(1)
    mine.confirm(0)
    assert written[2:] == [Confirmed(1)]


def test_a_confirmation_of_more_than_was_reported_confirms_what_was() -> None:
    mine, written = spool(Reported(1, Started(5)))
    mine.confirm(99)
    assert written[1:] == [Confirmed(1)]
    assert mine.last == 1 and mine.floor == 2


def test_what_ended_is_held_until_its_last_report_is_confirmed_and_then_known_as_over() -> None:
    mine, _ = spool(Given(5, 1), Reported(1, Started(5)), Reported(2, Succeeded(5)))
    mine.confirm(1)
    assert mine.held == {5: "ended"}
    mine.confirm(2)
    assert mine.held == {} and mine.given == {} and mine.knows(5)


def test_what_was_taken_back_is_over_and_its_reports_are_still_sent() -> None:
    mine, written = spool(Given(5, 1), Reported(1, Started(5)))
    mine.drop(5)
    mine.drop(5)
    assert mine.held == {} and mine.knows(5) and list(mine.reports) == [1]
    assert written[2:] == [Dropped(5)]


def test_what_is_taken_back_before_it_was_given_starts_nothing_when_it_comes() -> None:
    mine, _ = spool()
    mine.drop(5)
    assert mine.knows(5)


def test_a_report_about_what_is_not_held_is_kept_and_brings_nothing_back() -> None:
    mine, _ = spool(Given(5, 1), Dropped(5))
    mine.report(Succeeded(5))
    assert mine.held == {} and list(mine.reports) == [1]


def test_what_ended_long_ago_is_known_by_its_age() -> None:
    mine, _ = spool(Given(1, 1))
    for id in range(2, MOST_REMEMBERED + 12):
        mine.drop(id)
    assert mine.knows(2) and mine.knows(11) and mine.knows(MOST_REMEMBERED + 11)
    assert not mine.knows(MOST_REMEMBERED + 12)
    assert mine.held == {1: "pending"}, "what is held stays, however old"


def test_an_entry_that_could_not_be_written_has_not_happened() -> None:
    def full(entry: Entry) -> None:
        raise OSError("no space left on device")

    mine = Spool.reopen([Given(5, 1), Reported(1, Started(5))], full)
    before = repr(everything(mine))
    changes: list[Callable[[], None]] = [
        lambda: mine.give(6, 1, None),
        lambda: mine.report(Succeeded(5)),
        lambda: mine.confirm(1),
        lambda: mine.drop(5),
    ]
    for change in changes:
        with pytest.raises(OSError, match="no space"):
            change()
    assert repr(everything(mine)) == before


@settings(max_examples=600, deadline=None)
@given(choices(20, 120))
def test_a_reopened_spool_is_the_one_that_was_left(drawn: Choices) -> None:
    mine, written = spool()
    while drawn.left:
        id = drawn.number(12)
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
        assert everything(Spool.reopen(written, written.append)) == everything(mine)
        assert list(mine.reports) == list(range(mine.floor, mine.last + 1))
        assert set(mine.held) == set(mine.given)
