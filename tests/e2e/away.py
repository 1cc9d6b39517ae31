"""A front before a real server that is away in one of the ways in which servers are, until it is told to be back.

refused     nobody listens on the port           lost        what is asked is done, and no answer comes through
silent      requests come in, and nothing else   gateway     a proxy answers that nobody is behind it
busy        503, and when to come back
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from threading import Event, Lock
from typing import Any, Final

import httpx

from scitq.lib.blocking import BlockingLine
from tests.services.processes import free_ports
from tests.unit.scitq.scripted import LOST, Asked, Said, serving_at

WAYS: Final = ("refused", "silent", "busy", "lost", "gateway")
HOPS: Final = {"host", "content-length", "connection", "accept-encoding", "transfer-encoding", "date", "server"}


class Front:
    """On a port of its own. `asked`: when its clients tried something, by their own account."""

    def __init__(self, way: str, behind: str) -> None:
        self.way, self._behind = way, behind
        (self.port,) = free_ports(1)
        self._back = Event()
        self.asked: list[float] = []
        self._lock = Lock()

    def count(self) -> None:
        with self._lock:
            self.asked.append(time.monotonic())

    def serve(self, until: Event) -> None:
        """Away until `come_back`, and gone when it is told."""
        if self.way == "refused":
            self._back.wait()
        with serving_at(self.port, self._answer):
            until.wait()

    def come_back(self) -> None:
        self._back.set()

    def _answer(self, asked: Asked) -> Said:
        if not self._back.is_set():
            if self.way == "silent":
                self._back.wait()
                return LOST
            if self.way == "busy":
                return Said({"message": "the server is starting"}, 503, {"Retry-After": "1"})
            if self.way == "gateway":
                return Said(b"<html>Bad Gateway</html>", 502)
            if "event-stream" not in asked.headers.get("accept", ""):
                self._forward(asked)
            return LOST
        return self._forward(asked)

    def _forward(self, asked: Asked) -> Said:
        headers = {name: text for name, text in asked.headers.items() if name not in HOPS}
        url = self._behind + asked.path
        if "event-stream" in headers.get("accept", ""):
            return Said(headers={"Content-Type": "text/event-stream"}, pieces=_events(url, headers))
        answer = httpx.request(asked.method, url, content=asked.body, headers=headers, timeout=60, trust_env=False)
        kept = {name: text for name, text in answer.headers.items() if name not in HOPS}
        return Said(answer.content, answer.status_code, kept)


def _events(url: str, headers: dict[str, str]) -> Iterator[bytes]:
    with httpx.stream("GET", url, headers=headers, timeout=60, trust_env=False) as answer:
        yield from answer.iter_raw()


def counted(front: Front, line: Any) -> Any:
    """Have a client's line tell of all that it tries, whatever becomes of it."""
    assert isinstance(line, BlockingLine)
    send, stream = line.send, line.stream

    def one(request: Any) -> Any:
        front.count()
        return send(request)

    def one_stream(request: Any) -> Any:
        front.count()
        return stream(request)

    line.send, line.stream = one, one_stream  # type: ignore[method-assign]
    return line
