"""`--json` on every verb: one object under the name and the version of its form, which docs/query.md knows."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final

import orjson
import pytest

from scitq.cli import choosing, exits, manage_event
from scitq.lib import verbs as lib_verbs
from tests.unit.scitq.typed import VERBS, Typed, Verb

WITHOUT: Final = {
    "up": "it goes on until it is ended, and what it says is a log",
    "server": "as up",
    "worker start": "as up",
    "manage watch": "it is a screen",
    "completion show": "a shell reads what it prints",
    "config template": "it prints a file of settings",
    "manage config template": "as config template",
    "fetch copy": "it says nothing when all has gone well",
    "manage bus parked export": "each line is JSON without it",
}
"""Verbs that have no --json, and why."""
FOR_EVER: Final = "manage event follow"
SCHEMA: Final = re.compile(r"scitq\.[a-z-]+/[1-9][0-9]*")
PAGE: Final = (Path(__file__).parents[3] / "docs/query.md").read_text()


class Prepared:
    """A server with one of each, and the words with which each verb has something to do."""

    def __init__(self, typed: Typed) -> None:
        server, self.typed = typed.server, typed
        self.agent = server.agent("node1", batches=("Default", "x"), concurrency=50)
        self.gone = server.agent("node2", batches=("none",))
        self.ended = server.task("true", name="ended", batch="x")
        self.agent.fail(self.ended)
        self.runs = server.task("sleep 9", name="runs", batch="x")
        self.execution = self.agent.start(self.runs)
        self.paused = server.task("true", name="held", batch="y", status="paused")
        server.shown()
        self.folder = Path(str(server.store.events.partition("///")[2])).parent

    def words(self, verb: Verb) -> list[str]:
        store, task = ["--store", str(self.folder)], [str(self.paused)]
        words = {
            "launch": ["-b", "z", "true"],
            "manage task show": task,
            "manage task output": [str(self.ended)],
            "manage task wait": [str(self.ended), "-q"],
            "manage task update": ["-N", "other", *task],
            "manage task relaunch": [str(self.ended), "--dry-run"],
            "manage task delete": ["--dry-run", "batch:y"],
            "manage task pause": task,
            "manage task resume": task,
            "manage task release": ["--dry-run", *task],
            "manage batch stop": ["y*"],
            "manage batch go": ["y*", "-n", "x"],
            "manage batch delete": ["y", "--dry-run"],
            "manage execution output": ["-x", str(self.execution)],
            "manage execution watch": ["-x", str(self.execution)],
            "manage execution signal": ["name:runs"],
            "manage worker update": ["name:node1", "-C", "51"],
            "manage worker clean": ["-n", "node1"],
            "manage worker restart": ["-n", "node1"],
            "manage worker forget": ["name:node1"],
            "fetch sync": [str(self.folder), str(self.folder.parent / "copied"), "--dryrun"],
            "fetch delete": [str(self.folder), "--dryrun"],
            **{f"fetch {verb}": [str(self.folder)] for verb in ("list", "rlist", "nlist", "nrlist", "info", "ncdu")},
            "manage worker signal": ["-n", "node1", "-x", str(self.execution)],
            "manage worker delete": ["-n", "node2", "--dry-run"],
            "manage event show": ["1"],
            "manage bus parked show": ["none-such"],
            "manage bus parked requeue": ["--all"],
            "manage bus parked discard": ["--all"],
            "completion install": ["fish"],
            "manage db init": ["--store", str(self.folder.parent / "another")],
        }.get(verb.name, [])
        return [*words, *(store if "--store" in dict(verb.options()) and "--store" not in words else [])]


@pytest.fixture(scope="module")
def prepared(typed: Typed) -> Prepared:
    return Prepared(typed)


EVERY: Final = [verb for verb in VERBS if verb.name not in WITHOUT]


def names(verb: Verb) -> list[str]:
    return [name for param in verb.params for name in param.opts]


def test_those_without_are_as_many_as_have_a_reason() -> None:
    assert sorted(WITHOUT) == sorted(verb.name for verb in VERBS if "--json" not in names(verb))


def test_every_list_has_lines_too() -> None:
    for verb in VERBS:
        if verb.path[-1] in ("list", "follow"):
            assert "--ndjson" in names(verb), verb.name


def test_what_changes_something_for_many_can_be_only_told() -> None:
    """Each is named here, and so is a new one."""
    told = {verb.name.removeprefix("manage ") for verb in VERBS if "--dry-run" in names(verb)}
    steers = ("task", "batch", "worker", "execution", "bus parked")
    mild = {"task update", "worker invite", "bus parked export"}  # one thing; nothing
    looks = ("list", "show", "output", "wait", "watch")
    for verb in VERBS:
        name = verb.name.removeprefix("manage ")
        if verb.path[0] == "manage" and name.startswith(steers) and verb.path[-1] not in looks and name not in mild:
            assert name in told, name


@pytest.mark.parametrize("verb", EVERY, ids=[verb.name for verb in EVERY])
def test_it_prints_one_object_under_a_schema_that_is_documented(prepared: Prepared, verb: Verb) -> None:
    if verb.name == FOR_EVER:
        return
    done = prepared.typed(*verb.path, "--json", *prepared.words(verb))
    if verb.name == "manage bus parked show":
        assert done.code == exits.NOTHING
        return  # nothing is put aside here; tests/e2e/test_operating.py has some
    assert done.code == exits.DONE or (verb.path[-1] == "wait" and done.code == exits.REFUSED), done
    said: dict[str, Any] = orjson.loads(done.out)
    assert SCHEMA.fullmatch(said["schema"]) and next(iter(said)) == "schema"
    assert f"`{said['schema']}`" in PAGE, f"{said['schema']} is not in docs/query.md"
    if said["schema"] == "scitq.action/1":
        assert {"action", "dry_run", "refused"} <= set(said) and not said["refused"]
        assert said["action"] == verb.path[-1] and said["dry_run"] == ("--dry-run" in done.words)


def test_lines_have_the_schema_and_all_rows(prepared: Prepared, monkeypatch: pytest.MonkeyPatch) -> None:
    """However small the pages are in which they are asked for."""
    monkeypatch.setattr(lib_verbs, "PAGE", 2)
    monkeypatch.setattr(manage_event, "PORTION", 2)
    monkeypatch.setattr(choosing, "AT_ONCE", 1)
    for words in (
        ("task", "list"),
        ("worker", "list"),
        ("worker", "list", "name:node*"),
        ("batch", "list"),
        ("execution", "list"),
        ("execution", "list", f"{prepared.ended},{prepared.runs}"),
        ("event", "list", "--store", str(prepared.folder)),
        ("event", "list", "--newest", "--store", str(prepared.folder)),
    ):
        whole = orjson.loads(prepared.typed("manage", *words, "--json").out)
        done = prepared.typed("manage", *words, "--ndjson")
        rows = [orjson.loads(line) for line in done.out.splitlines()]
        if words[0] == "event":  # which has a schema of its own
            assert rows == [{"schema": "scitq.event/1", "event": row} for row in whole["rows"]] and len(rows) > 5, words
        else:
            assert rows == [{"schema": whole["schema"], **row} for row in whole["rows"]] and len(rows) > 1, words


def test_the_executions_of_chosen_tasks(prepared: Prepared) -> None:
    done = prepared.typed("manage", "execution", "list", "-H", "status:running")
    assert [line.split()[:2] for line in done.out.splitlines()] == [[str(prepared.execution), str(prepared.runs)]]
    told = prepared.typed("manage", "execution", "signal", "batch:x", "-N", "9", "--dry-run").out
    assert (
        told == f"1 execution would be sent signal 9:\n  {prepared.execution}  task {prepared.runs}  running  sleep 9\n"
    )
    before = len(prepared.agent.listen().signals)
    sent = prepared.typed("manage", "execution", "signal", "batch:x", "-N", "9")
    assert sent.out == "1 execution sent signal 9\n", sent
    assert prepared.agent.listen().signals[before:] in ([], [(prepared.execution, 9)])
    none = prepared.typed("manage", "execution", "signal", "batch:y")
    assert none.code == exits.NOTHING and "nothing runs of this task" in none.err


def test_a_task_is_changed_by_a_query_that_means_one(prepared: Prepared) -> None:
    assert prepared.typed("manage", "task", "update", "name:runs", "--priority", "3").code == exits.DONE
    several = prepared.typed("manage", "task", "update", "batch:x", "--priority", "3")
    assert several.code == exits.REFUSED and "means 2 of them, and this is about one" in several.err


def test_batches_are_chosen_by_a_star(prepared: Prepared) -> None:
    told = prepared.typed("manage", "batch", "stop", "x*", "y", "--dry-run").out
    assert told == "2 batches would be stopped:\n  x\n  y\n"
    none = prepared.typed("manage", "batch", "stop", "q*")
    assert none.code == exits.NOTHING and "no batch is called like 'q*'" in none.err


def test_an_id_that_no_task_ever_has(prepared: Prepared) -> None:
    for words in (
        ("task", "show", "9" * 40),
        ("task", "show", "-i", "9" * 17),
        ("execution", "output", "-x", "9" * 16),
    ):
        done = prepared.typed("manage", *words)
        assert done.code == exits.MISUSED and "none is as large as 999" in done.err, done


def test_an_event_that_is_not_there(prepared: Prepared) -> None:
    done = prepared.typed("manage", "event", "show", "99999", "--store", str(prepared.folder))
    assert done.code == exits.NOTHING and "the log ends at position" in done.err
