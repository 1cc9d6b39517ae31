"""A server and a worker to be measured: their processes, and what agent and shim have used by now."""

from __future__ import annotations

import re
import shlex
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple

import psutil

from scitq.lib import Server
from tests.services.docker import IMAGE, PrivateDocker
from tests.services.scitq import Embedded, Process, embedded, living_in
from tests.services.waiting import eventually

LONG_S: Final = 300.0
_SLEPT: Final = re.compile(r"^voluntary_ctxt_switches:\s+(\d+)", re.M)


@dataclass(frozen=True, slots=True)
class Size:
    """Where, with which engine, and how much."""

    folder: Path
    docker: PrivateDocker | None
    idle_s: float = 60
    flood_s: float = 20
    orders: int = 30
    restarts: int = 20
    native: int = 200
    contained: int = 50
    many: int = 200
    rounds: int = 5
    gigabytes: float = 1

    @property
    def ways(self) -> dict[str, PrivateDocker | None]:
        """How tasks can be run here."""
        return {"native": None} if self.docker is None else {"native": None, "docker": self.docker}


class Traffic(NamedTuple):
    """Of the agent's connection to its server, so far."""

    sent: int
    received: int
    segments: int


class Worked:
    """`properties` are those of tasks: none, or their container."""

    def __init__(self, system: Embedded, slots: int, *options: str, container: bool = False) -> None:
        self.system = system
        self.client: Server[dict[str, Any]]
        system.server()
        self.client = system.client()
        self._slots, self._options = slots, options
        contained = {"container": IMAGE, "container_options": "--network none"}
        self.properties: dict[str, Any] = contained if container else {}
        self.agent = self.start()
        self.run("true")  # the shim is there, and so is what is loaded when it is first needed

    def start(self) -> Process:
        """The agent; another one after it was ended."""
        self.agent = self.system.worker(self._slots, *self._options)
        return self.agent

    def shim_pid(self) -> int | None:
        for pid in living_in(self.system.machine.folder):
            if b"scitq.agents.shim" in Path(f"/proc/{pid}/cmdline").read_bytes():
                return pid
        return None

    def pids(self) -> list[int]:
        return [pid for pid in (self.agent.pid, self.shim_pid()) if pid is not None]

    def cpu_s(self) -> float:
        """Of agent and shim, without the commands, to the nanosecond: by the CPU clocks of their processes."""
        return sum(time.clock_gettime((~pid << 3) | 2) for pid in self.pids())

    def rss_bytes(self) -> int:
        return sum(psutil.Process(pid).memory_info().rss for pid in self.pids())

    def wakeups(self) -> int:
        """How often their threads have slept and gone on."""
        threads = [thread for pid in self.pids() for thread in Path(f"/proc/{pid}/task").iterdir()]
        return sum(int(_SLEPT.findall((thread / "status").read_text())[0]) for thread in threads)

    def traffic(self) -> Traffic:
        said = subprocess.run(["ss", "-tinpH"], capture_output=True, text=True, check=True).stdout
        for head, details in re.findall(r"^(\S.*)\n[ \t]+(.*)", said, re.M):
            if f"pid={self.agent.pid}," in head and f":{self.system.port} " in head:
                figures = {name: int(value) for name, value in re.findall(r"(\w+):(\d+)\b", details)}
                segments = figures.get("segs_out", 0) + figures.get("segs_in", 0)
                return Traffic(figures.get("bytes_sent", 0), figures.get("bytes_received", 0), segments)
        raise LookupError("the agent has no connection")

    def run(self, command: str, **properties: Any) -> dict[str, Any]:
        """The execution in which a shell has run it to its end."""
        return self.ended(self.begin(command, **properties))

    def begin(self, command: str, **properties: Any) -> int:
        made = self.client.task_create(f"sh -c {shlex.quote(command)}", **self.properties, **properties)
        return int(made["task_id"])

    def ended(self, task: int) -> dict[str, Any]:
        self.client.wait([task], timeout=LONG_S)
        return self.client.executions(task_id=task, latest=True, no_output=True)[0]

    def running(self, task: int) -> dict[str, Any]:
        """Its execution, as soon as its command has printed that it runs."""

        def found() -> dict[str, Any] | None:
            executions = self.client.executions(task_id=task, latest=True)
            if executions and executions[0]["status"] in ("failed", "succeeded"):
                raise RuntimeError(f"it has ended: {executions[0]['reason']}")
            return executions[0] if executions and "runs" in (executions[0]["output"] or "") else None

        return eventually(found, f"task {task} runs")

    def output(self, execution: int, stream: Any = "stdout") -> bytes:
        return b"".join(self.client.output(execution, stream))


@contextmanager
def worked(folder: Path, slots: int, *options: str, docker: PrivateDocker | None = None) -> Iterator[Worked]:
    """With docker, tasks are in containers."""
    settings = {} if docker is None else {"DOCKER_HOST": docker.url}
    with embedded(folder, **settings) as system:
        yield Worked(system, slots, *options, container=docker is not None)
