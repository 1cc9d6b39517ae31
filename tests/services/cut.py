"""A wire to PostgreSQL that is slow, or cut, at its COMMIT: before the server hears it, or before its answer is."""

from __future__ import annotations

import select
import socket
import threading
import time
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

COMMIT = b"Q\0\0\0\x0bCOMMIT\0"  # the message of a simple query


class Wire:
    """Relays connections to the server of `url`. A `commit_s` makes each COMMIT take so long, and nothing else."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        assert parts.hostname is not None and parts.port is not None
        self._server = (parts.hostname, parts.port)
        self.commit_s = 0.0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = url.replace(f":{parts.port}/", f":{self._listener.getsockname()[1]}/")
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join(10)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return  # closed: the test is over
            thread = threading.Thread(target=self._guarded, args=(client,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _guarded(self, client: socket.socket) -> None:
        with client:
            try:
                with socket.create_connection(self._server) as server:
                    self._relay(client, server)
            except OSError:
                return  # one side is gone; so is the other now

    def _relay(self, client: socket.socket, server: socket.socket) -> None:
        while True:
            for ready in select.select([client, server], [], [])[0]:
                data = ready.recv(65536)
                if not data:
                    return
                if ready is client and COMMIT in data and not self._committed(data, server):
                    return
                (server if ready is client else client).sendall(data)

    def _committed(self, data: bytes, server: socket.socket) -> bool:
        """A COMMIT passes; whether the wire holds."""
        time.sleep(self.commit_s)
        return True


class CutAtCommit(Wire):
    """Cut when a COMMIT passes while `armed`."""

    def __init__(self, url: str, *, heard: bool) -> None:
        self._heard = heard  # by the server
        self.armed = False
        self.cuts = 0
        super().__init__(url)

    def _committed(self, data: bytes, server: socket.socket) -> bool:
        if not self.armed:
            return True
        self.armed = False
        self.cuts += 1
        if self._heard:
            server.sendall(data)
            server.recv(65536)  # its answer, that it is done
        return False
