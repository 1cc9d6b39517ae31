"""A worker whose server is gone for good saves what its tasks made and ends its machine; and not a moment before."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from scitq.cli.worker import app
from tests.services.scitq import Embedded, embedded
from tests.services.waiting import eventually

AFTER_S = 3.0


def worker(system: Embedded, folder: Path) -> None:
    hours = str(AFTER_S / 3600)
    end = f"touch {folder}/powered-off"
    system.worker(
        2, "-n", "cloud", "--dead-man", hours, "--dead-man-to", f"file://{folder}/saved/", "--dead-man-command", end
    )


def submit(system: Embedded, command: str, folder: Path) -> int:
    output = f"file://{folder}/stored/"
    return int(system.client().task_create(command, shell=True, output=output)["task_id"])


def test_what_is_done_is_saved_and_then_the_machine_is_ended(tmp_path: Path) -> None:
    with embedded(tmp_path) as system:
        server = system.server()
        worker(system, tmp_path)
        client = system.client()
        long = submit(
            system, f"while [ ! -e {tmp_path}/go ]; do sleep 0.1; done; echo made > $OUTPUT/it; echo said", tmp_path
        )
        bad = submit(
            system, f"while [ ! -e {tmp_path}/go ]; do sleep 0.1; done; echo half > $OUTPUT/it; exit 4", tmp_path
        )
        later = submit(system, "echo never", tmp_path)
        eventually(lambda: {client.task_get(id)["status"] for id in (long, bad)} == {"running"}, "both run")
        executions = {row["task_id"]: row["execution_id"] for row in client.executions()}
        server.kill()
        log = tmp_path / "worker.log"
        eventually(lambda: "gone for good" in log.read_text(), "the worker gives the server up")
        assert not (tmp_path / "powered-off").exists(), "what runs is waited for"
        (tmp_path / "go").touch()
        eventually((tmp_path / "powered-off").exists, "the machine is ended")
        for task, code, made in ((long, 0, "made"), (bad, 4, "half")):
            saved = tmp_path / "saved" / "cloud" / str(executions[task])
            told = json.loads((saved / "end.json").read_text())
            assert (told["task"], told["return_code"], told["texts"]["output"]) == (
                task,
                code,
                f"file://{tmp_path}/stored/",
            )
            assert (saved / "output" / "it").read_text() == made + "\n"
        assert (tmp_path / "saved" / "cloud" / str(executions[long]) / "out").read_text() == "said\n"
        assert sorted(path.name for path in (tmp_path / "saved" / "cloud").iterdir()) == sorted(
            str(executions[task]) for task in (long, bad)
        )
        # The machine did not go, and the server comes back: everything is as if nothing had been.
        system.server()
        client.wait([long, bad, later])
        assert [client.task_get(id)["status"] for id in (long, bad, later)] == ["succeeded", "failed", "succeeded"]


def test_a_server_that_is_there_or_back_in_time_sets_nothing_off(tmp_path: Path) -> None:
    with embedded(tmp_path) as system:
        system.server()
        worker(system, tmp_path)
        client = system.client()
        task = submit(system, f"sleep {2 * AFTER_S}; echo ok", tmp_path)
        client.wait([task])
        assert client.task_get(task)["status"] == "succeeded"
        assert "gone for good" not in (tmp_path / "worker.log").read_text()
        assert not (tmp_path / "powered-off").exists() and not (tmp_path / "saved").exists()


@pytest.mark.parametrize(
    "words",
    [("--dead-man-to", "file:///x/"), ("--dead-man", "1", "--dead-man-to", "fiel:///x/"),
     ("--dead-man", "1", "--dead-man-command", "a 'b"), ("--dead-man", "-1"), ("--dead-man", "nan")],
)  # fmt: skip
def test_what_makes_no_sense_is_refused(words: tuple[str, ...]) -> None:
    from typer.testing import CliRunner

    done = CliRunner().invoke(app, ["start", "127.0.0.1:1", "1", *words])
    assert done.exit_code == 2 and "--dead-man" in done.output
