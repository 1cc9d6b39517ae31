"""Whatever comes in whatever order: random histories of the server, and what holds in all of them."""

from __future__ import annotations

from collections import Counter
from typing import Any

from hypothesis import given, settings

from scitq.domain import batch as batches
from scitq.domain import engine_log, snapshot
from scitq.domain import execution as ex
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
from scitq.domain.messages import AgentHello, Heartbeat, Reports
from scitq.domain.state import State
from scitq.domain.wire import Erased
from scitq.domain.worker import Hello
from scitq.handlers.turn import Input
from tests.unit.domain.given import Choices, choices
from tests.unit.handlers.server import MINUTE, SECOND, Server

BATCHES = ("Default", "b", "c")
NAMES = ("ash", "elm", "oak")
WAITS = (0, SECOND, 5 * SECOND, 31 * SECOND, 2 * MINUTE, 16 * MINUTE, 40 * MINUTE)


class Teller:
    """Draws what happens next. Agents number what they report, and say the same again under the same number."""

    def __init__(self, server: Server, drawn: Choices) -> None:
        self.server, self.drawn = server, drawn
        self.reported: dict[str, list[ex.Report]] = {}
        self.asked: list[Request] = []

    def input(self) -> Input:
        few = self.server.state.last_task < 9
        one: Input = self.drawn.of(
            (
                self.create if few else self.fresh_report,
                self.hello,
                self.fresh_report,
                self.fresh_report,
                self.reports,
                self.beat,
                self.steer,
                self.steer,
            )
        )()
        return one

    def create(self) -> Input:
        drawn = self.drawn
        return self.ask(CreateTasks(tuple(self.spec(number) for number in range(1 + drawn.number(3)))))

    def spec(self, number: int) -> TaskSpec:
        drawn, known = self.drawn, self.server.state.last_task
        requires: list[int] = []
        if number and drawn.number(2):
            requires.append(-1 - drawn.number(number))
        if known and drawn.number(3) == 1:
            requires += [1 + drawn.number(known), 1 + drawn.number(known)]
        shape = drawn.number(64)
        return TaskSpec(
            "work",
            BATCHES[shape % 3],
            priority=5 * (shape >> 2 & 1),
            retry=shape >> 3 & 1,
            requires=tuple(requires),
            download_timeout_s=60 if shape % 5 == 1 else None,
            run_timeout_s=20 if shape % 5 == 2 else None,
            paused=shape % 11 == 1,
        )

    def ask(self, command: Command) -> Request:
        if self.asked and self.drawn.number(16) == 15:
            before: Request = self.drawn.of(self.asked)
            return before
        self.asked.append(self.server.request(command))
        return self.asked[-1]

    def hello(self) -> Input:
        drawn = self.drawn
        name, shape = drawn.of(NAMES), drawn.number(64)
        spool = f"{name}-{1 if shape % 8 == 1 else 0}"
        return AgentHello(Hello(name, spool, shape % 4, shape >> 2 & 1, drawn.some(BATCHES) or ("Default",)))

    def task(self) -> int:
        return 1 + self.drawn.number(self.server.state.last_task + 1)

    def execution(self) -> int:
        return 1 + self.drawn.number(self.server.state.last_execution + 1)

    def agent(self) -> tuple[int, str]:
        known = sorted(self.server.state.workers)
        worker = self.drawn.of(known) if known else 1
        name = self.server.state.workers[worker].incarnation if known else "nobody"
        return worker, name if self.drawn.number(16) else f"{name.partition('-')[0]}-0"

    def fresh_report(self) -> Input:
        """A report about something that the worker has, most likely the next one in order."""
        worker, incarnation = self.agent()
        mine = sorted(self.server.state.active.get(worker, {}))
        about = self.drawn.of(mine) if mine and self.drawn.number(8) else self.execution()
        report = self.drawn.of(
            (
                ex.Started(about, 7),
                ex.Succeeded(about, 3, 4),
                ex.Failed(about, 1),
                ex.Accepted(about),
                ex.Refused(about, "no room"),
                ex.Refused(about, "no docker", unable=True),
                ex.Failed(about, None, "its inputs could not be fetched"),
            )
        )
        said = self.reported.setdefault(incarnation, [])
        said.append(report)
        first = len(said) - self.drawn.of((0, 0, 0, 1, 2))
        first = max(first, 1)
        return Reports(worker, incarnation, first, 1, tuple(said[first - 1 :]))

    def reports(self) -> Input:
        """Some of all that was reported: again, or without what came before."""
        worker, incarnation = self.agent()
        said = self.reported.setdefault(incarnation, [])
        first = 1 + self.drawn.number(len(said) + 1)
        return Reports(worker, incarnation, first, 1, tuple(said[first - 1 :]))

    def beat(self) -> Input:
        worker, incarnation = self.agent()
        state = self.server.state
        held: dict[int, Any] = {}
        for id in state.executions:
            say = self.drawn.number(8)
            if state.executions[id].worker == worker and say:
                held[id] = "ended" if say == 1 else "running" if say == 2 else state.executions[id].status
                if held[id] == "lost":
                    held[id] = self.drawn.of(("pending", "accepted", "running"))
        return Heartbeat(worker, incarnation, held)

    def steer(self) -> Input:
        drawn = self.drawn
        task, worker, batch = (self.task(),), (1 + drawn.number(4),), drawn.of(BATCHES)
        number = drawn.number(3)
        return self.ask(
            drawn.of(
                (
                    SteerTasks(task, tasks.PauseTask()),
                    SteerTasks(task, tasks.ResumeTask()),
                    SteerTasks((*task, self.task()), tasks.RelaunchTask()),
                    SteerTasks(task, tasks.ReleaseTask()),
                    SteerTasks(task, tasks.DeleteTask()),
                    SteerTasks(task, tasks.EditTask({"command": "other", "batch": batch}, relaunch=bool(number))),
                    SteerTasks(task, tasks.EditTask({"priority": number, "retry": number, "batch": batch})),
                    RequireTasks(task[0], (self.task(), self.task())[: number + 1]),
                    RequireTasks(task[0], ()),
                    SteerWorkers(worker, workers.PauseWorker()),
                    SteerWorkers(worker, workers.ResumeWorker()),
                    SteerWorkers(worker, workers.EditWorker({"concurrency": number, "prefetch": number})),
                    SteerWorkers(worker, workers.EditWorker({"batches": drawn.some(BATCHES) or ("b",)})),
                    SteerWorkers(worker, workers.DeleteWorker()),
                    SteerBatch(batch, batches.StopBatch(9 * (number == 1))),
                    SteerBatch(batch, batches.StartBatch()),
                    SignalExecutions((self.execution(),), 15),
                    EraseTask(task[0], "asked to"),
                    EraseTask(task[0], "asked to"),
                )
            )
        )


def told(server: Server, drawn: Choices) -> None:
    """A random story; what must hold at every moment is looked at after every turn."""
    teller = Teller(server, drawn)
    follower = State()
    while drawn.left:
        before = len(server.log)
        choice = drawn.number(32)
        if choice == 31:
            from_snapshot = drawn.number(2) == 1
            server.restart(from_snapshot=from_snapshot)
            if not from_snapshot:
                follower = State().fold(server.log[:before])  # what was erased meanwhile, neither has seen
        elif choice >= 28:
            server.steady += drawn.of(WAITS)
            server.turn()
        elif choice == 27:
            server.skew += (drawn.number(9) - 4) * 10 * SECOND
        else:
            inputs = [teller.input() for _ in range(1 + choice % 3)]
            server.turn(*inputs)
            follower.fold(server.log[before:])
            before = len(server.log)
            nothing_comes_of_it_again(server, inputs)
        follower.fold(server.log[before:])
        assert server.state.facts() == follower.facts()
        what_is_derived_agrees(server.state)
        no_work_is_left_lying(server.state)
    rebuilt = State().fold(server.log)
    assert server.state.facts() == rebuilt.facts()
    assert snapshot.load(snapshot.dump(server.state)).facts() == server.state.facts()


def nothing_comes_of_it_again(server: Server, inputs: list[Input]) -> None:
    """Reports, and requests that were answered, change nothing when they come again.

    (A report before its agent's hello is not taken, so that it may come again: such turns are left out.)
    """
    if any(isinstance(one, AgentHello) for one in inputs):
        return
    again = [
        one for one in inputs if isinstance(one, Reports) or (isinstance(one, Request) and one.id in server.answers)
    ]
    first = {reply.request: reply.answer for reply in server.outcome.replies if reply.answer is not None}
    outcome = server.turn(*again)
    assert outcome.events == [] and outcome.answers == [] and outcome.erasures == []
    assert {reply.request: reply.answer for reply in outcome.replies} == first


def what_is_derived_agrees(state: State) -> None:
    """The indexes are what one finds by looking at the objects."""
    live = [execution for execution in state.executions.values() if execution.live]
    assert {(e.worker, e.id, e.task) for e in live} == {
        (worker, id, task) for worker, held in state.active.items() for id, task in held.items()
    }
    assert all(count == 1 for count in Counter(e.task for e in live).values()), "two current executions of a task"
    for execution in state.executions.values():
        task = state.tasks[execution.task]
        assert task.execution == execution.id
        assert task.live == execution.live
    waits = [(task.id, other) for task in state.tasks.values() for other in set(task.waits_for)]
    assert state.needed == Counter(other for _, other in waits)
    assert set(state.unmet) == {task for task, _ in waits}
    for task in state.tasks.values():
        if task.stage == "waiting":
            assert task.waits_for and set(task.blocked_by) <= set(task.waits_for)
            assert state.unmet[task.id] > 0, "its requirements have succeeded and it still waits"
        else:
            assert task.waits_for == ()
        assert not task.over, "it is over, but it is remembered"
    assert state.names == {worker.name: worker.id for worker in state.workers.values()}
    serving = {(name, worker.id) for worker in state.workers.values() for name in worker.batches}
    assert {(name, worker) for name, them in state.serving.items() for worker in them} == serving


def no_work_is_left_lying(state: State) -> None:
    """After a turn no ready task has a worker with room for it, and none has more than it may."""
    for worker in state.workers.values():
        if len(state.active[worker.id]) < worker.capacity:
            for name in worker.batches:
                for_it = [task for task in state.queue(name) if worker.id not in task.unable]
                assert state.batch(name).stopped or not for_it, f"worker {worker.id} could run {name}"


def what_the_log_says_holds(server: Server) -> None:
    """Read with a bookkeeping of its own, so that a mistake of the fold cannot hide itself."""
    versions: Counter[str] = Counter()
    current: dict[int, int] = {}
    left: dict[int, int] = {}
    requires: dict[int, set[int]] = {}
    succeeded: set[int] = set()
    last_time = 0
    erased = {recorded.stream for recorded in server.log if isinstance(recorded.event, Erased)}
    for position, recorded in enumerate(server.log, 1):
        event = recorded.event
        versions[recorded.stream] += 1
        assert (recorded.position, recorded.version) == (position, versions[recorded.stream])
        assert recorded.time >= last_time and recorded.cause < position and recorded.command <= position
        last_time = recorded.time
        match event:
            case tasks.TaskCreated() | tasks.TaskRequirementsChanged():
                requires[event.task] = set(event.waits_for)
            case tasks.TaskReleased(by_hand=True) | tasks.TaskRelaunched():
                requires[event.task] = set()
            case ex.ExecutionSucceeded():
                succeeded.add(event.task)
            case ex.ExecutionAssigned():
                assert requires.get(event.task, set()) <= succeeded, "it is assigned before what it requires succeeded"
            case _:
                pass
        match event:
            case engine_log.CommandFailed() | engine_log.ReportFailed() | engine_log.ReactorFailed():
                raise AssertionError(f"the engine stumbled: {event}")
            case tasks.TaskCreated() | tasks.TaskRelaunched():
                assert event.task not in current, "what is current was not cancelled first"
                left[event.task] = event.retry
            case tasks.TaskEdited():
                left[event.task] = event.changes.get("retry", left.get(event.task, 0))
            case tasks.TaskRetried():
                left[event.task] = left.get(event.task, event.retry + 1) - 1
                assert event.retry == left[event.task] or recorded.stream in erased
            case tasks.TaskDeleted():
                assert event.task not in current, "what is current was not cancelled first"
            case ex.ExecutionAssigned() | ex.ExecutionRecovered():
                assert event.task not in current, "two current executions of a task"
                current[event.task] = event.execution
            case ex.ExecutionAccepted() | ex.ExecutionStarted() | ex.ExecutionSignalled():
                assert current[event.task] == event.execution
            case (
                ex.ExecutionSucceeded()
                | ex.ExecutionFailed()
                | ex.ExecutionCancelled()
                | ex.ExecutionRefused()
                | ex.ExecutionLost()
            ):
                assert current.pop(event.task) == event.execution
            case _:
                pass


@settings(max_examples=1_000, deadline=None)
@given(choices(300, 900))
def test_in_any_story_the_state_is_the_fold_of_the_log_and_its_promises_hold(drawn: Choices) -> None:
    server = Server()
    told(server, drawn)
    what_the_log_says_holds(server)
