"""A task that prints without end costs memory nowhere, and holds nobody else's output up."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import httpx

from tests.services.scitq import Embedded, Process, embedded
from tests.services.waiting import eventually

MEGABYTE = 1_000_000
FLOOD = "head -c 200000000 /dev/zero | tr '\\0' 'x'"


def test_200_mb_of_output_leave_server_and_agent_small_and_another_line_comes_at_once(tmp_path: Path) -> None:
    with embedded(tmp_path) as system:
        server = system.server()
        client = system.client()
        worker = system.worker(2)
        most = _watched([server, worker])
        flood = client.task_create(FLOOD, shell=True)["task_id"]
        eventually(lambda: _bytes(system, flood) > 10 * MEGABYTE, "the flood comes")
        late = []
        for number in range(5):
            if _bytes(system, flood) < 200 * MEGABYTE or number == 0:
                begin = time.monotonic()
                other = client.task_create(f"echo line {number}; sleep 3", shell=True)["task_id"]
                eventually(lambda other=other: _output(system, other), "another task's line comes")  # type: ignore[misc]
                late.append(time.monotonic() - begin)
                client.task_delete(other)
        assert client.wait([flood], timeout=300) == {flood: "succeeded"}
        (execution,) = client.executions(task_id=flood, no_output=True)
        assert execution["stdout_bytes"] == 200 * MEGABYTE
        eventually(lambda: _bytes(system, flood) == 200 * MEGABYTE, "all of it is stored")
        assert max(most) < 300 * 2**20, f"server and agent had {[size // 2**20 for size in most]} MiB"
        assert late, "nothing was asked while the flood came"


def _bytes(system: Embedded, task: int) -> int:
    """How much of a task's output is stored by now."""
    found = system.client().executions(task_id=task, no_output=True)
    if not found:
        return 0
    token = (system.machine.data / "token").read_text().strip()
    url = f"http://127.0.0.1:{system.port}/executions/{found[0]['execution_id']}/stdout"
    answer = httpx.get(url, headers={"Authorization": f"Bearer {token}", "Range": "bytes=0-0"}, timeout=20)
    return int(answer.headers["Content-Range"].rpartition("/")[2]) if answer.status_code in (206, 416) else 0


def _output(system: Embedded, task: int) -> str:
    found = system.client().executions(task_id=task)
    return str(found[0]["output"] or "") if found else ""


def _watched(processes: list[Process]) -> list[int]:
    """The most memory that each has while the test runs."""
    most = [0] * len(processes)

    def watch() -> None:
        while all(process.running() for process in processes):
            for number, process in enumerate(processes):
                most[number] = max(most[number], process.rss_bytes())
            time.sleep(0.05)

    threading.Thread(target=watch, daemon=True).start()
    return most
