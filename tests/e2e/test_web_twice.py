"""Two web processes behind one address, one of them under uvicorn: it does not matter which of them is asked, nor when
one dies."""

from __future__ import annotations

import secrets
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import httpx

from scitq.lib import Server
from tests.services.balancer import Balancer
from tests.services.postgres import PrivatePostgres
from tests.services.processes import free_ports
from tests.services.rabbitmq import PrivateRabbit
from tests.services.scitq import Embedded, Machine, Process, embedded
from tests.services.waiting import eventually

TOKEN = "a-token-that-all-processes-share"


class Pair:
    """Engine and projections on one machine with a web process, another web process on a machine of its own."""

    def __init__(self, system: Embedded, elsewhere: Path, token: str = TOKEN) -> None:
        self.system = system
        self.core = system.server("engine", "projections")
        self.ports = (system.port, *free_ports(1))
        self.first = system.server("web")
        environ = {**system.machine.environ, "SCITQ_TOKEN": token}
        other = Machine(elsewhere, **{name: value for name, value in environ.items() if name.startswith("SCITQ_")})
        other.environ["SCITQ_DATA"] = str(elsewhere / "data")
        command = [sys.executable, "-m", "uvicorn", "scitq.server:app", "--port", str(self.ports[1])]
        self.second = Process([*command, "--timeout-graceful-shutdown", "3"], other.environ, elsewhere / "uvicorn.log")
        system.adopt(self.second)
        tokens = (TOKEN, token)
        self.clients = [Server(f"http://x:{tokens[number]}@127.0.0.1:{port}") for number, port in enumerate(self.ports)]
        for client, process in zip(self.clients, (self.first, self.second), strict=True):
            eventually(partial(self._ready, client, process), "each web process is ready")

    def _ready(self, client: Server[dict[str, Any]], process: Process) -> bool:
        assert process.running() and self.core.running(), process.said() + self.core.said()
        return client.ready()

    def close(self) -> None:
        for client in self.clients:
            client.close()


@contextmanager
def pair(tmp_path: Path, postgres: PrivatePostgres, rabbit: PrivateRabbit, token: str = TOKEN) -> Iterator[Pair]:
    settings = {"SCITQ_STORE": postgres.create_database(), "SCITQ_BUS": rabbit.url, "SCITQ_TOKEN": TOKEN}
    settings["SCITQ_BUS_PREFIX"] = f"pair{secrets.token_hex(4)}"
    with (
        embedded(tmp_path / "home", **settings) as system,
        closing(Pair(system, tmp_path / "elsewhere", token)) as both,
    ):
        yield both


def test_it_does_not_matter_which_web_process_is_asked(
    tmp_path: Path, postgres: PrivatePostgres, rabbitmq: PrivateRabbit
) -> None:
    with pair(tmp_path, postgres, rabbitmq) as both, Balancer(*both.ports) as balancer:
        worker = both.system.machine.start("worker", f"127.0.0.1:{balancer.port}", "2")
        both.system.adopt(worker)
        first, second = both.clients
        eventually(lambda: first.workers(), "the worker is there")

        # Each client reads what it wrote through the other process.
        address = f"http://127.0.0.1:{balancer.port}"
        with httpx.Client(headers={"Authorization": f"Bearer {TOKEN}", "Connection": "close"}, timeout=30) as http:
            for number in range(20):
                made = http.post(f"{address}/tasks/", json={"command": f"echo {number}", "name": f"n{number}"})
                position = {"X-Scitq-Position": made.headers["X-Scitq-Position"]}
                read = http.get(f"{address}/tasks/{made.json()['task_id']}", headers=position)
                assert read.json()["name"] == f"n{number}"
        assert min(balancer.counts.values()) >= 20, "both were asked"

        # What happens is followed on either, also the output of a worker whose gateway is the other one.
        task = first.task_create("echo begun; sleep 2; echo ended", shell=True)["task_id"]
        followed = [Followed(client, task) for client in both.clients]
        assert first.wait([task], timeout=60) == {task: "succeeded"}
        for one in followed:
            assert one.output() == b"begun\nended\n"
            assert one.types()[-1] == "execution-succeeded"

        # When a worker was heard is known on both, wherever it is connected.
        eventually(lambda: all(heard(client) for client in both.clients), "both know when the worker was heard")

        # So are what its machine does, and what a task of it does, whichever is asked.
        eventually(lambda: all(client.workers()[0]["memory"] for client in both.clients), "both know how busy it is")
        slow = first.task_create("sleep 300")["task_id"]
        (execution,) = eventually(lambda: first.executions(task_id=slow, status="running"), "it runs")
        for client in both.clients:
            eventually(lambda client=client: client.execution_live(execution)["curve"], "its use is told")  # type: ignore[misc]
        first.task_delete(slow)

        # A rebuild that is ordered on one is seen on the other.
        before = {one["name"]: one["position"] for one in second.projections()}
        second.projection_rebuild("tasks")
        eventually(lambda: reached(first, before), "the views are there again")
        assert names(first) == names(second)
        assert "another token" not in both.first.said() + both.second.said()
        assert both.second.end() in (0, -15)
        assert "Traceback" not in both.second.said()


def heard(client: Server[dict[str, Any]]) -> object:
    return client.workers()[0]["last_contact_date"]


def names(client: Server[dict[str, Any]]) -> list[str]:
    return [one["name"] for one in client.tasks()]


def reached(client: Server[dict[str, Any]], before: dict[str, int]) -> bool:
    return all(one["position"] >= before[one["name"]] and not one["stopped"] for one in client.projections())


class Followed:
    """What one web process tells of a task while it runs, read in threads."""

    def __init__(self, client: Server[dict[str, Any]], task: int) -> None:
        self._output, self._types = b"", list[str]()
        self._threads = [
            threading.Thread(target=one, args=(client, task), daemon=True) for one in (self._read, self._follow)
        ]
        for thread in self._threads:
            thread.start()

    def _read(self, client: Server[dict[str, Any]], task: int) -> None:
        eventually(lambda: client.executions(task_id=[task]), "there is an execution")
        execution = client.executions(task_id=[task])[0]["execution_id"]
        self._output = b"".join(client.output(execution, follow=True))

    def _follow(self, client: Server[dict[str, Any]], task: int) -> None:
        for event in client.events(stream=f"task-{task}"):
            self._types.append(event["type"])
            if event["type"] == "execution-succeeded":
                return

    def output(self) -> bytes:
        self._threads[0].join(30)
        return self._output

    def types(self) -> list[str]:
        self._threads[1].join(30)
        return self._types


def test_an_agent_whose_web_process_dies_goes_to_the_other_one(
    tmp_path: Path, postgres: PrivatePostgres, rabbitmq: PrivateRabbit
) -> None:
    effects = tmp_path / "effects"
    effects.mkdir()
    with pair(tmp_path, postgres, rabbitmq) as both, Balancer(*both.ports) as balancer:
        for name in ("one", "two"):
            words = ("worker", f"127.0.0.1:{balancer.port}", "2", "--name", name)
            machine = both.system.machine
            both.system.adopt(Process(machine.command(*words), machine.environ, tmp_path / name))
        first, second = both.clients
        eventually(lambda: len(first.workers()) == 2, "both workers are there")
        commands = [f"sleep 0.1; echo done >> {effects}/{number}" for number in range(60)]
        tasks = first.tasks_create({"command": command, "shell": True} for command in commands)
        eventually(lambda: len(list(effects.iterdir())) > 10, "the work goes on")
        both.first.kill()
        assert set(second.wait(tasks, timeout=120).values()) == {"succeeded"}
        assert sorted(file.read_text() for file in effects.iterdir()) == ["done\n"] * 60


def test_web_processes_with_different_tokens_say_so(
    tmp_path: Path, postgres: PrivatePostgres, rabbitmq: PrivateRabbit
) -> None:
    with pair(tmp_path, postgres, rabbitmq, token="quite-another-token-than-the-first") as both:
        for process in (both.first, both.second):
            eventually(lambda one=process: "has another token" in one.said(), "both say it")  # type: ignore[misc]
            assert "SCITQ_TOKEN" in process.said()
