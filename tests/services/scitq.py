"""Real servers and workers, started by their commands as a user would, each with a home folder of its own."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from scitq.lib import Server
from tests.services.processes import free_ports
from tests.services.waiting import eventually

SOON_S = 60.0
SCITQ = [sys.executable, "-m", "scitq"]


class Machine:
    """Where commands run: a home folder, a data folder, and maybe a network namespace of its own."""

    def __init__(self, folder: Path, namespace: str | None = None, **settings: str) -> None:
        self.folder = folder
        self.data = folder / "data"
        self._inside = ["ip", "netns", "exec", namespace] if namespace else []
        folder.mkdir(parents=True, exist_ok=True)
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("SCITQ_", "XDG_"))}
        self.environ = {
            **kept, "HOME": str(folder), "SCITQ_DATA": str(self.data), "BASE_WORKDIR": str(folder / "work"), **settings
        }  # fmt: skip

    def command(self, *words: str) -> list[str]:
        return self.inside(*SCITQ, *words)

    def inside(self, *words: str) -> list[str]:
        """Any command, on this machine."""
        return [*self._inside, *words]

    def shell(self, block: str, timeout_s: float = SOON_S) -> str:
        """What comes, errors too, when these lines are typed there; each of them must work."""
        done = subprocess.run(
            self.inside("bash", "-eu", "-o", "pipefail", "-c", block), cwd=self.folder, env=self.environ, text=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=timeout_s, check=False,
        )  # fmt: skip
        assert done.returncode == 0, f"{block}\nended with {done.returncode}: {done.stdout}"
        return done.stdout

    def run(self, *words: str, code: int = 0, timeout_s: float = SOON_S) -> str:
        """What a command prints; it must end with that code."""
        done = subprocess.run(
            self.command(*words), env=self.environ, capture_output=True, text=True, timeout=timeout_s, check=False
        )
        assert done.returncode == code, f"{words} ended with {done.returncode}: {done.stdout}{done.stderr}"
        return done.stdout

    def start(self, *words: str, log: str = "") -> Process:
        return Process(self.command(*words), self.environ, self.folder / f"{log or words[0]}.log")


class Process:
    """A command that goes on until it is ended; what it says is in its log."""

    def __init__(self, command: Sequence[str], environ: Mapping[str, str], log: Path) -> None:
        self.log = log
        with log.open("ab") as file:
            self._process = subprocess.Popen(
                command, env=environ, stdin=subprocess.DEVNULL, stdout=file, stderr=file, start_new_session=True
            )
        self.pid = self._process.pid

    def running(self) -> bool:
        return self._process.poll() is None

    def kill(self) -> None:
        self._process.kill()
        self._process.wait(SOON_S)

    def end(self, number: int = signal.SIGTERM) -> int:
        """Ask it to end; its exit code."""
        if self.running():
            self._process.send_signal(number)
        return self.wait()

    def wait(self) -> int:
        return self._process.wait(SOON_S)

    def said(self) -> str:
        return self.log.read_text(errors="replace")

    def rss_bytes(self) -> int:
        """How much memory it has, with its children."""
        import psutil

        process = psutil.Process(self.pid)
        return max(one.memory_info().rss for one in [process, *process.children(recursive=True)])


class Embedded:
    """A server and its workers on this machine."""

    def __init__(self, folder: Path, **settings: str) -> None:
        (self.port,) = free_ports(1)
        self.machine = Machine(folder, SCITQ_PORT=str(self.port), SCITQ_SERVER=f"127.0.0.1:{self.port}", **settings)
        self._processes: list[Process] = []
        self._clients: list[Server[dict[str, Any]]] = []

    def server(self, *roles: str) -> Process:
        """All of it, or these roles only, where broker and database are shared (SCITQ_BUS, SCITQ_STORE)."""
        return self._started("server", *(word for role in roles for word in ("--role", role)))

    def worker(self, concurrency: int = 2, *options: str) -> Process:
        return self._started("worker", f"127.0.0.1:{self.port}", str(concurrency), *options)

    def up(self, *options: str) -> Process:
        return self._started("up", *options)

    def adopt(self, process: Process) -> None:
        """It ends with the system."""
        self._processes.append(process)

    def _started(self, *words: str) -> Process:
        process = self.machine.start(*words)
        self.adopt(process)
        return process

    def client(self, within_s: float = SOON_S) -> Server[dict[str, Any]]:
        """The library's client, the same every time; waits until the server can be asked."""
        if self._clients:
            return self._clients[0]
        token = self.machine.data / "token"
        eventually(lambda: token.exists() and token.read_text(), "the server made its token")
        client = Server(f"http://x:{token.read_text().strip()}@127.0.0.1:{self.port}")
        self._clients.append(client)
        eventually(client.ready, "the server is ready", within_s)
        return client

    def close(self) -> None:
        for client in self._clients:
            client.close()
        for process in self._processes:
            if process.running():
                process.end()
        end_all_in(self.machine.folder)


def end_all_in(folder: Path) -> None:
    """End every process that was started with this home folder: shims outlive their agents, as they should."""
    for pid in living_in(folder):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def living_in(folder: Path) -> list[int]:
    """The processes whose environment or arguments name the folder."""
    found = []
    for name in os.listdir("/proc"):
        if name.isdecimal() and int(name) != os.getpid():
            with contextlib.suppress(OSError):
                said = Path(f"/proc/{name}/environ").read_bytes() + Path(f"/proc/{name}/cmdline").read_bytes()
                if str(folder).encode() in said:
                    found.append(int(name))
    return found


@contextlib.contextmanager
def embedded(folder: Path, **settings: str) -> Iterator[Embedded]:
    system = Embedded(folder, **settings)
    try:
        yield system
    finally:
        system.close()
