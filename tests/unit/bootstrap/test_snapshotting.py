"""Snapshots are written beside the server, by a process that ends with it, and are what an engine would fold."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from scitq.bootstrap.snapshotting import SnapshotHost
from scitq.domain.snapshot import FINGERPRINT, load
from scitq.domain.state import State
from scitq.domain.wire import recorded
from scitq.store.journal import open_journal
from tests.services.waiting import eventually
from tests.unit.bootstrap.hosts import hosts


def test_a_snapshot_is_written_when_the_log_has_grown_and_is_the_fold_of_it(tmp_path: Path) -> None:
    with hosts(tmp_path) as system:
        writer = SnapshotHost(system.urls.events, lambda name, error: None, every=100, niceness=0)
        journal = open_journal(system.urls.events)
        writer.start()
        for count in (150, 250):
            answer = system.ask("create-tasks", tasks=[{"command": "true"}] * count)["answer"]
            wanted = answer["last"]
            eventually(lambda end=wanted: journal.newest_snapshot(FINGERPRINT) >= end, "a snapshot")  # type: ignore[misc]
        found = journal.load_snapshot(FINGERPRINT)
        assert found is not None
        folded = State().fold(recorded(envelope) for envelope in journal.read(0, found[0]))
        assert load(found[1]).facts() == folded.facts()
        writer.stop()
        assert writer.join(20)
        journal.close()


def test_without_a_store_it_says_so_in_one_sentence(tmp_path: Path) -> None:
    told = f"sqlite:///{tmp_path}/nothing.db\n"
    command = [sys.executable, "-m", "scitq.bootstrap.snapshotting", "0"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None and process.stderr is not None
        process.stdin.write(told)
        process.stdin.flush()
        assert process.wait(60) == 1
        said = process.stderr.read()
    assert said.count("\n") == 1 and "Traceback" not in said
    assert not list(tmp_path.iterdir())


def test_a_server_that_is_killed_takes_it_along(tmp_path: Path) -> None:
    """Here it waits for its address: the end of its input is the end of the server."""
    command = [sys.executable, "-m", "scitq.bootstrap.snapshotting", "0"]
    with subprocess.Popen(command, stdin=subprocess.PIPE) as process:
        assert process.stdin is not None
        process.stdin.close()
        assert process.wait(60) == 1
