"""One address in front of several servers: each connection goes to the next one that lives."""

from __future__ import annotations

import contextlib
import itertools
import socket
import threading
from types import TracebackType
from typing import Self

CONNECT_S = 5.0


class Balancer:
    """Relays TCP, and counts what went where."""

    def __init__(self, *ports: int) -> None:
        self.counts = dict.fromkeys(ports, 0)
        self._next = itertools.cycle(ports)
        self._lock = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._accept, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(10)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._relay, args=(client,), daemon=True).start()

    def _relay(self, client: socket.socket) -> None:
        with client:
            server = self._server()
            if server is None:
                return
            with server:
                back = threading.Thread(target=_pump, args=(server, client), daemon=True)
                back.start()
                _pump(client, server)
                back.join()

    def _server(self) -> socket.socket | None:
        for _ in self.counts:
            with self._lock:
                port = next(self._next)
            with contextlib.suppress(OSError):
                found = socket.create_connection(("127.0.0.1", port), CONNECT_S)
                found.settimeout(None)
                self.counts[port] += 1
                return found
        return None


def _pump(source: socket.socket, target: socket.socket) -> None:
    """Until one of them ends; then both do."""
    with contextlib.suppress(OSError):
        while data := source.recv(65_536):
            target.sendall(data)
    for each in (source, target):
        with contextlib.suppress(OSError):
            each.shutdown(socket.SHUT_RDWR)
