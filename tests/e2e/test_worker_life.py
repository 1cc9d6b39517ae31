"""A worker and the servers it meets: one that starts later, one that was made anew."""

from __future__ import annotations

import os
import signal
from collections import Counter
from pathlib import Path

from tests.services.scitq import Machine, embedded, end_all_in, living_in
from tests.services.waiting import eventually


def test_a_worker_that_is_started_before_its_servers_first_start_joins_it(tmp_path: Path) -> None:
    with embedded(tmp_path) as system:
        worker = system.worker(1)
        eventually(lambda: "no connection" in worker.said(), "the worker looks for its server")
        system.server()
        client = system.client()
        task = client.task_create("echo hello")["task_id"]
        assert client.wait([task], timeout=60) == {task: "succeeded"}


def test_a_worker_begins_anew_when_its_servers_store_was_made_anew(tmp_path: Path) -> None:
    with embedded(tmp_path) as system:
        server = system.server()
        client = system.client()
        worker = system.worker(1)
        done = client.task_create("true")["task_id"]
        client.wait([done], timeout=60)
        client.task_create("sleep 4321")
        eventually(lambda: client.tasks(status="running"), "the task runs")
        before = client.position
        server.end()
        for file in system.machine.data.glob("*.db*"):
            file.unlink()
        system.server()
        eventually(client.ready, "the new server is ready")
        assert client.tasks() == [] and client.position < before, "what the other log had reached is not waited for"
        again = client.task_create("echo hello")["task_id"]
        assert again == done, "its ids begin anew, and the worker has seen them before"
        assert client.wait([again], timeout=60) == {again: "succeeded"}
        assert "begins anew" in worker.said()
        sleeping = [pid for pid in living_in(tmp_path) if b"4321" in Path(f"/proc/{pid}/cmdline").read_bytes()]
        assert sleeping == [], "what the other server wanted is not run for ever"


def test_a_killed_task_is_gone_with_its_grandchildren(tmp_path: Path) -> None:
    with embedded(tmp_path) as system:
        system.server()
        client = system.client()
        system.worker(1)
        task = client.task_create("sh -c 'sleep 5432 & setsid sleep 5432 & sleep 5432' & wait", shell=True)["task_id"]
        eventually(lambda: len(_sleeping(tmp_path)) == 3, "the grandchildren run")
        (execution,) = client.executions(task_id=task)
        client.worker_create_signal(execution["worker_id"], execution["execution_id"], 9)
        assert client.wait([task], timeout=60) == {task: "failed"}
        assert _sleeping(tmp_path) == [], "the end is said when nobody is left"


def test_a_worker_ended_by_ctrl_c_gives_its_tasks_back_for_others_to_run(tmp_path: Path) -> None:
    with embedded(tmp_path) as system:
        system.server()
        client = system.client()
        one = system.worker(1, "-n", "one")
        task = client.task_create("sleep 3", retry=0)["task_id"]
        eventually(lambda: client.tasks(status="running"), "the task runs")
        assert one.end(signal.SIGINT) == 130
        eventually(lambda: client.task_get(task)["status"] == "pending", "the task is given back")
        assert client.workers(name="one")[0]["status"] == "offline"
        system.worker(1, "-n", "other")
        assert client.wait([task], timeout=60) == {task: "succeeded"}


def test_of_two_agents_under_one_name_only_one_works_and_what_it_took_over_ends_at_the_other(tmp_path: Path) -> None:
    """The second one, set up elsewhere, is turned away until the first has been silent for long."""
    began, flag = tmp_path / "began", tmp_path / "flag"
    with embedded(tmp_path / "home") as system:
        system.server()
        client = system.client()
        first = system.worker(1, "-n", "twin")
        command = f"echo >> {began}; while ! test -e {flag}; do sleep 0.02; done"
        task = client.task_create(command, shell=True)["task_id"]
        eventually(began.exists, "it runs")
        token = {"SCITQ_TOKEN": (system.machine.data / "token").read_text().strip()}
        other = Machine(tmp_path / "other", **token)
        second = other.start("worker", f"127.0.0.1:{system.port}", "1", "-n", "twin")
        system.adopt(second)
        try:
            eventually(lambda: "another agent is connected as 'twin'" in second.said(), "the second is turned away")
            assert began.read_text() == "\n"
            os.kill(first.pid, signal.SIGSTOP)
            eventually(lambda: began.read_text() == "\n\n", "the second has the place, and the task", 90)
            os.kill(first.pid, signal.SIGCONT)
            eventually(lambda: "no place for this worker" in first.said(), "the first is turned away")
            eventually(lambda: len(_waiting_for(flag)) == 1, "what the first ran has ended")
            flag.touch()
            assert client.wait([task], timeout=60) == {task: "succeeded"}
            assert [one["status"] for one in client.executions(task_id=task)] == ["lost", "succeeded"]
            assert second.running() and first.running(), "the first waits for its place"
        finally:
            end_all_in(other.folder)


def _waiting_for(flag: Path) -> list[int]:
    """The shells that wait for it."""
    return living_in(flag)


def test_slow_tasks_behind_many_quick_ones_are_shared_among_the_workers(tmp_path: Path) -> None:
    with embedded(tmp_path) as system:
        system.server()
        client = system.client()
        system.worker(1, "-n", "one")
        quick = client.tasks_create({"command": "true"} for _ in range(400))
        slow = client.tasks_create({"command": "sleep 6"} for _ in range(6))
        client.wait(quick, timeout=60)
        system.worker(1, "-n", "other")
        statuses = client.wait(slow, timeout=120)
        assert set(statuses.values()) == {"succeeded"}
        ran = Counter(one["worker_id"] for one in client.executions(task_id=slow, status="succeeded"))
        assert len(ran) == 2 and min(ran.values()) >= 2, f"how many each has run: {ran}"


def _sleeping(folder: Path) -> list[int]:
    return [pid for pid in living_in(folder) if Path(f"/proc/{pid}/cmdline").read_bytes() == b"sleep\x005432\x00"]
