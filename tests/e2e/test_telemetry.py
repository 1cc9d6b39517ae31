"""What executions use and how busy workers are is shown, while it happens and afterwards."""

from __future__ import annotations

import contextlib
import json
import os
import sys
from pathlib import Path
from typing import Any

from scitq.cli.live import lines, spark
from scitq.store.curves import read_curve
from scitq.store.output import open_output
from scitq.store.urls import store_urls
from tests.services.scitq import embedded
from tests.services.waiting import eventually
from tests.services.web_files import WebFiles

MB = 1024 * 1024
BURN = f"""{sys.executable} -c '
import os, time
x = bytearray(60 << 20)
while time.process_time() < 1.2: pass
with open("big", "wb") as file:
    file.write(bytes(3 << 20)); os.fsync(file.fileno())
'"""


def test_what_a_command_has_used_is_a_fact_of_its_end(tmp_path: Path) -> None:
    with embedded(tmp_path) as system:
        system.server()
        client = system.client()
        system.worker(1)
        ids = client.tasks_create(
            [{"command": BURN}, {"command": f"{BURN}; exit 3", "shell": True}, {"command": "true"}]
        )
        assert [*client.wait(ids, timeout=60).values()] == ["succeeded", "failed", "succeeded"]
        burnt, failed, quick = (client.executions(task_id=id)[0] for id in ids)
        on_disk = os.stat(tmp_path).st_dev == os.stat("/").st_dev  # else no bytes of it go to a disk
        for one in (burnt, failed):
            assert 1.2 <= one["cpu_s"] < 20 and 60 * MB < one["memory_bytes"] < 300 * MB
            assert one["written_bytes"] >= (3 * MB if on_disk else 0)
        assert 0 <= quick["cpu_s"] < 1 and 0 < quick["memory_bytes"] < 60 * MB
        shown = system.machine.run("manage", "execution", "list", "-i", str(ids[0]), "--json")
        assert str(burnt["memory_bytes"]) in shown


def test_what_happens_at_the_moment_is_shown_to_whoever_looks_and_kept_when_it_is_over(tmp_path: Path) -> None:
    flag = tmp_path / "flag"
    with embedded(tmp_path) as system, WebFiles() as web:
        system.server()
        client = system.client()
        worker = system.worker(2, "-n", "node1")
        web.serve("S01.fastq", bytes(2 << 20), pieces_per_s=8.0)
        fetching = client.task_create("true", input=f"{web.url}/S01.fastq")["task_id"]
        running = client.task_create(f"while ! test -e {flag}; do sleep 0.05; done", shell=True)["task_id"]

        (moving,) = eventually(lambda: client.executions(task_id=fetching), "it is given out")
        seen = eventually(lambda: _fetching(client.execution_live(moving)), "its transfer is told")
        assert seen["transfer"]["total_bytes"] == 2 << 20 and seen["transfer"]["what"] == "downloading"
        assert [file["name"] for file in seen["transfer"]["files"]] == ["S01.fastq"]
        assert "of 2.0 MB" in lines(seen)[1]

        (execution,) = eventually(lambda: client.executions(task_id=running, status="running"), "it runs")
        live = eventually(lambda: _longer(client.execution_live(execution), 6), "its curve grows")
        assert live["curve"][-1]["memory_bytes"] > 0 and live["age_s"] is not None
        assert client.wait([fetching], timeout=60) == {fetching: "succeeded"}
        flag.touch()
        assert client.wait([running], timeout=60) == {running: "succeeded"}
        kept = open_output(store_urls(str(system.machine.data)).output)
        with contextlib.closing(kept):
            eventually(lambda: len(read_curve(kept, execution["execution_id"])) >= 6, "its curve is kept")

        (busy,) = eventually(lambda: [one for one in client.workers() if one["stats"]], "the machine is told")
        stats = json.loads(busy["stats"])
        assert 0 < busy["memory"] < 100 and " / " in busy["load"] and set(stats) == {"load", "swap", "disk", "network"}
        listed = system.machine.run("manage", "worker", "list", "-L")
        assert busy["load"].partition(" ")[0][:1] and "memory" in listed
        said = system.machine.run("manage", "execution", "watch", "-i", str(running))
        assert said.startswith("execution") and "memory" in said and "of CPU in" in said
        before = client.position
        eventually(lambda: client.workers()[0]["last_contact_date"] > busy["last_contact_date"], "it is heard again")
        assert client.position == before, "nothing of this is an event"

        worker.end()
        assert system.machine.run("manage", "execution", "watch", "-x", str(execution["execution_id"])) == said
        system.machine.run("manage", "execution", "watch", "-x", "999", code=3)


def test_a_curve_in_one_line_shows_the_peaks() -> None:
    assert spark([0, 0, 0]) == "▁▁▁"
    assert spark([0.0] * 50 + [9.0] + [0.0] * 50).count("█") == 1
    assert len(spark([float(at) for at in range(120)])) == 40


def _fetching(live: dict[str, Any]) -> dict[str, Any] | None:
    return live if live["transfer"] and live["transfer"]["total_bytes"] and live["transfer"]["files"] else None


def _longer(live: dict[str, Any], points: int) -> dict[str, Any] | None:
    return live if len(live["curve"]) >= points else None
