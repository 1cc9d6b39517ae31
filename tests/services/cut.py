"""A wire to PostgreSQL that is cut at its COMMIT, before the server hears it or before the client hears back."""

from __future__ import annotations

import select
import socket
import threading
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

COMMIT = b"Q\0\0\0\x0bCOMMIT\0"  # the message of a simple query


class CutAtCommit:
    """Relays connections to the server of `url` until a COMMIT passes while `armed`."""

    def __init__(self, url: str, *, heard: bool) -> None:
        parts = urlsplit(url)
        assert parts.hostname is not None and parts.port is not None
        self._server = (parts.hostname, parts.port)
        self._heard = heard  # by the server
        self.armed = False
        self.cuts = 0
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
            thread = threading.Thread(target=self._relay, args=(client,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _relay(self, client: socket.socket) -> None:
        with client, socket.create_connection(self._server) as server:
            while True:
                for ready in select.select([client, server], [], [])[0]:
                    data = ready.recv(65536)
                    if not data:
                        return
                    if ready is client and self.armed and COMMIT in data:
                        self.armed = False
                        self.cuts += 1
                        if self._heard:
                            server.sendall(data)
                            server.recv(65536)  # its answer, that it is done
                        return
                    (server if ready is client else client).sendall(data)
