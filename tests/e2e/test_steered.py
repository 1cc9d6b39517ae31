"""People steer tasks, workers and batches while commands begin by the hundred: whatever they do, each begins once."""

from __future__ import annotations

import random
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

from scitq.errors import ServerError
from scitq.lib import Server
from tests.services.scitq import embedded
from tests.services.waiting import eventually

TASKS = 400
AT_LEAST_ORDERS, AT_MOST_ORDERS = 20, 5_000
BATCHES = ("Default", "other")


class Steering:
    """Somebody who cannot make up her mind."""

    def __init__(self, client: Server[dict[str, Any]], tasks: list[int], seed: int) -> None:
        self._client, self._tasks, self._draw = client, tasks, random.Random(seed)
        self._workers = [one["worker_id"] for one in client.workers()]

    def something(self) -> None:
        client, draw = self._client, self._draw
        worker, batch, first = draw.choice(self._workers), draw.choice(BATCHES), draw.randrange(TASKS)
        match draw.randrange(6):
            case 0:
                client.worker_update(worker, status=draw.choice(("paused", "running")))
            case 1:
                client.worker_update(worker, concurrency=draw.choice((0, 1, 3)))
            case 2:
                client.worker_update(worker, batch=draw.choice((*BATCHES, ",".join(BATCHES))))
            case 3:
                self._each("pause", self._tasks[first : first + TASKS // 10])
            case 4:
                client.batch_stop(batch)
            case _:
                client.batch_go(batch)

    def go_on(self) -> None:
        """Everybody, with everything."""
        for worker in self._workers:
            self._client.worker_update(worker, status="running", concurrency=2, batch=",".join(BATCHES))
        for batch in BATCHES:
            self._client.batch_go(batch)
        self._each("resume", self._tasks)

    def _each(self, do: Literal["pause", "resume"], tasks: list[int]) -> None:
        with suppress(ServerError):  # all of them have ended
            self._client.tasks_action(do, tasks)


def test_each_command_begins_once_whatever_is_done_to_tasks_workers_and_batches(tmp_path: Path) -> None:
    effects = tmp_path / "effects"
    effects.mkdir()
    with embedded(tmp_path / "system") as system:
        system.server()
        client = system.client()
        for name in ("one", "two"):
            system.worker(2, "--name", name, "--prefetch", "6", "-b", "Default", "-b", "other")
        eventually(lambda: len(client.workers()) == 2, "both workers are there")
        commands = [f"echo {number} >> {effects}/{number}; sleep 0.02" for number in range(TASKS)]
        ids = client.tasks_create(
            [{"command": each, "shell": True, "batch": BATCHES[at % 2]} for at, each in enumerate(commands)]
        )
        steering, orders = Steering(client, ids, seed=899), 0
        while orders < AT_LEAST_ORDERS or len(list(effects.iterdir())) < TASKS * 0.8:
            steering.something()
            orders += 1
            assert orders < AT_MOST_ORDERS, "commands begin between the orders"
            if orders % 4 == 0:  # or soon nobody would do anything
                steering.go_on()
        steering.go_on()
        assert set(client.wait(ids, timeout=60).values()) == {"succeeded"}
        assert {number: (effects / str(number)).read_text() for number in range(TASKS)} == {
            number: f"{number}\n" for number in range(TASKS)
        }
