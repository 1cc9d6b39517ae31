"""The engine around the turn: load, append, and only then say."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import orjson
import pytest

from scitq.domain import batch as batches
from scitq.domain import execution as ex
from scitq.domain import task as tasks
from scitq.domain import wire
from scitq.domain.commands import (
    Command,
    CreateTasks,
    EraseTask,
    Request,
    RequireTasks,
    SteerBatch,
    SteerTasks,
    TaskSpec,
)
from scitq.domain.engine_log import EngineStarted
from scitq.domain.envelope import Answer, Append, Envelope, Lease, read_header
from scitq.domain.messages import AgentHello, Applied, Assign, Reports
from scitq.domain.snapshot import FINGERPRINT
from scitq.domain.state import State
from scitq.domain.worker import Hello, WorkerWentOffline
from scitq.errors import LeaseLost, OutcomeUnknown, StoreUnavailable
from scitq.handlers import texts as known_texts
from scitq.handlers.engine import Engine
from scitq.handlers.overlay import Reply
from scitq.handlers.ports import Delivery, Post
from scitq.handlers.turn import Input
from scitq.store.chain import verify
from tests.simulation.memory_journal import MemoryJournal
from tests.unit.handlers.server import FOREVER, MINUTE, SECOND, START


class Clock:
    """Time passes only when somebody sleeps, or a test says so."""

    def __init__(self) -> None:
        self.time = 0
        self.ahead = 0

    def now(self) -> int:
        return START + self.time + self.ahead

    def steady(self) -> int:
        return self.time

    async def sleep(self, seconds: float) -> None:
        self.time += int(seconds * SECOND)


class Store:
    """The journal in memory, asked as a store is; `faults` are raised, one for each append."""

    def __init__(self, journal: MemoryJournal, diary: list[str]) -> None:
        self.journal, self.diary = journal, diary
        self.appends: list[Append] = []
        self.reads: list[int] = []
        self.streams_read: list[list[str]] = []
        self.on_append: Callable[[], object] = lambda: None
        self.before: list[Exception] = []
        self.after: list[Exception] = []

    async def acquire(self, holder: str, ttl_s: float) -> Lease | None:
        return self.journal.acquire(holder, ttl_s)

    async def renew(self, epoch: int) -> None:
        self.diary.append("renew")
        self.journal.renew(epoch)

    async def append(self, append: Append) -> None:
        self.appends.append(append)
        if self.before:
            raise self.before.pop(0)
        self.journal.append(append)
        self.diary.append("append")
        self.on_append()
        if self.after:
            raise self.after.pop(0)

    async def read(self, after: int, limit: int) -> list[Envelope]:
        self.reads.append(after)
        return self.journal.read(after, limit)

    async def read_streams(self, streams: Sequence[str], types: Sequence[str] | None = None) -> list[Envelope]:
        self.streams_read.append(list(streams))
        return self.journal.read_streams(streams, types)

    async def answers(self, ids: Sequence[str]) -> dict[str, Answer]:
        return self.journal.answers(ids)

    async def save_snapshot(self, position: int, fingerprint: str, data: bytes) -> None:
        self.journal.save_snapshot(position, fingerprint, data)

    async def load_snapshot(self, fingerprint: str) -> tuple[int, bytes] | None:
        return self.journal.load_snapshot(fingerprint)


class Ended(Exception):
    """There is nothing left to take."""


class Wire:
    """A bus that hands out what it was given, and keeps what it was told."""

    def __init__(self, clock: Clock, diary: list[str]) -> None:
        self.clock, self.diary = clock, diary
        self.waiting: list[list[Delivery]] = []
        self.on_take: Callable[[], object] = lambda: None
        self.published: list[Envelope] = []
        self.posts: list[Post] = []
        self.replies: list[Reply] = []
        self.finished: list[int] = []

    async def subscribe(self, epoch: int) -> None:
        self.diary.append("subscribe")

    async def take(self, most: int, wait_s: float) -> list[Delivery]:
        if not self.waiting:
            raise Ended
        self.clock.time += int(wait_s * SECOND)
        self.on_take()
        return self.waiting.pop(0)

    async def done(self, deliveries: Sequence[Delivery]) -> None:
        self.diary.append("done")
        self.finished += [delivery.token for delivery in deliveries]

    async def publish(self, events: Sequence[Envelope]) -> None:
        self.diary.append("publish")
        self.published += events

    async def tell(self, posts: Sequence[Post]) -> None:
        self.diary.append("tell")
        self.posts = list(posts)

    async def reply(self, replies: Sequence[Reply]) -> None:
        self.diary.append("reply")
        self.replies = list(replies)


class Leading:
    """An engine that leads, and the world as it sees it."""

    def __init__(self, journal: MemoryJournal | None = None, clock: Clock | None = None, holder: str = "one") -> None:
        self.clock = clock or Clock()
        self.journal = journal or MemoryJournal(self.clock.now)
        self.diary: list[str] = []
        self.store = Store(self.journal, self.diary)
        self.bus = Wire(self.clock, self.diary)
        self.engine = Engine(self.store, self.bus, self.clock, holder)
        self._holder = holder
        self._asked = 0
        self._token = 0

    def run(self, step: Callable[[], Awaitable[Any]]) -> None:
        async def one() -> None:
            await step()

        asyncio.run(one())

    def start(self) -> Leading:
        """Take the lease, and take over."""
        with pytest.raises(Ended):
            self.run(self.engine.run)
        return self

    def lead(self, *turns: Sequence[Input]) -> None:
        """The engine leads for that many turns (beginning anew, as after a take-over)."""
        self.bus.waiting = [[self._delivery(one) for one in inputs] for inputs in turns]
        with pytest.raises(Ended):
            self.run(self.engine.lead)

    def turn(self, *inputs: Input) -> None:
        self.diary.clear()
        deliveries = [self._delivery(one) for one in inputs]
        self.run(lambda: self.engine.turn(deliveries))

    def _delivery(self, input_: Input) -> Delivery:
        self._token += 1
        return Delivery(input_, self._token)

    def request(self, command: Command, id: str = "") -> Request:
        self._asked += 1
        return Request(id or f"{self._holder}-request-{self._asked}", "user:ada", FOREVER, command)

    def ask(self, command: Command, id: str = "") -> Reply:
        self.turn(self.request(command, id))
        (reply,) = self.bus.replies
        return reply

    def done(self, command: Command) -> dict[str, Any]:
        reply = self.ask(command)
        assert reply.answer is not None, reply.refusal
        content: dict[str, Any] = orjson.loads(reply.answer)
        return content

    def run_once(self, **properties: Any) -> int:
        """A task that has succeeded and is forgotten."""
        (task,) = self.done(CreateTasks((TaskSpec("secret", **properties),)))["tasks"]
        if not self.engine.state.workers:
            self.turn(AgentHello(Hello("w", "spool")))
        execution = self.engine.state.last_execution
        mark = self.engine.state.marks.get(1)
        first = mark.sequence + 1 if mark else 1
        self.turn(Reports(1, "spool", first, 1, (ex.Started(execution), ex.Succeeded(execution))))
        assert task not in self.engine.state.tasks
        return int(task)

    @property
    def events(self) -> list[Any]:
        return [wire.recorded(envelope).event for envelope in self.journal.log]


@pytest.fixture
def leading() -> Leading:
    return Leading().start()


# Say only what is appended ------------------------------------------------------------------------------------


def test_nothing_is_said_before_it_is_appended(leading: Leading) -> None:
    leading.turn(AgentHello(Hello("w", "spool")), leading.request(CreateTasks((TaskSpec("a"),))))
    assert leading.diary == ["append", "publish", "tell", "reply", "done"]


def test_an_engine_listens_only_after_it_has_recorded_that_it_leads(leading: Leading) -> None:
    assert leading.events == [EngineStarted("one", 1)]
    assert leading.diary == ["append", "publish", "subscribe"]


def test_a_turn_that_only_says_something_passes_the_store_too(leading: Leading) -> None:
    leading.turn(AgentHello(Hello("w", "spool")))
    leading.turn(Reports(1, "spool", 1, 1, ()))
    assert leading.diary == ["append", "tell", "done"]
    assert leading.store.appends[-1].events == []


def test_a_deposed_engine_says_nothing(leading: Leading) -> None:
    leading.turn(AgentHello(Hello("w", "spool")))
    leading.clock.time += MINUTE
    leading.journal.acquire("two", 4.0)
    for input_ in (leading.request(CreateTasks((TaskSpec("a"),))), Reports(1, "spool", 1, 1, ())):
        with pytest.raises(LeaseLost):
            leading.turn(input_)
        assert leading.diary == []


def test_an_idle_engine_renews_its_lease_and_so_notices_that_it_was_deposed(leading: Leading) -> None:
    leading.clock.time += SECOND
    leading.turn()
    assert leading.diary == ["renew"]
    leading.turn()
    assert leading.diary == [], "not at every turn"
    leading.clock.time += MINUTE
    leading.journal.acquire("two", 4.0)
    with pytest.raises(LeaseLost):
        leading.turn()


def test_an_append_of_unknown_outcome_is_sent_again_with_the_same_bytes(leading: Leading) -> None:
    leading.store.after = [OutcomeUnknown("the answer was lost"), OutcomeUnknown("again")]
    before = len(leading.store.appends)
    leading.done(CreateTasks((TaskSpec("a"),)))
    first, second, third = leading.store.appends[before:]
    assert first == second == third
    assert [type(event) for event in leading.events] == [EngineStarted, tasks.TaskCreated]
    assert leading.diary[-4:] == ["append", "publish", "reply", "done"]


def test_a_store_that_is_away_is_a_pause_and_the_pauses_grow(leading: Leading) -> None:
    leading.store.before = [StoreUnavailable("no way")] * 4
    before = leading.clock.time
    leading.done(CreateTasks((TaskSpec("a"),)))
    assert leading.clock.time - before == (0.1 + 0.2 + 0.4 + 0.8) * SECOND
    assert leading.diary == ["append", "publish", "reply", "done"]


def test_a_lease_lost_while_the_outcome_was_unknown_ends_the_engine(leading: Leading) -> None:
    leading.store.after = [OutcomeUnknown("the answer was lost")]

    def somebody_takes_over() -> None:
        leading.clock.time += MINUTE
        leading.journal.acquire("two", 4.0)

    leading.store.on_append = somebody_takes_over
    with pytest.raises(LeaseLost):
        leading.done(CreateTasks((TaskSpec("a"),)))
    assert "reply" not in leading.diary and "publish" not in leading.diary


def test_all_deliveries_are_done_with_after_their_turn(leading: Leading) -> None:
    leading.turn(leading.request(CreateTasks((TaskSpec("a"),))), leading.request(CreateTasks((TaskSpec("b"),))))
    assert leading.bus.finished == [1, 2]


def test_what_is_stored_is_a_chain_in_the_engines_own_words(leading: Leading) -> None:
    leading.run_once()
    verify(leading.journal.log)
    assert leading.bus.published == leading.journal.log
    header = read_header(leading.journal.log[-1].header)
    assert header.epoch == 1 and header.actor == "worker:1"
    assert header.mark is not None and header.mark.sequence == 2


# The load step ------------------------------------------------------------------------------------------------


def test_a_forgotten_task_is_found_again(leading: Leading) -> None:
    task = leading.run_once()
    assert leading.done(SteerTasks((task,), tasks.RelaunchTask()))["tasks"] == [task]
    relaunched = next(event for event in leading.events if isinstance(event, tasks.TaskRelaunched))
    assert relaunched.version == 5 and leading.engine.state.tasks[task].stage == "assigned"


def test_a_forgotten_task_can_be_required(leading: Leading) -> None:
    required = leading.run_once()
    (task,) = leading.done(CreateTasks((TaskSpec("b", "elsewhere", requires=(required,)),)))["tasks"]
    assert leading.engine.state.tasks[task].stage == "pending"
    leading.done(RequireTasks(task, (required,)))
    assert leading.ask(RequireTasks(task, (99,))).answer is None


def test_what_is_in_memory_is_not_looked_up(leading: Leading) -> None:
    (task,) = leading.done(CreateTasks((TaskSpec("a"),)))["tasks"]
    leading.store.streams_read.clear()
    leading.done(SteerTasks((task,), tasks.PauseTask()))
    assert leading.store.streams_read == []


def test_all_forgotten_tasks_of_a_turn_are_looked_up_with_one_question(leading: Leading) -> None:
    some = tuple(leading.run_once() for _ in range(3))
    leading.store.streams_read.clear()
    leading.done(SteerTasks(some, tasks.DeleteTask()))
    assert leading.store.streams_read == [[f"task-{id}" for id in some]]


def test_a_request_answered_by_an_engine_before_gets_the_same_answer(leading: Leading) -> None:
    first = leading.ask(CreateTasks((TaskSpec("a"),)), "request-a")
    leading.clock.time += MINUTE
    second = Leading(leading.journal, leading.clock, "two").start()
    assert second.ask(CreateTasks((TaskSpec("a"),)), "request-a") == first
    assert sum(isinstance(event, tasks.TaskCreated) for event in second.events) == 1


# Texts --------------------------------------------------------------------------------------------------------


def assigned_texts(leading: Leading) -> dict[str, Any]:
    (texts,) = [m.texts for post in leading.bus.posts for m in post.messages if isinstance(m, Assign)]
    assert texts is not None
    return dict(texts)


def test_a_task_assigned_in_the_turn_that_created_it_goes_out_with_its_texts(leading: Leading) -> None:
    leading.turn(AgentHello(Hello("w", "spool")))
    leading.done(CreateTasks((TaskSpec("echo hello", container="alpine", run_timeout_s=60),)))
    texts = assigned_texts(leading)
    assert (texts["command"], texts["container"], texts["run_timeout_s"]) == ("echo hello", "alpine", 60)
    assert leading.store.streams_read == [], "they were at hand"


def test_a_task_assigned_later_goes_out_with_its_texts_as_they_were_edited(leading: Leading) -> None:
    (task,) = leading.done(CreateTasks((TaskSpec("echo hello", container="alpine"),)))["tasks"]
    leading.done(SteerTasks((task,), tasks.EditTask({"command": "echo edited", "priority": 3})))
    leading.done(SteerTasks((task,), tasks.EditTask({"container": None})))
    leading.turn(AgentHello(Hello("w", "spool")))
    texts = assigned_texts(leading)
    assert (texts["command"], texts["container"]) == ("echo edited", None)
    assert "priority" not in texts


def test_where_many_wait_their_texts_are_read_together(leading: Leading) -> None:
    specs = tuple(TaskSpec(f"echo {number}") for number in range(100))
    leading.done(CreateTasks(specs))
    successor = Leading(leading.journal, leading.clock, "two")
    leading.journal.release(1)
    successor.start()
    successor.turn(AgentHello(Hello("w", "spool")))
    said: list[Any] = [m for post in successor.bus.posts for m in post.messages if isinstance(m, Assign)]
    for number in range(100):
        execution = said[number].execution
        successor.turn(Reports(1, "spool", 2 * number + 1, 1, (ex.Started(execution), ex.Succeeded(execution))))
        said += [m for post in successor.bus.posts for m in post.messages if isinstance(m, Assign)]
    assert [one.texts["command"] for one in said] == [spec.command for spec in specs]
    assert len(successor.store.streams_read) < 5


def test_few_texts_are_kept_and_those_of_the_newest(leading: Leading, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(known_texts, "MOST_CHARS", 50)
    leading.done(CreateTasks(tuple(TaskSpec(f"echo {number:010}") for number in range(20))))
    for number in range(20):
        leading.turn(AgentHello(Hello(f"w{number}", f"spool-{number}")))
        assert assigned_texts(leading)["command"] == f"echo {number:010}"
        assert leading.engine._texts._chars <= 50 + 20 * known_texts.SOON


def test_an_edit_in_the_very_turn_of_the_assignment_counts(leading: Leading) -> None:
    leading.turn(AgentHello(Hello("w", "spool")))
    create = leading.request(CreateTasks((TaskSpec("echo hello"),)))
    leading.turn(create, leading.request(SteerTasks((1,), tasks.EditTask({"command": "echo edited"}))))
    assert assigned_texts(leading)["command"] == "echo edited"
    edit = tasks.EditTask({"command": "echo again"}, relaunch=True)
    leading.done(SteerTasks((1,), edit))
    assert assigned_texts(leading)["command"] == "echo again"


def test_each_agent_gets_one_post_a_turn_with_the_epoch(leading: Leading) -> None:
    leading.turn(
        AgentHello(Hello("a", "spool-a"), "at-a"),
        AgentHello(Hello("b", "spool-b"), "at-b"),
        leading.request(CreateTasks((TaskSpec("x"), TaskSpec("y")))),
    )
    assert {(post.worker, post.address) for post in leading.bus.posts} >= {(1, "at-a"), (2, "at-b")}
    assert {post.epoch for post in leading.bus.posts} == {1}
    leading.turn(Reports(1, "spool-a", 1, 1, (ex.Succeeded(1), ex.Succeeded(77))))
    assert [(post.worker, post.messages) for post in leading.bus.posts] == [(1, [Applied(2)])]


# Erasure ------------------------------------------------------------------------------------------------------


def test_an_erasure_empties_the_texts_and_the_chain_still_holds(leading: Leading) -> None:
    task = leading.run_once(name="private")
    leading.done(SteerTasks((task,), tasks.EditTask({"name": "also private"})))
    erased = leading.done(EraseTask(task, "asked to"))["erased"]
    emptied = [envelope for envelope in leading.journal.log if envelope.payload is None]
    assert [envelope.position for envelope in emptied] == erased
    assert {envelope.type for envelope in emptied} == {"task-created", "task-edited"}
    verify(leading.journal.log)
    assert not any(b"private" in (envelope.payload or b"") for envelope in leading.journal.log)


def test_what_was_erased_is_gone_for_later_requests(leading: Leading) -> None:
    task = leading.run_once()
    leading.done(EraseTask(task, "asked to"))
    for command in (EraseTask(task, "again"), SteerTasks((task,), tasks.RelaunchTask())):
        assert "was erased" in (leading.ask(command).refusal or "")
    assert leading.ask(CreateTasks((TaskSpec("b", requires=(task,)),))).answer is None


def test_a_task_created_after_an_erasure_gets_a_new_id_also_from_an_engine_that_never_saw_the_old_one(
    leading: Leading,
) -> None:
    task = leading.run_once()
    leading.done(EraseTask(task, "asked to"))
    leading.clock.time += MINUTE
    second = Leading(leading.journal, leading.clock, "two").start()
    assert second.done(CreateTasks((TaskSpec("b"),)))["tasks"] == [task + 1]


# Following and taking over ------------------------------------------------------------------------------------


def test_the_next_engine_stands_where_the_one_before_stood(leading: Leading) -> None:
    leading.run_once()
    leading.done(SteerBatch("b", batches.StopBatch()))
    leading.clock.time += MINUTE
    second = Leading(leading.journal, leading.clock, "two").start()
    assert second.engine.lease is not None and second.engine.lease.epoch == 2
    assert second.events[-1] == EngineStarted("two", 2)
    assert second.engine.state.facts() == State().fold(wire.recorded(e) for e in leading.journal.log).facts()
    second.done(CreateTasks((TaskSpec("a"),)))
    verify(leading.journal.log)


def test_an_engine_waits_behind_the_one_that_leads(leading: Leading) -> None:
    second = Leading(leading.journal, leading.clock, "two")
    before = leading.clock.time
    second.start()
    assert leading.clock.time - before > 3 * SECOND, "the lease had to run out"


def test_a_follower_writes_a_snapshot_and_the_next_engine_starts_from_it(leading: Leading) -> None:
    leading.done(CreateTasks(tuple(TaskSpec("a") for _ in range(20))))
    follower = Leading(leading.journal, leading.clock, "two")
    follower.engine = Engine(follower.store, follower.bus, follower.clock, "two", snapshot_every=10)
    follower.start()
    found = leading.journal.load_snapshot(FINGERPRINT)
    assert found is not None and found[0] == 21
    leading.clock.time += MINUTE
    third = Leading(leading.journal, leading.clock, "three")
    third.start()
    assert third.store.reads[0] == 21, "the log before the snapshot was not read"
    assert third.engine.state.facts() == State().fold(wire.recorded(e) for e in leading.journal.log).facts()


def test_a_snapshot_that_cannot_be_read_is_as_if_there_were_none(leading: Leading) -> None:
    leading.done(CreateTasks((TaskSpec("a"),)))
    leading.journal.save_snapshot(2, FINGERPRINT, b'{"counters": []}')
    leading.clock.time += MINUTE
    second = Leading(leading.journal, leading.clock, "two").start()
    assert list(second.engine.state.tasks) == [1]


def test_after_a_jump_of_the_calendar_nobody_is_called_silent_or_late(leading: Leading) -> None:
    leading.turn(AgentHello(Hello("w", "spool")))
    leading.done(CreateTasks((TaskSpec("a", run_timeout_s=60),)))
    leading.turn(Reports(1, "spool", 1, 1, (ex.Started(1),)))
    heartbeat = Reports(1, "spool", 2, 1, ())

    def jump() -> None:
        leading.clock.ahead += 60 * MINUTE

    leading.bus.on_take = jump
    leading.lead([heartbeat], [heartbeat])
    assert not any(isinstance(event, ex.ExecutionFailed | WorkerWentOffline) for event in leading.events)


def test_after_a_stop_of_the_engine_itself_nobody_is_called_silent(leading: Leading) -> None:
    leading.turn(AgentHello(Hello("w", "spool")))

    def stop() -> None:
        leading.clock.time += 40 * SECOND

    leading.bus.on_take = stop
    leading.lead([], [], [])
    assert not any(isinstance(event, WorkerWentOffline) for event in leading.events)
