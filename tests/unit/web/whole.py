"""A whole server without sockets: engine and projections in threads, the application in a loop, an agent made of tests.

with whole(tmp_path) as server:
    server.post("/tasks/", {"command": "echo"}).json()["task_id"]
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, TypeVar

import httpx
import uvicorn

from scitq.bootstrap.engine import EngineHost
from scitq.bootstrap.projecting import ProjectionHost, rebuild
from scitq.bus.local import LocalBus
from scitq.config.values import Network, Token
from scitq.domain import agent_wire, messages
from scitq.domain.execution import Accepted, Failed, Report, Started, Succeeded
from scitq.domain.messages import AgentHello, Applied, Assign, FromAgent, Heartbeat, Reports, Welcome
from scitq.domain.worker import Hello
from scitq.projections import database
from scitq.store.journal import open_journal
from scitq.store.upgrade import upgrade
from scitq.store.urls import store_urls
from scitq.web.access import Access
from scitq.web.app import all_routes, create_app
from scitq.web.routing import AnyRoute
from scitq.web.services import Services
from tests.services.waiting import eventually

T = TypeVar("T")
TOKEN: Final = "the-token-of-the-server-in-this-test"
BEARER: Final = {"Authorization": f"Bearer {TOKEN}"}
PEER: Final = "192.0.2.7"


class Whole:
    """`ask` is a request; the verbs beside it are shorter. `peer` is the address it comes from."""

    def __init__(
        self,
        store: Path | str,
        *,
        auth: str = "token",
        trusted: Iterable[Network] = (),
        engine: bool = True,
        extra: Iterable[AnyRoute] = (),
    ) -> None:
        upgrade(str(store))
        self.store = store_urls(str(store))
        self.bus = LocalBus()
        self.failed: list[BaseException] = []
        self.rebuilt: list[str] = []
        self.views = database.reader(self.store.views)
        self._projections = ProjectionHost(self.store.events, self.store.views, self.bus, self._on_failure)
        self._engine = EngineHost(self.store.events, self.bus, self._on_failure)
        self._hosts = [self._projections, self._engine] if engine else [self._projections]
        self.services = Services(
            bus=self.bus,
            views=self.views,
            store=self.store,
            access=Access(Token(TOKEN), auth=auth, trusted=trusted, names=["scitq.example"]),
            version="0-test",
            rebuild=self._rebuild,
        )
        self.app = create_app(self.services, [*all_routes(), *extra])
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        self._lifespan = self.app.router.lifespan_context(self.app)
        self.wait(self._lifespan.__aenter__())
        for host in self._hosts:
            host.start()
        if engine:
            eventually(lambda: self.services.freshness.led)
        assert self._projections.opened.wait(20), "the tables are there: until then what reads them is told 503"
        self._journal = open_journal(self.store.events)
        self.agents: list[Agent] = []

    def _on_failure(self, name: str, error: BaseException) -> None:
        self.failed.append(error)

    async def _rebuild(self, name: str) -> None:
        self.rebuilt.append(name)
        await rebuild(self.bus, name)

    def wait(self, doing: Coroutine[Any, Any, T]) -> T:
        """What a coroutine comes to, in the application's loop."""
        return asyncio.run_coroutine_threadsafe(doing, self._loop).result(30)

    def close(self) -> None:
        for host in reversed(self._hosts):
            host.stop()
            assert host.join(20)
        self.wait(self._lifespan.__aexit__(None, None, None))
        self.bus.close()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(20)
        self._loop.close()
        self.views.dispose()
        self._journal.close()
        assert not self.failed

    @property
    def position(self) -> int:
        """Where the log ends."""
        return self._journal.head().position

    # --- requests ------------------------------------------------------------------------------------------------

    async def ask_async(
        self,
        method: str,
        path: str,
        *,
        headers: Mapping[str, str] | None = None,
        peer: str = PEER,
        host: str = "127.0.0.1:5000",
        **more: Any,
    ) -> httpx.Response:
        transport = httpx.ASGITransport(self.app, client=(peer, 40_000))
        async with httpx.AsyncClient(transport=transport, base_url=f"http://{host}", timeout=30) as client:
            return await client.request(method, path, headers=BEARER if headers is None else headers, **more)

    def ask(self, method: str, path: str, body: Any = None, **more: Any) -> httpx.Response:
        if body is not None:
            more["json"] = body
        return self.wait(self.ask_async(method, path, **more))

    def get(self, path: str, body: Any = None, **more: Any) -> httpx.Response:
        return self.ask("GET", path, body, **more)

    def post(self, path: str, body: Any = None, **more: Any) -> httpx.Response:
        return self.ask("POST", path, body, **more)

    def put(self, path: str, body: Any = None, **more: Any) -> httpx.Response:
        return self.ask("PUT", path, body, **more)

    def delete(self, path: str, **more: Any) -> httpx.Response:
        return self.ask("DELETE", path, **more)

    # --- what is done to it ----------------------------------------------------------------------------------------

    def task(self, command: str = "echo hello", **fields: Any) -> int:
        """Submit one; its id."""
        answer = self.post("/tasks/", {"command": command, **fields})
        assert answer.status_code == 201, answer.text
        return int(answer.json()["task_id"])

    @contextmanager
    def listening(self) -> Iterator[int]:
        """Behind uvicorn, in the same loop, at that port of 127.0.0.1."""
        config = uvicorn.Config(
            self.app, host="127.0.0.1", port=0, lifespan="off", log_config=None, access_log=False,
            ws="websockets-sansio", proxy_headers=False, timeout_graceful_shutdown=2,
        )  # fmt: skip
        web = uvicorn.Server(config)
        serving = asyncio.run_coroutine_threadsafe(web.serve(), self._loop)
        eventually(lambda: web.started)
        yield web.servers[0].sockets[0].getsockname()[1]
        web.should_exit = True
        serving.result(20)

    def shown(self) -> None:
        """Wait until the views show everything that was recorded."""
        eventually(lambda: self.services.freshness.views >= self.position)

    def agent(self, name: str = "node1", **proposed: Any) -> Agent:
        return Agent(self, name, **proposed)


class Agent:
    """Says what an agent says, when the test says so. `worker` is its id; `held` what it was given, by task."""

    def __init__(self, server: Whole, name: str, **proposed: Any) -> None:
        self._server, self._sequence, self.applied = server, 0, 0
        self.incarnation = f"{name}-spool"
        self._mailbox = server.bus.mailbox()
        self.held: dict[int, int] = {}
        self.signals: list[tuple[int, object]] = []
        self.looks: list[int] = []
        self._say(AgentHello(Hello(name, self.incarnation, **proposed), ""))
        self.worker = 0
        eventually(lambda: self.listen().worker)
        self._mailbox.bind(f"worker.{self.worker}.{self.incarnation}")
        self._say(Heartbeat(self.worker, self.incarnation, {}, 0))

    def _say(self, message: FromAgent) -> None:
        headers = {"reply_to": self._mailbox.address}
        if not isinstance(message, AgentHello):
            headers["worker"] = str(self.worker)
        self._server.bus.send("reports", agent_wire.encode_from_agent(message), headers)

    def listen(self) -> Agent:
        """Take what the engine said."""
        for post in self._mailbox.take(1_000, 0.001):
            _, worker, _, said = agent_wire.parse_post(post.body)
            for message in said:
                match message:
                    case Welcome():
                        self.worker = worker
                    case Assign():
                        self.held[message.task] = message.execution
                    case Applied():
                        self.applied = max(self.applied, message.sequence)
                    case messages.Signal():
                        self.signals.append((message.execution, message.signal))
                    case messages.Look():
                        self.looks.append(message.execution)
                    case _:
                        pass
        return self

    def given(self, task: int) -> int:
        """Wait for that task; its execution."""
        return eventually(lambda: self.listen().held.get(task))

    def report(self, *reports: Report) -> None:
        first = self._sequence + 1
        self._sequence += len(reports)
        self._say(Reports(self.worker, self.incarnation, first, 1, reports))
        eventually(lambda: self.listen().applied >= self._sequence)
        self._server.shown()

    def start(self, task: int) -> int:
        """Wait for that task and run it; its execution."""
        execution = self.given(task)
        self.report(Accepted(execution), Started(execution, 77))
        return execution

    def succeed(self, task: int) -> int:
        execution = self.start(task)
        del self.held[task]
        self.report(Succeeded(execution, 6, 0))
        return execution

    def fail(self, task: int) -> int:
        execution = self.start(task)
        del self.held[task]
        self.report(Failed(execution, 1, "exit code 1", 0, 0))
        return execution


@contextmanager
def whole(store: Path | str, **options: Any) -> Iterator[Whole]:
    server = Whole(store, **options)
    try:
        yield server
    finally:
        server.close()
