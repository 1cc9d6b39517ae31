"""A server without store, bus and clock: `turn()`, and a log in memory that keeps what comes out as the store would.

Every event passes through its wire form, so that what is folded again is what would be read again.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

import orjson

from scitq.domain import execution as ex
from scitq.domain import snapshot, wire
from scitq.domain import task as tasks
from scitq.domain import worker as workers
from scitq.domain.commands import Command, CreateTasks, Request, SteerTasks, SteerWorkers, TaskSpec, WorkerSteering
from scitq.domain.engine_log import EngineStarted
from scitq.domain.envelope import Answer
from scitq.domain.execution import ExecutionAssigned
from scitq.domain.messages import AgentHello, Heartbeat, HeldStatus, Reports, ToAgent, Told
from scitq.domain.state import State
from scitq.domain.wire import Erased, Event, Recorded
from scitq.domain.worker import Hello
from scitq.handlers.contacts import Contacts
from scitq.handlers.loading import needs, remember
from scitq.handlers.overlay import Instant, Loaded, Outcome, Overlay, Reply
from scitq.handlers.turn import Input, turn

SECOND = 1_000_000
MINUTE = 60 * SECOND
START = 1_800_000_000 * SECOND
FOREVER = 2**62
E = TypeVar("E")


class Server:
    """Give it inputs and time; look at its events, messages and replies."""

    def __init__(self) -> None:
        self.state = State()
        self.contacts = Contacts(0)
        self.steady = 0
        self.skew = 0
        self.log: list[Recorded] = []
        self.answers: dict[str, Answer] = {}
        self.outcome = Outcome()
        self._asked = 0
        self._numbers: dict[tuple[int, str], int] = {}

    # Turns ----------------------------------------------------------------------------------------------------

    @property
    def now(self) -> int:
        return START + self.steady + self.skew

    def turn(self, *inputs: Input) -> Outcome:
        outcome = turn(self.state, self.contacts, self.load(inputs), inputs, Instant(self.now, self.steady))
        return self.keep(outcome)

    def load(self, inputs: Sequence[Input]) -> Loaded:
        """What the load step finds in the log."""
        need = needs(self.state, inputs)
        loaded = Loaded(answers={id: self.answers[id] for id in need.ids if id in self.answers})
        streams = {tasks.stream(id) for id in need.streams}
        remember(loaded, (recorded for recorded in self.log if recorded.stream in streams), need, self.state)
        return loaded

    def keep(self, outcome: Outcome) -> Outcome:
        """Append what came out."""
        self.state.merge()
        self.outcome = outcome
        for one in outcome.events:
            assert not isinstance(one.event, Erased)
            name, schema = wire.name_of(one.event)
            self.log.append(one._replace(event=wire.decode(name, schema, wire.encode(one.event))))
        for erasure in outcome.erasures:
            erased = self.log[erasure.position - 1]
            assert not isinstance(erased.event, Erased)
            self.log[erasure.position - 1] = erased._replace(event=Erased(wire.name_of(erased.event)[0]))
        self.answers.update({answer.id: answer for answer in outcome.answers})
        return outcome

    def restart(self, *, from_snapshot: bool = False) -> None:
        """Another engine takes over, from nothing but the log, or from a snapshot of now."""
        self.state = snapshot.load(snapshot.dump(self.state)) if from_snapshot else State().fold(self.log)
        self.contacts = Contacts(self.steady)
        self.state.mark_all_dirty()
        self.state.begin()
        overlay = Overlay(self.state, self.contacts, Loaded(), Instant(self.now, self.steady))
        overlay.record(EngineStarted("engine", 1))
        self.keep(overlay.outcome)

    def passes(self, microseconds: int, *, but_heard: Sequence[int] = ()) -> list[Event]:
        """Time passes in steps of ten seconds; those of `but_heard` send heartbeats. All events that came of it."""
        came: list[Event] = []
        end = self.steady + microseconds
        while self.steady < end:
            self.steady = min(end, self.steady + 10 * SECOND)
            beats = [self.heartbeat_of(worker) for worker in but_heard]
            came += self.events(self.turn(*beats))
        return came

    # Users ----------------------------------------------------------------------------------------------------

    def request(self, command: Command, id: str = "", deadline: int = FOREVER) -> Request:
        self._asked += 1
        return Request(id or f"request-{self._asked}", "user:ada", deadline, command)

    def ask(self, command: Command, id: str = "", deadline: int = FOREVER) -> Reply:
        """A turn of its own for the command; its reply."""
        (reply,) = self.turn(self.request(command, id, deadline)).replies
        return reply

    def done(self, command: Command, id: str = "") -> dict[str, Any]:
        """The content of the answer; it must not be a refusal."""
        reply = self.ask(command, id)
        assert reply.answer is not None, reply.refusal
        content: dict[str, Any] = orjson.loads(reply.answer)
        return content

    def refused(self, command: Command, words: str) -> None:
        """It is refused in these words, and nothing becomes true."""
        before = len(self.log)
        reply = self.ask(command)
        assert reply.answer is None
        assert words in (reply.refusal or "")
        assert self.log[before:] == []

    def submit(self, *specs: TaskSpec) -> list[int]:
        created: list[int] = self.done(CreateTasks(specs or (TaskSpec("work"),)))["tasks"]
        return created

    def steer(self, task: int, do: Any) -> list[Event]:
        self.done(SteerTasks((task,), do))
        return self.events()

    def steer_worker(self, worker: int, do: WorkerSteering) -> list[Event]:
        self.done(SteerWorkers((worker,), do))
        return self.events()

    # Agents ---------------------------------------------------------------------------------------------------

    def hello(self, name: str = "w", incarnation: str = "", **proposed: Any) -> int:
        """An agent connects; the id of its worker."""
        self.turn(AgentHello(Hello(name, incarnation or f"{name}-spool", **proposed), "address"))
        return self.state.names[name]

    def reports(self, worker: int, *reports: Told) -> Reports:
        """The agent's next reports."""
        incarnation = self.state.workers[worker].incarnation
        first = self._numbers.get((worker, incarnation), 0) + 1
        self._numbers[worker, incarnation] = first + len(reports) - 1
        return Reports(worker, incarnation, first, 1, reports)

    def report(self, worker: int, *reports: Told) -> list[Event]:
        return self.events(self.turn(self.reports(worker, *reports)))

    def heartbeat_of(self, worker: int, held: dict[int, HeldStatus] | None = None) -> Heartbeat:
        """A heartbeat that holds what the log says, or something else."""
        known = self.state.workers[worker]
        mine: Any = {id: self.state.executions[id].status for id in self.state.active[worker]}
        return Heartbeat(worker, known.incarnation, mine if held is None else held, known.version)

    def beat(self, worker: int, held: dict[int, HeldStatus] | None = None) -> list[Event]:
        return self.events(self.turn(self.heartbeat_of(worker, held)))

    # What one sees --------------------------------------------------------------------------------------------

    def events(self, outcome: Outcome | None = None) -> list[Event]:
        found = []
        for recorded in (outcome or self.outcome).events:
            assert not isinstance(recorded.event, Erased)
            found.append(recorded.event)
        return found

    def all(self, kind: type[E]) -> list[E]:
        """Every event of that kind since the beginning."""
        return [recorded.event for recorded in self.log if isinstance(recorded.event, kind)]

    def said(self, worker: int) -> list[ToAgent]:
        """What the last turn said to a worker's agent."""
        return [to.message for to in self.outcome.messages if to.worker == worker]

    def status(self, task: int) -> str:
        """A task's status, as the log has it: an ended one may have been forgotten."""
        known: tasks.Task | None = None
        for recorded in self.log:
            if recorded.stream == tasks.stream(task) and isinstance(recorded.event, tasks.TaskEvent):
                known = tasks.evolve(known, recorded.event)
        assert known is not None
        return known.status

    def execution(self, task: int) -> int:
        """The task's latest execution."""
        return [event.execution for event in self.all(ExecutionAssigned) if event.task == task][-1]

    def worker(self, id: int) -> workers.Worker:
        return self.state.workers[id]


def started(server: Server, worker: int = 0, **properties: Any) -> tuple[int, int]:
    """A task that runs: its id and its execution's."""
    worker = worker or server.hello()
    (task,) = server.submit(TaskSpec("work", **properties))
    execution = server.execution(task)
    server.report(server.state.executions[execution].worker, ex.Accepted(execution), ex.Started(execution))
    assert server.status(task) == "running"
    return task, execution


def ended(server: Server, *, well: bool = True, **properties: Any) -> int:
    """A task that has ended, on a worker that exists for nothing else."""
    worker = server.hello("once", batches=("once",))
    (task,) = server.submit(TaskSpec("work", "once", **properties))
    end = ex.Succeeded if well else ex.Failed
    server.report(worker, ex.Started(server.execution(task)), end(server.execution(task)))
    return task
