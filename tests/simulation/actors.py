"""Who acts in a simulation: engines, agents, users and the projections' process, each restarted when it dies."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Any

from scitq.agents.core import Agent, Exit
from scitq.agents.spool import Spool
from scitq.domain import batch as batches
from scitq.domain import task as tasks
from scitq.domain import worker as workers
from scitq.domain.commands import (
    Command,
    CreateTasks,
    EraseTask,
    Request,
    RequireTasks,
    SignalExecutions,
    SteerBatch,
    SteerTasks,
    SteerWorkers,
    TaskSpec,
)
from scitq.domain.state import State
from scitq.domain.worker import Hello
from scitq.errors import LeaseLost
from scitq.handlers.engine import Engine
from scitq.handlers.ports import Post
from scitq.projections.memory import MemoryProjector
from tests.simulation.kernel import SECOND, Mailbox, Process
from tests.simulation.stores import Transferred, Unable
from tests.simulation.world import Host, SimBus, SimClock, SimJournal, World

BATCHES = ("Default", "b", "c")
HEARTBEAT = 5 * SECOND
RESEND = 2 * SECOND
PATIENCE = 3 * SECOND  # a user's, for an answer


class Actor:
    """Something that runs as a process, and is started again a while after it died."""

    def __init__(self, world: World, name: str) -> None:
        self.world, self.name = world, name
        self.process: Process | None = None
        self.finished = False

    def life(self) -> Coroutine[Any, Any, None]:
        raise NotImplementedError

    def start(self) -> None:
        process = Process(self.world.kernel, self.name, self.life(), self._ended)
        chaos, rng = self.world.chaos, self.world.kernel.rng
        if chaos.die:
            process.may_die = lambda: rng.random() < chaos.die / 4
        self.process = process

    def _ended(self, process: Process, error: BaseException | None) -> None:
        self.left()
        if error is not None and not isinstance(error, LeaseLost):
            raise error
        if not self.finished:
            self.world.kernel.at(SECOND // 2 + int(self.world.kernel.rng.random() * 3 * SECOND), self.start)

    def left(self) -> None:
        """What the world notices when the process is gone."""


class EngineActor(Actor):
    """A candidate for the lease."""

    def __init__(self, world: World, name: str) -> None:
        super().__init__(world, name)
        self.lives = 0
        self.engine: Engine | None = None
        self.bus: SimBus | None = None
        self.clock = SimClock(world.kernel)

    async def life(self) -> None:
        self.lives += 1
        who = f"{self.name}.{self.lives}"
        self.bus = SimBus(self.world, self.name)
        journal = SimJournal(self.world, self.name)
        self.engine = Engine(journal, self.bus, self.clock, who, snapshot_every=40)
        await self.engine.run()

    def left(self) -> None:
        if self.bus is not None:
            self.world.broker.disconnect(self.bus)
            self.bus = None

    def freeze(self, duration: int) -> None:
        """The machine stops; after a while the broker gives its messages to somebody else."""
        if self.process is None or not self.process.alive:
            return
        kernel = self.world.kernel
        kernel.say(self.name, f"freezes for {duration / SECOND:.1f} s")
        self.process.frozen_until = kernel.now + duration
        if self.bus is not None and duration > 10 * SECOND:
            kernel.at(10 * SECOND, self.world.broker.disconnect, self.bus)


class AgentActor(Actor):
    """The agent of one machine, around the shipped core."""

    def __init__(self, world: World, host: Host, hello: Hello) -> None:
        super().__init__(world, host.name)
        self.host, self.hello = host, hello

    def left(self) -> None:
        self.host.mailbox = None

    async def life(self) -> None:
        host, kernel = self.host, self.world.kernel
        host.process = self.process
        host.mailbox = mailbox = Mailbox(kernel)
        host.stores.begin()
        self.world.broker.agents[host.incarnation] = mailbox
        agent = Agent(host.incarnation, Spool.reopen(host.entries, host.write), host, stores=host.stores)
        recovered = False
        next_beat = next_resend = next_hello = 0
        while True:
            try:
                if not recovered:
                    agent.recover()
                    recovered = True
                while mailbox.messages:
                    self._handle(agent, mailbox.messages.popleft())
                agent.report_ends()
                agent.prepare_what_waits()
                agent.start_what_fits()
            except OSError:
                kernel.say(self.name, "has a full disk")
            for end in list(host.ends()):
                self._try_exit(agent, end)
            if agent.must_say_hello:
                if kernel.now >= next_hello:
                    next_hello = kernel.now + SECOND
                    self._send(replace(agent.hello(self._hello(agent)), reply_to=agent.incarnation))
            else:
                if kernel.now >= next_resend:
                    next_resend = kernel.now + RESEND
                    agent.send_again()
                reports = agent.reports()
                if reports is not None:
                    self._send(reports)
                if kernel.now >= next_beat:
                    next_beat = kernel.now + HEARTBEAT
                    self._return_what_waits(agent)
                    self._send(agent.heartbeat())
            pending = RESEND if agent.spool.reports or agent.must_say_hello else HEARTBEAT
            await mailbox.something(min(pending, SECOND if agent.must_say_hello else HEARTBEAT))

    def _return_what_waits(self, agent: Agent) -> None:
        try:
            agent.return_what_waits(self.world.kernel.now / SECOND)
        except OSError:
            self.world.kernel.say(self.name, "has a full disk")

    def _try_exit(self, agent: Agent, end: Exit) -> None:
        try:
            agent.on_exit(end)
        except OSError:
            self.world.kernel.say(self.name, "has a full disk")

    def _handle(self, agent: Agent, message: Any) -> None:
        if isinstance(message, Post):
            agent.on_post(message.epoch, message.worker, message.incarnation, message.messages)
        elif isinstance(message, Transferred | Unable):
            message.tell(agent)
        else:
            agent.on_exit(message)

    def _hello(self, agent: Agent) -> Hello:
        h = self.hello
        return Hello(h.name, agent.incarnation, h.concurrency, h.prefetch, h.batches)

    def _send(self, message: Any) -> None:
        self.world.broker.send(f"agent {self.host.incarnation}", message)


class ProjectionActor(Actor):
    """All projections in one process. What they have written survives it; what they were told does not."""

    def __init__(self, world: World, projectors: list[MemoryProjector[Any]]) -> None:
        super().__init__(world, "projections")
        self.projectors = projectors
        self.mailbox: Mailbox | None = None

    def left(self) -> None:
        if self.mailbox is not None:
            self.world.broker.followers.remove(self.mailbox)
            self.mailbox = None

    async def life(self) -> None:
        self.mailbox = mailbox = Mailbox(self.world.kernel)
        self.world.broker.followers.append(mailbox)
        for projector in self.projectors:
            projector.catch_up()
        while True:
            await mailbox.something(20 * SECOND)
            if not mailbox.messages:
                for projector in self.projectors:
                    projector.catch_up()
            while mailbox.messages:
                first, last = mailbox.messages.popleft()
                events = self.world.recorded(first - 1, last - first + 1)
                for projector in self.projectors:
                    projector.receive(events)


class UserActor(Actor):
    """A user: sends commands, each again and again under its own id until it is answered."""

    def __init__(self, world: World, name: str, oracle: Callable[[], State]) -> None:
        super().__init__(world, name)
        self.oracle = oracle
        self.answers: dict[str, set[tuple[bytes | None, str | None]]] = {}
        self.asked: list[str] = []
        self.mailbox = Mailbox(world.kernel)
        world.broker.clients[name] = self.mailbox

    async def ask(self, command: Command, *, insist: bool = False) -> bytes | None:
        """The answer; None when refused. With `insist`, what is refused is asked again, under the same id."""
        request = Request(f"{self.name}-{len(self.asked) + 1:07}", f"user:{self.name}", 2**62, command)
        self.asked.append(request.id)
        kernel = self.world.kernel
        kernel.say(self.name, "asks {}: {}", request.id, command)
        while True:
            self.world.broker.send(self.name, request)
            asked = kernel.now
            while kernel.now < asked + PATIENCE:
                await self.mailbox.something(asked + PATIENCE - kernel.now)
                done, answer = self._look_for(request.id)
                if answer is not None or (done and not insist):
                    return answer

    def _look_for(self, id: str) -> tuple[bool, bytes | None]:
        found, answer = False, None
        while self.mailbox.messages:
            reply = self.mailbox.messages.popleft()
            self.answers.setdefault(reply.request, set()).add((reply.answer, reply.refusal))
            if reply.request == id:
                found, answer = True, reply.answer or answer
        return found, answer


class Submitter(UserActor):
    """Submits a few tasks, then steers at random."""

    async def life(self) -> None:
        rng = self.world.kernel.rng
        for _ in range(rng.randint(1, 2)):
            await self._pause()
            await self.ask(CreateTasks(tuple(self._spec(n) for n in range(rng.randint(1, 3)))))
        for worker in sorted(self.oracle().workers):
            await self.ask(SteerWorkers((worker,), workers.EditWorker({"lost_after_s": rng.choice((33, 40, 900))})))
        for _ in range(rng.randint(0, 6)):
            await self._pause()
            command = self._steer()
            if command is not None:
                await self.ask(command)
        if rng.random() < 0.25 and self.oracle().last_task:
            everything = tuple(range(1, self.oracle().last_task + 1))
            await self.ask(SteerTasks(everything, tasks.RelaunchTask()))
            await self.ask(SteerTasks(everything, tasks.PauseTask()))
            await self.ask(SteerTasks(everything, tasks.ResumeTask()))
        self.finished = True

    async def _pause(self) -> None:
        await SimClock(self.world.kernel).sleep(self.world.kernel.rng.random() * 2)

    def _spec(self, number: int) -> TaskSpec:
        rng = self.world.kernel.rng
        requires: list[int] = []
        if number and rng.random() < 0.4:
            requires.append(-rng.randint(1, number))
        known = list(range(1, self.oracle().last_task + 1))
        if known and rng.random() < 0.3:
            requires.append(rng.choice(known))
        timeout = rng.choice((None, None, None, 3))
        return TaskSpec(
            f"work {number}",
            rng.choice(BATCHES),
            priority=rng.choice((0, 0, 5)),
            retry=rng.choice((0, 1, 2)),
            requires=tuple(requires),
            run_timeout_s=timeout,
        )

    def _steer(self) -> Command | None:
        rng, state = self.world.kernel.rng, self.oracle()
        if not state.last_task or not state.workers:
            return None
        task = (rng.randint(1, state.last_task),)
        all_tasks = tuple(range(1, state.last_task + 1))
        worker = (rng.choice(sorted(state.workers)),)
        batch = rng.choice(BATCHES)
        return rng.choice(
            (
                lambda: SteerTasks(task, tasks.PauseTask()),
                lambda: SteerTasks(all_tasks, tasks.PauseTask()),
                lambda: SteerTasks(all_tasks, tasks.ResumeTask()),
                lambda: CreateTasks((TaskSpec("never"), TaskSpec("refused", requires=(10**6,)))),
                lambda: SteerTasks(task, tasks.RelaunchTask()),
                lambda: SteerTasks(task, tasks.DeleteTask()),
                lambda: SteerTasks(task, tasks.ReleaseTask()),
                lambda: SteerTasks(task, tasks.EditTask({"command": "other", "batch": batch}, rng.random() < 0.5)),
                lambda: RequireTasks(task[0], (rng.randint(1, state.last_task),)),
                lambda: SteerWorkers(worker, workers.PauseWorker()),
                lambda: SteerWorkers(worker, workers.EditWorker({"concurrency": rng.randint(0, 3)})),
                lambda: SteerWorkers(worker, workers.EditWorker({"batches": tuple(rng.sample(BATCHES, 2))})),
                lambda: SteerWorkers(worker, workers.DeleteWorker()),
                lambda: SteerBatch(batch, batches.StopBatch(rng.choice((0, 9)))),
                lambda: SteerBatch(batch, batches.StartBatch()),
                lambda: SignalExecutions(tuple(state.executions)[:1], 15),
                lambda: EraseTask(task[0], "asked to"),
            )
        )()


class Insister(UserActor):
    """Wants what is refused for now, and asks under the same id until it is granted: a refusal is not kept."""

    def __init__(self, world: World, name: str, oracle: Callable[[], State]) -> None:
        super().__init__(world, name, oracle)
        self.granted = False

    async def life(self) -> None:
        clock = SimClock(self.world.kernel)
        await clock.sleep(self.world.kernel.rng.random() * 3)
        first = SteerTasks((1,), tasks.EditTask({"name": "renamed"}))
        self.granted = await self.ask(first, insist=True) is not None
        self.finished = True


class Finisher(UserActor):
    """Once all is healed: sets every worker and batch going, and lets every held task run."""

    async def life(self) -> None:
        clock = SimClock(self.world.kernel)
        while not self.world.chaos.healed:
            await clock.sleep(1)
        while True:
            state = self.oracle()
            for name in BATCHES:
                if state.batch(name).stopped:
                    await self.ask(SteerBatch(name, batches.StartBatch()))
            for worker in list(state.workers.values()):
                if worker.paused:
                    await self.ask(SteerWorkers((worker.id,), workers.ResumeWorker()))
                if worker.concurrency < 2 or set(worker.batches) != set(BATCHES) or worker.lost_after_s != 40:
                    wanted = {"concurrency": 2, "batches": BATCHES, "lost_after_s": 40}
                    await self.ask(SteerWorkers((worker.id,), workers.EditWorker(wanted)))
            held = tuple(task.id for task in state.tasks.values() if task.paused and not task.ended)
            if held:
                await self.ask(SteerTasks(held, tasks.ResumeTask()))
            blocked = tuple(task.id for task in state.tasks.values() if task.blocked_by)
            if blocked:
                await self.ask(SteerTasks(blocked, tasks.ReleaseTask()))
            await clock.sleep(3)
