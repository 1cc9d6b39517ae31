"""Containers outlive their agent, and an engine that dies: each runs once, and what it prints arrives once."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.services.docker import IMAGE, PrivateDocker
from tests.services.scitq import Embedded, Process, embedded
from tests.services.waiting import eventually

COUNT = "i=0; while [ $i -lt {0} ]; do i=$((i+1)); echo line $i; sleep 0.05; done; echo once >> /output/ran"
TASKS, NATIVE, LINES, RESTARTS = 4, 4, 60, 3


@pytest.fixture
def system(tmp_path: Path, doomed_docker: PrivateDocker) -> Iterator[Embedded]:
    with embedded(tmp_path, DOCKER_HOST=doomed_docker.url) as one:
        one.server()
        yield one


def submit(system: Embedded, folder: Path, number: int, *, container: bool = True, lines: int = LINES) -> int:
    where: dict[str, Any] = {"container": IMAGE, "container_options": "--network none"} if container else {}
    script = COUNT.format(lines) if container else COUNT.format(lines).replace("/output", "$OUTPUT")
    output = f"file://{folder}/stored/{number}/"
    return int(system.client().task_create(script, shell=True, output=output, **where)["task_id"])


def whole(lines: int = LINES) -> str:
    return "".join(f"line {number}\n" for number in range(1, lines + 1))


def check(system: Embedded, folder: Path, tasks: dict[int, int], lines: int = LINES) -> None:
    """Each has ended well, in one attempt, with its whole output."""
    client = system.client()
    client.wait(list(tasks))
    for task, number in tasks.items():
        (done,) = client.executions(task_id=task)
        assert (done["status"], done["output"]) == ("succeeded", whole(lines)), done
        assert (folder / "stored" / str(number) / "ran").read_text() == "once\n"


def test_the_agent_is_started_anew_under_running_tasks(system: Embedded, tmp_path: Path) -> None:
    worker = system.worker(TASKS + NATIVE, "--keep-failed", "0")
    tasks = {submit(system, tmp_path, number, container=number < TASKS): number for number in range(TASKS + NATIVE)}
    client = system.client()
    eventually(lambda: len(client.tasks(status="running")) == len(tasks), "all of them run")
    for number in (signal.SIGTERM, signal.SIGKILL, signal.SIGTERM)[:RESTARTS]:
        worker.end(number)
        worker = system.worker(TASKS + NATIVE, "--keep-failed", "0")
        eventually(partial(_is_back, system, worker), "it is back")
    check(system, tmp_path, tasks)


def test_the_engine_dies_and_comes_back(system: Embedded, tmp_path: Path, doomed_docker: PrivateDocker) -> None:
    worker = system.worker(2, "--keep-failed", "0")
    tasks = {submit(system, tmp_path, number): number for number in range(2)}
    client = system.client()
    eventually(lambda: len(client.tasks(status="running")) == len(tasks), "both run")
    doomed_docker.kill()
    worker.kill()
    worker = system.worker(2, "--keep-failed", "0")
    eventually(lambda: "container engine is not there" in worker.said(), "the worker misses its engine")
    assert {task["status"] for task in client.tasks()} == {"running"}, "and gives nothing up"
    doomed_docker.start()
    check(system, tmp_path, tasks)


def test_what_was_taken_back_meanwhile_is_ended(system: Embedded, tmp_path: Path, doomed_docker: PrivateDocker) -> None:
    worker = system.worker(1, "--keep-failed", "0")
    task = submit(system, tmp_path, 0, lines=100_000)
    client = system.client()
    eventually(lambda: client.task_get(task)["status"] == "running", "it runs")
    worker.kill()
    client.task_delete(task)
    worker = system.worker(1, "--keep-failed", "0")
    eventually(lambda: not _containers(doomed_docker), "its container is gone")
    assert worker.running()


def test_without_an_engine_it_waits_for_another_worker(tmp_path: Path, docker_engine: PrivateDocker) -> None:
    with embedded(tmp_path, DOCKER_HOST="unix:///nowhere/docker.sock") as system:
        system.server()
        system.worker(2)
        task = submit(system, tmp_path, 0, lines=1)
        client = system.client()
        eventually(lambda: "docker" in _why(system, task), "somebody says what is missing")
        assert "apt-get install docker.io" in _why(system, task)
        assert client.task_get(task)["status"] != "failed", "no retry is spent for a machine's fault"
        other = system.machine.environ | {"DOCKER_HOST": docker_engine.url}
        words = ("worker", f"127.0.0.1:{system.port}", "2", "--name", "with-docker", "--data", str(tmp_path / "other"))
        system.adopt(Process(system.machine.command(*words), other, tmp_path / "other.log"))
        client.wait([task])
        assert client.task_get(task)["status"] == "succeeded"


def _is_back(system: Embedded, worker: Process) -> bool:
    return "connected" in worker.said() or not system.client().tasks(status="running")


def _why(system: Embedded, task: int) -> str:
    return " ".join(system.client().task_get(task)["refused_by"])


def _containers(engine: PrivateDocker) -> list[object]:
    client = engine.client()
    try:
        return list(client.containers(all=True, filters={"label": "scitq.owner"}))
    finally:
        client.close()
