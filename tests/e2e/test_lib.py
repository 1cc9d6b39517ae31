"""The library against real processes that are killed, and from many threads."""

from __future__ import annotations

import os
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event

import pytest

from scitq.errors import ServerError
from tests.services.scitq import embedded
from tests.services.waiting import eventually

TASKS = 30_000


def test_a_server_that_is_killed_while_tasks_come_in_has_each_of_them_once(tmp_path: Path) -> None:
    with embedded(tmp_path) as system:
        process = system.server()
        client = system.client()
        reached = Event()
        tasks = ({"command": f"echo {number}", "batch": "held"} for number in range(TASKS))
        with ThreadPoolExecutor(1) as pool:
            submitted = pool.submit(client.tasks_create, tasks, lambda count: reached.set())
            assert reached.wait(60)
            process.kill()
            system.server()
            ids = submitted.result(timeout=120)
        commands = {row["task_id"]: row["command"] for row in client.tasks(batch="held")}
        assert len(commands) == TASKS
        assert [commands[id] for id in ids] == [f"echo {number}" for number in range(TASKS)]


def test_who_waits_does_not_notice_that_the_server_was_killed(tmp_path: Path) -> None:
    with embedded(tmp_path) as system:
        process = system.server()
        client = system.client()
        worker = system.worker(4)
        flag = tmp_path / "flag"
        wait = f"while ! test -e {flag}; do sleep 0.02; done"
        ids = client.tasks_create([{"command": f"{wait}; exit {number % 2}", "shell": True} for number in range(8)])
        seen: list[Counter[str]] = []
        running = Event()

        def look(statuses: object) -> None:
            seen.append(Counter(dict(statuses).values()))  # type: ignore[call-overload]
            if seen[-1]["running"] == 4:
                running.set()

        with ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(client.wait, ids, None, look)
            assert running.wait(60)
            process.kill()
            system.server()
            flag.touch()
            ended = waiting.result(timeout=120)
        assert list(ended.values()) == ["succeeded", "failed"] * 4
        assert seen[-1] == {"succeeded": 4, "failed": 4}
        assert worker.running()


def test_what_workers_have_in_hand_is_told(tmp_path: Path) -> None:
    with embedded(tmp_path) as system:
        system.server()
        client = system.client()
        system.worker(1)
        task = client.task_create("sleep 1000")["task_id"]
        eventually(lambda: client.task_get(task)["status"] == "running", "the task runs")
        (worker,) = client.workers()
        assert client.worker_get(worker)["name"] == worker["name"]
        id = worker["worker_id"]
        assert client.workers_tasks() == [{"worker_id": id, "status": "running", "count": 1}]
        (execution,) = client.worker_executions(id)
        assert execution["task_id"] == task and client.worker_executions(id, "running") == [execution]
        assert client.worker_executions(id, "pending") == []
        with pytest.raises(ServerError, match="there is no worker 77"):
            client.worker_get(77)


def test_iterators_that_are_left_half_way_leave_nothing_open(tmp_path: Path) -> None:
    with embedded(tmp_path) as system:
        system.server()
        client = system.client()
        system.worker(1)
        task = client.task_create("while true; do echo y; sleep 0.01; done", shell=True)["task_id"]
        eventually(lambda: client.task_get(task)["status"] == "running", "the task runs")
        execution = client.task_get(task)["execution_id"]
        before = len(os.listdir("/proc/self/fd"))
        for _ in range(20):
            assert next(client.events())["position"] == 1
            assert next(client.output(execution, follow=True)).startswith(b"y\n")
        assert len(os.listdir("/proc/self/fd")) <= before + 4, "but for connections that are kept for later"


def test_one_client_serves_many_threads_and_each_reads_what_it_wrote(tmp_path: Path) -> None:
    with embedded(tmp_path) as system:
        system.server()
        client = system.client()

        def work(number: int) -> str:
            id = client.task_create(f"echo {number}", name=f"n{number}")["task_id"]
            client.task_update(id, command=f"echo {number} again")
            return str(client.task_get(id)["command"])

        with ThreadPoolExecutor(16) as pool:
            assert list(pool.map(work, range(100))) == [f"echo {number} again" for number in range(100)]
        assert len(client.tasks()) == 100


def test_a_mistake_anywhere_in_a_list_creates_nothing_of_its_portion(tmp_path: Path) -> None:
    with embedded(tmp_path) as system:
        system.server()
        client = system.client()
        for wrong in (
            {"command": ""}, {"command": "a", "batch": "a/b"}, {"command": "a", "nonsense": 1}, {"command": "a\0"},
            {"command": "a", "retry": -1}, {"command": "a", "required_task_ids": [10**9]},
        ):  # fmt: skip
            with pytest.raises(ServerError) as refusal:
                client.tasks_create([{"command": "good"}, wrong])
            assert 400 <= refusal.value.status < 500 and str(refusal.value)
        assert client.tasks() == []
