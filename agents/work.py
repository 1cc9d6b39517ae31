"""What an agent does on its machine: spool, shim, folders and output around the core, in turns.

Whatever comes (a post, an end, room on the disk) changes the core and asks for a turn; a turn starts what fits, writes
down at once all that happened, and only then lets the shim and the conversation know. So nothing leaves the process
that its successor would not know of, and a thousand events that come together cost one write.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from scitq.agents.cleaner import AUTOCLEAN, KEEP_FAILED_S, Cleaner
from scitq.agents.container_job import Job
from scitq.agents.container_runner import ContainerRunner
from scitq.agents.core import Agent, Exit
from scitq.agents.limits import Limits
from scitq.agents.measuring import Measuring
from scitq.agents.output import Outputs
from scitq.agents.resources import Resources
from scitq.agents.runners import Runners
from scitq.agents.shim_client import GRACE_S, Command, ShimClient
from scitq.agents.spool import Spool
from scitq.agents.spool_file import open_spool
from scitq.agents.telling import Telling
from scitq.agents.transfers import Transfers
from scitq.agents.workshop import Workshop, check_room, part_of
from scitq.domain.execution import Failure
from scitq.domain.messages import ToAgent
from scitq.domain.output_wire import Confirm
from scitq.errors import AgentError, ShimUnavailable

log = logging.getLogger(__name__)

AGAIN_S: Final = 1.0
FIRST_LOOK_S: Final = 0.02
"""A command that takes less is looked at once, when it has ended."""


class Work:
    """One agent's. `tell` is called when there may be something to say to the server."""

    def __init__(
        self, folder: Path, base: Path, *, keep_failed_s: float = KEEP_FAILED_S, autoclean: int = AUTOCLEAN
    ) -> None:
        incarnation, entries, self.writer = open_spool(folder)
        try:
            self.spool = Spool.reopen(entries, self.writer)
            self.workshop = Workshop(part_of(base, incarnation))
            self.containers = ContainerRunner(folder / "containers", incarnation, self._job, autoclean=autoclean)
            resources = Resources(Path(self.workshop.base, "resources"))
            self.stores = Transfers(resources, self._texts, self.workshop.folder, self.containers.image)
            self.shim = _Shim(folder / "shim", self._command)
            self.runners = Runners(self.shim, self.containers, self._wants_container, self._on_refusal)
            self.cleaner = Cleaner(
                self.workshop.base,
                self.stores.resources,
                keep_failed_s=keep_failed_s,
                autoclean=autoclean,
            )
            self.outputs = Outputs(lambda execution, kind: str(self.runners.output(execution, kind)))
            self.measuring = Measuring(self._wants_container)
            self.telling = Telling(self.stores.underway, self.measuring.curve, self.spool.held.__contains__)
        except BaseException:
            self.writer.close()
            raise
        self._log_file, self._obeyed_file = folder / "server", folder / "obeyed"
        self._log = self._log_file.read_text("ascii", "replace").strip() if self._log_file.exists() else ""
        self.agent = Agent(incarnation, self.spool, self.runners, self._counts, self._log, self.stores, self._obeyed())
        self.tell: Callable[[], None] = lambda: None
        self.turned = asyncio.Event()
        self.restart = asyncio.Event()  # somebody wants this process to begin anew
        self._turn_is_due = False
        self._closing: dict[int, None] = {}  # over here, and not for the server
        self._may_let_go = True
        self._swept: list[int] = []
        self._trouble = ""

    def begin(self, loop: asyncio.AbstractEventLoop) -> None:
        """Take over what an earlier life left, and go on."""
        self._loop = loop
        for end in self.runners.ends():
            self._is_over(end)
        for execution in self.runners.running():
            self.outputs.watch(execution)
        self.stores.watch(loop, self)
        self.agent.recover()
        left = [id for id in self.workshop.left() if id not in self.spool.held]
        self._closing |= dict.fromkeys(self.cleaner.found(left))
        self.cleaner.start()
        self.limits = Limits(loop, self.runners, self._texts)
        self.measuring.watch(loop)
        self.shim.watch(loop, self.on_exit, self.on_begun, self.on_signalled)
        self.containers.watch(loop, self)
        for execution in self.runners.running():
            self.limits.watch(execution)
            self.measuring.begin(execution, self.runners.pid(execution), self.runners.since(execution))
        self.end_strays()
        self.turn()

    async def give_back(self, reason: str, heard: Callable[[], bool]) -> None:
        """End all commands and give their tasks back: done when that is applied, or when nobody can hear of it."""
        self.agent.give_back(reason)
        self.wake()
        while list(self.runners.running()) or (heard() and (self.agent.over or self.spool.reports)):
            self.turned.clear()
            await self.turned.wait()
        self.runners.leave()

    async def end_all(self) -> None:
        """End all commands: nobody wants to hear of them any more."""
        for execution in list(self.runners.running()):
            self.runners.kill(execution)
        while list(self.runners.running()):
            self.turned.clear()
            await self.turned.wait()
        self.runners.leave()

    def keep_log(self) -> None:
        """Write down whose all this is: a server with another log must hear nothing of it."""
        if self.agent.log != self._log:
            fresh = self._log_file.with_suffix(".new")
            fresh.write_text(self.agent.log)
            fresh.rename(self._log_file)
            self._log = self.agent.log

    def close(self) -> None:
        """Leave everything to the shim and to the next life."""
        self.limits.close()
        self.measuring.close()
        self.cleaner.close()
        try:
            self.writer.flush(self.spool)
        except AgentError as error:
            log.error("the last changes are not in the spool; they are found out again", extra={"error": str(error)})
        self.stores.close()
        self.runners.close()
        self.writer.close()

    # What comes ----------------------------------------------------------------------------------------------------

    def on_post(self, epoch: int, worker: int, incarnation: str, messages: Sequence[ToAgent]) -> None:
        """What an engine says."""
        self.agent.on_post(epoch, worker, incarnation, messages)
        self._may_let_go = True
        self.wake()

    def on_confirms(self, confirms: Sequence[Confirm]) -> None:
        """How much of the output the server has."""
        for execution, stream, seen in confirms:
            self.outputs.confirm(execution, stream, seen)
        self._may_let_go = True
        self.wake()

    def on_ready(self, execution: int, files: int, bytes: int) -> None:
        self.agent.on_ready(execution, files, bytes)

    def on_sent(self, execution: int, files: int, bytes: int) -> None:
        self.agent.on_sent(execution, files, bytes)

    def on_no_transfer(self, execution: int, failure: Failure | None, reason: str) -> None:
        self.agent.on_no_transfer(execution, failure, reason)
        self.on_idle(execution)

    def on_idle(self, execution: int) -> None:
        self._closing[execution] = None
        self._may_let_go = True
        self.wake()

    def on_image(self, execution: int, done: int, total: int) -> None:
        self.stores.on_image(execution, done, total)

    def on_recovered(self) -> None:
        self.end_strays()
        self.wake()

    def on_begun(self, execution: int, pid: int, image: str | None = None) -> None:
        if execution not in self.outputs:
            self.outputs.watch(execution, self._loop.time() + FIRST_LOOK_S)
        self.agent.on_start(execution, pid, image)
        self.limits.watch(execution)
        self.measuring.begin(execution, pid)
        self.wake()

    def on_signalled(self, execution: int, signal: int) -> None:
        self.agent.on_signalled(execution, signal)
        self.wake()

    def on_exit(self, end: Exit) -> None:
        self.limits.over(end.execution)
        self.telling.on_end(end.execution, self.measuring.curve(end.execution))
        end = self.measuring.over(end)
        self._is_over(end)
        if end.execution not in self.spool.held:  # it was taken back: what it printed interests nobody
            self.outputs.forget(end.execution)
        self.agent.on_exit(end)
        self.wake()

    def _is_over(self, end: Exit) -> None:
        if self.runners.started(end.execution):
            if end.execution not in self.outputs:
                self.outputs.watch(end.execution)
            self.outputs.ended(end.execution)
        self._closing[end.execution] = None
        self._may_let_go = True

    # Turns ---------------------------------------------------------------------------------------------------------

    def wake(self) -> None:
        """There will be a turn, once for all that comes at once."""
        if not self._turn_is_due:
            self._turn_is_due = True
            self._loop.call_soon(self.turn)

    def turn(self) -> None:
        self._turn_is_due = False
        try:
            if self.agent.over:
                self.agent.report_ends()
            self.agent.prepare_what_waits()
            self.agent.start_what_fits()
        except AgentError as error:  # what could not be started yet is written down all the same
            self._try_again(error)
        try:
            self.writer.flush(self.spool)
            self.runners.flush()
            self._let_go()
        except AgentError as error:
            return self._try_again(error)
        self._obey()
        self.turned.set()
        self.tell()

    def _obey(self) -> None:
        """Carry out what the server ordered, and remember it before: a restart that is ordered once happens once."""
        while self.agent.orders:
            number, order = self.agent.orders.pop(0)
            fresh = self._obeyed_file.with_suffix(".new")
            fresh.write_text(str(number))
            fresh.rename(self._obeyed_file)
            self.agent.obeyed = number
            log.info("an order is carried out", extra={"order": order, "number": number})
            match order:
                case "clean":
                    self.cleaner.clean()
                case "forget":
                    threading.Thread(target=self.stores.resources.forget, name="forget", daemon=True).start()
                case "restart":
                    self.restart.set()

    def _obeyed(self) -> int:
        """The last order that an earlier life has carried out."""
        try:
            return int(self._obeyed_file.read_text())
        except (OSError, ValueError):
            return 0

    def _try_again(self, error: AgentError) -> None:
        if str(error) != self._trouble:
            log.error("the agent cannot go on as it should; it is tried again each second", extra={"error": str(error)})
        self._trouble = str(error)
        self._loop.call_later(AGAIN_S, self.wake)

    def _let_go(self) -> None:
        """Forget those of which the server has everything: first their folders go, then all that the shim has."""
        if self._may_let_go:
            self._may_let_go = False
            held, outputs = self.spool.held, self.outputs
            for id in [
                id
                for id in self._closing
                if id not in held and id not in self.stores.underway and (id not in outputs or outputs.is_confirmed(id))
            ]:
                del self._closing[id]
                outputs.forget(id)
                self.stores.let_go(id)
                failed = id in self.agent.failed
                self.agent.failed.discard(id)
                if failed and self.cleaner.keeps:
                    self._swept.append(id)
                    self.cleaner.keep(id)
                elif self.workshop.remove(id, self._removed_aside):
                    self._swept.append(id)
        if self._swept:
            self.runners.forget(self._swept)
            self._swept = []

    def _removed_aside(self, execution: int) -> None:
        """In the sweeper's thread."""

        def note() -> None:
            self._swept.append(execution)
            self.wake()

        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(note)

    def rest(self, rests: bool) -> None:
        """Start nothing more; or go on."""
        self.agent.rests = rests
        self.wake()

    def return_what_waits(self) -> None:
        """For others to run."""
        self.agent.return_what_waits(self._loop.time())
        self.wake()

    def end_strays(self) -> None:
        """What runs and is not held was taken back: should the order to end it have been lost, here it is again."""
        for execution in list(self.runners.running()):
            if execution not in self.spool.held:
                self.runners.kill(execution)

    # What the others ask -------------------------------------------------------------------------------------------

    def _command(self, execution: int, task: int) -> Command:
        for folder in (self.workshop.base, str(self.shim.runs)):
            check_room(folder)
        return self.workshop.command(execution, self.spool.given[execution].texts, self.agent.concurrency)

    def _wants_container(self, execution: int) -> bool:
        return bool(self._texts(execution).get("container"))

    def _on_refusal(self, end: Exit) -> None:
        self._loop.call_soon(self.on_exit, end)

    def _job(self, execution: int) -> Job:
        check_room(self.workshop.base)
        return self.workshop.job(execution, self._texts(execution), self.agent.concurrency)

    def _texts(self, execution: int) -> Mapping[str, Any]:
        given = self.spool.given.get(execution)
        return (given.texts if given is not None else None) or {}

    def _counts(self, execution: int) -> tuple[int, int] | None:
        return self.outputs.counts(execution) if execution in self.outputs else (0, 0)


class _Shim(ShimClient):
    """The shim's client as the core wants it: what goes wrong with one request does not stop the rest."""

    def __init__(self, folder: Path, command: Callable[[int, int], Command]) -> None:
        super().__init__(folder, command, coalesce=True)

    def kill(
        self,
        execution: int,
        grace_s: float = GRACE_S,
        reason: str | None = None,
        failure: Failure | None = None,
    ) -> None:
        try:
            super().kill(execution, grace_s, reason, failure)
        except ShimUnavailable as error:  # it is said again, by the next heartbeat or by the limit's timer
            log.error("a command could not be ended; it is tried again", extra={"error": str(error)})

    def signal(self, execution: int, signal: int | str) -> None:
        try:
            super().signal(execution, signal)
        except ShimUnavailable as error:
            log.error("a signal could not be sent", extra={"execution": execution, "error": str(error)})
