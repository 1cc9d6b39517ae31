"""A server whose broker and database fall short of something: room, connections, speed, the right to write.

What is asked of it is always the same: work in hand goes on or waits, requests are answered or refused with 503, a
sentence and a Retry-After, memory does not grow, and afterwards all is as it was, each effect there once.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, Final, Self

import httpx
from sqlalchemy import Connection, NullPool, create_engine, text

from tests.services.cut import Wire
from tests.services.postgres import PrivatePostgres
from tests.services.rabbitmq import PrivateRabbit
from tests.services.scitq import Embedded, embedded
from tests.services.waiting import eventually

HEALED_S: Final = 90.0
DEADLINE_S: Final = 14.0
"""A server says within 10 s that it cannot; on a machine that is busy, somewhat later."""
SMALL_BYTES: Final = 96 * 1024 * 1024


class Place:
    """One server, with all roles, and a worker; a wire to the database that can be made slow."""

    def __init__(
        self, system: Embedded, postgres: PrivatePostgres, rabbit: PrivateRabbit, wire: Wire, url: str, disk: SmallDisk
    ) -> None:
        self.system, self.postgres, self.rabbit, self.wire, self._url = system, postgres, rabbit, wire, url
        self.disk = disk
        self.effects = system.machine.folder / "effects"
        self.effects.mkdir()
        self.server = system.server()
        self.client = system.client()
        self.worker = system.worker(4)
        self.tasks: list[int] = []

    def specs(self, count: int, seconds: float) -> list[dict[str, Any]]:
        first = len(self.tasks)
        return [
            {"command": f"sleep {seconds}; echo done >> {self.effects}/{first + number}", "shell": True}
            for number in range(count)
        ]

    def submit(self, count: int, seconds: float = 0.1) -> list[int]:
        """Tasks with an effect each, by the library: patiently."""
        found = self.client.tasks_create(self.specs(count, seconds))
        self.tasks += found
        return list(found)

    def count(self) -> int:
        """Of effects."""
        return len(list(self.effects.iterdir()))

    def ask(self, method: str, path: str, **more: Any) -> httpx.Response:
        """Once; it is answered in time, and a refusal says when to come again."""
        token = (self.system.machine.data / "token").read_text().strip()
        url, began = f"http://127.0.0.1:{self.system.port}{path}", time.monotonic()
        headers = {"Authorization": f"Bearer {token}"}
        answer = httpx.request(method, url, headers=headers, timeout=60, trust_env=False, **more)
        assert time.monotonic() - began < DEADLINE_S, f"{method} {path} took {time.monotonic() - began:.1f} s"
        if answer.status_code >= 400:
            assert answer.status_code == 503, answer.text
            assert answer.headers["retry-after"].isdecimal() and answer.json()["message"].count("\n") == 0
        return answer

    def hammer(self, seconds: float, size: int = 100_000) -> Counter[int]:
        """Eight clients that submit as fast as they can, whatever they are told; how often which status came."""
        found: Counter[int] = Counter()
        end = time.monotonic() + seconds
        body = {"command": f"true {'x' * size}", "batch": "hammered"}  # nobody serves that batch

        def one() -> None:
            while time.monotonic() < end:
                found[self.ask("POST", "/tasks/", json=body).status_code] += 1

        threads = [threading.Thread(target=one) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(seconds + 4 * DEADLINE_S)
        assert not any(thread.is_alive() for thread in threads)
        return found

    def heal(self) -> float:
        """Wait until all is as it was; how long that took."""
        began = time.monotonic()
        eventually(self.client.ready, "the server is ready again", HEALED_S)
        fresh = self.submit(1, 0.0)
        statuses = self.client.wait(fresh, timeout=HEALED_S)
        healed_s = time.monotonic() - began
        statuses |= self.client.wait(self.tasks, timeout=HEALED_S)
        assert set(statuses.values()) == {"succeeded"}, statuses
        assert [(self.effects / str(number)).read_text() for number in range(len(self.tasks))] == ["done\n"] * len(
            self.tasks
        )
        assert self.server.running() and self.worker.running()
        for process in (self.server, self.worker):
            assert "Traceback" not in process.said(), process.said()[-5000:]
        return healed_s

    def prove(self) -> None:
        self.system.machine.run("manage", "event", "verify")
        self.system.machine.run("manage", "projection", "check")

    @contextmanager
    def admin(self) -> Iterator[Connection]:
        """Whoever looks after the database, beside the wire."""
        engine = create_engine(self._url, poolclass=NullPool, isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            yield connection
        engine.dispose()

    @contextmanager
    def all_connections_taken(self) -> Iterator[int]:
        """Every connection that the database still gives is taken by others; how many."""
        engine, taken = create_engine(self._url, poolclass=NullPool), list[Connection]()
        with ExitStack() as stack:
            with suppress(Exception):
                while True:
                    taken.append(stack.enter_context(engine.connect()))
            yield len(taken)


@contextmanager
def place(folder: Path) -> Iterator[Place]:
    with ExitStack() as stack:
        disk = stack.enter_context(SmallDisk())
        postgres = stack.enter_context(PrivatePostgres({"max_connections": "40"}))
        rabbit = stack.enter_context(PrivateRabbit())
        url = postgres.create_database()
        if disk.mounted:
            engine = create_engine(postgres.url, poolclass=NullPool, isolation_level="AUTOCOMMIT")
            with engine.connect() as connection:
                connection.execute(text(f"CREATE TABLESPACE small LOCATION '{disk.folder}'"))
                connection.execute(text(f"ALTER DATABASE {url.rpartition('/')[2]} SET TABLESPACE small"))
            engine.dispose()
        wire = stack.enter_context(Wire(url))
        system = stack.enter_context(embedded(folder, SCITQ_STORE=wire.url, SCITQ_BUS=rabbit.url))
        yield Place(system, postgres, rabbit, wire, url, disk)


class SmallDisk:
    """A file system of its own that somebody can fill. For root only: others may not mount."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="scitq-small-"))
        words = ["mount", "-t", "tmpfs", "-o", f"size={SMALL_BYTES},uid=postgres,mode=0700", "small", str(self.folder)]
        self.mounted = subprocess.run(words, capture_output=True, check=False).returncode == 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.mounted:
            subprocess.run(["umount", str(self.folder)], check=True, timeout=20)
        os.rmdir(self.folder)

    def fill(self) -> None:
        with (self.folder / "filler").open("wb") as file, suppress(OSError):
            while True:
                file.write(bytes(65536))
                file.flush()

    def free(self) -> None:
        (self.folder / "filler").unlink()


def growth(of: Callable[[], int], do: Callable[[], object]) -> float:
    """How many times as much there is of something afterwards."""
    before = of()
    do()
    return of() / before
