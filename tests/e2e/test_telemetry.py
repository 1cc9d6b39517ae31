"""What executions use and how busy workers are is shown, while it happens and afterwards."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from tests.services.scitq import embedded

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
