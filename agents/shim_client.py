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
from typing import Any, Final

from scitq.agents.core import Exit
from scitq.agents.shim_link import Begun, Link, encode, find, find_or_start
from scitq.agents.usage_processes import Used
from scitq.domain.execution import Failure
from scitq.errors import ShimUnavailable

log = logging.getLogger(__name__)

GRACE_S: Final = 0.5
"""How long whoever is killed may take to end by himself: the end of a task is to be confirmed within a second."""
PATIENCE_S: Final = 60.0
CLOSE_S: Final = 1.0
"""For so long a shim that does not read is waited for."""
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
    groups: Sequence[int] = ()


def shell(text: str) -> tuple[str, ...]:
    """A command line, for a shell to read."""
    return ("/bin/sh", "-c", text)


class ShimClient:
    """The `Shim` of the core, in a folder of its own. `command` says what an execution of a task is to run.

    With `coalesce` starts wait until `flush`; all else goes at once.
    """

    def __init__(
        self,
        folder: Path,
        command: Callable[[int, int], Command],
        *,
        patience_s: float = PATIENCE_S,
        boot: str | None = None,
        coalesce: bool = False,
    ) -> None:
        self.folder = folder.absolute()
        self.runs = self.folder / "runs"
        self.runs.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.folder.chmod(0o700)
        self._command, self._patience_s, self._boot = command, patience_s, boot
        self._coalesce = coalesce
        self._running: dict[int, Begun] = {}
        self._ended: dict[int, Exit] = {}
        self._asked: dict[int, bytes] = {}  # starts that nothing was heard of yet
        self._unsent: dict[int, None] = {}  # those of them that wait for `flush`
        self._news: list[Exit] = []
        self._loop: asyncio.AbstractEventLoop | None = None
        self._on_exit: Callable[[Exit], None] = self._news.append
        self._on_start: Callable[[int, int], None] | None = None
        self._on_signalled: Callable[[int, int], None] | None = None
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
        c = self._command(execution, task)
        asked = {"do": "start", "execution": execution, "argv": list(c.argv), "cwd": c.cwd, "env": dict(c.env)}
        if c.uid is not None or c.gid is not None:
            asked.update(uid=c.uid, gid=c.gid, groups=list(c.groups))
        self._asked[execution] = encode(asked)
        self._unsent[execution] = None
        if not self._coalesce:
            self.flush()

    def flush(self) -> None:
        """Let the starts go that wait for it; when it raises they wait on."""
        if not self._unsent:
            return
        if self._link is None:
            self._connect()
        assert self._link is not None
        waiting, self._unsent = self._unsent, {}
        self._send(*[self._asked[execution] for execution in waiting if execution in self._asked])

    def kill(
        self,
        execution: int,
        grace_s: float = GRACE_S,
        reason: str | None = None,
        failure: Failure | None = None,
    ) -> None:
        if execution in self._unsent:
            del self._unsent[execution]
            self._asked.pop(execution, None)
        elif self._lives(execution):
            why = {"reason": reason, "failure": failure}
            self._send(encode({"do": "kill", "execution": execution, "grace_s": grace_s, **why}))

    def signal(self, execution: int, signal: int | str) -> None:
        """To the process group. The signal that kills is confirmed as a kill is: when nobody is left."""
        number = _NUMBERS[signal] if isinstance(signal, str) else signal
        if execution in self._unsent or not self._lives(execution):
            return
        if number == signals.SIGKILL:
            self.kill(execution, 0.0)
        else:
            self._send(encode({"do": "signal", "execution": execution, "signal": int(number)}))

    def running(self) -> Iterable[int]:
        return [*self._running, *self._asked]

    def ends(self) -> Iterable[Exit]:
        return list(self._ended.values())

    def started(self, execution: int) -> bool:
        return self._lives(execution) or execution in self._ended

    def pid(self, execution: int) -> int | None:
        begun = self._running.get(execution)
        return None if begun is None else begun.pid

    # More ----------------------------------------------------------------------------------------------------------

    def since(self, execution: int) -> int | None:
        """When it started, in ticks since the machine did."""
        begun = self._running.get(execution)
        return None if begun is None else begun.ticks

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
            self._send(encode({"do": "forget", "executions": gone}))

    def leave(self) -> None:
        """The shim is not needed any more: it ends as soon as nothing runs."""
        if self._link is not None:
            self._link.send(encode({"do": "leave"}))

    def watch(
        self,
        loop: asyncio.AbstractEventLoop,
        on_exit: Callable[[Exit], None],
        on_start: Callable[[int, int], None] | None = None,
        on_signalled: Callable[[int, int], None] | None = None,
    ) -> None:
        """From now on each end is told as it comes, in this loop; each start, with the number of its process; and each
        signal that has reached somebody."""
        self._loop, self._on_exit, self._on_start, self._on_signalled = loop, on_exit, on_start, on_signalled
        for one in self._news:
            loop.call_soon(on_exit, one)
        self._news.clear()
        if self._link is not None:
            loop.add_reader(self._link.fileno(), self._on_readable)

    def wait(self, timeout_s: float) -> list[Exit]:
        """Without a loop: the ends that come within the time, as soon as there is one."""
        self.flush()
        deadline = time.monotonic() + timeout_s
        while not self._news and (left := deadline - time.monotonic()) > 0 and self._link is not None:
            self._receive(self._link, left)
        found, self._news[:] = self._news[:], []
        return found

    def close(self) -> None:
        """Leave the commands to the shim."""
        deadline = time.monotonic() + CLOSE_S
        while self._link is not None and self._link.sending and time.monotonic() < deadline:
            self._receive(self._link, CLOSE_S / 2)
        if self._link is not None:
            self._unwatch(self._link)
            self._link.close()
            self._link = None

    # The link ------------------------------------------------------------------------------------------------------

    def _lives(self, execution: int) -> bool:
        return execution in self._running or execution in self._asked

    def _send(self, *requests: bytes) -> None:
        if self._link is None:
            self._connect()  # which says again what was asked and not heard of
        assert self._link is not None
        self._link.send(*requests)
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
                self._unsent.pop(execution, None)
                self._tell_start(execution)
            elif execution not in self._unsent:
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
            execution = told["started"]
            self._asked.pop(execution, None)
            self._running[execution] = Begun(told["pid"], told["ticks"])
            self._tell_start(execution)
        elif "end" in told:
            execution = told["end"]
            self._asked.pop(execution, None)
            self._running.pop(execution, None)
            if execution not in self._ended:
                used = (
                    Used(*told["used"])._asdict() if told.get("used") else None
                )  # not by a shim of the release before
                one = Exit(execution, told["code"], told["reason"], told["at"], told.get("failure"), used)
                self._ended[execution] = one
                self._on_exit(one)
        elif "signalled" in told:
            if not told["sent"]:
                log.warning("a signal reached nobody", extra=told)
            elif self._on_signalled is not None:
                self._on_signalled(told["signalled"], told["signal"])
        elif "trouble" in told:
            log.error("the shim has trouble", extra={"trouble": told["trouble"]})

    def _tell_start(self, execution: int) -> None:
        if self._on_start is not None:
            self._on_start(execution, self._running[execution].pid)
