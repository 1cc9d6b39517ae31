"""The agent's port to stores, simulated: transfers that take a while, fail, are called off, and die with the agent."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from scitq.agents.core import Agent, Exit
from scitq.domain.execution import Failure
from tests.simulation.kernel import SECOND

if TYPE_CHECKING:
    from tests.simulation.world import Host


@dataclass(frozen=True, slots=True)
class Transferred:
    """What came of a transfer, on its way to the agent."""

    execution: int
    what: str
    failure: Failure | None

    def tell(self, agent: Agent) -> None:
        if self.failure is not None:
            agent.on_no_transfer(self.execution, self.failure, "the network was cut")
        elif self.what == "fetch":
            agent.on_ready(self.execution, 2, 2_000)
        else:
            agent.on_sent(self.execution, 1, 1_000)


@dataclass(frozen=True, slots=True)
class Unable:
    """The machine cannot run it, whatever the task is."""

    execution: int

    def tell(self, agent: Agent) -> None:
        agent.on_exit(Exit(self.execution, None, "there is no such user here", gives_back=True))


class SimStores:
    """Of one machine. What is fetched stays there; what is stored is the world's."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self._fetched: set[int] = set()
        self._life = 0
        self._going: dict[int, int] = {}

    def begin(self) -> None:
        """A new life of the agent: what was under way is gone with the one before."""
        self._life += 1
        self._going.clear()

    def fetches(self, execution: int) -> bool:
        return execution % 3 == 0

    def has_all(self, execution: int) -> bool:
        return execution in self._fetched and execution % 2 == 0

    def sends(self, execution: int) -> bool:
        return execution % 4 < 2

    def prepare(self, execution: int) -> None:
        self._begin(execution, "fetch")

    def send(self, execution: int) -> None:
        self.host.world.sendings.append((execution, self.host.world.kernel.now))
        self._begin(execution, "send")

    def drop(self, execution: int) -> None:
        self._going.pop(execution, None)

    def _begin(self, execution: int, what: str) -> None:
        kernel = self.host.world.kernel
        kernel.say(self.host.name, "execution {}: begins to {}", execution, what)
        self._going[execution] = self._life
        kernel.at(int(kernel.rng.expovariate(1 / SECOND)), self._done, execution, what, self._life)

    def _done(self, execution: int, what: str, life: int) -> None:
        kernel = self.host.world.kernel
        if self._going.get(execution) != life or life != self._life or self.host.mailbox is None:
            return
        del self._going[execution]
        failure: Failure | None = None
        if kernel.rng.random() < 0.1:
            failure = "download_failed" if what == "fetch" else "upload_failed"
        elif what == "fetch":
            self._fetched.add(execution)
        else:
            self.host.world.stored.setdefault(execution, []).append(kernel.now)
        self.host.mailbox.put(Transferred(execution, what, failure))
