"""The server's threads on a real store, without the web: give them messages, look at what they say."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import orjson

from scitq.bootstrap.engine import EngineHost
from scitq.bootstrap.projecting import ProjectionHost
from scitq.bootstrap.recording import RecorderHost
from scitq.bootstrap.threads import Host
from scitq.bus import Mailbox
from scitq.bus.local import LocalBus
from scitq.domain import agent_wire
from scitq.domain.messages import AgentHello, Assign, FromAgent, Heartbeat, ToAgent, Welcome
from scitq.domain.worker import Hello
from scitq.store.upgrade import upgrade
from scitq.store.urls import store_urls

SOON_S = 20.0


class Hosts:
    """All three, on one bus."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        upgrade(str(folder))
        self.urls = store_urls(str(folder))
        self.bus = LocalBus()
        self.failures: list[tuple[str, BaseException]] = []
        self.projections = ProjectionHost(self.urls.events, self.urls.views, self.bus, self._failed)
        self.recorder = RecorderHost(self.urls.output, self.urls.views, self.bus, self._failed)
        self.engine = EngineHost(self.urls.events, self.bus, self._failed)
        self.all: tuple[Host, ...] = (self.projections, self.recorder, self.engine)
        self.replies = self.bus.mailbox()
        self._views = self.bus.follow("views")
        self.reached = 0

    def _failed(self, name: str, error: BaseException) -> None:
        self.failures.append((name, error))

    def send(self, body: bytes, **headers: str) -> None:
        self.bus.send("commands", body, {"actor": "user:ada", "reply_to": self.replies.address, **headers})

    def ask(self, type_: str, **content: Any) -> dict[str, Any]:
        """The reply to a command."""
        self.send(command(type_, **content))
        return self.reply()

    def reply(self) -> dict[str, Any]:
        (message,) = self.replies.take(1, SOON_S)
        found: dict[str, Any] = orjson.loads(message.body)
        return found

    def until_views_reach(self, position: int) -> None:
        deadline = time.monotonic() + SOON_S
        while self.reached < position:
            assert time.monotonic() < deadline, f"the views are at {self.reached}, not {position}"
            for message in self._views.take(100, 0.1):
                self.reached = int(message.headers["position"])


def command(type_: str, **content: Any) -> bytes:
    return orjson.dumps({"id": uuid4().hex, "deadline": 2**60, "command": {"type": type_, **content}})


class Agent:
    """Speaks for one worker."""

    def __init__(self, hosts: Hosts, name: str, concurrency: int = 2) -> None:
        self._hosts, self.incarnation = hosts, f"spool-of-{name}"
        self.box: Mailbox = hosts.bus.mailbox()
        self.worker = 0
        self.say(AgentHello(Hello(name, self.incarnation, concurrency)))
        (welcome,) = self.hear(Welcome)
        self.worker = welcome.worker
        self.box.bind(f"worker.{self.worker}.{self.incarnation}")
        self.say(Heartbeat(self.worker, self.incarnation))

    def say(self, message: FromAgent, **headers: str) -> None:
        if self.worker:
            headers = {"worker": str(self.worker), **headers}
        body = agent_wire.encode_from_agent(message)
        self._hosts.bus.send("reports", body, {"reply_to": self.box.address, **headers})

    def hear(self, kind: type[Any]) -> list[Any]:
        """The next messages of that kind."""
        deadline = time.monotonic() + SOON_S
        while time.monotonic() < deadline:
            for message in self.box.take(1, 0.1):
                said: list[ToAgent] = agent_wire.parse_post(message.body)[3]
                if found := [one for one in said if isinstance(one, kind)]:
                    return found
        raise AssertionError(f"no {kind.__name__} was said")

    def assigned(self) -> Assign:
        (assign,) = self.hear(Assign)
        found: Assign = assign
        return found


@contextmanager
def hosts(folder: Path) -> Iterator[Hosts]:
    """Started, and ended in order; none may have failed."""
    before = threading.active_count()
    system = Hosts(folder)
    for host in system.all:
        host.start()
    try:
        yield system
    finally:
        for host in reversed(system.all):
            host.stop()
        ended = [host.join(SOON_S) for host in system.all]
        system.bus.close()
    assert all(ended)
    assert system.failures == []
    assert threading.active_count() <= before
