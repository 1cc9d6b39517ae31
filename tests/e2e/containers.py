"""An agent's containers on a real engine, and somebody who listens to what becomes of them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import Any, TypeVar

import uvloop

from scitq.agents.container_engine import Engine
from scitq.agents.container_job import FOLDERS, Job
from scitq.agents.container_life import Ended
from scitq.agents.containers import Containers
from scitq.agents.images import Images
from scitq.domain.container_options import parse
from tests.services.docker import IMAGE, PrivateDocker

T = TypeVar("T")
SOON_S = 60.0


class Ear:
    """The listener."""

    def __init__(self) -> None:
        self.started: dict[int, tuple[int, str]] = {}
        self.ended: dict[int, Ended] = {}
        self.images: dict[int, list[tuple[int, int]]] = {}
        self.signalled: dict[int, list[int]] = {}

    def on_image(self, execution: int, done: int, total: int) -> None:
        self.images.setdefault(execution, []).append((done, total))

    def on_start(self, execution: int, pid: int, image: str) -> None:
        self.started[execution] = pid, image

    def on_signalled(self, execution: int, signal: int) -> None:
        self.signalled.setdefault(execution, []).append(signal)

    def on_exit(self, ended: Ended) -> None:
        assert ended.execution not in self.ended, "told twice"
        self.ended[ended.execution] = ended


class Agent:
    """The part of an agent that has containers; another life of it takes over where one was left."""

    def __init__(self, engine: PrivateDocker, folder: Path, owner: str) -> None:
        self._docker, self.folder, self.owner = engine, folder, owner
        self.ear = Ear()

    @contextlib.asynccontextmanager
    async def life(self, *, crash: bool = False) -> AsyncIterator[Containers]:
        """`crash`: nobody says goodbye; who ends the loop then cancels what is left."""
        engine = await Engine.connect(str(self._docker.socket))
        containers = Containers(self.folder / "containers", self.owner, engine, self.ear, Images(engine, again_s=0.01))
        try:
            await containers.recover()
            yield containers
        finally:
            if not crash:
                await containers.close()
                engine.close()

    def job(self, script: str, options: str = "", image: str = IMAGE, uid: int | None = None) -> Job:
        """In a shell, with folders of its own."""
        for name in FOLDERS.values():
            (self.folder / "work" / name).mkdir(parents=True, exist_ok=True)
            (self.folder / "work" / name).chmod(0o777)
        argv = ["sh", "-c", script]
        return Job(image, argv, str(self.folder / "work"), parse(f"--network none {options}"), cpu=2, uid=uid)

    async def end(self, execution: int) -> Ended:
        return await until(lambda: self.ear.ended.get(execution), f"execution {execution} did not end")

    def output(self, execution: int) -> str:
        path = self.folder / "containers" / f"{execution}.out"
        return path.read_text() if path.exists() else ""

    def is_held(self, execution: int) -> bool:
        client = self._docker.client()
        try:
            state = client.inspect_container(f"scitq-{self.owner}-{execution}")["State"]
        finally:
            client.close()
        return bool(state["Paused"])

    def printed(self, execution: int) -> tuple[str, str]:
        base = self.folder / "containers" / str(execution)
        return Path(f"{base}.out").read_text(), Path(f"{base}.err").read_text()


async def until(look: Callable[[], T | None], what: str) -> T:
    """What it gives as soon as that is something."""
    async with asyncio.timeout(SOON_S):
        while not (found := look()):
            await asyncio.sleep(0.01)
    assert found, what
    return found


def run(scenario: Coroutine[Any, Any, T]) -> T:
    """In a loop as the agent's. What it leaves is cancelled, as by the end of a process."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(scenario)
