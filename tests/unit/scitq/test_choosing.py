"""What is typed to choose tasks and workers; what is asked before many are hit; and what is only told."""

from __future__ import annotations

import orjson
import pytest

from scitq.cli import acting, choosing, exits
from scitq.lib import verbs
from tests.unit.scitq.typed import Typed

ACTIONS = ("relaunch", "delete", "pause", "resume", "release")


def task(typed: Typed, *words: str) -> str:
    done = typed("manage", "task", *words)
    assert done.code == 0, done
    return done.out


def test_a_query_chooses_for_every_verb(typed: Typed) -> None:
    first, second = (typed.server.task("bwa", batch="align", name=name, status="paused") for name in ("a", "b"))
    other = typed.server.task("wc", batch="count", name="a", status="paused")
    typed.server.shown()
    assert [line.split()[0] for line in task(typed, "list", "-H", "batch:al*").splitlines()] == [
        str(first),
        str(second),
    ]
    assert f"task_id            {other}\n" in task(typed, "show", "last")
    assert task(typed, "resume", "batch:align", "status:paused") == "2 tasks resumed\n"
    assert task(typed, "pause", f"{first}-{second}") == "2 tasks paused\n"
    several = typed("manage", "task", "show", "batch:align")
    assert several.code == exits.REFUSED and f"means 2 of them, and this is about one: {first}, {second}" in several.err
    for verb in ACTIONS:
        told = task(typed, verb, "--dry-run", "batch:align")
        assert told.startswith(f"2 tasks would be {acting.DONE[verb]}:\n  {first}  paused  align  a\n"), told
        nothing = typed("manage", "task", verb, "batch:algin")
        assert nothing.code == exits.NOTHING and "did you mean align?" in nothing.err, nothing
        for wrong in ("status:faild", "batch:", 'name:"x', "id:x", "-"):
            bad = typed("manage", "task", verb, "--", wrong)
            assert bad.code == exits.MISUSED and "of the query" in bad.err and not bad.out, bad
        assert typed("manage", "task", verb, " ").code == exits.MISUSED
        assert typed("manage", "task", verb, "last", "-i", "1").code == exits.MISUSED
    assert task(typed, "delete", "batch:align") == "2 tasks deleted\n"
    empty = typed("manage", "task", "list", "-H", "batch:colunt")
    assert (empty.code, empty.out) == (0, "") and "did you mean count?" in empty.err


def test_above_a_hundred_it_is_asked_with_their_number(typed: Typed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choosing, "AT_ONCE", 40)
    monkeypatch.setattr(acting, "AT_ONCE", 40)
    tasks = [{"command": "true", "batch": "many", "status": "paused"}] * 101
    assert typed.server.post("/tasks/bulk", {"tasks": tasks}).status_code == 201
    typed.server.shown()
    for words in (("task", "delete", "batch:many"), ("batch", "delete", "-n", "many")):
        told = typed("manage", *words, "--dry-run")
        assert told.out.startswith("101 tasks would be deleted"), told
        alone = typed("manage", *words)
        assert alone.code == exits.REFUSED and "add --yes" in alone.err and "101 tasks" in alone.err
        no = typed("manage", *words, typing="n\n")
        assert no.code == exits.REFUSED and "101 tasks will be deleted. Go on? [y/N]" in no.err
    assert task(typed, "resume", "batch:many", "--yes") == "101 tasks resumed\n"
    yes = typed("manage", "task", "delete", "batch:many", typing="y\n")
    assert (yes.code, yes.out) == (0, "101 tasks deleted\n")


def test_a_word_that_is_somewhere_in_several_tasks_destroys_none_unasked(typed: Typed) -> None:
    for name in ("S1", "S10"):
        typed.server.task("true", batch="vague", name=name, status="paused")
    typed.server.shown()
    for verb in ("delete", "relaunch"):
        alone = typed("manage", "task", verb, "batch:vague", "S1")
        assert alone.code == exits.REFUSED and "2 tasks, as 'S1' is somewhere in them (name:S1 is" in alone.err
        assert "Go on? [y/N]" in typed("manage", "task", verb, "S1", typing="n\n").err
    assert task(typed, "delete", "name:S1") == "1 task deleted\n"
    assert task(typed, "delete", "S10") == "1 task deleted\n", "one is the one"


def test_what_is_changed_is_chosen_the_same_way(typed: Typed) -> None:
    typed.server.task("true", batch="changed", name="c", status="paused")
    typed.server.shown()
    task(typed, "update", "last", "-c", "false")
    assert "command            false\n" in task(typed, "show", "name:c")
    assert typed("manage", "task", "update", "status:x", "-c", "true").code == exits.MISUSED


def test_workers_are_chosen_the_same_way(typed: Typed) -> None:
    typed.server.agent("node1", batches=("align",))
    typed.server.agent("node2", batches=("count",))
    typed.server.shown()
    assert typed("manage", "worker", "update", "batch:al*", "-C", "7").code == 0
    assert {row["name"]: row["concurrency"] == 7 for row in typed.server.get("/workers/").json()} == {
        "node1": True, "node2": False
    }  # fmt: skip
    told = typed("manage", "worker", "delete", "name:node*", "--dry-run")
    assert told.out.startswith("2 workers would be deleted:\n") and "node1" in told.out
    nobody = typed("manage", "worker", "delete", "name:nod1")
    assert nobody.code == exits.NOTHING and "did you mean node1" in nobody.err
    assert typed("manage", "worker", "delete", "status:ofline").code == exits.MISUSED


def test_a_batch_that_is_stopped_with_a_signal_tells_what_it_hits(typed: Typed) -> None:
    typed.server.task("sleep 9", batch="signals")
    typed.server.shown()
    told = typed("manage", "batch", "stop", "-n", "signals", "--kill", "--dry-run")
    assert told.out == "1 batch would be stopped, and 0 running tasks sent signal 9:\n  signals\n"
    typo = typed("manage", "batch", "stop", "-n", "signls")
    assert typo.code == exits.NOTHING and "did you mean signals?" in typo.err


def test_json_has_a_schema_and_lines_come_a_portion_at_a_time(typed: Typed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verbs, "PAGE", 3)
    ids = [typed.server.task("true", batch="lines", status="paused") for _ in range(7)]
    typed.server.shown()
    for more, wanted in (((), ids), (("--newest", "-l", "4"), ids[::-1][:4]), (("-l", "3"), ids[:3])):
        rows = [orjson.loads(line) for line in task(typed, "list", "batch:lines", "--ndjson", *more).splitlines()]
        assert [row["task_id"] for row in rows] == wanted
        assert {row["schema"] for row in rows} == {"scitq.tasks/1"}
    for words in ("task list", "worker list", "batch list", "execution list", "projection list"):
        said = orjson.loads(typed("manage", *words.split(), "--json").out)
        assert said["schema"] == f"scitq.{words.split()[0]}s/1".replace("batchs", "batches"), said
        assert isinstance(said["rows"], list)
    assert orjson.loads(task(typed, "show", "last", "--json"))["schema"] == "scitq.task/1"
    told = orjson.loads(task(typed, "delete", "batch:lines", "--dry-run", "--json"))
    assert told == {"schema": "scitq.action/1", "action": "delete", "dry_run": True, "task_ids": ids, "refused": {}}
    did = orjson.loads(task(typed, "resume", "batch:lines", "--json"))
    assert (did["task_ids"], did["refused"]) == (ids, {})
