"""A real HTTP server that answers as a test says, in as bad a manner as it likes."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock, Thread
from typing import Any

import orjson


@dataclass(frozen=True)
class Asked:
    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return orjson.loads(self.body) if self.body else None


@dataclass(frozen=True)
class Said:
    """`pieces`: sent one by one, and then the connection is closed, whatever was promised."""

    content: Any = None
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    pieces: Iterable[bytes] | None = None


LOST = Said(status=0)
"""The connection is closed without a word."""

Answer = Callable[[Asked], Said]


class Scripted(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, answer: Answer, port: int) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.answer = answer
        self.asked: list[Asked] = []
        self.lock = Lock()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that go away in the middle are what some tests are about."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Scripted

    def _any(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        asked = Asked(self.command, self.path, {name.lower(): text for name, text in self.headers.items()}, body)
        with self.server.lock:
            self.server.asked.append(asked)
        said = self.server.answer(asked)
        if said.status == 0:
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)
            return
        self.send_response(said.status)
        for name, text in said.headers.items():
            self.send_header(name, text)
        if said.pieces is not None:
            self.send_header("Connection", "close")
            self.end_headers()
            for piece in said.pieces:
                self.wfile.write(piece)
                self.wfile.flush()
            self.close_connection = True
            return
        content = said.content if isinstance(said.content, bytes) else orjson.dumps(said.content)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = do_PUT = do_DELETE = _any

    def log_message(self, format: str, *args: Any) -> None:
        """Not a word."""


def serving(answer: Answer) -> AbstractContextManager[Scripted]:
    return serving_at(0, answer)


@contextmanager
def serving_at(port: int, answer: Answer) -> Iterator[Scripted]:
    server = Scripted(answer, port)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def in_turn(*said: Said) -> Answer:
    """These, one after the other, and the last one for ever."""
    left = list(said)
    lock = Lock()

    def answer(asked: Asked) -> Said:
        with lock:
            return left.pop(0) if len(left) > 1 else left[0]

    return answer
