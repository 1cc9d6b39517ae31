"""A machine without processes under an agent's decisions: a disk, and a shim."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import count
from typing import Any

from scitq.agents.core import Agent, Exit
from scitq.agents.spool import Entry, Spool
from scitq.domain.messages import Assign, Settings, ToAgent, Welcome


class Crash(BaseException):
    """The agent dies here."""


class Machine:
    """A disk and a shim, which outlive the agent. `dies_at` counts the agent's touches of the world."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self.did: list[str] = []
        self.marked: set[int] = set()
        self.runs: set[int] = set()
        self.ended: dict[int, int | None] = {}
        self.reasons: dict[int, str] = {}
        self.knows_pids = True
        self.printed: dict[int, tuple[int, int] | None] = {}
        self.still: set[int] = set()
        self.dies_at = 0
        self._touches = count(1)

    def _touch(self) -> None:
        if next(self._touches) == self.dies_at:
            raise Crash

    def write(self, entry: Entry) -> None:
        self._touch()
        self.entries.append(entry)
        self._touch()

    def start(self, execution: int, task: int) -> None:
        self._touch()
        if execution not in self.marked:
            self.marked.add(execution)
            self.runs.add(execution)
            self.did.append(f"start {execution}")
        self._touch()

    def kill(self, execution: int) -> None:
        self._touch()
        if execution in self.runs:
            self.runs.remove(execution)
            self.ended[execution] = -9
            self.did.append(f"kill {execution}")
        self._touch()

    def signal(self, execution: int, signal: int | str) -> None:
        if signal != "resume" or execution in self.still:  # what runs anyway does not notice
            self.did.append(f"signal {execution} {signal}")
        if signal == "pause":
            self.still.add(execution)
        elif signal == "resume":
            self.still.discard(execution)

    def running(self) -> Iterable[int]:
        return set(self.runs)

    def ends(self) -> Iterable[Exit]:
        return [Exit(execution, code, self.reasons.get(execution)) for execution, code in self.ended.items()]

    def pid(self, execution: int) -> int | None:
        return 1000 + execution if self.knows_pids and execution in self.runs else None

    def started(self, execution: int) -> bool:
        return execution in self.marked

    def exit(self, execution: int, code: int) -> None:
        self.runs.remove(execution)
        self.ended[execution] = code

    def agent(self) -> Agent:
        """A new life of the agent on this machine, recovered."""
        agent = Agent(
            "spool", Spool.reopen(self.entries, self.write), self, lambda execution: self.printed.get(execution, (0, 0))
        )
        agent.recover()
        return agent


def tell(agent: Agent, *messages: ToAgent, epoch: int = 1, worker: int = 3, incarnation: str = "spool") -> None:
    agent.on_post(epoch, worker, incarnation, messages)


def welcomed(machine: Machine, concurrency: int = 2, applied: int = 0) -> Agent:
    agent = machine.agent()
    tell(agent, Welcome(3, "spool", applied), Settings(1, concurrency, 1, False))
    return agent


def sent(agent: Agent) -> tuple[Any, ...]:
    reports = agent.reports()
    return reports.reports if reports is not None else ()


def running_many(machine: Machine, executions: int) -> Agent:
    agent = welcomed(machine, concurrency=executions)
    tell(agent, *(Assign(id, id) for id in range(1, executions + 1)))
    agent.start_what_fits()
    return agent
