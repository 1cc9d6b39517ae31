"""The durable pair in earnest: a server, or each role in a process of its own, on RabbitMQ and PostgreSQL as they come.

What the broker and the database write goes to the disk that TMPDIR is on, work folders where the caller says.
"""

from __future__ import annotations

import secrets
import signal
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

import httpx
import psutil

from tests.services.postgres import PrivatePostgres
from tests.services.rabbitmq import PrivateRabbit
from tests.services.scitq import Embedded, Process, living_in
from tests.services.waiting import eventually

ROLES: Final = ("engine", "projections", "web")
WHOLE: Final = "server"
"""All roles in one process, as `scitq server` and the compose file have it."""
LONG_S: Final = 900.0


class Spent(NamedTuple):
    """CPU seconds of a process since it began."""

    user: float
    system: float

    @property
    def both(self) -> float:
        return self.user + self.system


class Durable(Embedded):
    """They share a machine with their workers and the services."""

    def __init__(self, folder: Path, postgres: PrivatePostgres, rabbit: PrivateRabbit) -> None:
        prefix = f"scitq_{secrets.token_hex(4)}"  # several share a broker
        super().__init__(folder, SCITQ_STORE=postgres.create_database(), SCITQ_BUS=rabbit.url, SCITQ_BUS_PREFIX=prefix)
        self.parts: dict[str, Process] = {}
        self._http: httpx.Client | None = None

    def start(self, *roles: str) -> None:
        for role in roles or ROLES:
            self.parts[role] = self.server(*(() if role == WHOLE else (role,)))

    def end(self, *roles: str, number: int = signal.SIGTERM) -> None:
        for role in roles or ROLES:
            self.parts[role].end(number)

    def ask(self, path: str, method: str = "GET", **more: Any) -> httpx.Response:
        """A request by itself: unlike the client, it does not wait until the views show what it has seen before."""
        if self._http is None:
            token = (self.machine.data / "token").read_text().strip()
            headers = {"Authorization": f"Bearer {token}"}
            self._http = httpx.Client(base_url=self.client().url, headers=headers, timeout=60.0)
        return self._http.request(method, path, **more).raise_for_status()

    def positions(self) -> tuple[int, int]:
        """Where the views are, and where the log ends as they see it."""
        found = self.ask("/projections").json()
        return min(one["position"] for one in found), max(one["position"] + one["lag"] for one in found)

    def until_shown(self, within_s: float = LONG_S) -> float:
        """Until the views have reached the end of the log; how long that took."""
        begin = time.monotonic()

        def reached() -> bool:
            shown, end = self.positions()
            return shown == end

        eventually(reached, "the views reach the end of the log", within_s)
        return time.monotonic() - begin

    def rss_mib(self, role: str) -> float:
        return float(psutil.Process(self.parts[role].pid).memory_info().rss) / 2**20

    def spent(self) -> dict[str, Spent]:
        """What each of our processes has used so far: the roles, agents, their shims."""
        found: dict[str, Spent] = {}
        for pid in living_in(self.machine.folder):
            try:
                process = psutil.Process(pid)
                name, used = _name(process.cmdline()), process.cpu_times()
            except psutil.NoSuchProcess:
                continue
            if name:
                before = found.get(name, Spent(0.0, 0.0))
                found[name] = Spent(before.user + used.user, before.system + used.system)
        return found


def _name(command: list[str]) -> str | None:
    """Which part of ours a process is; None for a task, or a thing it started."""
    words = " ".join(command)
    if "shim" in words:
        return "shim"
    if "scitq worker" in words:
        return "agent"
    if words.endswith("scitq server"):
        return WHOLE
    return next((role for role in ROLES if f"--role {role}" in words), None)


@contextmanager
def services() -> Iterator[tuple[PrivatePostgres, PrivateRabbit]]:
    with ExitStack() as stack:
        yield stack.enter_context(PrivatePostgres()), stack.enter_context(PrivateRabbit())


@contextmanager
def durable(folder: Path, postgres: PrivatePostgres, rabbit: PrivateRabbit) -> Iterator[Durable]:
    """Not started yet."""
    system = Durable(folder, postgres, rabbit)
    try:
        yield system
    finally:
        system.close()


def per_task(before: Mapping[str, Spent], after: Mapping[str, Spent], tasks: int) -> dict[str, Spent]:
    """Milliseconds of CPU that a task has cost each process."""
    zero = Spent(0.0, 0.0)
    return {
        name: Spent(
            1e3 * (used.user - before.get(name, zero).user) / tasks,
            1e3 * (used.system - before.get(name, zero).system) / tasks,
        )
        for name, used in after.items()
    }
