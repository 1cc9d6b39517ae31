"""A web process as it will run, on sockets of its own: real stores, a real bus, uvicorn in a thread. No engine."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import uvicorn

from scitq.bootstrap.projecting import ProjectionHost
from scitq.bus.local import LocalBus
from scitq.config.values import Token
from scitq.domain import execution as ex
from scitq.domain import task as tk
from scitq.domain import wire
from scitq.domain.envelope import Append, Envelope, Erasure, pack
from scitq.domain.wire import Event, Recorded
from scitq.projections import database
from scitq.store.journal import open_journal
from scitq.store.output import open_output
from scitq.store.tally import CHUNK_BYTES, Chunk
from scitq.store.upgrade import upgrade
from scitq.store.urls import store_urls
from scitq.web import enrol, events, gateway, outputs, ui
from scitq.web.access import Access
from scitq.web.app import create_app
from scitq.web.services import Services
from tests.services.waiting import eventually
from tests.unit.projections.given import stream_of

TOKEN = "the-token-of-this-server-0123456789"
OURS = {"Authorization": f"Bearer {TOKEN}"}
MODULES = (enrol, events, gateway, outputs, ui)
START = 1_790_000_000_000_000


class Site:
    """`record` appends events and publishes them; `print` adds to an output; the rest is asked over the network."""

    def __init__(self, folder: Path, *, auth: str = "token", bus: LocalBus | None = None, ping_s: float = 10.0) -> None:
        self.store = store_urls(str(folder))
        upgrade(str(folder))
        self.bus = bus or LocalBus()
        self._journal = open_journal(self.store.events)
        self._output = open_output(self.store.output)
        lease = self._journal.acquire("test", 60)
        assert lease is not None
        self._epoch, self.head = lease.epoch, lease.head
        self._versions: dict[str, int] = {}
        self._offsets: dict[tuple[int, int], int] = {}
        self.failed: list[BaseException] = []
        self._projections = ProjectionHost(
            self.store.events, self.store.views, self.bus, lambda _, error: self.failed.append(error)
        )
        self._projections.start()
        self._views = database.reader(self.store.views)
        self.token = Token(TOKEN)
        self.services = Services(
            bus=self.bus, views=self._views, store=self.store, access=Access(self.token, auth=auth), version="test",
            rebuild=_rebuild,
        )  # fmt: skip
        routes = [route for module in MODULES for route in module.ROUTES]
        config = uvicorn.Config(
            create_app(self.services, routes), host="127.0.0.1", port=0, log_config=None, access_log=False,
            ws="websockets-sansio", ws_max_size=8 * 1024 * 1024, ws_per_message_deflate=False, ws_ping_interval=ping_s,
            ws_ping_timeout=2 * ping_s, timeout_graceful_shutdown=2,
        )  # fmt: skip
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()
        eventually(lambda: self._server.started)
        self.port: int = self._server.servers[0].sockets[0].getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"

    def _serve(self) -> None:
        asyncio.run(self._server.serve())

    def stop(self) -> None:
        self.bus.close()  # what goes on for ever ends with it
        self._server.should_exit = True
        self._thread.join(20)
        self._projections.stop()
        self._projections.join(20)
        self._views.dispose()
        self._journal.close()
        self._output.close()
        assert not self._thread.is_alive()
        assert not self.failed

    def client(self, **headers: str) -> httpx.Client:
        return httpx.Client(base_url=self.url, headers=OURS | headers, timeout=20, trust_env=False)

    # What engine and recorder would do ----------------------------------------------------------------------------

    def record(self, *happened: Event, publish: bool = True) -> list[Envelope]:
        """One turn of an engine."""
        events = []
        for position, event in enumerate(happened, self.head.position + 1):
            stream = stream_of(event)
            self._versions[stream] = version = self._versions.get(stream, 0) + 1
            events.append(Recorded(position, stream, version, START + position, "user", position, 0, None, event))
        payloads = [wire.encode(event) for event in happened]
        return self.append(wire.seal_all(self.head.hash, events, payloads, self._epoch), publish=publish)

    def append(
        self, envelopes: list[Envelope], *, erasures: Iterable[Erasure] = (), publish: bool = True
    ) -> list[Envelope]:
        self._journal.append(Append(self._epoch, envelopes, [], list(erasures)))
        self.head = self._journal.head()
        if publish:
            self.bus.publish("events", pack(envelopes), {"last": str(self.head.position)})
        return envelopes

    def execution(self, id: int = 1, *, command: str = "echo") -> int:
        """One that runs, of the task of the same number."""
        self.record(tk.TaskCreated(id, command), ex.ExecutionAssigned(id, id, 1), ex.ExecutionStarted(id, id, 77))
        self.shown()
        return id

    def ended(self, id: int, stdout_bytes: int = 0, stderr_bytes: int = 0) -> None:
        self.record(ex.ExecutionSucceeded(id, id, 0, stdout_bytes, stderr_bytes))

    def shown(self) -> None:
        """Wait until the views show everything."""
        eventually(lambda: self.services.freshness.views >= self.head.position)

    def print(self, execution: int, data: bytes, stream: int = 1) -> int:
        """How many bytes there are now."""
        at = self._offsets.get((execution, stream), 0)
        pieces = [data[start : start + CHUNK_BYTES] for start in range(0, len(data), CHUNK_BYTES)]
        chunks = []
        for piece in pieces:
            chunks.append(Chunk(execution, stream, at, 0, piece))
            at += len(piece)
        self._offsets[execution, stream] = at
        self._output.append(chunks)
        self.bus.publish("output", b"[[%d,%d,%d]]" % (execution, stream, at))
        return at

    def forget(self, execution: int) -> None:
        """Delete what it has printed."""
        self._output.delete([execution])


async def _rebuild(name: str) -> None:
    raise NotImplementedError(name)


@contextmanager
def running(folder: Path, **options: object) -> Iterator[Site]:
    site = Site(folder, **options)  # type: ignore[arg-type]
    try:
        yield site
    finally:
        site.stop()
