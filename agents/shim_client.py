"""The agent's end of the shim: starts and kills without waiting, and hears of what ended.

The shim is started when it is first needed and found again by the agent's successor. Should it be killed, the next one
finds what still runs; return codes of that time are lost, and said to be.
"""

from __future__ import annotations

import asyncio
import logging
import signal as signals
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple

from scitq.agents.shim_link import Link, Told, find, find_or_start
from scitq.errors import ShimUnavailable

log = logging.getLogger(__name__)

GRACE_S: Final = 0.5
"""How long whoever is killed may take to end by himself: the end of a task is to be confirmed within a second."""
PATIENCE_S: Final = 60.0
_AGAIN_S: Final = 1.0
_NUMBERS: Final = {"pause": signals.SIGSTOP, "resume": signals.SIGCONT}


@dataclass(frozen=True, slots=True)
class Command:
    """What is to be run: a program and its arguments, in a folder, with just this environment."""

    argv: Sequence[str]
    cwd: str
    env: Mapping[str, str]
    uid: int | None = None
    gid: int | None = None


def shell(text: str) -> tuple[str, ...]:
    """A command line, for a shell to read."""
    return ("/bin/sh", "-c", text)


class Exit(NamedTuple):
    """An execution is over. Without a code it is not known, or nothing was started: the reason says what happened."""

    execution: int
    code: int | None
    reason: str | None
    at: float  # seconds since 1970


class ShimClient:
    """The `Shim` of the core, in a folder of its own. `command` says what an execution of a task is to run."""

    def __init__(
        self,
        folder: Path,
        command: Callable[[int, int], Command],
        *,
        patience_s: float = PATIENCE_S,
        boot: str | None = None,
    ) -> None:
        self.folder = folder.absolute()
        self.runs = self.folder / "runs"
        self.runs.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.folder.chmod(0o700)
        self._command, self._patience_s, self._boot = command, patience_s, boot
        self._running: dict[int, int] = {}
        self._ended: dict[int, Exit] = {}
        self._asked: dict[int, Told] = {}  # starts that nothing was heard of yet
        self._news: list[Exit] = []
        self._loop: asyncio.AbstractEventLoop | None = None
        self._on_exit: Callable[[Exit], None] = self._news.append
        self._writing = False
        self._link = find(self.folder)
        if self._link is None and any(self.runs.iterdir()):
            self._link = find_or_start(self.folder, patience_s, boot)  # only a shim can tell what became of them
        if self._link is not None:
            self._greeted(self._link)
            self._news.clear()  # they are in `exits`

    # The core's Shim -----------------------------------------------------------------------------------------------

    def start(self, execution: int, task: int) -> None:
        if self.started(execution):
            return
        command = self._command(execution, task)
        asked = {"do": "start", "execution": execution, "argv": list(command.argv), "cwd": command.cwd}
        self._asked[execution] = {**asked, "env": dict(command.env), "uid": command.uid, "gid": command.gid}
        self._send(self._asked[execution])

    def kill(self, execution: int, grace_s: float = GRACE_S) -> None:
        if self._lives(execution):
            self._send({"do": "kill", "execution": execution, "grace_s": grace_s})

    def signal(self, execution: int, signal: int | str) -> None:
        """To the process group. The signal that kills is confirmed as a kill is: when nobody is left."""
        number = _NUMBERS[signal] if isinstance(signal, str) else signal
        if number == signals.SIGKILL:
            self.kill(execution, 0.0)
        elif self._lives(execution):
            self._send({"do": "signal", "execution": execution, "signal": int(number)})

    def running(self) -> Iterable[int]:
        return [*self._running, *self._asked]

    def exits(self) -> Iterable[tuple[int, int]]:
        return [(one.execution, one.code) for one in self._ended.values() if one.code is not None]

    def started(self, execution: int) -> bool:
        return self._lives(execution) or execution in self._ended

    # More ----------------------------------------------------------------------------------------------------------

    def lost(self) -> Iterable[Exit]:
        """What is over without a return code."""
        return [one for one in self._ended.values() if one.code is None]

    def pid(self, execution: int) -> int | None:
        return self._running.get(execution)

    def shim_pid(self) -> int | None:
        return None if self._link is None else self._link.pid

    def output(self, execution: int, kind: str) -> Path:
        """Where its output is kept (`out`, `err`), until it is forgotten."""
        return self.runs / f"{execution}.{kind}"

    def forget(self, executions: Iterable[int]) -> None:
        """The engine has everything of these: no start of them comes again, and their files can go."""
        gone = [execution for execution in executions if not self._lives(execution)]
        for execution in gone:
            self._ended.pop(execution, None)
        if gone:
            self._send({"do": "forget", "executions": gone})

    def leave(self) -> None:
        """The shim is not needed any more: it ends as soon as nothing runs."""
        if self._link is not None:
            self._link.send({"do": "leave"})

    def watch(self, loop: asyncio.AbstractEventLoop, on_exit: Callable[[Exit], None]) -> None:
        """From now on each end is told as it comes, in this loop."""
        self._loop, self._on_exit = loop, on_exit
        for one in self._news:
            loop.call_soon(on_exit, one)
        self._news.clear()
        if self._link is not None:
            loop.add_reader(self._link.fileno(), self._on_readable)

    def wait(self, timeout_s: float) -> list[Exit]:
        """Without a loop: the ends that come within the time, as soon as there is one."""
        deadline = time.monotonic() + timeout_s
        while not self._news and (left := deadline - time.monotonic()) > 0 and self._link is not None:
            self._receive(self._link, left)
        found, self._news[:] = self._news[:], []
        return found

    def close(self) -> None:
        """Leave the commands to the shim."""
        while self._link is not None and self._link.sending:
            self._receive(self._link, 1.0)
        if self._link is not None:
            self._unwatch(self._link)
            self._link.close()
            self._link = None

    # The link ------------------------------------------------------------------------------------------------------

    def _lives(self, execution: int) -> bool:
        return execution in self._running or execution in self._asked

    def _send(self, request: Told) -> None:
        if self._link is None:
            self._connect()
            if request.get("execution") in self._asked:
                return  # said already, with all that was asked
        assert self._link is not None
        self._link.send(request)
        if self._link.sending and self._loop is not None and not self._writing:
            self._writing = True
            self._loop.add_writer(self._link.fileno(), self._on_writable)

    def _connect(self) -> None:
        self._link = link = find_or_start(self.folder, self._patience_s, self._boot)
        if self._loop is not None:
            self._loop.add_reader(link.fileno(), self._on_readable)
        self._greeted(link)

    def _greeted(self, link: Link) -> None:
        """Take over what the shim knows, and ask again for what it never heard of."""
        self._running = dict(link.running)
        for told in [*link.ended, *link.early]:
            self._take(told)
        for execution in list(self._asked):
            if execution in self._running:
                del self._asked[execution]
            else:
                link.send(self._asked[execution])

    def _on_writable(self) -> None:
        if self._link is not None:
            self._link.flush()
            if self._link.sending:
                return
            assert self._loop is not None
            self._loop.remove_writer(self._link.fileno())
        self._writing = False

    def _on_readable(self) -> None:
        if self._link is not None:
            self._receive(self._link, 0.0)

    def _receive(self, link: Link, wait_s: float) -> None:
        try:
            for told in link.receive(wait_s):
                self._take(told)
        except ConnectionError:
            self._unwatch(link)
            link.close()
            self._link = None
            log.warning("the shim is gone", extra={"pid": link.pid, "running": len(self._running)})
            if self._running or self._asked:
                self._connect_again()

    def _connect_again(self) -> None:
        try:
            if self._link is None:
                self._connect()
        except ShimUnavailable as error:
            if self._loop is None:
                raise
            log.error("the shim cannot be started; it is tried again", extra={"error": str(error)})
            self._loop.call_later(_AGAIN_S, self._connect_again)

    def _unwatch(self, link: Link) -> None:
        if self._loop is not None:
            self._loop.remove_reader(link.fileno())
            self._loop.remove_writer(link.fileno())
        self._writing = False

    def _take(self, told: Mapping[str, Any]) -> None:
        if "started" in told:
            self._asked.pop(told["started"], None)
            self._running[told["started"]] = told["pid"]
        elif "end" in told:
            execution = told["end"]
            self._asked.pop(execution, None)
            self._running.pop(execution, None)
            if execution not in self._ended:
                one = self._ended[execution] = Exit(execution, told["code"], told["reason"], told["at"])
                self._on_exit(one)
        elif "trouble" in told:
            log.error("the shim has trouble", extra={"trouble": told["trouble"]})
