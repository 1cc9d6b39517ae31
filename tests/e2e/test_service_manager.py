"""Server and worker tell a service manager how they are: what systemd waits for, and shows."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from scitq.bootstrap import service
from tests.services.scitq import embedded
from tests.services.waiting import eventually


class Manager:
    """Listens as systemd does."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(self.path)
        self._socket.setblocking(False)
        self._told: list[str] = []

    def told(self) -> list[str]:
        while True:
            try:
                self._told += self._socket.recv(4_096).decode().splitlines()
            except BlockingIOError:
                return self._told

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[Manager]:
    with closing(Manager(tmp_path / "notify")) as listening:
        yield listening


def test_a_server_and_a_worker_tell_that_they_are_ready_and_that_they_end(tmp_path: Path, manager: Manager) -> None:
    with embedded(tmp_path / "home", NOTIFY_SOCKET=manager.path) as system:
        server = system.server()
        eventually(lambda: "STATUS=serves" in manager.told(), "the server serves")
        assert manager.told()[0] == "READY=1"
        assert system.client().ready()
        before = len(manager.told())
        worker = system.worker(1)
        eventually(lambda: "STATUS=is connected as worker 1" in manager.told(), "the worker is connected")
        assert manager.told()[before] == "READY=1"
        assert worker.end() == 0
        assert server.end() == 0
        assert manager.told()[-1] == "STOPPING=1"


def test_a_manager_that_does_not_listen_is_no_reason_to_fail(tmp_path: Path, manager: Manager) -> None:
    service.tell(service.READY, environ={})
    service.tell(service.READY, environ={"NOTIFY_SOCKET": "relative"})
    service.tell(service.READY, environ={"NOTIFY_SOCKET": str(tmp_path / "nobody")})
    service.tell(service.READY, environ={"NOTIFY_SOCKET": "@scitq-test-nobody"})
    assert manager.told() == []
    service.tell(service.READY, service.doing("two\nlines"), environ={"NOTIFY_SOCKET": manager.path})
    assert manager.told() == ["READY=1", "STATUS=two lines"]
