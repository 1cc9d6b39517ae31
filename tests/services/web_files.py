"""An HTTP server of files that misbehaves as it is told: cuts, stalls, wrong ranges, refusals, files that change."""

from __future__ import annotations

import re
import ssl
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

PIECE = 1 << 16
LONG_AGO = 1_600_000_000


@dataclass
class Served:
    """One file, and what goes wrong with it. Lists are used up, one entry for each request that gets so far."""

    content: bytes
    etag: str | None = '"1"'
    changed_s: int | None = LONG_AGO
    headers: dict[str, str] = field(default_factory=dict)
    ranges: Literal["right", "none", "wrong", "whole"] = "right"
    """`wrong`: it answers with other bytes than those that were asked for; `whole`: with all of them, as a range."""
    has_length: bool = True
    chunked: bool = False
    refusals: list[tuple[int, dict[str, str]]] = field(default_factory=list)
    cuts: list[int] = field(default_factory=list)
    """After so many bytes of the answer, the connection is reset."""
    stalls: list[int] = field(default_factory=list)
    """After so many bytes, nothing comes any more."""
    then: Callable[[], object] | None = None
    """Called after each answer that was cut."""
    pieces_per_s: float | None = None


@dataclass(frozen=True)
class Request:
    method: str
    path: str
    headers: dict[str, str]


class WebFiles:
    """`files`: by path. What was asked is in `requests`. With a folder that has a certificate, it speaks TLS."""

    def __init__(self, certificate: Path | None = None) -> None:
        self.files: dict[str, Served] = {}
        self.requests: list[Request] = []
        self.over = threading.Event()
        self._server = _Server(("127.0.0.1", 0), _handler(self))
        if certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate / "server.pem", certificate / "server.key")
            self._server.socket = context.wrap_socket(
                self._server.socket, server_side=True, do_handshake_on_connect=False
            )
        scheme = "https" if certificate else "http"
        self.url = f"{scheme}://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.over.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def serve(self, name: str, content: bytes, **how: object) -> Served:
        self.files[f"/{name}"] = served = Served(content, **how)  # type: ignore[arg-type]
        return served

    def asked_from(self, path: str) -> list[int]:
        """From which byte on each GET of a file asked."""
        starts = (re.fullmatch(r"bytes=(\d+)-", one.headers.get("Range", "bytes=0-")) for one in self._gets(path))
        return [int(start[1]) if start else -1 for start in starts]

    def _gets(self, path: str) -> list[Request]:
        return [request for request in self.requests if request.method == "GET" and request.path == path]


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """Clients leave in the middle: that is what is tested."""


def _handler(web: WebFiles) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, format: str, *args: object) -> None:
            """What was asked is kept by the server."""

        def do_GET(self) -> None:
            web.requests.append(Request(self.command, self.path, dict(self.headers)))
            served = web.files.get(self.path)
            if served is None:
                self._refuse(404, {})
            elif served.refusals:
                self._refuse(*served.refusals.pop(0))
            else:
                self._answer(served)
            self.close_connection = True

        do_HEAD = do_GET

        def _refuse(self, status: int, headers: dict[str, str]) -> None:
            self.send_response_only(status)
            for name, value in ({"Content-Length": "0"} | headers).items():
                self.send_header(name, value)
            self.end_headers()

        def _answer(self, served: Served) -> None:
            content = served.content
            start, end, is_range = self._asked(served)
            if is_range and start >= len(content):
                self._refuse(416, {"Content-Range": f"bytes */{len(content)}"})
                return
            first = start // 2 if is_range and served.ranges == "wrong" else start
            body = content if is_range and served.ranges == "whole" else content[first:end]
            self.send_response_only(206 if is_range else 200)
            if is_range and served.ranges != "whole":
                self.send_header("Content-Range", f"bytes {first}-{end - 1}/{len(content)}")
            if served.has_length and not served.chunked:
                self.send_header("Content-Length", str(len(body)))
            if served.chunked:
                self.send_header("Transfer-Encoding", "chunked")
            if served.etag is not None:
                self.send_header("ETag", served.etag)
            if served.changed_s is not None:
                self.send_header("Last-Modified", formatdate(served.changed_s, usegmt=True))
            for name, value in served.headers.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command == "GET":
                self._send(served, body)

        def _asked(self, served: Served) -> tuple[int, int, bool]:
            """From which byte to which, and whether these were asked for."""
            whole = len(served.content)
            asked = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
            condition = self.headers.get("If-Range")
            date = None if served.changed_s is None else formatdate(served.changed_s, usegmt=True)
            holds = condition is None or condition in (served.etag, date)
            if not asked or not holds or served.ranges == "none":
                return 0, whole, False
            return int(asked[1]), min(whole, int(asked[2]) + 1) if asked[2] else whole, True

        def _send(self, served: Served, body: bytes) -> None:
            cut = served.cuts.pop(0) if served.cuts else None
            stall = served.stalls.pop(0) if served.stalls else None
            for at in range(0, len(body), PIECE):
                piece = body[at : at + PIECE]
                for limit in (cut, stall):
                    if limit is not None and at + len(piece) > limit:
                        self._write(served, piece[: max(0, limit - at)])
                        self._end_badly(served, stalls=limit == stall)
                        return
                self._write(served, piece)
                if served.pieces_per_s:
                    time.sleep(1 / served.pieces_per_s)
            if served.chunked:
                self.wfile.write(b"0\r\n\r\n")

        def _write(self, served: Served, piece: bytes) -> None:
            try:
                self.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece) if served.chunked and piece else piece)
            except OSError:
                self.close_connection = True  # whoever asked has gone

        def _end_badly(self, served: Served, *, stalls: bool) -> None:
            self.wfile.flush()
            if stalls:
                web.over.wait(30)
            if served.then is not None:
                served.then()

    return Handler
