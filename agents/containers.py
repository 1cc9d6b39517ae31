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
import time
from collections.abc import Coroutine, Iterable
from contextlib import aclosing
from pathlib import Path
from typing import Any, Final

from scitq.agents.container_engine import Engine
from scitq.agents.container_job import BOOT, EXECUTION, OWNER, Job
from scitq.agents.container_life import AGAIN_S, GRACE_S, REMOVED, Ended, Life, Listener, Surroundings
from scitq.agents.engine_stream import NotThere, events
from scitq.agents.images import Images
from scitq.agents.processes import boot_id
from scitq.errors import EngineUnavailable

log = logging.getLogger(__name__)

QUIET_S: Final = 30.0
"""An engine that is away is told of as often."""


class Containers:
    """Those of one agent, `owner`, whose part of the world is `folder`. The methods are those of the shim's client."""

    def __init__(
        self, folder: Path, owner: str, engine: Engine, listener: Listener, images: Images | None = None
    ) -> None:
        self._folder, self._owner, self._engine, self._listener = folder, owner, engine, listener
        self.images = images or Images(engine)
        self._around = Surroundings(engine, self.images, listener, self._over, self._aside, self._waits)
        self._lives: dict[int, Life] = {}
        self._unsaved: set[int] = set()
        self._side: set[asyncio.Task[Any]] = set()
        self._leaving: list[asyncio.Task[Any]] = []
        self._told_at = -QUIET_S
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._ended = kept_ends(folder)

    async def recover(self) -> None:
        """Take over what an earlier life left. Raises EngineUnavailable when nothing can be known for now."""
        for one in await self._engine.containers(f"{OWNER}={self._owner}"):
            execution = int(one["Labels"][EXECUTION])
            if execution in self._ended:  # only the removal was missing
                self._aside(self._engine.remove(one["Id"]))
            elif execution not in self._lives:
                self._life(execution, one["Id"]).begin()
        for path in self._folder.glob("*.out"):
            execution = int(path.stem)
            if not self.started(execution):
                self._over(Ended(execution, None, REMOVED, time.time(), failure="lost"))
        self._aside(self._watch())

    def start(self, execution: int, job: Job) -> None:
        """Have it run, once: a second start does nothing."""
        if not self.started(execution):
            labels = {OWNER: self._owner, EXECUTION: str(execution), BOOT: boot_id()}
            self._life(execution).begin(job, labels)

    def kill(self, execution: int, grace_s: float = GRACE_S, reason: str | None = None) -> None:
        """Ask it to end, and after the grace no longer ask. With a reason its end has that and no code."""
        if execution in self._lives:
            self._lives[execution].kill(grace_s, reason)

    def signal(self, execution: int, signal: int | str) -> None:
        """pause, resume, or the number of a signal for its first process."""
        if execution in self._lives:
            self._lives[execution].signal(signal)

    def running(self) -> Iterable[int]:
        return list(self._lives)

    def ends(self) -> Iterable[Ended]:
        """Every one that has ended and was not forgotten."""
        return list(self._ended.values())

    def started(self, execution: int) -> bool:
        return execution in self._lives or execution in self._ended

    def output(self, execution: int, kind: str) -> Path:
        """Where its output is kept (`out`, `err`), until it is forgotten."""
        return self._folder / f"{execution}.{kind}"

    def forget(self, executions: Iterable[int]) -> None:
        """The server has everything of these: their files go."""
        for execution in executions:
            if execution not in self._lives and self._ended.pop(execution, None) is not None:
                remove_files(self._folder, execution)
                if execution in self._unsaved:
                    self._unsaved.remove(execution)
                    self._aside(self._engine.remove(self._name(execution)))

    def leave(self) -> None:
        """The containers are the engine's from now on, and those of who comes next."""
        self._leaving += [task for life in self._lives.values() if (task := life.leave()) is not None]
        self._lives = {}
        self._leaving += self._side
        for task in self._side:
            task.cancel()

    async def close(self) -> None:
        """Leave, and wait until nothing is under way here."""
        self.leave()
        await asyncio.gather(*self._leaving, return_exceptions=True)

    # Inside --------------------------------------------------------------------------------------------------------

    def _name(self, execution: int) -> str:
        return f"scitq-{self._owner}-{execution}"

    def _life(self, execution: int, container: str | None = None) -> Life:
        life = Life(execution, str(self._folder / str(execution)), self._name(execution), self._around, container)
        self._lives[execution] = life
        return life

    def _over(self, ended: Ended) -> bool:
        try:
            _write(self.output(ended.execution, "end"), json.dumps(ended._asdict()))
        except OSError as error:  # the disk is full: the container stays, and says the same to the next life
            extra = {"execution": ended.execution, "error": str(error)}
            log.error("the end of a container cannot be written down", extra=extra)
            self._unsaved.add(ended.execution)
        self._lives.pop(ended.execution, None)
        self._ended[ended.execution] = ended
        self._listener.on_exit(ended)
        return ended.execution not in self._unsaved

    async def _watch(self) -> None:
        """Hear of ends. Whoever begins to listen has everybody look, since nobody knows what was missed."""
        while True:
            try:
                said = events(self._engine.socket, self._engine.prefix, f"{OWNER}={self._owner}")
                async with aclosing(said):
                    async for what, labels in said:
                        about = [int(labels[EXECUTION])] if EXECUTION in labels else list(self._lives)
                        for life in filter(None, map(self._lives.get, about)):
                            life.happened(what)
            except (EngineUnavailable, NotThere) as error:
                self._waits(error)
            await asyncio.sleep(AGAIN_S)

    def _waits(self, error: Exception) -> None:
        if time.monotonic() - self._told_at >= QUIET_S:
            self._told_at = time.monotonic()
            log.warning("the container engine is waited for", extra={"error": str(error)})

    def _aside(self, work: Coroutine[Any, Any, object]) -> None:
        task = asyncio.create_task(work)
        self._side.add(task)
        task.add_done_callback(self._is_done)

    def _is_done(self, task: asyncio.Task[Any]) -> None:
        self._side.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("a container could not be reached", extra={"error": str(error)})


def kept_ends(folder: Path) -> dict[int, Ended]:
    """How those ended that are not forgotten."""
    found: dict[int, Ended] = {}
    for path in folder.glob("*.end"):
        try:
            told = Ended(**json.loads(path.read_text()))
        except (ValueError, TypeError) as error:  # then it is found out again
            log.error("how a container ended is not readable", extra={"path": str(path), "error": str(error)})
            path.unlink()
        else:
            found[told.execution] = told
    return found


def remove_files(folder: Path, execution: int) -> None:
    for kind in ("out", "err", "end"):  # without the last one they would be taken for lost
        (folder / f"{execution}.{kind}").unlink(missing_ok=True)


def _write(path: Path, text: str) -> None:
    """Whole, or not at all, also when the machine goes down."""
    fresh = path.with_suffix(".new")
    with fresh.open("w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    fresh.rename(path)
