"""A worker's life is the same on both ways to its server: through the gateway, and as a user of its broker."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from scitq.bus.rabbit_admin import BrokerUsers
from scitq.lib import Server
from tests.services.rabbitmq import PrivateRabbit
from tests.services.scitq import Embedded, Process, embedded, living_in
from tests.services.waiting import eventually

OFTEN = "SCITQ_CAMPAIGN" in os.environ
WAYS = ("gateway", "amqp")
HARD_WAYS = WAYS if OFTEN else ("amqp",)
"""What is done to agents on the gateway's way is also tried in test_killed.py and test_roles.py."""
Client = Server[dict[str, Any]]


class Site:
    """A server on a broker of which it may make users."""

    def __init__(self, system: Embedded, rabbit: PrivateRabbit, url: str) -> None:
        self.system, self.rabbit, self.url = system, rabbit, url

    def worker(self, way: str, concurrency: int = 2, *options: str) -> Process:
        return self.system.worker(concurrency, "--bus", way, *options)

    def users(self) -> set[str]:
        """Of workers, on the broker: the last part of their names."""
        users = BrokerUsers(self.rabbit.admin_url, [self.url])
        try:
            return {one.user.rpartition("/")[2] for one in users.present()}
        finally:
            users.close()

    def cut(self, user: str) -> int:
        """Have the broker close the connections of that user; how many those were."""
        with httpx.Client(base_url=f"{self.rabbit.admin_url}/api/", trust_env=False) as client:
            found = [one["name"] for one in client.get("connections").json() if one["user"].endswith(f"/{user}")]
            for name in found:
                client.delete(f"connections/{name}").raise_for_status()
        return len(found)


@contextmanager
def site(folder: Path, rabbit: PrivateRabbit, url: str | None = None, **settings: str) -> Iterator[Site]:
    url = url or rabbit.vhost_url()
    given = {"SCITQ_BUS": url, "SCITQ_BUS_ADMIN": rabbit.admin_url, **settings}
    with embedded(folder, **{name: text for name, text in given.items() if text}) as system:
        yield Site(system, rabbit, url)


def connected(worker: Process) -> None:
    eventually(lambda: "is connected" in worker.said(), "the worker is connected")


@pytest.mark.parametrize("way", WAYS)
def test_a_workers_whole_life(tmp_path: Path, managed_rabbitmq: PrivateRabbit, way: str) -> None:
    with site(tmp_path, managed_rabbitmq) as here:
        server = here.system.server()
        client = here.system.client()
        worker = here.worker(way, 2, "-n", "one")
        lines = client.tasks_create(
            [{"command": "seq 1 40000", "retry": 0}, *({"command": f"echo {number}"} for number in range(100))]
        )
        assert set(client.wait(lines, timeout=60).values()) == {"succeeded"}
        printed = ["".join(f"{number}\n" for number in range(1, 40001)), *(f"{number}\n" for number in range(100))]
        eventually(
            lambda: [one["output"] for one in client.executions(task_id=lines)] == printed, "all output is there"
        )
        assert here.users() == ({"one"} if way == "amqp" else set())
        (slow,) = client.tasks_create([{"command": "sleep 300"}])
        (execution,) = eventually(lambda: client.executions(task_id=slow, status="running"), "it runs")
        eventually(lambda: client.execution_live(execution)["curve"], "what it uses is told")
        eventually(lambda: client.workers()[0]["load"], "how busy its machine is, is told")
        assert client.workers()[0]["last_contact_date"]
        client.task_delete(slow)
        held, killed = client.tasks_create({"command": f"sleep {seconds}"} for seconds in (3456, 3457))
        for task in (held, killed):
            running(client, task)
        client.tasks_action("pause", [held])
        eventually(lambda: states(tmp_path, b"3456") == {"T"}, "it is held")
        client.execution_signal(running(client, killed), 9)
        assert client.wait([killed], timeout=60) == {killed: "failed"}
        client.tasks_action("resume", [held])
        eventually(lambda: states(tmp_path, b"3456") == {"S"}, "it goes on")
        assert worker.end(signal.SIGINT) == 130
        eventually(lambda: client.task_get(held)["status"] == "pending", "it is given back, with a goodbye")
        assert client.workers(name="one")[0]["status"] == "offline"
        assert "Traceback" not in worker.said() + server.said()


@pytest.mark.parametrize("way", HARD_WAYS)
def test_an_agent_that_is_killed_or_cut_off_does_all_once(
    tmp_path: Path, managed_rabbitmq: PrivateRabbit, way: str
) -> None:
    effects = tmp_path / "effects"
    effects.mkdir()
    with site(tmp_path / "home", managed_rabbitmq) as here:
        server = here.system.server()
        client = here.system.client()
        worker = here.worker(way, 4, "-n", "one")
        command = "sleep 0.0{0}; echo done >> {1}/{0}; seq 1 {0}00"
        tasks = client.tasks_create(
            {"command": command.format(number, effects), "shell": True} for number in range(1, 151)
        )
        for done in (10, 40, 70, 100):
            eventually(lambda done=done: len(list(effects.iterdir())) >= done, "the work goes on")  # type: ignore[misc]
            if done == 10:
                worker.kill()
                worker = here.worker(way, 4, "-n", "one")
            elif done == 40:
                server.kill()
                server = here.system.server()
            elif way == "amqp":
                eventually(lambda: here.cut("one"), "the broker knows of the connection")
        assert set(client.wait(tasks, timeout=120).values()) == {"succeeded"}
        assert {file.read_text() for file in effects.iterdir()} == {"done\n"}
        eventually(lambda: all(whole(client, tasks)), "all output is there")
        assert "Traceback" not in worker.said()


@pytest.mark.parametrize("way", HARD_WAYS)
def test_a_broker_that_is_killed_and_made_anew_costs_nothing(
    tmp_path: Path, managed_rabbitmq: PrivateRabbit, way: str
) -> None:
    effects = tmp_path / "effects"
    effects.mkdir()
    with site(tmp_path / "home", managed_rabbitmq, managed_rabbitmq.url) as here:
        here.system.server()
        client = here.system.client()
        worker = here.worker(way, 4, "-n", "one")
        command = "sleep 0.1; echo done >> {0}/{1}"
        tasks = client.tasks_create(
            {"command": command.format(effects, number), "shell": True} for number in range(160)
        )
        eventually(lambda: len(list(effects.iterdir())) >= 10, "the work goes on")
        if OFTEN:
            managed_rabbitmq.kill()
            managed_rabbitmq.start()
            eventually(lambda: len(list(effects.iterdir())) >= 60, "it goes on again")
        managed_rabbitmq.wipe()
        assert set(client.wait(tasks, timeout=120).values()) == {"succeeded"}
        assert {file.read_text() for file in effects.iterdir()} == {"done\n"}
        assert here.users() == ({"one"} if way == "amqp" else set())
        assert "Traceback" not in worker.said()


def test_an_agent_finds_out_which_way_there_is(tmp_path: Path, managed_rabbitmq: PrivateRabbit) -> None:
    with site(tmp_path, managed_rabbitmq, SCITQ_BUS_ADMIN="") as here:
        here.system.server()
        client = here.system.client()
        refused = here.worker("amqp", 1, "-n", "one")
        assert refused.wait() == 1
        assert "gives out no users of its broker" in refused.said() and "Traceback" not in refused.said()
        worker = here.worker("auto", 1, "-n", "one")
        task = client.task_create("true")["task_id"]
        assert client.wait([task], timeout=60) == {task: "succeeded"}
        assert "goes through the server's gateway" in worker.said() and here.users() == set()


def test_a_workers_place_is_its_own_and_goes_with_it(tmp_path: Path, managed_rabbitmq: PrivateRabbit) -> None:
    with site(tmp_path, managed_rabbitmq) as here:
        server = here.system.server()
        client = here.system.client()
        worker = here.worker("auto", 1, "-n", "one")
        connected(worker)
        assert here.users() == {"one"}
        other = here.worker("amqp", 1, "-n", "one", "--data", str(tmp_path / "other"))
        eventually(lambda: "another agent is connected to the broker" in other.said(), "its queue is read by one only")
        other.end()
        slow = client.task_create("sleep 7654")["task_id"]
        running(client, slow)
        client.worker_delete(client.workers()[0]["worker_id"])
        eventually(client.workers, "the agent comes again")
        task = client.task_create("true")["task_id"]
        client.task_delete(slow)
        assert client.wait([task], timeout=60) == {task: "succeeded"}
        worker.end()
        here.system.machine.environ["SCITQ_BUS_ADMIN"] = ""
        server.end()
        server = here.system.server()
        eventually(client.ready, "a server without the management is ready")
        client.worker_delete(client.workers()[0]["worker_id"])
        server.end()
        here.system.machine.environ["SCITQ_BUS_ADMIN"] = managed_rabbitmq.admin_url
        assert here.users() == {"one"}
        here.system.server()
        eventually(lambda: here.users() == set(), "the user of the deleted worker goes")


def running(client: Client, task: int) -> int:
    """Its execution, once it runs."""
    eventually(lambda: client.task_get(task)["status"] == "running", "the task runs")
    return int(client.task_get(task)["execution_id"])


def states(folder: Path, words: bytes) -> set[str]:
    """Of the processes of a test whose command line holds the words."""
    found = set()
    for pid in living_in(folder):
        try:
            if words in Path(f"/proc/{pid}/cmdline").read_bytes():
                found.add(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0])
        except OSError:
            continue
    return found


def whole(client: Client, tasks: list[int]) -> Iterator[bool]:
    executions = {one["task_id"]: one for one in client.executions(task_id=tasks, status="succeeded")}
    for number, task in enumerate(tasks, 1):
        yield executions[task]["output"].split() == [str(each) for each in range(1, number * 100 + 1)]
