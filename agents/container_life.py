"""One execution in a container, from its image to its end, or from where an agent before this one left it.

It never ends for want of an answer: an engine that is away is waited for as soon as there is a container, since what
runs there goes on. Its end is told when all it has printed is in the files.
"""

from __future__ import annotations

import asyncio
import logging
import signal as signals
import time
from collections.abc import Callable, Coroutine, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, Protocol

from scitq.agents.container_engine import Engine
from scitq.agents.container_job import BOOT, Job
from scitq.agents.container_logs import Log
from scitq.agents.engine_stream import NotThere
from scitq.agents.images import Images
from scitq.agents.processes import boot_id
from scitq.errors import AgentError, EngineUnavailable, ImageUnavailable, Rejected

log = logging.getLogger(__name__)

GRACE_S: Final = 0.5
AGAIN_S: Final = 1.0
PATIENCE_S: Final = 60.0
"""For so long an engine that does not answer is waited for by an execution that has no container yet."""
REMOVED: Final = "its container was removed by somebody else, and nobody has seen how it ended"
REBOOTED: Final = "the machine was restarted"
NEVER: Final = "it was stopped before it had started"
_ALIVE: Final = ("created", "running", "paused", "restarting")
_MISSING, _UNUSABLE = 127, 126  # the codes by which shells, and docker run, say so


class Ended(NamedTuple):
    """Without a code it is not known, or nothing was started: the reason says what happened.

    `failure`: "image" when that could not be had, "container" when the engine would not have it so, "engine" when there
    was none, "lost" when the container vanished. `oom`: the kernel killed it, or a part of it, for want of memory.
    """

    execution: int
    code: int | None
    reason: str | None
    at: float
    oom: bool = False
    failure: str | None = None


class Listener(Protocol):
    """Who is told what happens, in the loop."""

    def on_image(self, execution: int, done: int, total: int) -> None:
        """So many bytes of its image are here."""

    def on_start(self, execution: int, pid: int, image: str) -> None:
        """It runs; `image` is what exactly it runs, with its digest. Told again after a restart of the agent."""

    def on_signalled(self, execution: int, signal: int) -> None:
        """It has reached the container."""

    def on_exit(self, ended: Ended) -> None: ...


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What all executions of an agent share. `over` is told of an end; whether it is written down. `aside` does
    something that nobody waits for; `waits` hears of an engine that is away."""

    engine: Engine
    images: Images
    listener: Listener
    over: Callable[[Ended], bool]
    aside: Callable[[Coroutine[Any, Any, object]], None]
    waits: Callable[[Exception], None]


class Life:
    """`base` is the beginning of its files' names, `name` that of its container."""

    def __init__(
        self, execution: int, base: str, name: str, around: Surroundings, container: str | None = None
    ) -> None:
        self._execution, self._base, self._name, self._around = execution, base, name, around
        self._engine = around.engine
        self._container = container
        self._log = Log(base) if container is not None else None
        self._unwanted = asyncio.Event()  # it was killed
        self._reason: str | None = None  # why
        self._look = asyncio.Event()  # it may have ended
        self._dead = asyncio.Event()  # the engine says so
        self._oom = False
        self._stop_signal = "SIGTERM"
        self._left = False
        self._task: asyncio.Task[None] | None = None

    # From outside --------------------------------------------------------------------------------------------------

    def begin(self, job: Job | None = None, labels: Mapping[str, str] | None = None) -> None:
        """Without a job it is taken over as it stands."""
        self._task = asyncio.create_task(self._live(job, labels or {}))

    def leave(self) -> asyncio.Task[None] | None:
        """To the engine, and to the agent's next life; what is ending of it here."""
        self._left = True
        if self._task is not None:
            self._task.cancel()
        return self._task

    def happened(self, what: str) -> None:
        """The engine tells of it; or nothing, when it is only time to look."""
        if what == "oom":
            self._oom = True
            return
        if what == "die":
            self._dead.set()
        self._look.set()

    def kill(self, grace_s: float, reason: str | None) -> None:
        self._reason = self._reason or reason
        again = self._unwanted.is_set()
        self._unwanted.set()
        if self._container is not None:
            self._around.aside(self._kill(self._container, 0.0 if again else grace_s))
        elif not again and self._task is not None:
            asyncio.get_running_loop().call_soon(self._task.cancel)  # not before it has begun: it is to tell its end

    def signal(self, signal: int | str) -> None:
        if self._container is None:
            return
        if signal == signals.SIGKILL:
            self.kill(0.0, None)
        elif signal in ("pause", signals.SIGSTOP, signals.SIGTSTP):
            self._around.aside(self._told(self._engine.pause(self._container), signals.SIGSTOP))
        elif signal in ("resume", signals.SIGCONT):
            self._around.aside(self._told(self._engine.resume(self._container), signals.SIGCONT))
        else:
            self._around.aside(self._told(self._engine.send(self._container, signal), int(signal)))

    async def _told(self, sending: Coroutine[Any, Any, bool], signal: int) -> None:
        if await sending:
            self._around.listener.on_signalled(self._execution, signal)

    async def _kill(self, container: str, grace_s: float) -> None:
        await self._engine.resume(container)  # a held one cannot even be killed
        if grace_s > 0:
            await self._engine.send(container, self._stop_signal)
            with suppress(TimeoutError):
                async with asyncio.timeout(grace_s):
                    await self._dead.wait()
        await self._engine.send(container, "SIGKILL")

    # Its way -------------------------------------------------------------------------------------------------------

    async def _live(self, job: Job | None, labels: Mapping[str, str]) -> None:
        try:
            if job is not None:
                self._container = await self._make(job, labels)
            assert self._container is not None
            await self._run(self._container)
        except asyncio.CancelledError:
            if self._unwanted.is_set() and not self._left:  # it had no container yet; or just now
                with suppress(AgentError):
                    await self._engine.remove(self._name)
                self._end(None, self._reason or NEVER)
            raise
        except ImageUnavailable as error:
            self._end(None, str(error), failure="image")
        except Rejected as error:
            self._end(None, str(error), failure="container")
        except EngineUnavailable as error:
            self._end(None, str(error), failure="engine")
        except NotThere:
            self._end(None, self._reason or REMOVED, failure=None if self._reason else "lost")
        except Exception as error:  # the outermost loop
            log.exception("an execution in a container cannot be followed", extra={"execution": self._execution})
            self._around.aside(self._engine.remove(self._name))  # nobody would see how it ends
            self._end(None, f"the worker cannot follow its container: {error}", failure="engine")

    async def _make(self, job: Job, labels: Mapping[str, str]) -> str:
        deadline = time.monotonic() + PATIENCE_S
        options, body = job.options, job.body(labels)

        def progress(done: int, total: int) -> None:
            self._around.listener.on_image(self._execution, done, total)

        while True:
            try:
                await self._around.images.get(job.image, options.pull, options.platform, progress)
                creating = asyncio.create_task(self._engine.create(self._name, body, options.platform))
                try:
                    made = await asyncio.shield(creating)
                except asyncio.CancelledError:  # its thread goes on: only what is there can be removed
                    await asyncio.wait([creating])
                    raise
                self._log = Log(self._base)
                return made
            except EngineUnavailable:
                if time.monotonic() > deadline:
                    raise
                await asyncio.sleep(AGAIN_S)

    async def _run(self, container: str) -> None:
        seen = await self._inspect(container)
        self._stop_signal = seen["Config"].get("StopSignal") or "SIGTERM"
        if seen["State"]["Status"] == "created" and not self._unwanted.is_set():
            try:
                await self._start(container)
            except Rejected as error:
                return self._not_started(container, str(error))
            seen = await self._inspect(container)
            if self._unwanted.is_set():  # while it was being started
                self._around.aside(self._kill(container, 0.0))
        if seen["State"]["Status"] == "created":
            return self._end_and_remove(container, None, self._reason or NEVER)
        self._around.listener.on_start(self._execution, int(seen["State"]["Pid"]), await self._exactly(seen))
        await self._follow(container)
        state = (await self._inspect(container))["State"]
        self._oom = self._oom or bool(state.get("OOMKilled"))
        code = None if self._reason else int(state["ExitCode"])
        if code and seen["Config"]["Labels"].get(BOOT, boot_id()) != boot_id():  # it did not end by itself
            self._end_and_remove(container, None, REBOOTED, failure="lost")
            return
        self._end_and_remove(container, code, self._reason or state.get("Error") or None)

    async def _start(self, container: str) -> None:
        while True:
            try:
                return await self._engine.start(container)
            except EngineUnavailable as error:  # whether it has started is not known: a second start does nothing
                self._around.waits(error)
            await asyncio.sleep(AGAIN_S)

    def _not_started(self, container: str, why: str) -> None:
        """The command is to blame, with the codes of a shell; or the options, and then there is no code."""
        missing = "executable file not found" in why or "no such file or directory" in why
        unusable = "permission denied" in why or "is a directory" in why or "exec format error" in why
        at_fault = "exec" in why and (missing or unusable)
        code = (_MISSING if missing else _UNUSABLE) if at_fault else None
        reason = f"the command could not be started: {why}"
        with suppress(OSError), open(f"{self._base}.err", "a") as err:  # the disk is full: the end says it too
            err.write(f"scitq: {reason}\n")
        self._end_and_remove(container, code, reason, failure=None if at_fault else "container")

    async def _follow(self, container: str) -> None:
        """Until it has ended and its whole output is in the files."""
        assert self._log is not None
        socket, prefix = self._engine.socket, self._engine.prefix
        while True:
            self._look.clear()
            try:
                if (await self._inspect(container))["State"]["Status"] not in _ALIVE:
                    return await self._log.read(socket, prefix, container, follow=False)
                if self._log.is_full():
                    await self._look.wait()
                else:
                    await self._until_look(self._log.read(socket, prefix, container, follow=True))
            except EngineUnavailable as error:
                self._around.waits(error)
                await asyncio.sleep(AGAIN_S)

    async def _until_look(self, reading: Coroutine[Any, Any, None]) -> None:
        """As long as it goes on and nothing is told."""
        tasks = asyncio.ensure_future(reading), asyncio.ensure_future(self._look.wait())
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            read, _ = await asyncio.gather(*tasks, return_exceptions=True)
        if isinstance(read, Exception):
            raise read

    async def _inspect(self, container: str) -> dict[str, Any]:
        """However long the engine takes: what runs must not be given up since nobody answers."""
        while True:
            try:
                return await self._engine.inspect(container)
            except EngineUnavailable as error:
                self._around.waits(error)
            await asyncio.sleep(AGAIN_S)

    async def _exactly(self, seen: dict[str, Any]) -> str:
        """The image by its digest; if it has none, or was removed since, by its id."""
        id = str(seen["Image"])
        with suppress(AgentError):
            return await self._around.images.exactly(seen["Config"]["Image"], id) or id
        return id

    # Its end -------------------------------------------------------------------------------------------------------

    def _end(self, code: int | None, reason: str | None, failure: str | None = None) -> bool:
        return self._around.over(Ended(self._execution, code, reason, time.time(), self._oom, failure))

    def _end_and_remove(self, container: str, code: int | None, reason: str | None, failure: str | None = None) -> None:
        if self._end(code, reason, failure):
            self._around.aside(self._engine.remove(container))  # if that fails the agent's next life does it
