"""Tasks and workers chosen by words: ids, ranges, `last`, or a query (`domain/query.py`); the same for every verb."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from heapq import merge
from itertools import islice
from typing import Annotated, Any, Final

import typer

from scitq.domain import query
from scitq.domain.meant import hint, no_such
from scitq.domain.query import ANY, Kind, Query
from scitq.errors import NothingFound, Rejected

AT_ONCE: Final = 10_000
_HELP: Final = "Ids, ranges (12-40), last, last:10, or a query: 'status:failed batch:x* since:2h'. See docs/query.md."

Which = Annotated[list[str] | None, typer.Argument(metavar="WHICH", help=_HELP, show_default=False)]
_WORKERS_HELP: Final = "Ids, ranges, or a query: 'status:offline batch:x*'. See docs/query.md."
WhichWorkers = Annotated[list[str] | None, typer.Argument(metavar="WHICH", help=_WORKERS_HELP, show_default=False)]
EVERYTHING: Final = "say which: ids, a range, last, or a query as 'status:failed batch:x*'"


def asked(which: Sequence[str] | None, kind: Kind = query.TASKS) -> str | None:
    """The words as one query that makes sense; None where none were given."""
    if not which:
        return None
    text = " ".join(which)
    parsed(text, kind)
    if not text.strip():
        raise typer.BadParameter(EVERYTHING, param_hint="'WHICH'")
    return text


def parsed(text: str, kind: Kind) -> Query:
    try:
        return query.parse(text, datetime.now(UTC), kind)
    except query.Fault as fault:
        raise typer.BadParameter(str(fault), param_hint=f"'{text[:100]}'") from fault


def vague(which: Sequence[str] | None) -> str | None:
    """A word without a field: it is found in any part of a task, so it may mean more than whoever typed it thinks."""
    terms = parsed(" ".join(which or ()), query.TASKS).terms
    return next((str(term.values[0]).replace(ANY, "*") for term in terms if term.bare and not term.negated), None)


def batches(words: Sequence[str], known: Sequence[str]) -> list[str]:
    """The batches that names mean, each once; a star stands for anything, but where a batch is called so."""
    found: list[str] = []
    for word in words:
        if word in known:
            found.append(word)
        elif "*" in word:
            pattern = re.compile(".*".join(map(re.escape, word.split("*"))), re.DOTALL)
            found += (meant := [name for name in known if pattern.fullmatch(name)])
            if not meant:
                raise NothingFound(f"no batch is called like {word!r}")
        else:
            raise NothingFound(no_such("batch", word, known))
    return list(dict.fromkeys(found))


def tasks(server: Any, text: str) -> list[int]:
    """The ids of all tasks that a query means, however many."""
    found: list[int] = []
    after = 0
    while part := server.get("/tasks/ids", q=text, after=after, limit=AT_ONCE):
        found += part
        after = part[-1]
        if len(part) < AT_ONCE:
            break
    if not found:
        raise NothingFound(f"no task matches {text!r}{slip(server, text)}")
    return found


def executions(server: Any, tasks: Sequence[int] | None, limit: int | None, **filters: Any) -> Iterator[dict[str, Any]]:
    """Executions, of these tasks where some are given, the newest first; a page at a time, however many there are."""
    parts: list[Sequence[int] | None] = [None]
    if tasks is not None:
        parts = [tasks[begin : begin + AT_ONCE] for begin in range(0, len(tasks), AT_ONCE)]
    found = [server.iter_executions(task_id=part, limit=limit, reverse=True, **filters) for part in parts]
    return islice(merge(*found, key=lambda row: row["execution_id"], reverse=True), limit)


def workers(server: Any, text: str, rows: Sequence[dict[str, Any]] | None = None) -> list[int]:
    """The ids of the workers that a query means, of these rows where some are given."""
    wanted = parsed(text, query.WORKERS)
    rows = server.workers() if rows is None else rows
    found = [int(row["worker_id"]) for row in rows if query.matches(wanted, _reader(row))]
    if not found:
        named = [value for value in wanted.values("name") if isinstance(value, str)]
        known = [row["name"] for row in rows]
        raise NothingFound(f"no worker matches {text!r}" + "".join(hint(name, known) for name in named[:1]))
    return found[-wanted.last :] if wanted.last else found


def one(found: Sequence[int], text: str) -> int:
    """The only one: where a verb is about one thing."""
    if len(found) > 1:
        listed = ", ".join(map(str, found[:5])) + (" and others" if len(found) > 5 else "")
        raise Rejected(f"{text!r} means {len(found)} of them, and this is about one: {listed}")
    return found[0]


def slip(server: Any, text: str) -> str:
    """What may be meant, where a batch or a worker of the query is none that the server knows."""
    wanted = parsed(text, query.TASKS)
    for field, known in (("batch", _batches), ("worker", _workers)):
        names = [value for value in wanted.values(field) if isinstance(value, str) and ANY not in value]
        there = known(server) if names else []
        for name in names:
            if name not in there:
                return f": there is no {field} called {name!r}{hint(name, there)}"
    return ""


def _batches(server: Any) -> list[str]:
    return [str(row["batch"]) for row in server.batches()]


def _workers(server: Any) -> list[str]:
    return [str(row["name"]) for row in server.workers()]


def _reader(row: dict[str, Any]) -> Any:
    fields = {**row, "id": row["worker_id"], "batch": row["batches"], "text": row["name"]}
    return fields.__getitem__
