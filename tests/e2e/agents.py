"""Agents as processes of their own, with a gateway to talk to, and the end of all they leave behind."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from scitq.agents import processes
from scitq.agents.shim_client import ShimClient
from scitq.agents.workshop import part_of
from tests.services.waiting import eventually
from tests.unit.agents.gateway import TOKEN, Gateway

_PROGRAM = """
import logging, sys
from pathlib import Path
from scitq.agents import conversation, link
from scitq.agents.runtime import Options, run

PLAIN = logging.LogRecord("", 0, "", 0, "", (), None).__dict__.keys()

class WithDetails(logging.Formatter):
    def format(self, record):
        details = {{name: value for name, value in record.__dict__.items() if name not in PLAIN}}
        return f"{{super().format(record)}} {{details or ''}}"

handler = logging.StreamHandler()
handler.setFormatter(WithDetails("%(levelname)s %(message)s"))
logging.basicConfig(level=logging.INFO, handlers=[handler])
for name, value in {constants!r}.items():
    setattr(conversation if hasattr(conversation, name) else link, name, value)
sys.exit(run(Options(folder=Path({folder!r}), base=Path({base!r}), **{options!r})))
"""


class Machine:
    """A machine on which agents are started, one after the other, for one gateway."""

    def __init__(self, folder: Path, gateway: Gateway, port: int) -> None:
        self.folder, self.base, self.gateway = folder / "agent", folder / "base", gateway
        self.url = f"http://127.0.0.1:{port}"
        self.log = folder / "log"
        self.agents: list[subprocess.Popen[bytes]] = []

    def start(self, constants: Mapping[str, float] = {}, **options: Any) -> subprocess.Popen[bytes]:
        given = {"url": self.url, "token": TOKEN, "name": "one", "concurrency": 4, "keep_failed_s": 0.0, **options}
        program = _PROGRAM.format(
            constants=dict(constants), folder=str(self.folder), base=str(self.base), options=given
        )
        with self.log.open("ab") as log:
            self.agents.append(subprocess.Popen([sys.executable, "-c", program], stdout=log, stderr=log))
        return self.agents[-1]

    def restart(self, **options: Any) -> subprocess.Popen[bytes]:
        """The agent is killed, and another one takes over."""
        self.kill()
        return self.start(**options)

    def kill(self) -> None:
        self.agents[-1].kill()
        self.agents[-1].wait(30)

    @property
    def works(self) -> Path:
        """Where the agent makes its working folders."""
        return part_of(self.base, (self.folder / "incarnation").read_text())

    async def code(self) -> int:
        """With which the last agent ends."""
        return await asyncio.to_thread(self.agents[-1].wait, 30)

    def said(self) -> str:
        return self.log.read_text()

    def prints(self, execution: int, text: str) -> bool:
        """Whether it has printed that, and the agent's shim has it."""
        path = self.folder / "shim" / "runs" / f"{execution}.out"
        try:
            return text.encode() in path.read_bytes()
        except FileNotFoundError:
            return False

    def left(self) -> list[int]:
        """Processes that print into files of this agent."""
        runs = str(self.folder / "shim" / "runs")
        return [one.pid for one in processes.scan() if any(each.startswith(runs) for each in one.outputs)]

    def shim(self) -> ShimClient:
        return ShimClient(self.folder / "shim", lambda execution, task: NotImplemented)

    def stop(self) -> None:
        for agent in self.agents:
            if agent.poll() is None:
                agent.kill()
            agent.wait(30)
        if not (self.folder / "shim").exists():
            return
        shim = self.shim()
        for execution in list(shim.running()):
            shim.kill(execution, 0.0)
        eventually(lambda: shim.wait(0.05) is not None and not list(shim.running()), "the end of all commands")
        pid = shim.shim_pid()
        shim.leave()
        shim.close()
        if pid is not None:
            eventually(lambda: processes.start_of(pid) is None, "the end of the shim")


@asynccontextmanager
async def machine(folder: Path, **options: Any) -> AsyncIterator[Machine]:
    gateway = Gateway(**options)
    made = Machine(folder, gateway, await gateway.start())
    try:
        yield made
    except BaseException:
        print(made.said() if made.log.exists() else "no agent was started")
        raise
    finally:
        await asyncio.to_thread(made.stop)
        assert not made.log.exists() or "Traceback" not in made.said(), made.said()
        await gateway.stop()


async def ended(agent: subprocess.Popen[bytes], number: int = signal.SIGTERM) -> int:
    """The code with which an agent ends when it is asked to."""
    agent.send_signal(number)
    return await asyncio.to_thread(agent.wait, 30)
