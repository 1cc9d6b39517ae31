"""What people type to choose tasks or workers, made a value; the same for commands, REST and the page.

    status:failed batch:x* worker:node3 text:"out of memory"     all of these hold
    status:failed,pending  -batch:old  name:"a b"                one of them; not; a value with spaces
    12 12-40 57  id:12..40  last last:10                         any of these ids; the newest of those that match
    since:2h ended<1d created>2026-11-20 attempts>1 priority:0..5

A word alone is looked for in command and name. `*` stands for anything. What cannot be understood is refused with the
place of the fault.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Literal, NamedTuple

from scitq.domain.meant import hint
from scitq.errors import Malformed

LARGEST_ID: Final = 2**48 - 1
TOO_LARGE: Final = "ids are counted from 1, one after the other: none is as large as {}"
MOST_CHARS: Final = 10_000
MOST_COMPARED: Final = 200
"""So many terms, and patterns, texts and ranges in them: each is looked at with each task. Plain values are not."""
MOST_LAST: Final = 1_000_000
LARGEST: Final = 10**9
UNITS_S: Final = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}

Sort = Literal["id", "number", "time", "word", "text", "status"]


class Range(NamedTuple):
    """Whole numbers, or moments as microseconds since 1970, with both ends; None: without an end."""

    least: int | None
    most: int | None


@dataclass(frozen=True, slots=True)
class Term:
    """One condition: the field has one of the values. Texts are patterns: `\\0` stands in them for anything.

    `bare`: nobody typed the field.
    """

    field: str
    values: tuple[str | Range, ...]
    negated: bool = False
    bare: bool = dataclasses.field(default=False, compare=False)


@dataclass(frozen=True, slots=True)
class Query:
    """All terms hold; of what is left only the newest `last`."""

    terms: tuple[Term, ...] = ()
    last: int | None = None

    def values(self, field: str) -> Iterator[str | Range]:
        """All that stand for a field, wherever they do."""
        return (value for term in self.terms if term.field == field and not term.negated for value in term.values)


@dataclass(frozen=True, slots=True)
class Kind:
    """What things of a kind have."""

    name: str
    fields: dict[str, Sort]
    statuses: dict[str, tuple[str, ...]]


ANY: Final = "\0"
_TASK: Final = (
    "paused", "waiting", "pending", "assigned", "accepted", "running", "succeeded", "failed", "deleted", "erased"
)  # fmt: skip
_ATTEMPT: Final = ("lost", "cancelled", "refused")  # of its latest attempt
TASKS: Final = Kind(
    "tasks",
    {
        "id": "id", "status": "status", "batch": "word", "name": "word", "worker": "word", "command": "word",
        "text": "text", "retry": "number", "attempts": "number", "priority": "number", "since": "time",
        "created": "time", "changed": "time", "ended": "time",
    },
    {
        **{one: (one,) for one in (*_TASK, *_ATTEMPT)},
        "done": ("succeeded", "failed"),
        "active": ("assigned", "accepted", "running"),
    },
)  # fmt: skip
WORKERS: Final = Kind(
    "workers",
    {"id": "id", "name": "word", "status": "status", "batch": "word", "text": "text"},
    {one: (one,) for one in ("running", "paused", "offline", "lost", "deleted")},
)


class Fault(Malformed):
    """A query that cannot be understood; `position` is that of the sign where it begins, from 1."""

    def __init__(self, position: int, text: str) -> None:
        self.position = position
        super().__init__(f"at sign {position} of the query: {text}")


_TERM: Final = re.compile(
    r"""(?P<not>[-!])?(?:(?P<field>[A-Za-z_]\w*)(?P<op>:|>=|<=|=|>|<))?(?P<value>(?:"(?:[^"\\]|\\.)*"|[^\s"])*)""",
    re.VERBOSE | re.DOTALL,
)
_PIECE: Final = re.compile(r'"((?:[^"\\]|\\.)*)"|([^",*]+)|(\*)|(,)', re.DOTALL)
_WHOLE: Final = re.compile(r"-?[0-9]{1,15}", re.ASCII)
_RANGE: Final = re.compile(r"(-?[0-9]{1,15})?(?:\.\.)(-?[0-9]{1,15})?|([0-9]{1,15})-([0-9]{1,15})", re.ASCII)


def parse(text: str, now: datetime, kind: Kind = TASKS) -> Query:
    """The query, or Fault. `now`: ages are reckoned from it."""
    if len(text) > MOST_CHARS:
        raise Fault(MOST_CHARS, f"a query has at most {MOST_CHARS} signs")
    terms: list[Term] = []
    ids: list[str | Range] = []  # that stand there as they are: any of these, as people list things
    last: int | None = None
    at = compared = 0
    while (at := _skip(text, at)) < len(text):
        found = _TERM.match(text, at)
        assert found is not None  # it matches the empty text too
        end = found.end()
        if end < len(text) and not text[end].isspace():
            raise Fault(end + 1, "a quotation mark has no other one")
        term = _Typed(kind, now, found, at + 1)
        if term.is_last():
            if last is not None:
                raise Fault(at + 1, "last stands there twice")
            last = term.last()
        else:
            made = term.term()
            if term.is_bare() and made.field == "id" and not made.negated:
                ids += made.values
            else:
                terms.append(made)
            compared += _compared(made)
            if compared > MOST_COMPARED:
                raise Fault(at + 1, f"a query has at most {MOST_COMPARED} terms, patterns and ranges")
        at = end
    return Query((*((Term("id", tuple(ids)),) if ids else ()), *terms), last)


def _compared(term: Term) -> int:
    if term.field == "text":
        return len(term.values)
    many = sum(value.least != value.most if isinstance(value, Range) else ANY in value for value in term.values)
    return max(term.field != "id" or term.negated, many)


def _skip(text: str, at: int) -> int:
    while at < len(text) and text[at].isspace():
        at += 1
    return at


class _Typed:
    """One term as it was typed."""

    def __init__(self, kind: Kind, now: datetime, found: re.Match[str], position: int) -> None:
        self._kind, self._now = kind, now
        self._negated = found["not"] is not None
        self._field = found["field"].lower() if found["field"] else None
        self._op, self._value = found["op"], found["value"]
        self._position, self._of_value = position, found.start("value") + 1

    def is_last(self) -> bool:
        return self._field == "last" or (self._field is None and self._value == "last")

    def is_bare(self) -> bool:
        return self._field is None

    def last(self) -> int:
        if self._negated:
            raise Fault(self._position, "last cannot be negated")
        if self._field is None:
            return 1
        if self._op not in (":", "=") or not re.fullmatch(r"[0-9]{1,7}", self._value, re.ASCII):
            raise Fault(self._of_value, "how many of the newest is a number: last:10")
        return self._within(int(self._value), 1, MOST_LAST)

    def term(self) -> Term:
        if self._field is None:
            return self._bare()
        sort = self._kind.fields.get(self._field)
        if sort is None:
            known = [*self._kind.fields, "last"]
            meant = hint(self._field, known) or f"; there are {', '.join(known)}"
            raise Fault(self._position + self._negated, f"{self._kind.name} have no {self._field[:50]!r}{meant}")
        if not self._value:
            raise Fault(self._of_value, f"{self._field}{self._op} says nothing: a value has to follow")
        return Term(self._field, tuple(self._values(sort)), self._negated)

    def _bare(self) -> Term:
        if not self._value:
            raise Fault(self._position, "a minus sign stands alone: what is not wanted has to follow")
        if re.fullmatch(r"[0-9]+(?:(?:-|\.\.)[0-9]+)?(?:,[0-9]+(?:(?:-|\.\.)[0-9]+)?)*", self._value, re.ASCII):
            return Term("id", tuple(self._numbers(1, LARGEST_ID)), self._negated)
        return Term("text", tuple(self._patterns()), self._negated, bare=True)

    def _values(self, sort: Sort) -> Iterable[str | Range]:
        if sort in ("word", "text", "status") and self._op not in (":", "="):
            raise Fault(self._of_value - len(self._op), f"{self._field} is no number: say {self._field}:…")
        if sort == "status":
            return [status for word in self._words() for status in self._status(word)]
        if sort in ("word", "text"):
            return self._patterns()
        if sort == "time":
            return [self._moment()]
        return self._numbers(1, LARGEST_ID) if sort == "id" else self._numbers(-LARGEST, LARGEST)

    def _words(self) -> list[str]:
        return [word.replace(ANY, "*") for word in self._patterns()]

    def _status(self, word: str) -> tuple[str, ...]:
        known = self._kind.statuses
        if word.lower() not in known:
            meant = hint(word, known) or f"; there are {', '.join(known)}"
            raise Fault(self._of_value, f"there is no status {word[:50]!r}{meant}")
        return known[word.lower()]

    def _patterns(self) -> list[str]:
        """Divided by commas that are not quoted; a star that is not quoted stands for anything."""
        words, word, given = [], "", False
        for quoted, plain, star, comma in _PIECE.findall(self._value):
            if comma:
                words.append((word, given))
                word, given = "", False
                continue
            word += re.sub(r"\\(.)", r"\1", quoted, flags=re.DOTALL) if not (plain or star) else ANY if star else plain
            given = True
        words.append((word, given))
        if ANY in self._value:
            raise Fault(self._of_value, "it contains a NUL character")
        if not all(given and text for text, given in words):
            raise Fault(self._of_value, "one of the values is empty")
        return [text for text, _ in words]

    def _numbers(self, least: int, most: int) -> list[Range]:
        return [self._number(text, least, most) for text in self._value.split(",")]

    def _number(self, text: str, least: int, most: int) -> Range:
        if self._op in ("<", ">", "<=", ">="):
            if not _WHOLE.fullmatch(text):
                raise Fault(self._of_value, f"{text[:50]!r} is no whole number")
            bound = self._within(int(text), least, most)
            return {
                "<": Range(None, bound - 1), "<=": Range(None, bound), ">": Range(bound + 1, None),
                ">=": Range(bound, None),
            }[self._op]  # fmt: skip
        if re.fullmatch(r"[0-9]{16,}", text, re.ASCII) and most == LARGEST_ID:
            raise Fault(self._of_value, TOO_LARGE.format(text[:50]))
        if _WHOLE.fullmatch(text):
            one = self._within(int(text), least, most)
            return Range(one, one)
        found = _RANGE.fullmatch(text)
        ends = [end for end in (found.groups() if found else ()) if end is not None]
        if found is None or not ends:
            raise Fault(self._of_value, f"{text[:50]!r} is neither a whole number nor a range of them (12..40)")
        first, second = (found[1], found[2]) if found[3] is None else (found[3], found[4])
        begin = None if first is None else self._within(int(first), least, most)
        end = None if second is None else self._within(int(second), least, most)
        if begin is not None and end is not None and begin > end:
            raise Fault(self._of_value, f"{text[:50]!r} ends before it begins")
        return Range(begin, end)

    def _within(self, number: int, least: int, most: int) -> int:
        if number > most == LARGEST_ID:
            raise Fault(self._of_value, TOO_LARGE.format(number))
        if not least <= number <= most:
            raise Fault(self._of_value, f"{number} is not between {least} and {most}")
        return number

    def _moment(self) -> Range:
        """`ended<1d`: less than a day ago; `ended>2026-11-20`: later than that; with a colon, from then on."""
        text = self._value.strip('"')
        age = re.fullmatch(r"([0-9]{1,9}(?:\.[0-9]{1,6})?)([smhdw])", text, re.ASCII)
        try:
            then = (
                self._now - timedelta(seconds=float(age[1]) * UNITS_S[age[2]]) if age else datetime.fromisoformat(text)
            )
            micros = moment_of(then)
        except (ValueError, OverflowError) as error:
            raise Fault(
                self._of_value, f"{text[:50]!r} is neither an age (2h) nor a date and time (2026-11-20T18:00)"
            ) from error
        if self._op in (":", "=") or self._op.startswith("<" if age else ">"):
            return Range(micros, None)
        return Range(None, micros)


def moment_of(then: datetime) -> int:
    """Microseconds since 1970; UTC unless it says otherwise."""
    if then.tzinfo is None:
        then = then.replace(tzinfo=UTC)
    return (then - datetime.fromtimestamp(0, UTC)) // timedelta(microseconds=1)


def matches(query: Query, read: Callable[[str], Any]) -> bool:
    """Whether one thing is meant, of which `read` tells a field; several words where it has several."""
    return all(any(_fits(value, read(term.field)) for value in term.values) != term.negated for term in query.terms)


def _fits(value: str | Range, found: Any) -> bool:
    if isinstance(value, Range):
        return (value.least is None or found >= value.least) and (value.most is None or found <= value.most)
    first, *rest = map(re.escape, value.split(ANY))
    # What stands between two stars is taken where it comes first, once for all: trying each place takes for ever.
    between = "".join(f"(?>.*?{part})" for part in rest[:-1])
    pattern = re.compile(first + between + "".join(f".*{part}" for part in rest[-1:]), re.DOTALL)
    return any(pattern.fullmatch(str(one)) for one in (found if isinstance(found, (list, tuple)) else [found]))
