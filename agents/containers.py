"""Executions in containers: started once, followed, ended, and found again by whoever comes after a killed agent.

    image → created → running → ended                     in the engine, under the labels of this agent
    <execution>.out .err      what it prints, from the moment it is created
    <execution>.end           how it ended; written when all output is in the files, and then the container is removed

So at any moment engine and folder together say how far an execution is: with `.end` it is over; with a container it is
taken over as that stands; with the output alone somebody else has removed the container; with nothing it never was.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal as signals
import time
from collections.abc import Coroutine, Iterable
from contextlib import aclosing, suppress
from pathlib import Path
from typing import Any, Final, NamedTuple, Protocol

from scitq.agents.container_engine import Engine
from scitq.agents.container_job import EXECUTION, OWNER, Job
from scitq.agents.container_logs import Log
from scitq.agents.engine_stream import NotThere, events
from scitq.agents.images import Images
from scitq.errors import AgentError, EngineUnavailable, ImageUnavailable, Rejected

log = logging.getLogger(__name__)

GRACE_S: Final = 0.5
AGAIN_S: Final = 1.0
PATIENCE_S: Final = 60.0
"""For so long an engine that does not answer is waited for by an execution that has no container yet."""
QUIET_S: Final = 30.0
"""An engine that is away is told of as often."""
REMOVED: Final = "its container was removed by somebody else, and nobody has seen how it ended"
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

    def on_exit(self, ended: Ended) -> None: ...


class _Life:
    """One execution that is not over."""

    def __init__(self, log: Log | None = None) -> None:
        self.log = log
        self.container: str | None = None
        self.unwanted = asyncio.Event()  # it was killed
        self.reason: str | None = None  # why
        self.look = asyncio.Event()  # it may have ended
        self.dead = asyncio.Event()  # the engine says so
        self.oom = False
        self.stop_signal = "SIGTERM"
        self.task: asyncio.Task[None] | None = None


class Containers:
    """Those of one agent, `owner`, whose part of the world is `folder`."""

    def __init__(self, folder: Path, owner: str, engine: Engine, listener: Listener) -> None:
        self._folder, self._owner, self._engine, self._listener = folder, owner, engine, listener
        self._images = Images(engine)
        self._label = f"{OWNER}={owner}"
        self._lives: dict[int, _Life] = {}
        self._ended: dict[int, Ended] = {}
        self._unsaved: set[int] = set()
        self._side: set[asyncio.Task[Any]] = set()
        self._told_at = -QUIET_S
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for path in folder.glob("*.end"):
            told = Ended(**json.loads(path.read_text()))
            self._ended[told.execution] = told

    async def recover(self) -> None:
        """Take over what an earlier life left. Raises EngineUnavailable when nothing can be known for now."""
        found = await self._engine.containers(self._label)
        for one in found:
            execution = int(one["Labels"][EXECUTION])
            if execution in self._ended:  # only the removal was missing
                self._aside(self._engine.remove(one["Id"]))
            elif execution not in self._lives:
                life = self._begin(execution, _Life(Log(self._base(execution))))
                life.container = one["Id"]
        for path in self._folder.glob("*.out"):
            execution = int(path.stem)
            if execution not in self._lives and execution not in self._ended:
                self._end(execution, None, REMOVED, failure="lost")
        self._aside(self._watch())

    def start(self, execution: int, job: Job) -> None:
        """Have it run, once: a second start does nothing."""
        if not self.started(execution):
            self._begin(execution, _Life(), job)

    def kill(self, execution: int, grace_s: float = GRACE_S, reason: str | None = None) -> None:
        """Ask it to end, and after the grace no longer ask. With a reason its end has that and no code."""
        life = self._lives.get(execution)
        if life is None:
            return
        life.reason = life.reason or reason
        again = life.unwanted.is_set()
        life.unwanted.set()
        if life.container is not None:
            self._aside(self._kill(life, 0.0 if again else grace_s))
        elif not again and life.task is not None:
            asyncio.get_running_loop().call_soon(
                life.task.cancel
            )  # not before it has begun: it is to say that it ended

    def signal(self, execution: int, signal: int | str) -> None:
        """pause, resume, or the number of a signal for its first process."""
        life = self._lives.get(execution)
        if life is None or life.container is None:
            return
        if signal == signals.SIGKILL:
            self.kill(execution, 0.0)
        elif signal in ("pause", signals.SIGSTOP, signals.SIGTSTP):
            self._aside(self._engine.pause(life.container))
        elif signal in ("resume", signals.SIGCONT):
            self._aside(self._engine.resume(life.container))
        else:
            self._aside(self._engine.send(life.container, signal))

    def running(self) -> Iterable[int]:
        return list(self._lives)

    def ends(self) -> Iterable[Ended]:
        """Every one that has ended and was not forgotten."""
        return list(self._ended.values())

    def started(self, execution: int) -> bool:
        return execution in self._lives or execution in self._ended

    def output(self, execution: int, kind: str) -> Path:
        """Where its output is kept (`out`, `err`), until it is forgotten."""
        return Path(f"{self._base(execution)}.{kind}")

    def forget(self, executions: Iterable[int]) -> None:
        """The server has everything of these: their files go."""
        for execution in executions:
            if execution not in self._lives and self._ended.pop(execution, None) is not None:
                for kind in ("out", "err", "end"):  # without the last one they would be taken for lost
                    self.output(execution, kind).unlink(missing_ok=True)
                if execution in self._unsaved:
                    self._unsaved.remove(execution)
                    self._aside(self._engine.remove(self._name(execution)))

    async def close(self) -> None:
        """Leave the containers to the engine, and to who comes next."""
        tasks = [*self._side, *(life.task for life in self._lives.values() if life.task is not None)]
        self._lives.clear()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    # One execution -------------------------------------------------------------------------------------------------

    def _base(self, execution: int) -> str:
        return f"{self._folder}/{execution}"

    def _begin(self, execution: int, life: _Life, job: Job | None = None) -> _Life:
        self._lives[execution] = life
        life.task = asyncio.create_task(self._live(execution, life, job))
        return life

    async def _live(self, execution: int, life: _Life, job: Job | None) -> None:
        """From its start, or from where it is found, to its end."""
        try:
            if job is not None:
                life.container = await self._make(execution, life, job)
            await self._run(execution, life)
        except asyncio.CancelledError:
            if execution in self._lives and life.container is None:  # killed; else the agent is leaving
                await self._undo(execution)
                self._end(execution, None, life.reason or NEVER)
            raise
        except ImageUnavailable as error:
            self._end(execution, None, str(error), failure="image")
        except Rejected as error:
            self._end(execution, None, str(error), failure="container")
        except EngineUnavailable as error:
            self._end(execution, None, str(error), failure="engine")
        except NotThere:
            self._end(execution, None, life.reason or REMOVED, failure=None if life.reason else "lost")
        except Exception as error:  # the outermost loop
            log.exception("an execution in a container cannot be followed", extra={"execution": execution})
            self._end(execution, None, f"the worker cannot follow its container: {error}", failure="engine")

    async def _make(self, execution: int, life: _Life, job: Job) -> str:
        deadline = time.monotonic() + PATIENCE_S
        labels = {OWNER: self._owner, EXECUTION: str(execution)}
        while True:
            try:
                await self._images.get(
                    job.image, job.options.pull, job.options.platform,
                    lambda done, total: self._listener.on_image(execution, done, total),
                )  # fmt: skip
                body = job.body(labels)
                creating = asyncio.create_task(self._engine.create(self._name(execution), body, job.options.platform))
                try:
                    made = await asyncio.shield(creating)
                except asyncio.CancelledError:  # its thread goes on: only what is there can be removed
                    await asyncio.wait([creating])
                    raise
                life.log = Log(self._base(execution))
                return made
            except EngineUnavailable:
                if time.monotonic() > deadline:
                    raise
                await asyncio.sleep(AGAIN_S)

    def _name(self, execution: int) -> str:
        return f"scitq-{self._owner}-{execution}"

    async def _undo(self, execution: int) -> None:
        """It may have been made in the very moment in which it was killed."""
        with suppress(AgentError):
            await self._engine.remove(self._name(execution))

    async def _run(self, execution: int, life: _Life) -> None:
        assert life.container is not None
        seen = await self._inspect(life.container)
        life.stop_signal = seen["Config"].get("StopSignal") or "SIGTERM"
        if seen["State"]["Status"] == "created" and not life.unwanted.is_set():
            try:
                await self._start(life.container)
            except Rejected as error:
                return await self._not_started(execution, life, str(error))
            seen = await self._inspect(life.container)
            if life.unwanted.is_set():
                self._aside(self._kill(life, 0.0))
        if seen["State"]["Status"] == "created":  # unwanted before it was started
            self._end(execution, None, life.reason or NEVER)
        else:
            self._listener.on_start(execution, int(seen["State"]["Pid"]), await self._exactly(seen))
            await self._follow(life)
            state = (await self._inspect(life.container))["State"]
            oom = bool(state.get("OOMKilled")) or life.oom
            code = None if life.reason else int(state["ExitCode"])
            self._end(execution, code, life.reason or state.get("Error") or None, oom=oom)
        await self._removed(execution, life.container)

    async def _start(self, container: str) -> None:
        while True:
            try:
                return await self._engine.start(container)
            except EngineUnavailable as error:  # whether it has started is not known: a second start does nothing
                self._waits(error)
            await asyncio.sleep(AGAIN_S)

    async def _not_started(self, execution: int, life: _Life, why: str) -> None:
        """The command is to blame, with the codes of a shell; or the options, and then there is no code."""
        assert life.container is not None
        missing = "executable file not found" in why or "no such file or directory" in why
        unusable = "permission denied" in why or "is a directory" in why or "exec format error" in why
        at_fault = "exec" in why and (missing or unusable)
        code = (_MISSING if missing else _UNUSABLE) if at_fault else None
        reason = f"the command could not be started: {why}"
        with self.output(execution, "err").open("a") as err:
            err.write(f"scitq: {reason}\n")
        self._end(execution, code, reason, failure=None if at_fault else "container")
        await self._removed(execution, life.container)

    async def _follow(self, life: _Life) -> None:
        """Until it has ended and its whole output is in the files."""
        assert life.container is not None and life.log is not None
        while True:
            life.look.clear()
            try:
                if (await self._inspect(life.container))["State"]["Status"] not in _ALIVE:
                    return await self._read(life, follow=False)
                if life.log.is_full():
                    await life.look.wait()
                    continue
                reading = asyncio.ensure_future(self._read(life, follow=True))
                waiting = asyncio.ensure_future(life.look.wait())
                try:
                    await asyncio.wait((reading, waiting), return_when=asyncio.FIRST_COMPLETED)
                finally:
                    for one in (reading, waiting):
                        one.cancel()
                    results = await asyncio.gather(reading, waiting, return_exceptions=True)
                if isinstance(results[0], Exception):
                    raise results[0]
            except EngineUnavailable as error:
                self._waits(error)
                await asyncio.sleep(AGAIN_S)

    async def _read(self, life: _Life, *, follow: bool) -> None:
        assert life.container is not None and life.log is not None
        await life.log.read(self._engine.socket, self._engine.prefix, life.container, follow=follow)

    async def _inspect(self, container: str) -> dict[str, Any]:
        """However long the engine takes: what runs must not be given up since nobody answers."""
        while True:
            try:
                return await self._engine.inspect(container)
            except EngineUnavailable as error:
                self._waits(error)
            await asyncio.sleep(AGAIN_S)

    async def _exactly(self, seen: dict[str, Any]) -> str:
        """The image by its digest; if it has none, or was removed since, by its id."""
        with suppress(AgentError):
            return await self._images.exactly(seen["Config"]["Image"], seen["Image"]) or str(seen["Image"])
        return str(seen["Image"])

    async def _kill(self, life: _Life, grace_s: float) -> None:
        assert life.container is not None
        await self._engine.resume(life.container)  # a held one cannot even be killed
        if grace_s > 0:
            await self._engine.send(life.container, life.stop_signal)
            with suppress(TimeoutError):
                async with asyncio.timeout(grace_s):
                    await life.dead.wait()
        await self._engine.send(life.container, "SIGKILL")

    async def _removed(self, execution: int, container: str) -> None:
        if execution not in self._unsaved:
            try:
                await self._engine.remove(container)
            except EngineUnavailable as error:  # the next life does it
                log.warning("a container is left for now", extra={"container": container, "error": str(error)})

    def _end(self, execution: int, code: int | None, reason: str | None, *, oom: bool = False,
             failure: str | None = None) -> None:  # fmt: skip
        ended = Ended(execution, code, reason, time.time(), oom, failure)
        try:
            _write(self.output(execution, "end"), json.dumps(ended._asdict()))
        except OSError as error:  # the disk is full: the container stays, and says the same to the next life
            log.error(
                "the end of a container cannot be written down", extra={"path": str(self._folder), "error": str(error)}
            )
            self._unsaved.add(execution)
        self._lives.pop(execution, None)
        self._ended[execution] = ended
        self._listener.on_exit(ended)

    # The engine ----------------------------------------------------------------------------------------------------

    async def _watch(self) -> None:
        """Hear of ends. Whoever begins to listen has everybody look, since nobody knows what was missed."""
        while True:
            try:
                async with aclosing(events(self._engine.socket, self._engine.prefix, self._label)) as said:
                    async for what, labels in said:
                        about = [int(labels[EXECUTION])] if EXECUTION in labels else list(self._lives)
                        for life in filter(None, map(self._lives.get, about)):
                            life.oom = life.oom or what == "oom"
                            if what == "die":
                                life.dead.set()
                            life.look.set()
            except (EngineUnavailable, NotThere) as error:
                self._waits(error)
            await asyncio.sleep(AGAIN_S)

    def _waits(self, error: Exception) -> None:
        if time.monotonic() - self._told_at >= QUIET_S:
            self._told_at = time.monotonic()
            log.warning("the container engine is waited for", extra={"error": str(error)})

    def _aside(self, work: Coroutine[Any, Any, object]) -> None:
        """Something nobody waits for."""
        task = asyncio.create_task(work)
        self._side.add(task)
        task.add_done_callback(self._is_done)

    def _is_done(self, task: asyncio.Task[Any]) -> None:
        self._side.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("a container could not be reached", extra={"error": str(error)})


def _write(path: Path, text: str) -> None:
    """Whole, or not at all, also when the machine goes down."""
    fresh = path.with_suffix(".new")
    with fresh.open("w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    fresh.rename(path)
