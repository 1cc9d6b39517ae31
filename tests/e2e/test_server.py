"""A server among people who mean it no good, and its end whatever they do."""

from __future__ import annotations

import base64
import os
import re
import shutil
import signal
import socket
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

from tests.services.scitq import Embedded, Machine, embedded, living_in
from tests.services.waiting import eventually

LONG_S = 20.0
GATEWAY = "/workers/gateway"


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Embedded]:
    with embedded(tmp_path_factory.mktemp("server")) as system:
        system.server()
        system.client()
        yield system


def token(system: Embedded) -> str:
    return (system.machine.data / "token").read_text().strip()


def api(system: Embedded) -> httpx.Client:
    headers = {"Authorization": f"Bearer {token(system)}"}
    return httpx.Client(base_url=f"http://127.0.0.1:{system.port}", headers=headers, timeout=LONG_S)


def said(system: Embedded) -> str:
    return (system.machine.folder / "server.log").read_text()


def connected(system: Embedded, *lines: str, body: bytes = b"") -> socket.socket:
    """A connection on which a request was sent, with the right token unless it brings one."""
    sock = socket.create_connection(("127.0.0.1", system.port), timeout=LONG_S)
    own = any(line.startswith("Authorization") for line in lines)
    head = [*lines, "Host: x"] if own else [*lines, "Host: x", f"Authorization: Bearer {token(system)}"]
    sock.sendall("\r\n".join([*head, "", ""]).encode() + body)
    return sock


def handshake(system: Embedded, *lines: str) -> socket.socket:
    key = base64.b64encode(os.urandom(16)).decode()
    return connected(
        system, f"GET {GATEWAY} HTTP/1.1", "Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Protocol: scitq.1", f"Sec-WebSocket-Key: {key}", *lines,
    )  # fmt: skip


def command_of(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:  # it has just ended
        return b""


def all_of(sock: socket.socket) -> bytes:
    """What comes until the server closes the connection; that it does is part of the test."""
    with sock:
        return b"".join(iter(lambda: sock.recv(65_536), b""))


# Its end ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_ends_in_order_whatever_its_clients_are_at(tmp_path: Path, number: int) -> None:
    with embedded(tmp_path) as system, ExitStack() as open_ones:
        process = system.server()
        system.client()
        with api(system) as client:
            tasks = [{"command": "echo " + "x" * 2_000, "status": "paused"} for _ in range(3_000)]
            assert client.post("/tasks/bulk", json={"tasks": tasks}).status_code == 201
        streams = [connected(system, "GET /events HTTP/1.1", "Accept: text/event-stream") for _ in range(20)]
        sockets = [handshake(system) for _ in range(20)]
        for sock in (*streams, *sockets):
            assert sock.recv(12).startswith(b"HTTP/1.1 ")
        deaf = [connected(system, "GET /tasks/ HTTP/1.1") for _ in range(3)]
        half = [
            connected(
                system, "POST /tasks/bulk HTTP/1.1", "Content-Type: application/json", "Content-Length: 99", body=b"{"
            )
            for _ in range(3)
        ]
        silent = [socket.create_connection(("127.0.0.1", system.port)) for _ in range(3)]
        for sock in (*streams, *sockets, *deaf, *half, *silent):
            open_ones.enter_context(sock)
        assert process.end(number) == 0
        log = process.said()
        assert "the server has stopped" in log and not re.search("Traceback|ERROR|Cancel", log), log


def test_told_to_end_while_it_starts_it_ends(tmp_path: Path) -> None:
    with embedded(tmp_path) as system:
        for verb, process in (("server", system.server), ("up", system.up)):
            started = process()
            lock = system.machine.data / "server.lock"
            eventually(lambda lock=lock, pid=str(started.pid): lock.exists() and lock.read_text() == pid, "it starts")  # type: ignore[misc]
            assert started.end() == 0, verb
            assert "Traceback" not in started.said()
        eventually(lambda: not living_in(tmp_path), "nobody is left behind")


def test_up_that_is_killed_takes_its_agent_along_and_the_next_one_goes_on(tmp_path: Path) -> None:
    with embedded(tmp_path) as system:

        def agents() -> list[int]:
            return [pid for pid in living_in(tmp_path) if b"local_agent" in command_of(pid)]

        process = system.up("--name", "mine", "--concurrency", "1")
        client = system.client()
        with api(system) as http:
            wait = tmp_path / "go"
            http.post("/tasks/", json={"command": f"sh -c 'until [ -e {wait} ]; do sleep 0.05; done; echo done'"})

            def standing(status: str) -> bool:
                return [row["status"] for row in http.get("/executions/").json()] == [status]

            eventually(lambda: standing("running"), "the task runs")
            (first,) = agents()
            os.kill(first, signal.SIGKILL)
            eventually(lambda: agents() and first not in agents(), "there is an agent again")
            process.kill()
            eventually(lambda: not agents(), "its agent has left too")
            system.up("--name", "mine", "--concurrency", "1")
            eventually(client.ready, "the next one is ready")
            wait.touch()
            eventually(lambda: standing("succeeded"), "the one execution there is has gone on")


# Its beginning ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder in which a server has worked before."""
    machine = Machine(tmp_path_factory.mktemp("served"))
    process = machine.start("server", "--port", "0")
    eventually(lambda: "is ready" in process.said(), "it is ready")
    assert process.end() == 0
    return machine.data


def newer(data: Path) -> None:
    with sqlite3.connect(data / "events.db") as database:
        database.execute("UPDATE alembic_version_journal SET version_num = '9999'")
    database.close()


def damaged(name: str) -> Callable[[Path], None]:
    def damage(data: Path) -> None:
        (data / name).write_bytes(b"nothing of a database" * 1_000)
        for more in data.glob(f"{name}-*"):
            more.unlink()

    return damage


def lost(data: Path) -> None:
    for file in data.glob("events.db*"):
        file.unlink()


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (newer, "9999"),
        (damaged("events.db"), "events.db.* damaged"),
        (damaged("output.db"), "output.db.* damaged"),
        (damaged("views.db"), "views.db: .* made anew"),
        (lost, "events.db is gone.*output.db"),
    ],
    ids=["newer", "events", "output", "views", "lost"],
)
def test_a_store_that_cannot_be_used_is_one_sentence(
    served: Path, tmp_path: Path, spoil: Callable[[Path], None], sentence: str
) -> None:
    machine = Machine(tmp_path)
    shutil.copytree(served, machine.data)
    spoil(machine.data)
    refused(machine, sentence, "server", "--port", "0")


def test_a_folder_or_an_address_that_cannot_be_used_is_one_sentence(tmp_path: Path) -> None:
    tmp_path.joinpath("data").touch()
    for verb in ("server", "up"):
        refused(Machine(tmp_path), "Not a directory.*--data", verb, "--port", "0")
    refused(Machine(tmp_path / "astray"), "cannot listen.*--host", "up", "--port", "0", "--host", "192.0.2.7")


def refused(machine: Machine, sentence: str, *words: str) -> None:
    done = subprocess.run(
        machine.command(*words), env=machine.environ, capture_output=True, text=True, timeout=60, check=False
    )
    told = [line for line in done.stderr.splitlines() if " INFO " not in line]
    assert done.returncode == 1 and not done.stdout
    assert len(told) == 1 and re.search(sentence, told[0]) and "secret" not in done.stderr, done.stderr


# Its clients -----------------------------------------------------------------------------------------------------


def test_a_handshake_that_is_refused_says_why_to_the_client_and_nothing_to_the_log(system: Embedded) -> None:
    before = said(system)
    for lines in (["Authorization: Bearer wrong"], ["Authorization: Basic AAAA"], ["Authorization:"]):
        answer = all_of(handshake(system, *lines))
        assert answer.startswith(b"HTTP/1.1 401 ") and b'{"message":' in answer
    for strange in ([f"X-{n}: y" for n in range(300)], ["Transfer-Encoding: chunked"], [f"X: {'y' * 12_000}"]):
        assert not all_of(handshake(system, *strange)), "what cannot be read is not waited for"
    assert said(system) == before


def test_garbage_fills_no_log(system: Embedded) -> None:
    before = said(system)
    for line in ("GET /\0 HTTP/1.1", "GET / HTTP/1.1\r\nUpgrade: h2c\r\nConnection: Upgrade, close", "nonsense"):
        assert b" 400 " in all_of(connected(system, line))[:13] or "h2c" in line
    assert said(system) == before and token(system) not in before


def test_a_request_with_two_lengths_is_refused_and_what_follows_is_not_read(system: Embedded) -> None:
    inner = b"0\r\n\r\nGET /health HTTP/1.1\r\nHost: x\r\n\r\n"
    lines = ("Content-Type: application/json", f"Content-Length: {len(inner)}", "Transfer-Encoding: chunked")
    answer = all_of(connected(system, "POST /tasks/ HTTP/1.1", *lines, body=inner))
    assert answer.count(b"HTTP/1.1 ") == 1 and answer.startswith(b"HTTP/1.1 400 ") and b"one length" in answer


def test_of_two_tokens_none_counts(system: Embedded) -> None:
    good = f"Authorization: Bearer {token(system)}"
    for lines in ((good, "Authorization: Bearer wrong"), ("Authorization: Bearer wrong", good), (good, good)):
        answer = all_of(connected(system, "GET /tasks/ HTTP/1.1", "Connection: close", *lines))
        assert answer.startswith(b"HTTP/1.1 401 ")
    assert all_of(connected(system, "GET /tasks/ HTTP/1.1", "Connection: close", good)).startswith(b"HTTP/1.1 200 ")
