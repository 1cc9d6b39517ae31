"""A worker on a hard day: full disks, awkward commands, people who change their minds while tasks run."""

from __future__ import annotations

import contextlib
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from scitq.lib import Server
from tests.conftest import SmallDisk, miss
from tests.services.disks import fill
from tests.services.namespaces import NamespacesMissing, two_machines
from tests.services.scitq import Machine, embedded, end_all_in, living_in
from tests.services.waiting import eventually

Client = Server[dict[str, Any]]
LINES = 200


def test_a_full_disk_fails_no_task_and_all_run_when_there_is_room_again(tmp_path: Path, small_disk: SmallDisk) -> None:
    agents, base = small_disk("size=4m"), small_disk("size=4m")
    with embedded(tmp_path) as system:
        system.server()
        client = system.client()
        worker = system.worker(2, "--data", str(agents), "--base", str(base))
        assert client.wait([client.task_create("true")["task_id"]], timeout=60)
        for disk in (agents, base):
            filler = fill(disk)
            ids = client.tasks_create({"command": "echo x > file; cat file", "shell": True} for _ in range(6))
            eventually(lambda disk=disk: f"no space is left in {disk}" in worker.said(), "it is said")  # type: ignore[misc]
            assert not set(client.task_status(ids)) & {"running", "succeeded", "failed"}
            filler.unlink()
            assert set(client.wait(ids, timeout=60).values()) == {"succeeded"}
            assert {one["output"] for one in client.executions(task_id=ids, status="succeeded")} == {"x\n"}


def test_a_disk_that_one_task_fills_fails_that_task_and_the_next_ones_run(
    tmp_path: Path, small_disk: SmallDisk
) -> None:
    base = small_disk("size=4m")
    big = tmp_path / "big"
    big.write_bytes(bytes(8_000_000))
    with embedded(tmp_path) as system:
        system.server()
        client = system.client()
        worker = system.worker(1, "--base", str(base), "--keep-failed", "0")
        greedy = client.task_create("head -c 8000000 /dev/zero > big", shell=True)["task_id"]
        fetched = client.task_create("true", input=f"file://{big}")["task_id"]
        assert set(client.wait([greedy, fetched], timeout=60).values()) == {"failed"}
        (filled,), (short,) = client.executions(task_id=greedy), client.executions(task_id=fetched)
        assert "No space left" in filled["error"] and filled["failure"] == "command_failed"
        assert short["failure"] == "download_failed" and "space" in short["reason"].lower()
        ids = client.tasks_create({"command": "echo x > file; cat file", "shell": True} for _ in range(4))
        assert set(client.wait(ids, timeout=60).values()) == {"succeeded"} and worker.running()


def test_workers_of_two_servers_share_a_folder_for_work_and_never_their_files(tmp_path: Path) -> None:
    base, flag = tmp_path / "scratch", tmp_path / "flag"
    with (
        embedded(tmp_path / "a", BASE_WORKDIR=str(base)) as one,
        embedded(tmp_path / "b", BASE_WORKDIR=str(base)) as other,
    ):
        tasks: list[tuple[Client, int]] = []
        for system in (one, other):
            system.server()
            system.worker(1)
            command = (
                f"touch file; touch {system.machine.folder}/began; while ! test -e {flag}; do sleep 0.02; done; ls"
            )
            tasks.append((system.client(), system.client().task_create(command, shell=True)["task_id"]))
        for system in (one, other):
            began = system.machine.folder / "began"
            eventually(began.exists, "the task runs")
        (client, task), (second, same) = tasks
        assert task == same, "their ids are the same"
        second.task_delete(same)
        eventually(lambda: len(list(base.glob(f"*/{task}"))) == 1, "the folder of the deleted one goes")
        flag.touch()
        assert client.wait([task], timeout=60) == {task: "succeeded"}
        (execution,) = client.executions(task_id=task)
        assert execution["output"].split() == ["file", "input", "output", "resource", "temp"]


def test_what_an_earlier_life_left_in_the_folder_for_work_goes(tmp_path: Path) -> None:
    with embedded(tmp_path) as system:
        system.server()
        client = system.client()
        worker = system.worker(1)
        client.wait([client.task_create("true")["task_id"]], timeout=60)
        worker.end()
        (own,) = (tmp_path / "work").iterdir()
        (own / "77" / "input").mkdir(parents=True)
        (own / "77" / "file").touch()
        system.worker(1)
        eventually(lambda: not (own / "77").exists(), "it goes")


def test_signal_9_is_not_a_request(tmp_path: Path) -> None:
    """Asked to end, this command would say that it did well."""
    with embedded(tmp_path) as system:
        system.server()
        client = system.client()
        system.worker(1)
        task = client.task_create("trap 'exit 0' TERM; while true; do sleep 0.01; done", shell=True)["task_id"]
        execution = _running(client, task)
        client.tasks_action("pause", [task])
        eventually(lambda: _states(tmp_path, b"trap 'exit 0'") == {"T"}, "it is held")
        client.execution_signal(execution, 9)
        assert client.wait([task], timeout=60) == {task: "failed"}
        assert client.execution_get(execution)["return_code"] == -9


def test_a_task_that_is_edited_relaunched_or_deleted_while_it_runs_leaves_nothing_behind(tmp_path: Path) -> None:
    with embedded(tmp_path) as system:
        system.server()
        client = system.client()
        system.worker(3)
        effects = tmp_path / "effects"
        command = f"echo old >> {effects}.$NAME; sleep 6543"
        edited, relaunched, deleted = client.tasks_create(
            {"command": f"NAME={name}; {command}", "shell": True} for name in "erd"
        )
        for task in (edited, relaunched, deleted):
            _running(client, task)
        eventually(lambda: len(_named(tmp_path, b"6543")) >= 3, "all run")
        before = set(_named(tmp_path, b"6543"))
        client.task_update(edited, command=f"sh -c 'echo new >> {effects}.e'", status="pending")
        client.tasks_action("relaunch", [relaunched])
        client.task_delete(deleted)
        assert client.wait([edited], timeout=60) == {edited: "succeeded"}
        assert Path(f"{effects}.e").read_text() == "old\nnew\n"
        eventually(lambda: not before & set(_named(tmp_path, b"6543")), "what ran before is gone")
        eventually(lambda: Path(f"{effects}.r").read_text() == "old\nold\n", "the relaunched one runs once more")
        assert Path(f"{effects}.d").read_text() == "old\n"


def test_concurrency_is_changed_while_many_tasks_run(tmp_path: Path) -> None:
    with embedded(tmp_path) as system:
        system.server()
        client = system.client()
        system.worker(4)
        flag = tmp_path / "flag"
        wait = f"while ! test -e {flag}; do sleep 0.02; done"
        ids = client.tasks_create({"command": wait, "shell": True} for _ in range(50))
        eventually(lambda: client.task_status(ids).count("running") == 4, "four run")
        worker = client.workers()[0]["worker_id"]
        client.worker_update(worker, concurrency=0)
        eventually(lambda: _counts(client, ids) == {"running": 4, "pending": 46}, "none comes after them")
        client.worker_update(worker, concurrency=8)
        eventually(lambda: client.task_status(ids).count("running") == 8, "eight run")
        flag.touch()
        assert set(client.wait(ids, timeout=60).values()) == {"succeeded"}
        assert len(client.executions(task_id=ids, status="succeeded", no_output=True)) == 50


def test_a_worker_that_was_deleted_comes_again_as_a_new_one_and_works(tmp_path: Path) -> None:
    with embedded(tmp_path) as system:
        system.server()
        client = system.client()
        system.worker(2)
        slow = client.task_create("sleep 7654")["task_id"]
        _running(client, slow)
        client.worker_delete(client.workers()[0]["worker_id"])
        eventually(client.workers, "the agent comes again")
        task = client.task_create("true")["task_id"]
        assert client.wait([task], timeout=5) == {task: "succeeded"}
        eventually(
            lambda: len(_named(tmp_path, b"sleep\x007654")) == 1, "the one of before is ended, and it runs again"
        )


def test_awkward_commands_end_in_words(tmp_path: Path) -> None:
    script = tmp_path / "script"
    script.write_text("echo no first line\n")
    script.chmod(0o755)
    shell: dict[str, tuple[str, int]] = {
        "exec >&- 2>&-; sleep 0.1": ("", 0),
        "for i in $(seq 300); do sleep 0.1 & done; wait; echo all": ("all\n", 0),
        "head -c 1000000 /dev/zero | tr '\\0' x": ("x" * 1_000_000, 0),
        "printf 'a\\377\\000b'": ("a�\0b", 0),
        'rm -rf "$PWD"; echo gone': ("gone\n", 0),
        "mkdir -p a/b; touch a/b/c; chmod 0 a/b a": ("", 0),
        "kill -SEGV $$": ("", -11),
        "trap '' TERM; sleep 0.1; cat": ("", 0),
    }
    plain: dict[str, tuple[str | None, int | None]] = {
        "echo " + "y" * 100_000: (None, 0),
        "echo " + "y" * 200_000: ("Argument list too long", 126),
        "/tmp x": ("Permission denied: /tmp", 126),
        str(script): ("Exec format error", 126),
        "no-such-program": ("no such command: no-such-program", 127),
        "'' x": ("the command is empty", None),
        "echo 'x": ("no closing quotation", None),
    }
    with embedded(tmp_path) as system:
        system.server()
        client = system.client()
        system.worker(4)
        ids = client.tasks_create(
            [{"command": one, "shell": True} for one in shell] + [{"command": one} for one in plain]
        )
        client.wait(ids, timeout=60)
        ended = {one["task_id"]: one for one in client.executions(task_id=ids)}
        for task, (command, (output, code)) in zip(ids, shell.items(), strict=False):
            assert (ended[task]["output"], ended[task]["return_code"]) == (output, code), command
        for task, (command, (why, expected)) in zip(ids[len(shell) :], plain.items(), strict=True):
            assert ended[task]["return_code"] == expected and (why or "") in (ended[task]["reason"] or ""), command[:20]
        assert _named(tmp_path, b"sleep\x000.1") == []


@pytest.mark.slow
def test_a_cable_that_is_cut_every_few_seconds_costs_nothing_but_time(tmp_path: Path) -> None:
    try:
        with two_machines() as cable:
            near = Machine(
                tmp_path / "near", cable.near, SCITQ_HOST="0.0.0.0", SCITQ_SERVER=f"{cable.near_address}:5000"
            )
            server = near.start("server")
            try:
                eventually(lambda: "is ready" in server.said(), "the server is ready")
                token = (near.data / "token").read_text().strip()
                near.environ["SCITQ_TOKEN"] = token
                far = Machine(tmp_path / "far", cable.far, SCITQ_TOKEN=token)
                worker = far.start("worker", f"{cable.near_address}:5000", "4")
                effects = tmp_path / "effects"
                effects.mkdir()
                for number in range(30):
                    line = f"i=0; while [ $i -lt {LINES} ]; do echo {number} line $i; i=$((i+1)); done"
                    command = f"echo once >> {effects}/{number}; {line}; sleep 1; {line}"
                    near.run("launch", "-n", f"t{number}", "sh", "-c", command)
                for pause_s in (0.5, 2.0, 0.3, 5.0, 1.0, 3.0):
                    cable.cut()
                    time.sleep(pause_s)  # what happens meanwhile is the question
                    cable.mend()
                    time.sleep(pause_s)
                eventually(lambda: near.run("manage", "task", "list", "-S", "succeeded", "-H").count("\n") == 30, "all")
                for number in range(30):
                    assert (effects / str(number)).read_text() == "once\n"
                    lines = [f"{number} line {each}" for each in range(LINES)]
                    assert near.run("manage", "task", "output", "-n", f"t{number}", "-o").splitlines() == 2 * lines
                assert worker.end() == 0
            finally:
                server.end()
                for folder in (tmp_path / "near", tmp_path / "far"):
                    end_all_in(folder)
    except NamespacesMissing as reason:
        miss(str(reason))


# What happens here ---------------------------------------------------------------------------------------------


def _running(client: Client, task: int) -> int:
    """Its execution, once it runs."""
    eventually(lambda: client.task_get(task)["status"] == "running", "the task runs")
    return int(client.task_get(task)["execution_id"])


def _counts(client: Client, ids: list[int]) -> Counter[str]:
    return Counter(client.task_status(ids))


def _named(folder: Path, words: bytes) -> list[int]:
    """The processes of this test whose command line holds the words."""
    return [pid for pid, _ in _of(folder, "cmdline", lambda found: words in found)]


def _states(folder: Path, words: bytes) -> set[str]:
    pids = _named(folder, words)
    stats = _of(folder, "stat", lambda _: True)
    return {found.rpartition(b")")[2].split()[0].decode() for pid, found in stats if pid in pids}


def _of(folder: Path, name: str, wanted: Callable[[bytes], bool]) -> list[tuple[int, bytes]]:
    found = []
    for pid in living_in(folder):
        with contextlib.suppress(OSError):
            content = Path(f"/proc/{pid}/{name}").read_bytes()
            if wanted(content):
                found.append((pid, content))
    return found
