"""Inputs, resources and outputs, from end to end: what a command needs is there, and what it makes is stored."""

from __future__ import annotations

import os
from collections.abc import Iterator
from glob import glob
from pathlib import Path
from typing import Any

import pytest

from tests.services.scitq import Embedded, embedded
from tests.services.waiting import eventually


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Embedded]:
    with embedded(tmp_path_factory.mktemp("system")) as one:
        one.server()
        one.worker(2, "--keep-failed", "0")
        yield one


def run(system: Embedded, command: str, **properties: Any) -> dict[str, Any]:
    """The execution in which it ended."""
    client = system.client()
    task = client.task_create(command, shell=True, **properties)["task_id"]
    client.wait([task])
    return client.executions(task_id=task, latest=True)[0]


def types_of(system: Embedded, task: int) -> list[str]:
    return [event["type"] for event in system.client().events(stream=f"task-{task}", follow=False)]


def test_inputs_are_fetched_and_outputs_stored(system: Embedded, tmp_path: Path) -> None:
    data, stored = tmp_path / "data", tmp_path / "stored"
    data.mkdir()
    (data / "in put é.txt").write_text("some data")
    command = 'mkdir "$OUTPUT/deep" && cat "$INPUT/in put é.txt" > "$OUTPUT/deep/ou t é"'
    done = run(system, command, input=f"file://{data}/", output=f"file://{stored}/")
    assert done["status"] == "succeeded"
    assert (stored / "deep" / "ou t é").read_text() == "some data"
    assert types_of(system, done["task_id"]) == [
        "task-created",
        "execution-assigned",
        "execution-accepted",
        "execution-ready",
        "execution-started",
        "execution-exited",
        "execution-succeeded",
    ]


def test_a_task_that_fails_stores_what_it_made(system: Embedded, tmp_path: Path) -> None:
    done = run(system, "echo half > $OUTPUT/half; exit 3", output=f"file://{tmp_path}/stored/")
    assert (done["status"], done["return_code"]) == ("failed", 3)
    assert (tmp_path / "stored" / "half").read_text() == "half\n"


def test_an_input_that_is_not_there_fails_the_task_in_words(system: Embedded, tmp_path: Path) -> None:
    done = run(system, "true", input=f"file://{tmp_path}/nothing")
    assert done["status"] == "failed" and done["return_code"] is None
    assert str(tmp_path / "nothing") in done["reason"] and done["started_date"] is None


def test_outputs_that_cannot_be_stored_fail_the_task_in_words(system: Embedded, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    done = run(system, "echo data > $OUTPUT/data", output=f"file://{tmp_path}/file/")
    assert (done["status"], done["return_code"]) == ("failed", 0), "the command itself did well"
    assert "file" in done["reason"]


def test_a_resource_that_many_tasks_share_is_fetched_once(system: Embedded, tmp_path: Path) -> None:
    (tmp_path / "genome.fa").write_text("ACGT")
    client = system.client()
    tasks = [
        {"command": "cat $RESOURCE/genome.fa", "shell": True, "resource": f"file://{tmp_path}/genome.fa"}
        for _ in range(20)
    ]
    ids = client.tasks_create(tasks)
    client.wait(ids)
    assert [client.task_get(id)["status"] for id in ids] == ["succeeded"] * 20
    fetched = [
        event["payload"].get("bytes", 0)
        for id in ids
        for event in client.events(stream=f"task-{id}", follow=False)
        if event["type"] == "execution-ready"
    ]
    assert sorted(fetched) == [0] * 19 + [4]


def test_a_resource_that_has_changed_is_fetched_anew(system: Embedded, tmp_path: Path, monkeypatch: Any) -> None:
    shared = tmp_path / "shared"
    shared.write_text("old")
    first = run(system, "cat $RESOURCE/shared", resource=f"file://{shared}")
    assert system.client().execution_get(first["execution_id"])["output"] == "old"
    shared.write_text("newer")
    os.utime(shared, (2_000_000_000, 2_000_000_000))

    def sees_it() -> bool:
        again = run(system, "cat $RESOURCE/shared", resource=f"file://{shared}")
        return bool(system.client().execution_get(again["execution_id"])["output"] == "newer")

    eventually(sees_it, "the new one is seen when it is looked for again")


def test_nothing_is_left_of_a_task_that_has_ended(system: Embedded, tmp_path: Path) -> None:
    (tmp_path / "a").write_text("a")
    run(system, "cp $INPUT/a $OUTPUT/a", input=f"file://{tmp_path}/a", output=f"file://{tmp_path}/out/")
    there = map(Path, glob(f"{system.machine.folder}/**/input", recursive=True))
    folders = [one for one in there if one.parent.name.isdecimal()]
    eventually(lambda: not any(one.exists() for one in folders), "its folders are gone")


def test_what_was_fetched_for_a_task_that_goes_to_another_worker_is_removed(tmp_path: Path) -> None:
    go, work = tmp_path / "go", tmp_path / "system" / "work"
    (tmp_path / "data").write_text("some data")
    with embedded(tmp_path / "system") as system:
        system.server()
        system.worker(1, "--name", "busy", "--prefetch", "1")
        client = system.client()
        eventually(lambda: client.workers(), "the first worker is there")
        first = client.task_create(f"while [ ! -e {go} ]; do sleep 0.05; done", shell=True)["task_id"]
        second = client.task_create("cat $INPUT/data", shell=True, input=f"file://{tmp_path}/data")["task_id"]
        eventually(lambda: "execution-ready" in types_of(system, second), "its input is there, and it waits for a slot")
        (fetched,) = (path for path in work.rglob("data") if path.is_file())
        system.worker(1, "--name", "idle")
        client.wait([second])
        assert types_of(system, second)[-6:] == [
            "execution-refused",
            "execution-assigned",
            "execution-accepted",
            "execution-ready",
            "execution-started",
            "execution-succeeded",
        ]
        eventually(lambda: not fetched.parent.parent.exists(), "nothing of it is left where it waited")
        go.touch()
        client.wait([first])
