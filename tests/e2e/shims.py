"""Shims to try things on, and the end of them."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

from scitq.agents import processes
from scitq.agents.core import Exit
from scitq.agents.shim_client import Command, ShimClient, shell
from tests.services.waiting import eventually

ENV = {"PATH": "/usr/bin:/bin", "HOME": "/"}
DEADLINE_S = 30.0


class Bench:
    """A folder with a shim, and agents that come and go."""

    def __init__(self, folder: Path, **options: Any) -> None:
        self.folder, self.options = folder, options
        self.commands: dict[int, Command] = {}
        self.agents: list[ShimClient] = []

    def agent(self, **options: Any) -> ShimClient:
        self.agents.append(ShimClient(self.folder, self.command, **self.options, **options))
        return self.agents[-1]

    def command(self, execution: int, task: int) -> Command:
        return self.commands[execution]

    def start(self, agent: ShimClient, execution: int, *argv: str, **options: Any) -> None:
        """A single word is a line for the shell."""
        line = argv if len(argv) > 1 else shell(argv[0])
        self.commands[execution] = Command(line, **{"cwd": str(self.folder), "env": ENV, **options})
        agent.start(execution, 0)

    def stop(self) -> None:
        """Nothing is left behind, whatever a test did."""
        agent = self.agent()
        for execution in list(agent.running()):
            agent.kill(execution, 0.0)
        eventually(lambda: agent.wait(0.05) is not None and not list(agent.running()), "the end of all commands")
        pid = agent.shim_pid()
        agent.leave()
        for each in self.agents:
            each.close()
        if pid is not None:
            eventually(lambda: processes.start_of(pid) is None, "the end of the shim")


def ends(agent: ShimClient, *executions: int) -> dict[int, Exit]:
    """How these end, once they have."""

    def look() -> bool:
        agent.wait(0.05)
        return agent._ended.keys() >= set(executions)

    if not agent._ended.keys() >= set(executions):
        eventually(look, f"the end of {executions}")
    return {execution: agent._ended[execution] for execution in executions}


def codes(agent: ShimClient) -> dict[int, int]:
    """The codes of what has ended and has one."""
    return {one.execution: one.code for one in agent.ends() if one.code is not None}


def lost(agent: ShimClient) -> dict[int, str | None]:
    """Why others have none."""
    return {one.execution: one.reason for one in agent.ends() if one.code is None}


def code_of(agent: ShimClient, execution: int) -> int | None:
    return ends(agent, execution)[execution].code


def printed(agent: ShimClient, execution: int, kind: str = "out") -> str:
    return agent.output(execution, kind).read_text(errors="replace")


def prints(agent: ShimClient, execution: int, text: str) -> None:
    """Wait until it has printed that."""
    path = agent.output(execution, "out")
    eventually(lambda: path.exists() and text in path.read_text(errors="replace"), f"{text!r} from {execution}")


def kill_shim(agent: ShimClient) -> None:
    pid = agent.shim_pid()
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    eventually(lambda: processes.start_of(pid) is None, "the end of the shim")


def pids_of(agent: ShimClient, execution: int) -> list[int]:
    """Processes whose output leads to the files of an execution."""
    files = {str(agent.output(execution, kind)) for kind in ("out", "err")}
    return [one.pid for one in processes.scan() if files & set(one.outputs)]
