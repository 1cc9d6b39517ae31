"""The tasks that a query of people means: one statement, answered page by page by id."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Final, NamedTuple

from sqlalchemy import ColumnElement, Connection, Select, and_, or_, select

from scitq.domain.query import ANY, Query, Range, Term
from scitq.projections import reading, standing
from scitq.projections.batches import BATCHES
from scitq.projections.executions import EXECUTIONS
from scitq.projections.tasks import TASKS, Task
from scitq.projections.workers import WORKERS

TASK = TASKS.c
OF_ATTEMPTS: Final = frozenset({"lost", "cancelled", "refused"})
GONE: Final = frozenset({"deleted", "erased"})
NUMBERS: Final = {"id": TASK.id, "retry": TASK.retry, "attempts": TASK.attempts, "priority": TASK.priority}
TIMES: Final = {
    "since": TASK.modified_at,
    "created": TASK.created_at,
    "changed": TASK.status_at,
    "ended": TASK.status_at,
}


class Within(NamedTuple):
    """What else has to hold: one of each that is given."""

    statuses: Collection[str] | None = None
    batches: Collection[str] | None = None
    names: Collection[str] | None = None


class Wanted(NamedTuple):
    """Which page of it."""

    ids: Collection[int] | None = None
    after: int | None = None
    limit: int = reading.PAGE
    newest_first: bool = False


def page(connection: Connection, query: Query, within: Within, wanted: Wanted) -> list[Task]:
    """The next tasks by id that it means; deleted and erased ones only when it names their status."""
    return [Task._make(row) for row in connection.execute(_paged(select(TASKS), connection, query, within, wanted))]


def ids(connection: Connection, query: Query, within: Within, wanted: Wanted) -> list[int]:
    """Their ids alone: what a command needs that is about a million of them."""
    return list(connection.scalars(_paged(select(TASK.id), connection, query, within, wanted)))


def _paged(statement: Select[Any], connection: Connection, query: Query, within: Within, wanted: Wanted) -> Select[Any]:
    dialect = connection.dialect.name
    meant = [*conditions(query, dialect), *_narrowed(within, dialect)]
    if query.last is None:
        statement = statement.where(*meant)
    else:
        newest = select(TASK.id).where(*meant).order_by(TASK.id.desc()).limit(query.last).subquery()
        statement = statement.where(TASK.id.in_(select(newest.c.id)))
    if wanted.ids is not None:
        statement = statement.where(reading.among(TASK.id, wanted.ids, dialect))
    return reading.paged(statement, TASK.id, after=wanted.after, limit=wanted.limit, newest_first=wanted.newest_first)


def _narrowed(within: Within, dialect: str) -> list[ColumnElement[bool]]:
    columns = ((TASK.status, within.statuses), (TASK.batch, within.batches), (TASK.name, within.names))
    return [column.in_(values) for column, values in columns if values is not None]


def conditions(query: Query, dialect: str) -> list[ColumnElement[bool]]:
    """What the WHERE of the statement says."""
    found = [_condition(term, query, dialect) for term in query.terms]
    statuses = set(query.values("status"))
    # A single status is read from its index: that the others are out needs no telling then.
    if not statuses & GONE and (not statuses or statuses & OF_ATTEMPTS):
        found.append(TASK.status.in_(standing.COUNTED))
    if any(term.field == "ended" for term in query.terms):
        found.append(TASK.status.in_(("succeeded", "failed")))
    return found


def _condition(term: Term, query: Query, dialect: str) -> ColumnElement[bool]:
    condition = _wanted(term, query, dialect)
    return ~condition if term.negated else condition


def _wanted(term: Term, query: Query, dialect: str) -> ColumnElement[bool]:
    texts = [value for value in term.values if isinstance(value, str)]
    ranges = [value for value in term.values if isinstance(value, Range)]
    match term.field:
        case "status":
            return _standing(texts)
        case "batch":
            return _batch(texts, dialect, any(value in GONE for value in query.values("status")))
        case "name":
            return and_(TASK.name.is_not(None), _like(TASK.name, texts, dialect))
        case "command":
            return and_(TASK.command.is_not(None), _like(TASK.command, texts, dialect))
        case "worker":
            return _worker(texts, dialect)
        case "text":
            return or_(*(_text(text) for text in texts))
        case _:
            column = NUMBERS.get(term.field)
            return _one_of(TIMES[term.field] if column is None else column, ranges, dialect)


def _standing(statuses: Collection[str]) -> ColumnElement[bool]:
    """Attempts have words that tasks have not: then that of the latest one counts."""
    own, of_attempts = [one for one in statuses if one not in OF_ATTEMPTS], sorted(OF_ATTEMPTS & set(statuses))
    found: list[ColumnElement[bool]] = [TASK.status.in_(own)] if own else []
    if of_attempts:
        found.append(_of_latest(EXECUTIONS.c.status.in_(of_attempts)))
    return or_(*found)


def _of_latest(true: ColumnElement[bool]) -> ColumnElement[bool]:
    """The tasks are found by the index of the attempts, and then looked at whether it was their latest."""
    tasks, attempts = select(EXECUTIONS.c.task).where(true), select(EXECUTIONS.c.id).where(true)
    return and_(TASK.execution.is_not(None), TASK.id.in_(tasks), TASK.execution.in_(attempts))


def _batch(names: list[str], dialect: str, with_gone: bool) -> ColumnElement[bool]:
    """A pattern is looked up among the batches, which are few; those of what is gone may have no row there."""
    plain = [name for name in names if ANY not in name]
    patterns = [name for name in names if ANY in name]
    found: list[ColumnElement[bool]] = [TASK.batch.in_(plain)] if plain else []
    if patterns:
        known = select(BATCHES.c.name).where(_like(BATCHES.c.name, patterns, dialect))
        found.append(_like(TASK.batch, patterns, dialect) if with_gone else TASK.batch.in_(known))
    return and_(TASK.batch.is_not(None), or_(*found))


def _worker(names: list[str], dialect: str) -> ColumnElement[bool]:
    """Who has or had the latest attempt."""
    return _of_latest(EXECUTIONS.c.worker.in_(select(WORKERS.c.id).where(_like(WORKERS.c.name, names, dialect))))


def _text(text: str) -> ColumnElement[bool]:
    """In the command, the name, or why the latest attempt failed; capitals or not."""
    reasons = select(EXECUTIONS.c.id).where(EXECUTIONS.c.id == TASK.execution, _holds(EXECUTIONS.c.reason, text))
    return or_(
        and_(TASK.command.is_not(None), _holds(TASK.command, text)),
        and_(TASK.name.is_not(None), _holds(TASK.name, text)),
        reasons.exists(),
    )


def _holds(column: ColumnElement[Any], text: str) -> ColumnElement[bool]:
    return column.ilike("%" + "%".join(_escaped(part) for part in text.split(ANY)) + "%", escape="/")


def _like(column: ColumnElement[Any], patterns: list[str], dialect: str) -> ColumnElement[bool]:
    """Capitals matter here: names are what they are."""
    plain = [one for one in patterns if ANY not in one]
    found: list[ColumnElement[bool]] = [column.in_(plain)] if plain else []
    for one in patterns:
        if ANY in one and dialect == reading.SQLITE:
            found.append(column.op("GLOB", is_comparison=True)("*".join(_globbed(part) for part in one.split(ANY))))
        elif ANY in one:
            found.append(column.like("%".join(_escaped(part) for part in one.split(ANY)), escape="/"))
    return or_(*found)


def _escaped(text: str) -> str:
    return text.replace("/", "//").replace("%", "/%").replace("_", "/_")


def _globbed(text: str) -> str:
    return "".join(f"[{char}]" if char in "*?[" else char for char in text)


def _one_of(column: ColumnElement[Any], ranges: list[Range], dialect: str) -> ColumnElement[bool]:
    """Single numbers may be thousands, and travel together."""
    single = [one.least for one in ranges if one.least is not None and one.least == one.most]
    wide = [_within(column, one) for one in ranges if one.least is None or one.least != one.most]
    if len(single) == 1:
        wide.append(column == single[0])
    elif single:
        wide.append(reading.among(column, single, dialect))
    return or_(*wide)


def _within(column: ColumnElement[Any], ends: Range) -> ColumnElement[bool]:
    sides = [column >= ends.least] if ends.least is not None else []
    return and_(*sides, *([column <= ends.most] if ends.most is not None else []))
