"""What an agent moves: a resource that many tasks want at once, and a gigabyte through input and output."""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import time
from pathlib import Path
from typing import Final

from bench.agent_worked import LONG_S, Size, worked
from bench.table import Findings
from tests.services.waiting import eventually
from tests.services.web_files import WebFiles

BAR: Final = 0.70
RESOURCE_BYTES: Final = 5_000_000
PIECE: Final = 10_000_000


def resource(found: Findings, size: Size) -> None:
    """All of them run at once, each with the file in its folder, before any may end."""
    with WebFiles() as web, worked(size.folder / "resource", size.many) as system:
        web.serve("reference.fa", os.urandom(RESOURCE_BYTES))
        gate = size.folder / "gate"
        command = f'wc -c < "$RESOURCE/reference.fa"; while [ ! -e {gate} ]; do sleep 1; done'
        tasks = [system.begin(command, resource=f"{web.url}/reference.fa") for _ in range(size.many)]
        eventually(lambda: set(system.client.task_status(tasks)) == {"running"}, "all run at once", LONG_S)
        gate.touch()
        ends = system.client.wait(tasks, timeout=LONG_S)
        outputs = [one["output"].strip() for one in system.client.iter_executions(task_id=tasks, status="succeeded")]
        whole = outputs.count(str(RESOURCE_BYTES))
        downloads = len(web.asked_from("/reference.fa"))
    found.row(
        f"one resource, {size.many} tasks that run at once", "1 download",
        f"{downloads} download, {whole} tasks had all of it", downloads == 1 and whole == len(ends) == size.many,
    )  # fmt: skip


def through(found: Findings, size: Size) -> None:
    """In turns with `cp`, which does the same: in and out again."""
    count = int(size.gigabytes * 1e9)
    with worked(size.folder / "through", 1) as system:
        source, theirs, ours = (size.folder / name for name in ("source", "theirs", "ours"))
        for folder in (source, theirs):
            folder.mkdir()
        with (source / "file").open("wb") as file:
            for start in range(0, count, PIECE):
                file.write(os.urandom(min(PIECE, count - start)))
        copied, moved = list[float](), list[float]()
        for number in range(size.rounds):
            copied.append(_copied(source / "file", theirs))
            target = ours / str(number)
            os.sync()
            begin = time.monotonic()
            done = system.run(
                'ln "$INPUT/file" "$OUTPUT/file"', input=f"file://{source}/file", output=f"file://{target}/"
            )
            moved.append(time.monotonic() - begin)
            assert done["status"] == "succeeded", done
            subprocess.run(["cmp", source / "file", target / "file"], check=True)
            shutil.rmtree(target)
    cp, task = statistics.median(copied), statistics.median(moved)
    found.row(
        f"{size.gigabytes:g} GB through input and output", "≥ 70 % of cp",
        f"{cp / task:.0%}: {2 * count / task / 1e6:,.0f} MB/s, cp {2 * count / cp / 1e6:,.0f} MB/s "
        f"({size.rounds} rounds: {_range(moved)} s, cp {_range(copied)} s)", cp / task >= BAR,
    )  # fmt: skip


def _copied(file: Path, folder: Path) -> float:
    os.sync()
    begin = time.monotonic()
    subprocess.run(["cp", file, folder / "in"], check=True)
    subprocess.run(["cp", folder / "in", folder / "out"], check=True)
    took = time.monotonic() - begin
    for one in folder.iterdir():
        one.unlink()
    return took


def _range(seen: list[float]) -> str:
    return f"{min(seen):.2f}–{max(seen):.2f}"
