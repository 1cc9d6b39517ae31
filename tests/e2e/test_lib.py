"""The library against real processes that are killed, and from many threads."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event

import pytest

from scitq.errors import ServerError
from tests.services.scitq import embedded

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
