"""scitq up, scitq server and scitq worker, as they are started, misused and ended."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from scitq.config.values import Token
from scitq.credentials import Credentials
from tests.services.processes import free_ports
from tests.services.scitq import Embedded, Machine, Process, embedded
from tests.services.waiting import eventually

INVITATION = "scitq1.i.forged-forged-forged-forged"


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Embedded]:
    """A server without a worker."""
    with embedded(tmp_path_factory.mktemp("start")) as system:
        system.server()
        system.client()
        yield system


def said(process: Process) -> str:
    text = process.said()
    assert "Traceback" not in text
    return text


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)])
def test_up_says_where_its_page_is_and_ends_when_it_is_told(tmp_path: Path, number: int, code: int) -> None:
    with embedded(tmp_path) as system:
        process = system.up("--concurrency", "3", "--prefetch", "2", "--name", "mine")
        client = system.client()
        eventually(lambda: "/ui/#token=" in said(process), "it says where the page is")
        eventually(lambda: [row for row in client.workers() if row["status"] == "running"], "the worker is there")
        (worker,) = client.workers()
        assert (worker["name"], worker["concurrency"], worker["prefetch"]) == ("mine", 3, 2)
        assert process.end(number) in (0, code)
        assert "Traceback" not in process.said()


def test_a_port_or_a_folder_that_is_taken_is_one_sentence(system: Embedded, tmp_path: Path) -> None:
    other = Machine(tmp_path)
    taken = run(other, "server", "--port", str(system.port))
    assert taken.returncode == 1 and "cannot listen" in taken.stderr and "--port" in taken.stderr
    folder = run(other, "server", "--port", str(free_ports(1)[0]), "--data", str(system.machine.data))
    assert folder.returncode == 1 and "another server" in folder.stderr and "--data" in folder.stderr


@pytest.mark.parametrize(
    "words",
    [("up", "--port", "x"), ("up", "--concurrency", "-1"), ("up", "surplus"), ("up", "--name", "a/b"),
     ("server", "--port", "65536"), ("worker",), ("worker", "host"), ("worker", "host", "many"),
     ("worker", "host", "1", "-s", "offline"), ("worker", "host", "1", "-n", ".."),
     ("worker", "host", "1", "--invite", "short"), ("worker", "host", "1", "-n", "a", "-n", "b"), ("nonsense",)],
)  # fmt: skip
def test_bad_use_exits_with_2(tmp_path: Path, words: tuple[str, ...]) -> None:
    done = run(Machine(tmp_path), *words)
    assert done.returncode == 2 and not done.stdout and " -h)" in done.stderr
    assert not (tmp_path / "data").exists()


def test_a_worker_that_the_server_does_not_know_is_told_what_to_do(system: Embedded, tmp_path: Path) -> None:
    stranger = Machine(tmp_path)
    there = f"127.0.0.1:{system.port}"
    none = run(stranger, "worker", there, "1")
    assert none.returncode == 1 and "SCITQ_TOKEN" in none.stderr and "scitq worker invite" in none.stderr
    forged = run(stranger, "worker", there, "1", "--invite", INVITATION)
    assert forged.returncode == 1 and "does not accept the invitation" in forged.stderr


def test_an_invited_worker_enrols_once_and_comes_back_with_the_same_line(system: Embedded, tmp_path: Path) -> None:
    line = run(system.machine, "worker", "invite", "--ttl", "10m").stdout
    found = re.fullmatch(r"scitq worker (\S+) CONCURRENCY --invite (\S+)\n", line)
    assert found
    place, invitation = found.groups()
    stranger = Machine(tmp_path)
    words = ("worker", place, "2", "-n", "invited", "-b", "one", "-b", "two", "-s", "paused", "--invite")
    client = system.client()

    def standing() -> list[str]:
        return [row["status"] for row in client.workers(name="invited")]

    worker = stranger.start(*words, invitation)
    eventually(lambda: standing() == ["paused"], "it has joined")
    (row,) = client.workers(name="invited")
    assert row["batches"] == ["one", "two"] and row["concurrency"] == 2
    assert worker.end() == 0

    token = Token((system.machine.data / "token").read_text().strip())
    expired = Credentials(token).invitation(1, int(time.time()) - 100)
    late = run(Machine(tmp_path / "late"), "worker", place, "1", "--invite", expired)
    assert late.returncode == 1 and "does not accept the invitation" in late.stderr
    again = stranger.start(*words, expired)
    eventually(lambda: said(again).count("is connected") == 2, "the credential of before is good")
    assert again.end() == 0 and len(standing()) == 1


def test_without_the_libraries_of_a_server_one_sentence_says_what_to_install(tmp_path: Path) -> None:
    code = """
import sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("sqlalchemy", "starlette", "uvicorn", "alembic", "psycopg2"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Absent())
from scitq.cli import main
main.main()
"""
    machine = Machine(tmp_path)
    for words in (("server",), ("manage", "db", "init"), ("manage", "projection", "check")):
        done = subprocess.run(
            [sys.executable, "-c", code, *words], env=machine.environ, capture_output=True, text=True, timeout=60,
            check=False,
        )  # fmt: skip
        assert done.returncode == 1 and "pip install 'scitq[server]'" in done.stderr, done.stderr
        assert len(done.stderr.splitlines()) == 1


def test_one_program_has_all_the_others(tmp_path: Path) -> None:
    help = run(Machine(tmp_path), "--help").stdout
    assert re.findall(r"^  ([a-z]+)  ", help.partition("Commands:")[2], re.M) == [
        "up", "server", "launch", "explain", "worker", "manage", "fetch", "config", "completion",
    ]  # fmt: skip
    for words in (
        ("up",),
        ("server",),
        ("launch",),
        ("worker",),
        ("worker", "invite"),
        ("manage", "task"),
        ("config",),
        ("completion",),
        ("explain",),
    ):
        assert "Usage" in run(Machine(tmp_path), *words, "-h").stdout


def run(machine: Machine, *words: str, timeout: float = 60) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        machine.command(*words), env=machine.environ, capture_output=True, text=True, timeout=timeout, check=False
    )
    assert "Traceback" not in done.stderr + done.stdout
    return done
