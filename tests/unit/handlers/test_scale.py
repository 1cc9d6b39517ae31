"""What a turn costs does not grow with how many tasks wait, and a waiting task costs little memory."""

from __future__ import annotations

import sys
import time
import tracemalloc
from collections.abc import Callable
from types import FrameType

import psutil

from scitq.domain import execution as ex
from scitq.domain import wire
from scitq.domain.messages import AgentHello, Reports
from scitq.domain.snapshot import dump, load
from scitq.domain.state import State
from scitq.domain.task import TaskCreated, stream
from scitq.domain.wire import Recorded, encode
from scitq.domain.worker import Hello
from scitq.handlers.contacts import Contacts
from scitq.handlers.overlay import Instant, Loaded
from scitq.handlers.turn import Input, turn

MANY, FEW = 50_000, 1_000
TURNS, SLOTS = 100, 4
START = 1_800_000_000_000_000


def waiting(count: int, batches: int = 1) -> State:
    """As many tasks, none of which has been given out."""
    state = State()
    for id in range(1, count + 1):
        event = TaskCreated(id, f"true {id}", "Default" if batches == 1 else f"batch-{id % batches}")
        state.apply(Recorded(id, stream(id), 1, START + id, "user:ada", 1, 0, None, event))
    return state


class Engine:
    """Turn after turn, without a store."""

    def __init__(self, state: State) -> None:
        self.state, self.contacts, self._steady = state, Contacts(0), 0
        self.reported = 0
        self.turn(AgentHello(Hello("w", "spool", SLOTS), "address"))

    def turn(self, *inputs: Input) -> None:
        self._steady += 1_000
        turn(self.state, self.contacts, Loaded(), inputs, Instant(START + self._steady, self._steady))
        self.state.merge()

    def end_all_held(self) -> None:
        """The worker has done what it holds; it is given the next ones."""
        told = [ex.Succeeded(execution) for execution in self.state.active[1]]
        self.turn(Reports(1, "spool", self.reported + 1, 1, tuple(told)))
        self.reported += len(told)


def ms_a_turn(state: State) -> float:
    """CPU; the quickest of three series, which nobody disturbed."""
    engine, spent = Engine(state), []
    for _ in range(3):
        begin = time.process_time()
        for _ in range(TURNS):
            engine.end_all_held()
        spent.append(1e3 * (time.process_time() - begin) / TURNS)
    assert engine.reported >= 3 * TURNS * SLOTS // 2
    return min(spent)


def test_a_turn_costs_no_more_with_many_tasks_waiting() -> None:
    few, many = ms_a_turn(waiting(FEW + 3 * TURNS * 70)), ms_a_turn(waiting(MANY + 3 * TURNS * 70))
    assert many < 3 * few + 0.5, f"{many:.2f} ms a turn with {MANY} more waiting, {few:.2f} ms with {FEW}"


def test_tasks_in_many_batches_are_taken_in_as_fast_as_in_one() -> None:
    begin = time.process_time()
    waiting(MANY)
    one = time.process_time() - begin
    begin = time.process_time()
    waiting(MANY, batches=1_000)
    assert time.process_time() - begin < 3 * one + 0.5


def calls(work: Callable[[], object]) -> int:
    """What it costs, where nothing else on the machine counts: the functions that it calls, ours and Python's."""
    count = 0

    def called(frame: FrameType, event: str, arg: object) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    before = sys.getprofile()
    sys.setprofile(called)
    try:
        work()
    finally:
        sys.setprofile(before)
    return count


def test_to_read_a_snapshot_is_less_work_than_to_fold_the_log() -> None:
    tasks = MANY // 10
    payloads = [encode(TaskCreated(id, f"true {id}")) for id in range(1, tasks + 1)]
    folded, loaded = State(), []

    def fold() -> None:
        for id, payload in enumerate(payloads, 1):
            event = wire.decode("task-created", 1, payload)
            folded.apply(Recorded(id, stream(id), 1, START + id, "user:ada", 1, 0, None, event))

    to_fold = calls(fold)
    data = dump(folded)
    to_load = calls(lambda: loaded.append(load(data)))
    assert loaded[0].facts() == folded.facts()
    assert to_load < to_fold, f"{to_load / tasks:.1f} calls for each task to read it, {to_fold / tasks:.1f} to fold it"
    assert len(data) < 20 * tasks


def test_a_waiting_task_costs_little_memory() -> None:
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        state = waiting(MANY // 5)
        each = (tracemalloc.get_traced_memory()[0] - before) / len(state.tasks)
    finally:
        tracemalloc.stop()
    assert each < 600, f"{each:.0f} bytes for each"


def test_what_is_written_down_is_no_larger_in_memory_than_it_is() -> None:
    """A turn of ten thousand tasks holds twenty thousand small texts; each used to take a page."""
    event = TaskCreated(1, "true")
    before = psutil.Process().memory_info().rss
    kept = [encode(event) for _ in range(20_000)]
    grown = psutil.Process().memory_info().rss - before
    assert len(kept) == 20_000 and grown < 20_000 * 1_000, f"{grown / 20_000:.0f} bytes for each"
