"""One seed, one run: the whole system on a virtual clock, things going wrong until the world heals, then judgement."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from scitq.agents.spool import Given
from scitq.domain import wire
from scitq.domain.commands import CreateTasks
from scitq.domain.engine_log import PayloadErased
from scitq.domain.state import State
from scitq.domain.task import TaskCreated, TaskDeleted
from scitq.domain.worker import Hello
from scitq.projections.catalog import ALL
from scitq.projections.memory import MemoryProjector
from tests.simulation.actors import (
    BATCHES,
    AgentActor,
    EngineActor,
    Finisher,
    Insister,
    ProjectionActor,
    Submitter,
    UserActor,
)
from tests.simulation.invariants import INVARIANTS
from tests.simulation.kernel import SECOND
from tests.simulation.world import Host, World

PATIENCE = 400 * SECOND


@dataclass(frozen=True)
class Finding:
    """An invariant that did not hold, and what was seen."""

    invariant: str
    seen: str


class Run:
    """The actors of one seed."""

    def __init__(self, seed: int, trace: Callable[[str], None] | None = None) -> None:
        self.seed = seed
        self.world = world = World(seed)
        self.world.kernel.trace = trace
        rng = world.kernel.rng
        self.quiet = False
        self._cut_until = 0
        self._reread: list[wire.Recorded] = []
        self._oracle, self._seen = State(), 0
        self.projectors: list[MemoryProjector[Any]] = [MemoryProjector(p, world.recorded) for p in ALL]
        self.engines = [EngineActor(world, "engine-a"), EngineActor(world, "engine-b")]
        self.agents = [self._agent(number) for number in range(rng.randint(1, 3))]
        self.submitters = [_Counted(world, "u1", self.oracle)]
        self.insister = Insister(world, "u2", self.oracle)
        self.users: list[UserActor] = [*self.submitters, self.insister, Finisher(world, "u3", self.oracle)]
        self.followers = ProjectionActor(world, self.projectors)

    def _agent(self, number: int) -> AgentActor:
        rng = self.world.kernel.rng
        host = Host(self.world, f"node{number}", f"node{number}:1")
        self.world.hosts[host.name] = host
        served = BATCHES if number == 0 else tuple(rng.sample(BATCHES, rng.randint(1, 3)))
        hello = Hello(host.name, host.incarnation, rng.randint(1, 3), rng.randint(0, 2), served)
        return AgentActor(self.world, host, hello)

    def oracle(self) -> State:
        """What the log says now."""
        events = self.world.recorded(self._seen, 1_000_000)
        self._oracle.fold(events)
        self._seen += len(events)
        return self._oracle

    @property
    def log(self) -> Sequence[wire.Recorded]:
        """The whole log as it was written."""
        return self.world.recorded(0, len(self.world.journal.log))

    def reread(self) -> list[wire.Recorded]:
        """The whole log as anybody reads it today, with what was erased gone."""
        if all(envelope.payload is not None for envelope in self.world.journal.log):
            return list(self.log)
        if len(self._reread) != len(self.world.journal.log):
            self._reread = [wire.recorded(envelope) for envelope in self.world.journal.log]
        return self._reread

    # Running --------------------------------------------------------------------------------------------------

    def play(self) -> list[Finding]:
        kernel = self.world.kernel
        for actor in (*self.engines, *self.agents, *self.users, self.followers):
            actor.start()
        trouble_ends = int((3 + kernel.rng.random() * 13) * SECOND)
        self._plan_trouble(trouble_ends)
        kernel.at(trouble_ends, self._heal)
        self.quiet = kernel.run(trouble_ends + PATIENCE, self._is_quiet)
        # two heartbeats more, once nobody is cut off, for what must still be heard
        kernel.run(max(kernel.now, self._cut_until) + 12 * SECOND, self._nothing_strays)
        return [Finding(name, seen) for name, check in INVARIANTS.items() for seen in check(self)]

    def _nothing_strays(self) -> bool:
        return not any(True for host in self.hosts_there() for _ in host.running())

    def _is_quiet(self) -> bool:
        if not self.world.chaos.healed or not all(user.finished for user in self.submitters):
            return False
        if not self.insister.finished and self.may_insist():
            return False
        state = self.oracle()
        return all(task.ended or task.stage == "deleted" for task in state.tasks.values())

    def _plan_trouble(self, until: int) -> None:
        """A few disasters, drawn before anything happens, on top of the rates in `Chaos`."""
        rng, kernel = self.world.kernel.rng, self.world.kernel
        disasters: list[Callable[[], None]] = [
            self._kill_engine,
            self._kill_agent,
            self._freeze_leader,
            self._reboot_host,
            self._wipe_host,
            self._cut_somebody,
            self._jump_a_clock,
            self.world.broker.wipe,
            self._kill_projections,
            self._evict_host,
        ]
        mine = rng.sample(disasters, rng.randint(0, 5))
        if rng.random() < 0.2:
            kernel.at(int(rng.random() * 8 * SECOND), self._cut_an_agent_for_long)
        for disaster in mine:
            for _ in range(rng.randint(1, 2)):
                kernel.at(int(rng.random() * until), disaster)

    def _heal(self) -> None:
        self.world.kernel.say("world", "heals")
        self.world.chaos.heal()
        self.world.cut.difference_update([engine.name for engine in self.engines])  # an agent's cut ends by itself
        for engine in self.engines:
            if engine.process is not None:
                engine.process.frozen_until = 0

    # Disasters ------------------------------------------------------------------------------------------------

    def _kill_engine(self) -> None:
        engine = self.world.kernel.rng.choice(self.engines)
        if engine.process is not None:
            engine.process.kill()

    def _kill_agent(self) -> None:
        agent = self.world.kernel.rng.choice(self.agents)
        if agent.process is not None:
            agent.process.kill()

    def _kill_projections(self) -> None:
        if self.followers.process is not None:
            self.followers.process.kill()

    def _freeze_leader(self) -> None:
        for engine in self.engines:
            if engine.engine is not None and engine.engine.lease is not None:
                engine.freeze(int((1 + self.world.kernel.rng.random() * 25) * SECOND))

    def _reboot_host(self) -> None:
        self.world.kernel.rng.choice(self.agents).host.reboot()

    def _wipe_host(self) -> None:
        host = self.world.kernel.rng.choice(self.agents).host
        host.wipe(f"{host.name}:{host.boots + 2}")

    def _evict_host(self) -> None:
        """A machine goes for good, with all that ran on it."""
        if len(self.agents) > 1:
            agent = self.agents[-1]
            agent.finished = True
            agent.host.reboot()

    def _cut_somebody(self) -> None:
        rng, world = self.world.kernel.rng, self.world
        names = [engine.name for engine in self.engines] + [f"agent {agent.host.incarnation}" for agent in self.agents]
        name = rng.choice(names)
        world.kernel.say("world", f"{name} is cut off")
        self._cut(name, rng.random() * 50)

    def _cut(self, name: str, seconds: float) -> None:
        kernel = self.world.kernel
        self.world.cut.add(name)
        kernel.at(int(seconds * SECOND), self.world.cut.discard, name)
        self._cut_until = max(self._cut_until, kernel.now + int(seconds * SECOND))

    def _cut_an_agent_for_long(self) -> None:
        """Long enough to be given up; then it comes back and has much to tell."""
        world = self.world
        name = f"agent {world.kernel.rng.choice(self.agents).host.incarnation}"
        world.kernel.say("world", f"{name} is cut off for long")
        self._cut(name, 36 + world.kernel.rng.random() * 20)

    def _jump_a_clock(self) -> None:
        engine = self.world.kernel.rng.choice(self.engines)
        engine.clock.offset += self.world.kernel.rng.choice((-3600, -60, 60, 3600)) * SECOND
        self.world.kernel.say(engine.name, f"has its calendar {engine.clock.offset // SECOND} s off")

    # For the invariants ---------------------------------------------------------------------------------------

    def everything_given(self) -> Iterator[Given]:
        """What agents wrote down of what they were to run, as far as their disks still know."""
        for agent in self.agents:
            yield from (entry for entry in agent.host.entries if isinstance(entry, Given))

    def hosts_there(self) -> list[Host]:
        """The machines whose agent could be reached until the end."""
        cut = self.world.cut
        return [one.host for one in self.agents if not one.finished and f"agent {one.host.incarnation}" not in cut]

    def requests(self) -> list[str]:
        """The ids of all that users ever asked."""
        return [id for user in self.users for id in user.asked]

    def may_insist(self) -> bool:
        """Whether what the insister asked for is possible now."""
        events = [recorded.event for recorded in self.log]
        created = any(isinstance(event, TaskCreated) for event in events)
        gone = TaskDeleted | PayloadErased
        return created and not any(isinstance(event, gone) and event.task == 1 for event in events)

    @staticmethod
    def same_rows(live: Any, rebuilt: Any) -> bool:
        return bool(live == rebuilt)


class _Counted(Submitter):
    """A submitter that remembers how much it asked for."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._tasks_asked_for = 0

    async def ask(self, command: Any, *, insist: bool = False) -> bytes | None:
        if isinstance(command, CreateTasks):
            self._tasks_asked_for += len(command.tasks)
        return await super().ask(command, insist=insist)

    def tasks_asked_for(self) -> int:
        return self._tasks_asked_for


def simulate(seed: int, trace: Callable[[str], None] | None = None) -> list[Finding]:
    """Play one seed; what did not hold."""
    return Run(seed, trace).play()
