"""make demo, as a newcomer sees it."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
from pathlib import Path

from tests.services.scitq import living_in
from tests.services.waiting import eventually

DEMO = [sys.executable, "-m", "scitq.cli.demo"]


def environ(folder: Path) -> dict[str, str]:
    kept = {name: text for name, text in os.environ.items() if not name.startswith("SCITQ_")}
    return kept | {"HOME": str(folder), "TMPDIR": str(folder)}


def test_it_shows_its_commands_ends_by_itself_and_leaves_nothing(tmp_path: Path) -> None:
    done = subprocess.run(
        DEMO, env=environ(tmp_path), stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0 and not done.stderr, done.stdout + done.stderr
    for shown in (
        "$ scitq up ", "$ scitq-launch -n hello echo 'Hello world!'", "task 2 (fails) is failed", "Better now.",
        "task 4 (first) is ", "task 6 (right) is succeeded", "I came after it.", "/ui/#token=",
    ):  # fmt: skip
        assert shown in done.stdout
    assert not list(tmp_path.glob("scitq-demo-*")) and not (tmp_path / ".config").exists()
    eventually(lambda: not living_in(tmp_path), "no process is left", 20)


def test_in_a_terminal_it_stays_until_ctrl_c(tmp_path: Path) -> None:
    leader, follower = pty.openpty()
    process = subprocess.Popen(DEMO, env=environ(tmp_path), stdin=follower, stdout=subprocess.PIPE, text=True)
    os.close(follower)
    assert process.stdout is not None
    assert any("It stays until Ctrl-C" in line for line in process.stdout)
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 0
    process.stdout.close()
    os.close(leader)
    assert not list(tmp_path.glob("scitq-demo-*"))
    eventually(lambda: not living_in(tmp_path), "no process is left", 20)
