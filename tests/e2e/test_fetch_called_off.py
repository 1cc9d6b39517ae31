"""A transfer that is called off ends within moments, also where nobody answers."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import psutil
import pytest

from scitq import fetch
from tests.services.waiting import eventually

WITHIN_S = 5.0
"""Far less than the 20 seconds for which a connection is waited for."""


@pytest.fixture
def silent() -> Iterator[int]:
    """The port of a server whose queue of connections is full: packets to it are dropped, as by a firewall."""
    with ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        port: int = listener.getsockname()[1]
        for _ in range(8):
            line = stack.enter_context(socket.socket())
            line.setblocking(False)
            line.connect_ex(("127.0.0.1", port))
        yield port


def called_off(uri: str, folder: Path, at_it: Callable[[], object]) -> float:
    """How long it takes to end once it is there."""
    calling_off = fetch.Cancellation()
    errors: list[BaseException] = []

    def run() -> None:
        try:
            fetch.get(uri, folder / "got", cancellation=calling_off)
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    eventually(at_it, "it is at it")
    began = time.monotonic()
    calling_off.cancel()
    thread.join(WITHIN_S)
    assert not thread.is_alive()
    assert isinstance(errors[0], fetch.Cancelled), errors
    return time.monotonic() - began


@pytest.mark.parametrize("protocol", ["http", "https", "ftp"])
def test_while_an_address_does_not_answer(silent: int, tmp_path: Path, protocol: str) -> None:
    def knocking() -> int:
        ours = psutil.Process().net_connections("tcp4")
        return [one.raddr.port for one in ours if one.status == psutil.CONN_SYN_SENT].count(silent)

    before = knocking()
    assert before > 0, "it is silent"
    uri = f"{protocol}://127.0.0.1:{silent}/reads"
    assert called_off(uri, tmp_path, lambda: knocking() > before) < WITHIN_S


@pytest.mark.parametrize("protocol", ["http", "ftp"])
def test_while_a_name_server_does_not_answer(tmp_path: Path, protocol: str, monkeypatch: pytest.MonkeyPatch) -> None:
    over = threading.Event()

    def ask(*about: object) -> list[object]:
        over.wait(60)
        return []

    monkeypatch.setattr(socket, "getaddrinfo", ask)

    def asks() -> bool:
        return "name server" in [one.name for one in threading.enumerate()]

    assert called_off(f"{protocol}://host.example/reads", tmp_path, asks) < WITHIN_S
    over.set()


@pytest.mark.parametrize("protocol", ["https", "ftp"])
def test_while_a_server_takes_the_connection_and_says_nothing(tmp_path: Path, protocol: str) -> None:
    with ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        listener.settimeout(20)

        def hears() -> object:
            return stack.enter_context(listener.accept()[0])

        assert called_off(f"{protocol}://127.0.0.1:{listener.getsockname()[1]}/a", tmp_path, hears) < WITHIN_S
