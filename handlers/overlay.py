"""The overlay of a turn: decide commands, fold what becomes true, let the reactors answer, note what is to be said.

All of it can be taken back to a savepoint: an input or a reactor that raises loses its own changes, and is recorded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from scitq.domain import batch as batches
from scitq.domain import engine_log
from scitq.domain import execution as executions
from scitq.domain import task as tasks
from scitq.domain import worker as workers
from scitq.domain.envelope import Answer, Erasure, Mark
from scitq.domain.messages import Assign, Cancel, GiveBack, Obey, SendOutputs, Settings, Signal, ToAgent
from scitq.domain.state import Savepoint, State
from scitq.domain.task import Task
from scitq.domain.wire import Event, Recorded, encode
from scitq.errors import Rejected
from scitq.handlers import asking_back, leases, requirements, retry, timeouts
from scitq.handlers.actions import Action, AskBack, OnExecution, OnTask
from scitq.handlers.assign import assign
from scitq.handlers.contacts import Contacts

REACTORS: Final[dict[type[Any], tuple[Callable[[Any, State], Iterable[Action]], ...]]] = {
    executions.ExecutionRecovered: (asking_back.on_execution_recovered,),
    executions.ExecutionFailed: (retry.on_execution_failed, requirements.on_execution_failed),
    tasks.TaskDeleted: (requirements.on_task_deleted,),
    tasks.TaskEdited: (asking_back.on_task_changed,),
    tasks.TaskPaused: (asking_back.on_task_changed,),
    tasks.TaskRelaunched: (requirements.on_task_relaunched,),
    workers.WorkerLost: (leases.on_worker_lost,),
    workers.WorkerReincarnated: (leases.on_worker_reincarnated,),
    workers.WorkerDeleted: (leases.on_worker_deleted,),
    workers.WorkerPaused: (asking_back.on_worker_changed,),
    workers.WorkerEdited: (asking_back.on_worker_changed,),
    batches.BatchStopped: (asking_back.on_batch_stopped,),
}


class Instant(NamedTuple):
    """When a turn happens: by the calendar, for what is recorded, and by a clock that never jumps, for durations."""

    now: int
    steady: int
    jumps: tuple[tuple[int, int], ...] = ()  # when the calendar jumped ahead since this engine started, and how far
    calendar: int = 0  # as it is, while `now` never goes back behind the last event


@dataclass(slots=True)
class Loaded:
    """What the load step looked up for the inputs: forgotten tasks, texts that could be erased, known answers."""

    tasks: dict[int, Task] = field(default_factory=dict)
    erased: dict[int, None] = field(default_factory=dict)
    texts: dict[int, tuple[int, ...]] = field(default_factory=dict)
    answers: dict[str, Answer] = field(default_factory=dict)
    holders: dict[int, tuple[int, int]] = field(default_factory=dict)  # execution: whose it was, and of which task


class ToWorker(NamedTuple):
    """Something to say to an agent: by worker id, or before it has one by the address it called from."""

    worker: int
    incarnation: str
    message: ToAgent
    address: str = ""


class Reply(NamedTuple):
    """What the sender of a request is told: the answer that is kept with the append, or why not."""

    request: str
    answer: bytes | None
    refusal: str | None = None


@dataclass(slots=True)
class Outcome:
    """What a turn came to, in the order in which it did."""

    events: list[Recorded] = field(default_factory=list)
    payloads: list[bytes] = field(default_factory=list)
    answers: list[Answer] = field(default_factory=list)
    erasures: list[Erasure] = field(default_factory=list)
    messages: list[ToWorker] = field(default_factory=list)
    replies: list[Reply] = field(default_factory=list)

    def lists(self) -> tuple[list[Any], ...]:
        return self.events, self.payloads, self.answers, self.erasures, self.messages, self.replies


def settings_of(worker: workers.Worker) -> Settings:
    return Settings(worker.version, worker.concurrency, worker.prefetch, worker.paused)


class Stumbled(Exception):
    """Deciding raised: a bug of ours. Carries what it was, for the record."""


class Overlay:
    """The state as one turn changes it, and what came out so far."""

    def __init__(self, state: State, contacts: Contacts, loaded: Loaded, at: Instant) -> None:
        self.state, self.contacts, self.loaded = state, contacts, loaded
        self.at = at._replace(now=max(at.now, state.time), calendar=at.now)
        self.outcome = Outcome()
        self._actor = "engine"
        self._command: int | None = None  # position of a request's first event; None: not a request's
        self._mark: Mark | None = None

    # Deciding -------------------------------------------------------------------------------------------------

    def task(self, id: int) -> Task | None:
        return self.state.tasks.get(id) or self.state.just_ended.get(id) or self.loaded.tasks.get(id)

    def do(self, action: Action, cause: int = 0) -> int:
        """Decide one command and record what becomes true; the number of events. Rejected, when it cannot be."""
        state = self.state
        events: Sequence[Event]
        if isinstance(action, AskBack):
            self._ask_back(action)
            return 0
        if isinstance(action, OnTask):
            task = self.task(action.task)
            if task is None and not isinstance(action.command, tasks.CreateTask):
                gone = action.task in self.loaded.erased
                raise Rejected(f"task {action.task} was erased" if gone else f"there is no task {action.task}")
            events = tasks.decide(task, action.command)
        elif isinstance(action, OnExecution):
            execution = state.executions.get(action.execution)
            free = execution is not None and state.may_return(execution)
            events = executions.decide(execution, action.command, task_is_free=free)
        else:
            events = workers.decide(state.workers.get(action.worker), action.command)
        for event in events:
            self.record(event, cause)
        return len(events)

    def record(self, event: Event, cause: int = 0) -> None:
        """The event is a fact: fold it, say it to whom it concerns, let the reactors answer."""
        state = self.state
        stream, version = self._place(event)
        position = state.position + 1
        if self._command == 0:
            self._command = position
        recorded = Recorded(
            position, stream, version, self.at.now, self._actor, self._command or 0, cause, self._mark, event
        )
        self.outcome.payloads.append(encode(event))  # here, so that what cannot be encoded is the input's fault
        self._tell(event)
        state.apply(recorded)
        if isinstance(event, tasks.OwnEvent):
            self._remember(event, position)
        self.outcome.events.append(recorded)
        for reactor in REACTORS.get(type(event), ()):
            self._react(reactor, recorded)

    def _remember(self, event: tasks.OwnEvent, position: int) -> None:
        """Keep what was looked up, or ended in this turn, as it is now; and know of every text that could be erased."""
        for known in (self.loaded.tasks, self.state.just_ended):
            if event.task in known:
                self.state.put(known, event.task, tasks.evolve(known[event.task], event))
        if isinstance(event, tasks.TaskCreated | tasks.TaskEdited) and event.task in self.loaded.texts:
            self.state.put(self.loaded.texts, event.task, (*self.loaded.texts[event.task], position))

    def _place(self, event: Event) -> tuple[str, int]:
        """The stream of an event, and its version in it."""
        state = self.state
        if isinstance(event, tasks.TaskEvent):
            task = self.task(event.task)
            return tasks.stream(event.task), task.version + 1 if task is not None else 1
        if isinstance(event, workers.WorkerEvent):
            worker = state.workers.get(event.worker)
            return workers.stream(event.worker), worker.version + 1 if worker is not None else 1
        if isinstance(event, batches.BatchEvent):
            return batches.stream(event.batch), state.batch(event.batch).version + 1
        return engine_log.STREAM, state.engine_version + 1

    def _react(self, reactor: Callable[[Any, State], Iterable[Action]], recorded: Recorded) -> None:
        name = f"{reactor.__module__.rpartition('.')[2]}.{reactor.__name__}"
        self.guarded(name, recorded.stream, self._answer, reactor, recorded)

    def _answer(self, reactor: Callable[[Any, State], Iterable[Action]], recorded: Recorded) -> None:
        for action in reactor(recorded.event, self.state):
            self.do(action, recorded.position)

    # Failing safely -------------------------------------------------------------------------------------------

    def savepoint(self) -> tuple[Savepoint, tuple[int, ...], int | None]:
        out = self.outcome
        kept = tuple(len(list_) for list_ in out.lists())
        return self.state.savepoint(), kept, self._command

    def rollback(self, to: tuple[Savepoint, tuple[int, ...], int | None]) -> None:
        saved, kept, self._command = to
        self.state.rollback(saved)
        for list_, length in zip(self.outcome.lists(), kept, strict=True):
            del list_[length:]

    def whole(self, work: Callable[..., object], *args: Any) -> None:
        """Do all of `work` or nothing of it. Rejected passes; any other exception is a bug of ours: Stumbled."""
        before = self.savepoint()
        try:
            work(*args)
        except Rejected:
            self.rollback(before)
            raise
        except Exception as error:  # the outermost loop over inputs and reactors: who calls records it
            self.rollback(before)
            raise Stumbled(f"{type(error).__name__}: {error}"[:1000]) from error

    def guarded(self, reactor: str, subject: str, work: Callable[..., object], *args: Any) -> bool:
        """Let a reactor work on one object. That it stumbles is recorded once, and so is that it no longer does."""
        key = (reactor, subject)
        try:
            self.whole(work, *args)
        except (Rejected, Stumbled) as error:
            self.on_behalf("engine")
            if key not in self.state.failing:
                self.record(engine_log.ReactorFailed(reactor, subject, str(error)))
            return False
        if key in self.state.failing:
            self.record(engine_log.ReactorRecovered(reactor, subject))
        return True

    # Saying ---------------------------------------------------------------------------------------------------

    def say(self, worker: int, message: ToAgent) -> None:
        known = self.state.workers.get(worker)
        if known is not None:
            self.outcome.messages.append(ToWorker(worker, known.incarnation, message))

    def _tell(self, event: Event) -> None:
        """Tell the agent whom the event concerns. What it must not miss is found out again from its next heartbeat."""
        match event:
            case executions.ExecutionAssigned():
                self.say(event.worker, Assign(event.execution, event.task))
            case executions.ExecutionCancelled():
                self._tell_holder(event.execution, Cancel(event.execution))
            case executions.ExecutionStarted() if self.state.tasks[event.task].paused:
                self._tell_holder(event.execution, Signal(event.execution, "pause"))
            case executions.ExecutionExited():
                self._tell_holder(event.execution, SendOutputs(event.execution))
            case executions.ExecutionFailed() if self._mark is None:  # decided here: the agent does not know
                self._tell_holder(event.execution, Cancel(event.execution))
            case executions.ExecutionSignalled():
                self._tell_holder(event.execution, Signal(event.execution, event.signal))
            case executions.ExecutionRecovered(status="running"):
                holder = self.state.executions[event.execution].worker
                self.say(holder, Signal(event.execution, "pause" if self.state.tasks[event.task].paused else "resume"))
            case tasks.TaskPaused() | tasks.TaskResumed():
                task = self.state.tasks[event.task]
                if task.stage == "running":
                    word: Any = "pause" if isinstance(event, tasks.TaskPaused) else "resume"
                    self._tell_holder(task.execution, Signal(task.execution, word))
            case workers.WorkerEdited() | workers.WorkerPaused() | workers.WorkerResumed():
                worker = workers.evolve(self.state.workers[event.worker], event)
                assert worker is not None
                self.say(worker.id, settings_of(worker))
            case workers.WorkerDeleted():  # others begin what it holds: it hears of it before its next heartbeat
                for execution in self.state.active.get(event.worker, ()):
                    self.say(event.worker, Cancel(execution))
            case workers.WorkerOrdered():
                self.say(event.worker, Obey(self.state.workers[event.worker].version + 1, event.order))
            case _:
                pass

    def _tell_holder(self, execution: int, message: ToAgent) -> None:
        known = self.state.executions.get(execution)
        if known is not None and known.live:
            self.say(known.worker, message)

    def _ask_back(self, wanted: AskBack) -> None:
        if self.contacts.asks_for(wanted.execution, self.at.steady):
            self._tell_holder(wanted.execution, GiveBack(wanted.execution, wanted.reason))

    def _may_hold_ahead(self, worker: int) -> int:
        return self.contacts.may_hold_ahead(worker, self.at.steady)

    # The steps of a turn --------------------------------------------------------------------------------------

    def on_behalf(self, actor: str, command: int | None = None, mark: Mark | None = None) -> None:
        """Who causes what is recorded from here on."""
        self._actor, self._command, self._mark = actor, command, mark

    def watch(self) -> None:
        """What becomes true by time alone."""
        self.on_behalf("engine")
        for action in leases.watch(self.state, self.contacts, self.at.steady):
            self.guarded("leases.watch", workers.stream(action.worker), self.do, action)
        for late in timeouts.watch(self.state, self.at.now, self.at.jumps):
            stream = tasks.stream(self.state.executions[late.execution].task)
            if not self.guarded("timeouts.watch", stream, self.do, late):
                self.state.remind(late.execution, self.at.now + 60_000_000)
        for task in self.contacts.rests.ended(self.state, self.at.steady):
            self.state.dirty.add(task.batch)
        for id in self.contacts.unanswered(self.at.steady):
            asked = self.state.executions.get(id)
            if asked is not None and asked.waits:
                self.state.dirty.add(self.state.tasks[asked.task].batch)

    def settle(self) -> None:
        """Release what can be released, then give out what can be given out."""
        self.on_behalf("engine")
        for ready in requirements.release(self.state):
            self.guarded("requirements.release", tasks.stream(ready.task), self.do, ready)
        changed = set(self.state.dirty)
        stuck = self._assign()
        for wanted in asking_back.for_free_slots(self.state, changed, self._is_quick):
            self._ask_back(wanted)
        self.state.dirty.clear()
        for task in stuck:
            self.state.requeue(task)

    def _assign(self) -> list[Task]:
        """Give out what can be given out; those for which that went wrong."""
        changed = set(self.state.dirty)
        self.state.dirty.clear()
        stuck: list[Task] = []
        for task, worker in assign(self.state, changed, self._may_hold_ahead, self._has_rested):
            command = tasks.AssignTask(self.state.last_execution + 1, worker)
            if not self.guarded("assign", tasks.stream(task.id), self.do, OnTask(task.id, command)):
                stuck.append(task)
        return stuck

    def _has_rested(self, task: Task) -> bool:
        return self.contacts.rests.is_over(task, self.at.steady)

    def _is_quick(self, worker: int) -> bool:
        return self._may_hold_ahead(worker) > 0
