"""scitq-manage as it is used, against a server and its worker."""

from __future__ import annotations

import json
import os
import pty
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from scitq.bootstrap.roles import ROLES
from scitq.lib import Server
from tests.services.scitq import Embedded, embedded
from tests.services.waiting import eventually

MANAGE = [sys.executable, "-m", "scitq.cli.manage"]
Client = Server[dict[str, Any]]


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Embedded]:
    with embedded(tmp_path_factory.mktemp("manage")) as system:
        system.up("--concurrency", "2", "--name", "here")
        system.client()
        yield system


@pytest.fixture
def client(system: Embedded) -> Client:
    return system.client()


def run(system: Embedded, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [*MANAGE, *words], env=system.machine.environ | environment, capture_output=True, text=True, timeout=60,
        check=False,
    )  # fmt: skip
    assert "Traceback" not in done.stderr + done.stdout
    return done


def said(system: Embedded, *words: str) -> str:
    done = run(system, *words)
    assert done.returncode == 0 and not done.stderr, (words, done.stderr)
    return done.stdout


def refused(system: Embedded, *words: str, code: int = 1) -> str:
    done = run(system, *words)
    assert done.returncode == code and not done.stdout, (words, done)
    assert len(done.stderr.splitlines()) == 1 and done.stderr.startswith("scitq-manage")
    return done.stderr


def held(client: Client, **more: Any) -> int:
    """A task that nobody runs."""
    id: int = client.task_create("true", batch="held", **more)["task_id"]
    return id


EVERY = [
    (thing, verb)
    for thing, verbs in {
        "worker": "list update delete signal clean restart forget invite",
        "task": "list show output wait update relaunch delete pause resume release",
        "batch": "list stop go delete",
        "execution": "list output watch signal",
        "event": "list show verify follow",
        "projection": "list check rebuild",
        "bus": "parked",
        "db": "init upgrade check",
        "config": "show template",
    }.items()
    for verb in verbs.split()
]


def test_every_verb_has_its_help(system: Embedded) -> None:
    listed = []
    for thing in dict.fromkeys(thing for thing, _ in EVERY):
        text = said(system, thing, "--help")
        listed += [(thing, verb) for verb in re.findall(r"^  ([a-z]+)  ", text.partition("Commands:")[2], re.M)]
        if thing in ("task", "event"):
            said(system, thing, "list", "-h")
    assert sorted(listed) == sorted(EVERY)


def test_a_slip_is_answered_with_what_may_be_meant(system: Embedded) -> None:
    assert "did you mean 'task'" in refused(system, "tsk", "list", code=2)
    assert "did you mean 'relaunch'" in refused(system, "task", "relauch", code=2)


def test_what_is_not_there_is_said_not_to_be_there(system: Embedded, client: Client) -> None:
    task = client.task_create("true", status="paused")["task_id"]
    for verb in ("task", "execution"):
        assert "there is no task 999999" in refused(system, verb, "output", "-i", "999999", code=3)
        assert f"task {task}" in refused(system, verb, "output", "-i", str(task))
    client.task_delete(task)
    assert "/nowhere/file: No such file or directory" in refused(
        system, "event", "verify", "--against", "/nowhere/file"
    )


@pytest.mark.parametrize(
    "words",
    [
        ("-t", "inf", "task", "list"),
        ("event", "list", "--since", "99999999999999w"),
        ("event", "list", "--until", "0"),
        ("task", "show", "-i", "1", "-n", "x"),
    ],
)
def test_what_makes_no_sense_is_a_misuse_and_no_stumble(system: Embedded, words: tuple[str, ...]) -> None:
    assert "stumbled" not in refused(system, *words, code=2)


def test_a_command_works_also_where_its_output_is_closed(system: Embedded) -> None:
    line = '"$@" >&- 2>&-'
    for words in (("task", "list"), ("task", "list", "--json"), ("worker", "list")):
        done = subprocess.run(
            ["sh", "-c", line, "sh", *MANAGE, *words], env=system.machine.environ, timeout=60, check=False
        )
        assert done.returncode == 0, words


def test_tasks_are_listed_in_columns_and_as_json(system: Embedded, client: Client) -> None:
    command = "echo \x1b[31m" + "x" * 60
    id = client.task_create(command, name="listed", batch="listing", priority=3)["task_id"]
    lines = said(system, "task", "list", "-b", "listing").splitlines()
    assert lines[0].split() == [
        "task_id", "name", "status", "command", "creation_date", "modification_date", "status_date", "batch",
    ]  # fmt: skip
    assert lines[1].split()[:4] == [str(id), "listed", "pending", "echo"] and len(lines) == 2
    assert "\x1b" not in lines[1] and "xxx...  " in lines[1]
    assert len(said(system, "task", "list", "-b", "listing", "-H").splitlines()) == 1
    long = said(system, "task", "list", "-b", "listing", "-L")
    assert "run_timeout" in long and "x" * 60 in long
    (found,) = json.loads(said(system, "task", "list", "-b", "listing", "--json"))["rows"]
    assert found["command"] == command and found["priority"] == 3
    shown = said(system, "task", "show", "-n", "listed")
    assert f"task_id            {id}\n" in shown and "\x1b" not in shown
    assert json.loads(said(system, "task", "show", "-i", str(id), "--json"))["task_id"] == id


def test_a_name_that_several_have_is_refused_with_their_ids(system: Embedded, client: Client) -> None:
    ids = [held(client, name="twin") for _ in range(2)]
    text = refused(system, "task", "delete", "-n", "twin")
    assert f"2 tasks are called 'twin': {ids[0]}, {ids[1]}" in text
    assert "there is no task called 'nobody'" in refused(system, "task", "show", "-n", "nobody", code=3)
    for words in ((), ("-i", "1", "-n", "twin")):
        assert "the id, or the name" in refused(system, "task", "show", *words, code=2)


def test_a_task_is_steered(system: Embedded, client: Client) -> None:
    id = held(client)

    def status() -> str:
        return str(client.task_get(id)["status"])

    assert said(system, "task", "pause", "-i", str(id)) == "" and status() == "paused"
    assert said(system, "task", "resume", "-i", str(id)) == "" and status() == "pending"
    assert "already in queue" in said(system, "task", "relaunch", "-i", str(id))
    waiting = held(client, required_task_ids=[id])
    assert said(system, "task", "release", "-i", str(waiting)) == ""
    assert client.task_get(waiting)["status"] == "pending"
    said(
        system, "task", "update", "-i", str(id), "-c", "false", "-N", "renamed", "--priority", "9", "--retry", "4"
    )  # fmt: skip
    task = client.task_get(id)
    assert (task["command"], task["name"], task["priority"], task["retry"]) == ("false", "renamed", 9, 4)
    assert "say what to change" in refused(system, "task", "update", "-i", str(id), code=2)
    said(system, "task", "delete", "-i", str(id), "-i", str(waiting))
    assert "there is no task 987654321" in refused(system, "task", "delete", "-i", "987654321", code=3)


def test_what_a_task_printed_is_shown_whole_or_in_part(system: Embedded, client: Client) -> None:
    script = "echo out; echo err >&2; exit 3"
    id = client.task_create(script, shell=True, name="printer")["task_id"]
    client.wait([id])
    both = run(system, "task", "output", "-n", "printer")
    assert (both.returncode, both.stdout, both.stderr) == (0, "out\n", "err\n")
    assert said(system, "task", "output", "-i", str(id), "-o") == "out\n"
    only = run(system, "task", "output", "-i", str(id), "-e")
    assert (only.stdout, only.stderr) == ("", "err\n")
    followed = run(system, "task", "output", "-i", str(id), "--follow")
    assert (followed.returncode, followed.stdout) == (3, "out\n")
    assert "has not been run" in refused(system, "task", "output", "-i", str(held(client)))


def test_output_is_followed_as_it_comes(system: Embedded, client: Client, tmp_path: Path) -> None:
    script = f"echo one; while ! test -e {tmp_path}/go; do sleep 0.05; done; echo two"
    id = client.task_create(script, shell=True)["task_id"]
    process = subprocess.Popen(
        [*MANAGE, "task", "output", "-i", str(id), "--follow"], env=system.machine.environ, stdout=subprocess.PIPE,
        text=True,
    )  # fmt: skip
    assert process.stdout is not None and process.stdout.readline() == "one\n"
    (tmp_path / "go").touch()
    rest, _ = process.communicate(timeout=30)
    assert rest == "two\n" and process.returncode == 0


def test_several_are_followed_line_by_line_under_their_names(system: Embedded, client: Client, tmp_path: Path) -> None:
    flag = tmp_path / "flag"
    script = f"echo $0; test $0 = a || test -e {flag} || {{ touch {flag}; exit 1; }}"
    for name in ("a", "b"):
        client.task_create(f"sh -c '{script}' {name}", name=name, batch="several", retry=1, status="paused")
    with subprocess.Popen(
        [*MANAGE, "task", "output", "-b", "several", "--follow"], env=system.machine.environ, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    ) as process:  # fmt: skip
        client.worker_update(client.workers(name="here")[0], batches=["Default", "several"])
        ids = [task["task_id"] for task in client.tasks(batch="several")]
        client.tasks_action("resume", ids)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 0
    a, b = (f"{id} {name}" for id, name in zip(ids, "ab", strict=True))
    wide = len(b)  # what stands before the bar is as wide as the widest of them
    assert sorted(out.splitlines()) == sorted([f"{a:{wide}} | a", f"{b} | b", f"{b} | b"])
    assert set(err.splitlines()) == {f"{b}: attempt 2 begins", f"{a}: it has succeeded", f"{b}: it has succeeded"}
    ends = said(system, "task", "output", "-b", "several", "--tail", "1").splitlines()
    assert ends == [f"{a:{wide}} | a", f"{b} | b"]
    assert said(system, "task", "wait", "-b", "several") == "2 tasks: 2 succeeded\n"
    assert "there is no task in 'nowhere'" in refused(system, "task", "wait", "-b", "nowhere", code=3)


def test_executions_are_listed_the_newest_first(system: Embedded, client: Client) -> None:
    id = client.task_create("echo hello; false", shell=True, retry=1)["task_id"]
    client.wait([id])
    rows = json.loads(said(system, "execution", "list", "-i", str(id), "--json"))["rows"]
    assert [row["latest"] for row in rows] == [True, False] and rows[0]["output"] == "hello\n"
    lines = said(system, "execution", "list", "-i", str(id), "-l", "1").splitlines()
    assert len(lines) == 2 and lines[1].split()[0] == str(rows[0]["execution_id"]) and lines[1].endswith("X")
    before = said(system, "execution", "output", "-i", str(id), "-N", "-1", "-o")
    assert before == said(system, "execution", "output", "-x", str(rows[1]["execution_id"]), "-o") == "hello\n"
    assert "there is no -2" in refused(system, "execution", "output", "-i", str(id), "-N", "-2")


def test_a_running_command_is_sent_signals(system: Embedded, client: Client) -> None:
    for words in (("execution", "signal"), ("worker", "signal", "-n", "here")):
        id = client.task_create("sleep 1000")["task_id"]
        eventually(lambda id=id: client.task_get(id)["status"] == "running", "it runs")  # type: ignore[misc]
        said(system, *words, "-x", str(client.task_get(id)["execution_id"]), "-N", "9")
        assert client.wait([id], timeout=30) == {id: "failed"}


def test_a_worker_is_listed_changed_and_invited(system: Embedded, client: Client) -> None:
    lines = said(system, "worker", "list").splitlines()
    assert lines[0].split()[:3] == ["worker_id", "name", "status"] and lines[1].split()[1:3] == ["here", "running"]
    said(system, "worker", "update", "-n", "here", "-S", "paused", "-C", "3", "-p", "1", "-b", "Default", "-b", "more")
    (worker,) = client.workers()
    assert (worker["status"], worker["concurrency"], worker["prefetch"]) == ("paused", 3, 1)
    assert worker["batches"] == ["Default", "more"]
    said(system, "worker", "update", "-i", "1", "-S", "running", "-b", "Default")
    assert "say what to change" in refused(system, "worker", "update", "-n", "here", code=2)
    done = run(system, "worker", "invite", "--ttl", "30m")
    assert re.fullmatch(rf"scitq worker 127.0.0.1:{system.port} CONCURRENCY --invite \S+\n", done.stdout)
    assert "is this machine only" in done.stderr
    assert "is no time" in refused(system, "worker", "invite", "--ttl", "soon", code=2)


def test_a_batch_is_listed_stopped_started_and_deleted(system: Embedded, client: Client) -> None:
    held(client)
    assert re.search(r"^held +\d+", said(system, "batch", "list"), re.M)
    said(system, "batch", "stop", "-n", "held", "-n", "Default", "--kill")
    assert "did you mean held?" in refused(system, "batch", "stop", "-n", "hled", code=3)
    stopped = {row["batch"]: row["stopped"] for row in json.loads(said(system, "batch", "list", "--json"))["rows"]}
    assert stopped["held"]
    said(system, "batch", "go", "-n", "held", "-n", "Default", "--cont")
    assert "more than one signal" in refused(system, "batch", "stop", "-n", "held", "--kill", "--term", code=2)
    said(system, "batch", "delete", "-n", "held")
    assert client.tasks(batch="held") == []


def test_events_are_followed_as_they_happen(system: Embedded, client: Client) -> None:
    process = subprocess.Popen(
        [*MANAGE, "event", "follow", "--after", "0", "--type", "task-*"], env=system.machine.environ,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None and process.stdout.readline().split("\t")[3] == "task-created"
    id = held(client, name="followed\x1b[1m")
    line = next(line for line in process.stdout if f"task-{id}\t" in line)
    assert "followed\N{REPLACEMENT CHARACTER}[1m" in line
    process.send_signal(signal.SIGINT)
    assert process.wait(30) == 130
    process.stdout.close()
    assert process.stderr is not None and process.stderr.read() == ""
    process.stderr.close()


def test_projections_are_listed_checked_and_made_anew(system: Embedded, client: Client) -> None:
    client.wait(client.tasks_create([{"command": "true"}] * 20))
    names = [row["name"] for row in json.loads(said(system, "projection", "list", "--json"))["rows"]]
    assert names == ["tasks", "executions", "workers", "batches"]
    checked = said(system, "projection", "check")
    assert len(checked.splitlines()) == 4 and checked.count("rows are what the log says at position") == 4
    said(system, "projection", "rebuild", "tasks")
    said(system, "projection", "rebuild")
    eventually(lambda: all(row["lag"] == 0 for row in client.projections()), "they have caught up")
    said(system, "projection", "check")
    assert "nonsense" in refused(system, "projection", "rebuild", "nonsense", code=3)


def test_a_view_that_is_not_what_the_log_says_is_found(system: Embedded, client: Client, tmp_path: Path) -> None:
    ids = client.tasks_create([{"command": "true"}] * 3)
    client.wait(ids)
    shutil.copytree(system.machine.data, tmp_path / "copy", ignore=lambda _, names: {"shim", "workers"} & set(names))
    with sqlite3.connect(tmp_path / "copy" / "views.db") as views:
        views.execute("UPDATE tasks SET status = 'failed' WHERE id = ?", [ids[0]])
        views.execute("DELETE FROM executions WHERE task = ?", [ids[1]])
        row = views.execute("SELECT * FROM tasks WHERE id = ?", [ids[2]]).fetchone()
        marks = ", ".join("?" * len(row))
        views.execute(f"INSERT INTO tasks VALUES ({marks})", [999_999, *row[1:]])
    views.close()
    done = run(system, "projection", "check", SCITQ_STORE=str(tmp_path / "copy"))
    assert done.returncode == 1 and "row 999999 of tasks is not in the log" in done.stderr
    assert f"row {ids[0]} of tasks is not what the log says" in done.stderr
    assert re.search(r"executions: .*row \d+ of executions is not what the log says", done.stderr)
    assert "workers: " in done.stdout and "workers: " not in done.stderr


def test_a_terminal_gets_a_table(system: Embedded, client: Client) -> None:
    held(client, name="in a terminal")
    leader, follower = pty.openpty()
    done = subprocess.run(
        [*MANAGE, "task", "list", "-n", "in a terminal"], env=system.machine.environ | {"COLUMNS": "72"},
        stdout=follower, timeout=60, check=False,
    )  # fmt: skip
    os.close(follower)
    text = os.read(leader, 65_536).decode()
    os.close(leader)
    assert done.returncode == 0 and "in a terminal" in text and "task_id" in text and "pending" in text
    assert "status_date" in text and "modification_date" not in text  # there is no room for all of them


def test_the_server_and_the_time_are_given_before_the_verb(system: Embedded) -> None:
    there = f"127.0.0.1:{system.port}"
    assert run(system, "-s", there, "-t", "5", "batch", "list", SCITQ_SERVER="127.0.0.1:9").returncode == 0
    gone = run(system, "-s", "127.0.0.1:9", "batch", "list")
    assert gone.returncode == 4 and "http://127.0.0.1:9" in gone.stderr and "scitq up" in gone.stderr
    assert re.fullmatch(r"\d+\.\d+\S*\n", said(system, "--version"))


def test_the_status_is_a_screen_for_people_and_json_for_programs(system: Embedded) -> None:
    eventually(lambda: json.loads(said(system, "status", "--json"))["engine"]["holder"], "the process was heard")
    screen = said(system, "status")
    assert re.search(r"^server +ready\n", screen, re.M)
    assert re.search(r"^engine +\S+:\d+ leads, epoch 1; 0 stand by\n", screen, re.M)
    assert {"tasks", "reports", "behind_s", ",".join(sorted(ROLES))} <= set(screen.split())
    found = json.loads(said(system, "status", "--json"))
    assert found["ready"] and found["parked"] == 0 and found["alerts"] == [] and len(found["processes"]) == 1
    assert "no scitq server answers" in refused(system, "-s", "127.0.0.1:1", "status", code=4)


def test_what_was_put_aside_is_asked_for_and_nothing_is_there(system: Embedded) -> None:
    listed = said(system, "bus", "parked", "--help")
    assert set(re.findall(r"^  ([a-z]+)  ", listed.partition("Commands:")[2], re.M)) == {
        "list", "show", "export", "requeue", "discard"
    }  # fmt: skip
    assert said(system, "bus", "parked", "list", "-H") == said(system, "bus", "parked", "export") == ""
    assert json.loads(said(system, "bus", "parked", "list", "--json")) == {
        "schema": "scitq.parked/1", "count": 0, "messages": []
    }  # fmt: skip
    assert said(system, "bus", "parked", "discard", "--all") == "0 messages discarded\n"
    assert "there is no message" in refused(system, "bus", "parked", "show", "0123456789abcdef", code=3)
    assert "say which" in refused(system, "bus", "parked", "discard", code=2)
    done = run(system, "bus", "parked", "requeue", "0123456789abcdef")
    assert done.returncode == 1 and "not there (any more): 0123456789abcdef" in done.stderr
