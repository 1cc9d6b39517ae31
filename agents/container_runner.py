"""The core's `Shim` for tasks in containers: the engine is asked when it is first needed, and waited for where it must.

What an earlier life of the agent left in containers counts as running until the engine can be asked about it: a worker
that is restarted before its engine must give nothing up. What never began needs no patience: it is given back.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Final, Protocol

from scitq.agents import processes
from scitq.agents.cleaner import AUTOCLEAN, LOOK_EVERY_S
from scitq.agents.container_engine import Engine
from scitq.agents.container_job import Job
from scitq.agents.container_life import AGAIN_S, GRACE_S, NEVER, Ended
from scitq.agents.containers import Containers, kept_ends, remove_files
from scitq.agents.core import Exit
from scitq.agents.image_cache import ImageCache
from scitq.agents.images import Images
from scitq.domain.execution import Failure
from scitq.errors import EngineUnavailable

log = logging.getLogger(__name__)

PATIENCE_S: Final = 60.0
"""For so long an engine that is away is waited for by what needs it and has not begun."""
FAILURES: Final[dict[str, Failure]] = {"image": "image_failed", "container": "command_failed"}
NOT_TO_BLAME: Final = ("engine", "lost")


class Hears(Protocol):
    """Who is told what happens, in the agent's loop."""

    def on_exit(self, end: Exit) -> None: ...
    def on_begun(self, execution: int, pid: int, image: str | None) -> None: ...
    def on_signalled(self, execution: int, signal: int) -> None: ...
    def on_image(self, execution: int, done: int, total: int) -> None: ...
    def on_recovered(self) -> None:
        """What an earlier life left is known by now."""


class ContainerRunner:
    """Those of one agent, `owner`. `job` says what an execution is to run."""

    def __init__(
        self,
        folder: Path,
        owner: str,
        job: Callable[[int], Job],
        *,
        autoclean: int = AUTOCLEAN,
        connect: Callable[[], Awaitable[Engine]] = Engine.connect,
    ) -> None:
        self._folder, self._owner, self._job, self._connect = folder, owner, job, connect
        self._autoclean, self._cache = autoclean, ImageCache(folder)
        self._ended = kept_ends(folder)
        self._left = {int(path.stem) for path in folder.glob("*.out")} - self._ended.keys()
        self._later: list[Callable[[], None]] = []  # for those that are left, when they can be reached
        self._wanted: dict[int, Job] = {}  # to be started, when there is an engine
        self._begun: dict[int, tuple[int, int]] = {}  # pid, and when in ticks
        self._why: dict[int, Failure] = {}  # we end it, and for this
        self._engine: Engine | None = None
        self._containers: Containers | None = None
        self._connecting: asyncio.Task[None] | None = None
        self._keeping: asyncio.Task[None] | None = None
        self._trouble = ""
        self._hears: Hears | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    def watch(self, loop: asyncio.AbstractEventLoop, hears: Hears) -> None:
        """From now on what happens is told, in this loop."""
        self._loop, self._hears = loop, hears
        if self._left:
            self._begin_to_connect()

    def close(self) -> None:
        """Leave the containers to the engine, and to who comes next."""
        for task in (self._connecting, self._keeping):
            if task is not None:
                task.cancel()
        if self._containers is not None:
            self._containers.leave()
        if self._engine is not None:
            self._engine.close()

    # The core's Shim -----------------------------------------------------------------------------------------------

    def start(self, execution: int, task: int) -> None:
        """Rejected, with a sentence, when the task cannot be run here."""
        if self.started(execution):
            return
        job = self._job(execution)
        if job.options.pull == "always":  # it was, a moment ago
            job = replace(job, options=replace(job.options, pull="missing"))
        if self._containers is not None:
            self._containers.start(execution, job)
        else:
            self._wanted[execution] = job
            self._begin_to_connect()

    def kill(
        self, execution: int, grace_s: float = GRACE_S, reason: str | None = None, failure: Failure | None = None
    ) -> None:
        if failure is not None:
            self._why.setdefault(execution, failure)
        if self._wanted.pop(execution, None) is not None:
            self._told(Ended(execution, None, reason or NEVER, time.time()))
        elif self._containers is not None:
            self._containers.kill(execution, grace_s, reason)
        elif execution in self._left:
            self._later.append(lambda: self.kill(execution, grace_s, reason, failure))

    def signal(self, execution: int, signal: int | str) -> None:
        if self._containers is not None:
            self._containers.signal(execution, signal)
        elif execution in self._left:
            self._later.append(lambda: self.signal(execution, signal))

    def running(self) -> Iterable[int]:
        lives = self._containers.running() if self._containers is not None else ()
        return [*lives, *self._wanted, *self._left]

    def ends(self) -> Iterable[Exit]:
        ended = self._containers.ends() if self._containers is not None else self._ended.values()
        return [self._exit(one) for one in ended]

    def started(self, execution: int) -> bool:
        if execution in self._wanted or execution in self._left:
            return True
        if self._containers is not None:
            return self._containers.started(execution)
        return execution in self._ended

    def pid(self, execution: int) -> int | None:
        begun = self._begun.get(execution)
        return None if begun is None else begun[0]

    # More ----------------------------------------------------------------------------------------------------------

    def since(self, execution: int) -> int | None:
        """When it started, in ticks since the machine did."""
        begun = self._begun.get(execution)
        return None if begun is None else begun[1]

    def output(self, execution: int, kind: str) -> Path:
        return self._folder / f"{execution}.{kind}"

    def forget(self, executions: Iterable[int]) -> None:
        """The engine has everything of these: their files go."""
        for execution in executions:
            self._begun.pop(execution, None)
            self._why.pop(execution, None)
            if self._containers is None and self._ended.pop(execution, None) is not None:
                remove_files(self._folder, execution)
        if self._containers is not None:
            self._containers.forget(executions)

    async def image(self, execution: int) -> None:
        """See to it that the execution's image is here. Raises Rejected, ImageUnavailable, EngineUnavailable."""
        job = self._job(execution)
        self._begin_to_connect()
        if self._containers is None and self._connecting is not None:
            await asyncio.wait([self._connecting], timeout=PATIENCE_S)
        if self._containers is None:
            raise EngineUnavailable(self._trouble or "the container engine does not answer")
        progress = partial(self.on_image, execution)
        await self._containers.images.get(job.image, job.options.pull, job.options.platform, progress)

    # The engine ----------------------------------------------------------------------------------------------------

    def _begin_to_connect(self) -> None:
        assert self._loop is not None, "watched first"
        if self._containers is None and (self._connecting is None or self._connecting.done()):
            self._connecting = self._loop.create_task(self._until_connected())

    async def _until_connected(self) -> None:
        """As long as somebody runs in it that is not known; else one try, and what waits is given back."""
        while True:
            try:
                await self._take_over(await self._connect())
                return
            except EngineUnavailable as error:
                if str(error) != self._trouble:
                    log.warning(
                        "the container engine is not there", extra={"error": str(error), "left": len(self._left)}
                    )
                self._trouble = str(error)
            wanted, self._wanted = self._wanted, {}
            for execution in wanted:
                self._told(Ended(execution, None, self._trouble, time.time(), failure="engine"))
            if not self._left:
                return
            await asyncio.sleep(AGAIN_S)

    async def _take_over(self, engine: Engine) -> None:
        containers = Containers(self._folder, self._owner, engine, self, Images(engine, self._cache))
        try:
            await containers.recover()
        except BaseException:
            engine.close()
            raise
        self._engine, self._containers, self._trouble = engine, containers, ""
        self._left.clear()
        self._ended.clear()
        later, self._later = self._later, []
        for do in later:
            do()
        wanted, self._wanted = self._wanted, {}
        for execution, job in wanted.items():
            containers.start(execution, job)
        if self._hears is not None:
            self._hears.on_recovered()
        assert self._loop is not None
        self._keeping = self._loop.create_task(self._keep_room(engine))

    async def _keep_room(self, engine: Engine) -> None:
        while True:
            try:
                await self._cache.make_room(engine, self._autoclean)
            except EngineUnavailable as error:
                log.warning("images cannot be removed", extra={"error": str(error)})
            await asyncio.sleep(LOOK_EVERY_S)

    # What the containers tell --------------------------------------------------------------------------------------

    def on_image(self, execution: int, done: int, total: int) -> None:
        assert self._hears is not None
        self._hears.on_image(execution, done, total)

    def on_start(self, execution: int, pid: int, image: str) -> None:
        assert self._hears is not None
        self._begun[execution] = pid, processes.start_of(pid) or processes.now_in_ticks()
        self._hears.on_begun(execution, pid, image)

    def on_signalled(self, execution: int, signal: int) -> None:
        assert self._hears is not None
        self._hears.on_signalled(execution, signal)

    def on_exit(self, ended: Ended) -> None:
        self._told(ended)

    def _told(self, ended: Ended) -> None:
        assert self._hears is not None
        self._hears.on_exit(self._exit(ended))

    def _exit(self, ended: Ended) -> Exit:
        """In the core's words."""
        execution, code, reason, failure = ended.execution, ended.code, ended.reason, ended.failure
        if failure in NOT_TO_BLAME:
            return Exit(execution, None, reason, ended.at, gives_back=True)
        if execution in self._why:
            return Exit(execution, code, reason, ended.at, self._why[execution])
        if ended.oom and code != 0:
            return Exit(execution, code, reason, ended.at, "out_of_memory")
        return Exit(execution, code, reason, ended.at, FAILURES[failure] if failure else None)
