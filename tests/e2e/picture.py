"""Takes the picture of the page for the README: `.venv/bin/python -m tests.e2e.picture docs/pictures/page.png`."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path
from typing import Any

from playwright.sync_api import expect

from scitq.lib import Server
from tests.services.chromium import chromium
from tests.services.scitq import embedded

SAMPLES = ("S01", "S02", "S03", "S04", "S05", "S06")
PROGRAMS = {
    "qc": "echo $1: 0 adapters, 0.2 % of the reads dropped",
    "index": "echo index: no such file: $1 >&2; exit 2",
    "align": "echo reading $2; sleep 600",
    "assemble": "for at in 1 2 3 4 5 6 7 8; do echo iteration $at: $((400 * at)) contigs; done; sleep 600",
    "report": "echo done",
}


def install(folder: Path) -> None:
    """Programs that do nothing, and look as if they did."""
    folder.mkdir(parents=True)
    for name, text in PROGRAMS.items():
        program = folder / name
        program.write_text(f"#!/bin/sh\n{text}\n")
        program.chmod(0o755)


def submit(client: Server[dict[str, Any]]) -> int:
    """Some work as it could be; the id of the task whose output is shown."""
    qc = [client.task_create(f"qc {one}.fastq.gz", batch="qc")["task_id"] for one in SAMPLES]
    client.task_create("index hg39.fa")
    client.wait(qc, timeout=60)
    shown: int = client.task_create("assemble --min-length 500 S01.fastq.gz", name="contigs")["task_id"]
    aligned = [client.task_create(f"align hg38 {one}.fastq.gz") for one in SAMPLES]
    client.task_create("report --out report.html", required_task_ids=[one["task_id"] for one in aligned])
    return shown


def take(target: Path) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        install(folder / "bin")
        take_in(folder, target)


def take_in(folder: Path, target: Path) -> None:
    path = f"{folder / 'bin'}:{os.environ['PATH']}"
    with embedded(folder / "home", PATH=path) as system, chromium() as browser:
        system.server()
        client = system.client()
        system.worker(5, "-n", "node1", "-b", "Default", "-b", "qc")
        shown = submit(client)
        context = browser.new_context(viewport={"width": 1280, "height": 720}, color_scheme="light")
        page = context.new_page()
        token = (system.machine.data / "token").read_text().strip()
        page.goto(f"http://127.0.0.1:{system.port}/ui/#token={token}")
        expect(page.locator("#task-table .status[data-is=running]")).to_have_count(5)
        page.locator(f"#task-table tr[data-key='{shown}'] button").click()
        expect(page.locator("#output-text")).to_contain_text("iteration 8")
        page.mouse.move(0, 0)
        target.parent.mkdir(parents=True, exist_ok=True)
        page.screenshot(path=target)


if __name__ == "__main__":
    take(Path(sys.argv[1]))
