"""What people type to choose tasks: understood, or refused with the place of the fault."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from scitq.domain.query import ANY, TASKS, WORKERS, Fault, Query, Range, Term, matches, moment_of, parse

NOW: Final = datetime(2026, 11, 21, 6, tzinfo=UTC)


def ago(**time: float) -> int:
    return moment_of(NOW - timedelta(**time))


@pytest.mark.parametrize(
    ("text", "terms"),
    [
        ("", ()),
        ("status:failed", (Term("status", ("failed",)),)),
        ("STATUS=Failed", (Term("status", ("failed",)),)),
        ("status:failed,lost", (Term("status", ("failed", "lost")),)),
        ("-status:done", (Term("status", ("succeeded", "failed"), True),)),
        ("!batch:x*", (Term("batch", (f"x{ANY}",), True),)),
        ('batch:"x*"', (Term("batch", ("x*",)),)),
        ('text:"out of memory"', (Term("text", ("out of memory",)),)),
        (r'name:"a \"b\" \\ c",d', (Term("name", ('a "b" \\ c', "d")),)),
        ("memory", (Term("text", ("memory",)),)),
        ("12", (Term("id", (Range(12, 12),)),)),
        ("12-40,50", (Term("id", (Range(12, 40), Range(50, 50))),)),
        ("12-40 57", (Term("id", (Range(12, 40), Range(57, 57))),)),
        ("12 x 13", (Term("id", (Range(12, 12), Range(13, 13))), Term("text", ("x",)))),
        ("12 id:10..20", (Term("id", (Range(12, 12),)), Term("id", (Range(10, 20),)))),
        ("-12", (Term("id", (Range(12, 12),), True),)),
        ("id:12..40", (Term("id", (Range(12, 40),)),)),
        ("id:12..", (Term("id", (Range(12, None),)),)),
        ("retry>0", (Term("retry", (Range(1, None),)),)),
        ("priority<=-3", (Term("priority", (Range(None, -3),)),)),
        ("since:2h", (Term("since", (Range(ago(hours=2), None),)),)),
        ("ended<1d", (Term("ended", (Range(ago(days=1), None),)),)),
        ("ended>1.5d", (Term("ended", (Range(None, ago(days=1.5)),)),)),
        ("created>2026-11-20", (Term("created", (Range(moment_of(datetime(2026, 11, 20)), None),)),)),
        ("created<2026-11-20T18:00", (Term("created", (Range(None, moment_of(datetime(2026, 11, 20, 18))),)),)),
        ("12-40-x", (Term("text", ("12-40-x",)),)),
    ],
)
def test_what_is_typed_has_one_meaning(text: str, terms: tuple[Term, ...]) -> None:
    assert parse(text, NOW) == Query(terms)


def test_the_newest_are_a_number() -> None:
    assert parse("last", NOW) == Query((), 1)
    assert parse("status:failed last:10", NOW) == Query((Term("status", ("failed",)),), 10)


@pytest.mark.parametrize(
    ("text", "position", "says"),
    [
        ("status:faild", 8, "did you mean failed?"),
        ("a statsu:failed", 3, "did you mean status?"),
        ("batch:", 7, "a value has to follow"),
        ('batch:"x', 7, "quotation mark"),
        ("batch:a,,b", 7, "empty"),
        ('name:""', 6, "empty"),
        ("-", 1, "a minus sign stands alone"),
        ("id:x", 4, "neither a whole number nor a range"),
        ("id:0", 4, "not between 1 and"),
        ("9999999999999999999999", 1, "none is as large as 9999"),
        ("id:40..12", 4, "ends before it begins"),
        ("status>failed", 7, "no number"),
        ("since:soon", 7, "neither an age (2h) nor a date"),
        ("since:999999999w", 7, "neither an age"),
        ("last:x", 6, "how many"),
        ("last:0", 6, "between 1 and"),
        ("last last", 6, "twice"),
        ("-last", 1, "cannot be negated"),
        ("x" * 10_001, 10_000, "at most"),
        ("a " * 201, 401, "at most 200 terms"),
        ("text:" + "a," * 200 + "a", 1, "at most 200 terms"),
        ("name:" + "a*," * 200 + "a*", 1, "at most 200 terms"),
        ("id:" + "1..," * 200 + "1..", 1, "at most 200 terms"),
    ],
)
def test_what_makes_no_sense_is_refused_where_it_does_not(text: str, position: int, says: str) -> None:
    with pytest.raises(Fault, match="at sign") as refused:
        parse(text, NOW)
    assert says in str(refused.value) and refused.value.position == position, str(refused.value)


def test_plain_values_and_ids_may_be_many() -> None:
    assert len(parse(" ".join(map(str, range(1, 2_000))), NOW).terms[0].values) == 1_999
    assert len(parse("name:" + ",".join(f"s{number}" for number in range(1_000)), NOW).terms[0].values) == 1_000


PIECES: Final = st.sampled_from(
    [*TASKS.fields, *TASKS.statuses, ":", "=", "<", ">=", "-", "!", '"', "\\", "*", ",", "..", " ", "last", "12", "2h",
     "x", "é", "\0", "2026-11-20", "9" * 20]
)  # fmt: skip


@settings(max_examples=1_000)
@given(st.one_of(st.text(max_size=60), st.lists(PIECES, max_size=12).map("".join)))
@example("id:-")
def test_whatever_is_typed_is_understood_or_refused_with_its_place(text: str) -> None:
    """Ten thousand of them were tried when it was written."""
    for kind in (TASKS, WORKERS):
        try:
            found = parse(text, NOW, kind)
        except Fault as fault:
            assert 1 <= fault.position <= len(text) + 1
        else:
            assert all(term.values and term.field in kind.fields for term in found.terms)


def test_a_few_things_are_chosen_without_a_database() -> None:
    node = {"id": 3, "name": "node3", "status": "lost", "batch": ["a", "xy"], "text": "node3"}
    for text, wanted in (
        ("batch:x*", True), ("batch:x", False), ("status:lost,paused name:node*", True), ("-status:lost", False),
        ("3", True), ("id:4..", False), ("name:NODE3", False), ("name:*o*d*e*3", True), ("name:*3*o*", False),
        ("name:n*", True), ("name:*e3", True), ("name:n*n*e3", False), ("2 3", True),
    ):  # fmt: skip
        assert matches(parse(text, NOW, WORKERS), node.__getitem__) is wanted, text


def test_stars_are_no_way_to_stop_everything() -> None:
    """Trying each place for each star would take longer than the world is old."""
    node = {"name": "a" * 1_000}
    assert not matches(parse("name:" + "*a" * 100 + "*b", NOW, WORKERS), node.__getitem__)
