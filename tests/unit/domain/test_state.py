"""The fold of the log, and the indexes beside it."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest
from hypothesis import given, settings

from scitq.domain import execution as ex
from scitq.domain import task as tasks
from scitq.domain.batch import BatchStarted, BatchStopped
from scitq.domain.engine_log import EngineStarted, PayloadErased, ReactorFailed, ReactorRecovered
from scitq.domain.envelope import Mark
from scitq.domain.state import State
from scitq.domain.task import (
    TaskBlocked,
    TaskCreated,
    TaskDeleted,
    TaskEdited,
    TaskPaused,
    TaskRelaunched,
    TaskReleased,
    TaskRequirementsChanged,
    TaskResumed,
    TaskRetried,
)
from scitq.domain.wire import Erased, Event, Recorded
from scitq.domain.worker import (
    WorkerDeclared,
    WorkerDeleted,
    WorkerEdited,
    WorkerLost,
    WorkerPaused,
    WorkerReincarnated,
    WorkerReturned,
)
from tests.unit.domain.given import SECOND, Choices, Log, choices, log

WORKER = WorkerDeclared(1, "w", "spool", 2, 0, ("Default",))


def state(*events: Event) -> State:
    return State().fold(log(*events))


def queue(folded: State, batch: str = "Default") -> list[int]:
    """The ids in the order in which they are popped. One may come twice: it is checked when it is assigned."""
    popped = []
    while (task := folded.pop_ready(batch)) is not None:
        popped.append(task.id)
    return list(dict.fromkeys(popped))


def created(id: int, *waits_for: int, **properties: Any) -> TaskCreated:
    return TaskCreated(id, "work", requires=waits_for, waits_for=waits_for, **properties)


def run(task: int, execution: int, worker: int = 1) -> tuple[Event, ...]:
    return (ex.ExecutionAssigned(task, execution, worker), ex.ExecutionStarted(task, execution))


# The queue ----------------------------------------------------------------------------------------------------


def test_the_queue_is_in_order_of_priority_and_then_of_age() -> None:
    events = [created(id, priority=priority) for id, priority in enumerate((0, 5, -5, 5, 0), 1)]
    assert queue(state(*events)) == [2, 4, 1, 5, 3]


@pytest.mark.parametrize("priority", [-1_000_000, 1_000_000])
def test_the_most_extreme_priorities_keep_their_order(priority: int) -> None:
    folded = state(created(1), created(2, priority=priority), created(2**48 - 1, priority=priority))
    expected = [2, 2**48 - 1]
    assert queue(folded) == ([*expected, 1] if priority > 0 else [1, *expected])


def test_a_task_is_popped_once_and_put_back_in_its_place() -> None:
    folded = state(created(1), created(2))
    first = folded.pop_ready("Default")
    assert first is not None and first.id == 1
    folded.requeue(first)
    assert queue(folded) == [1, 2]


def test_what_was_edited_stands_where_it_belongs_now_and_nowhere_else() -> None:
    folded = state(created(1), created(2), created(3), TaskEdited(3, {"priority": 9}), TaskEdited(1, {"batch": "b"}))
    assert queue(folded) == [3, 2] and queue(folded, "b") == [1]


@pytest.mark.parametrize(
    ("events", "ready"),
    [
        ((TaskPaused(1),), []),
        ((TaskPaused(1), TaskResumed(1)), [1]),
        ((ex.ExecutionAssigned(1, 1, 1),), []),
        ((ex.ExecutionAssigned(1, 1, 1), ex.ExecutionRefused(1, 1, "no")), [1]),
        ((*run(1, 1), ex.ExecutionFailed(1, 1), TaskRetried(1, 0)), [1]),
        ((TaskDeleted(1),), []),
        ((TaskRequirementsChanged(1, (2,), (2,)),), []),
        ((TaskRequirementsChanged(1, (2,), (2,)), TaskReleased(1)), [1]),
    ],
)
def test_only_what_is_ready_is_in_the_queue(events: tuple[Event, ...], ready: list[int]) -> None:
    folded = state(WORKER, created(1, retry=1), *events)
    assert [task.id for task in folded.queue("Default")] == ready
    assert folded.has_ready("Default") == bool(ready)
    assert queue(folded) == ready


# Requirements -------------------------------------------------------------------------------------------------


def test_requirements_are_counted_down_as_they_succeed() -> None:
    folded = state(WORKER, created(1), created(2), created(3, 1, 2))
    assert folded.unmet == {3: 2} and folded.needed == {1: 1, 2: 1} and folded.dependants(1) == [3]
    folded = state(WORKER, created(1), created(2), created(3, 1, 2), *run(1, 1), ex.ExecutionSucceeded(1, 1))
    assert folded.unmet == {3: 1} and folded.needed == {1: 1, 2: 1}


def test_a_requirement_that_is_run_again_counts_again() -> None:
    again = TaskRelaunched(1, 5, "Default", 0, 0)
    done = (*run(1, 1), ex.ExecutionSucceeded(1, 1))
    folded = state(WORKER, created(1), created(2), created(3, 1, 2), *done, again)
    assert folded.unmet == {3: 2}


def test_other_requirements_replace_the_ones_before() -> None:
    folded = state(created(1), created(2), created(3, 1), TaskRequirementsChanged(3, (2,), (2,)))
    assert folded.needed == {2: 1} and folded.dependants(1) == [] and folded.dependants(2) == [3]
    assert folded.unmet == {3: 1}


def test_dependants_are_told_oldest_first() -> None:
    folded = state(created(1), created(4, 1), created(3, 1), created(2, 1), TaskReleased(3))
    assert folded.dependants(1) == [2, 4]


# Forgetting ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("end", [ex.ExecutionSucceeded(1, 1), ex.ExecutionFailed(1, 1), TaskDeleted(1)])
def test_a_task_that_is_over_and_that_nobody_waits_for_is_forgotten(end: Event) -> None:
    events = (WORKER, created(1), *run(1, 1))
    cancelled = (ex.ExecutionCancelled(1, 1, "so"),) if isinstance(end, TaskDeleted) else ()
    folded = state(*events, *cancelled, end)
    assert folded.tasks == {} and folded.executions == {} and folded.last_task == 1


def test_a_failed_task_with_retries_left_is_not_over() -> None:
    assert 1 in state(WORKER, created(1, retry=1), *run(1, 1), ex.ExecutionFailed(1, 1)).tasks


@pytest.mark.parametrize(("end", "unmet"), [(ex.ExecutionSucceeded(1, 1), 0), (ex.ExecutionFailed(1, 1), 1)])
def test_of_a_task_that_is_over_those_who_wait_for_it_know_only_whether_it_is_met(end: Event, unmet: int) -> None:
    folded = state(WORKER, created(1), created(2, 1), *run(1, 1), end)
    assert 1 not in folded.tasks and folded.unmet == {2: unmet} and folded.dependants(1) == [2]


def test_a_requirement_that_was_met_stays_met_for_those_who_come_to_wait_for_others_too() -> None:
    done = (WORKER, created(1), created(2), created(3, 1, 2), *run(1, 1), ex.ExecutionSucceeded(1, 1))
    assert state(*done, TaskRequirementsChanged(3, (1, 2, 4), (2, 4))).unmet == {3: 2}
    assert state(*done, TaskDeleted(1, "succeeded")).unmet == {3: 1}


def test_a_forgotten_task_comes_back_when_it_is_relaunched() -> None:
    done = (WORKER, created(1), *run(1, 1), ex.ExecutionSucceeded(1, 1))
    folded = state(*done, TaskRelaunched(1, 5, "b", 3, 2, (), None, 60))
    assert folded.tasks[1].version == 5 and queue(folded, "b") == [1]


def test_a_lost_attempt_is_remembered_until_its_task_is_given_away_or_changed() -> None:
    lost = (WORKER, created(1), *run(1, 1), ex.ExecutionLost(1, 1, "silent"))
    assert state(*lost).executions[1].status == "lost" and state(*lost).active == {1: {}}
    for after in (ex.ExecutionAssigned(1, 2, 1), TaskEdited(1, {"command": "x"}), TaskDeleted(1)):
        assert 1 not in state(*lost, after).executions
    assert 1 in state(*lost, TaskPaused(1)).executions


def test_an_erased_task_leaves_its_id_taken() -> None:
    made = Log()
    made.add(Erased("task-created"), stream="task-7")
    made.add(ex.ExecutionAssigned(7, 4, 1))
    made.add(TaskEdited(7, {"priority": 1}))
    made.add(ex.ExecutionSucceeded(7, 4))
    folded = State().fold(made.recorded)
    assert (folded.last_task, folded.last_execution, folded.position) == (7, 4, 4)
    assert folded.tasks == {} and folded.executions == {}


# Workers, batches, the engine ---------------------------------------------------------------------------------


def test_who_serves_what_follows_the_workers() -> None:
    folded = state(WORKER, WorkerDeclared(2, "v", "s", 1, 0, ("a", "Default")), WorkerEdited(1, {"batches": ("a",)}))
    assert folded.facts()["serving"] == {"a": [1, 2], "Default": [2]}
    folded = state(WORKER, WorkerDeleted(1))
    assert folded.facts()["serving"] == {} and folded.names == {} and folded.workers == {} and folded.last_worker == 1


def test_the_mark_of_a_worker_goes_with_its_incarnation() -> None:
    made = Log()
    made.add(WORKER)
    made.add(created(1))
    made.add(ex.ExecutionAssigned(1, 1, 1))
    made.add(ex.ExecutionStarted(1, 1), Mark(1, "spool", 4))
    assert State().fold(made.recorded).marks == {1: Mark(1, "spool", 4)}
    made.add(WorkerLost(1))
    made.add(WorkerReincarnated(1, "other"))
    assert State().fold(made.recorded).marks == {}


def test_a_batch_is_stopped_and_started() -> None:
    assert state(BatchStopped("b")).batch("b").stopped
    assert not state(BatchStopped("b"), BatchStarted("b")).batch("b").stopped
    assert not state().batch("never named").stopped


def test_what_fails_is_remembered_until_it_recovers() -> None:
    failed = ReactorFailed("assign", "task-1", "a bug")
    assert state(failed).failing == {("assign", "task-1"): "a bug"}
    assert state(failed, ReactorRecovered("assign", "task-1")).failing == {}


@pytest.mark.parametrize(
    ("events", "dirty"),
    [
        ((created(1),), {"Default"}),
        ((WORKER,), {"Default"}),
        ((WorkerDeclared(2, "v", "s", 1, 0, ("a", "b")),), {"a", "b"}),
        ((BatchStarted("b"),), {"b"}),
        ((created(1), EngineStarted("one", 1)), {"Default"}),
    ],
)
def test_a_batch_is_looked_at_when_something_about_it_changed(events: tuple[Event, ...], dirty: set[str]) -> None:
    assert state(*events).dirty == dirty


def test_a_place_that_becomes_free_makes_its_workers_batches_dirty() -> None:
    folded = state(WORKER, created(1), *run(1, 1))
    folded.dirty.clear()
    folded.apply(log(WORKER, created(1), *run(1, 1), ex.ExecutionSucceeded(1, 1))[-1])
    assert folded.dirty == {"Default"}


# Deadlines ----------------------------------------------------------------------------------------------------


def test_an_attempt_is_overdue_once_when_its_step_takes_too_long() -> None:
    folded = state(WORKER, created(1, run_timeout_s=60), *run(1, 1))
    due = 4 * SECOND + 60 * SECOND
    assert list(folded.overdue(due - 1)) == []
    assert [execution.id for execution in folded.overdue(due)] == [1]
    assert list(folded.overdue(due)) == []
    folded.remind(1, due + 5)
    assert list(folded.overdue(due + 4)) == [] and len(list(folded.overdue(due + 5))) == 1


def test_a_step_that_is_over_in_time_is_never_overdue() -> None:
    accepted = (ex.ExecutionAssigned(1, 1, 1), ex.ExecutionAccepted(1, 1))
    folded = state(WORKER, created(1, download_timeout_s=60), *accepted, ex.ExecutionStarted(1, 1))
    assert folded.deadlines == {} and list(folded.overdue(2**60)) == []


# Savepoints ---------------------------------------------------------------------------------------------------


def any_event(folded: State, drawn: Choices) -> Event | None:
    """An event that may follow on what is."""
    task = folded.tasks.get(1 + drawn.number(max(folded.last_task, 1)))
    worker = folded.workers.get(1 + drawn.number(max(folded.last_worker, 1)))
    number = drawn.number(16)
    if number < 2 or (task is None and number < 9):
        waits = drawn.some(tuple(t.id for t in folded.tasks.values() if t.stage != "succeeded")[:3])
        batch, id = "ab"[number % 2], folded.last_task + 1
        return created(id, *waits, priority=drawn.number(3), batch=batch, run_timeout_s=9, retry=drawn.number(2))
    if number < 9 and task is not None and task.stage != "deleted":
        return _about_a_task(folded, task, number, drawn)
    if worker is None or number == 9:
        id = folded.last_worker + 1
        return WorkerDeclared(id, f"w{id}", "spool", 2, 0, drawn.some(("a", "b")) or ("a",))
    event: Event = drawn.of(
        (
            WorkerPaused(worker.id),
            WorkerLost(worker.id),
            WorkerReturned(worker.id),
            WorkerEdited(worker.id, {"batches": ["b"], "concurrency": 3}),
            WorkerReincarnated(worker.id, f"spool-{worker.version}"),
            BatchStopped("a"),
            BatchStarted("a"),
            ReactorFailed("assign", "task-1", "a bug"),
            ReactorRecovered("assign", "task-1"),
            EngineStarted("one", 1),
        )
    )
    return event


def _about_a_task(folded: State, task: Any, number: int, drawn: Choices) -> Event:
    event: Event
    attempt = task.execution
    if task.live:
        event = drawn.of(
            (
                ex.ExecutionAccepted(task.id, attempt),
                ex.ExecutionStarted(task.id, attempt),
                ex.ExecutionSucceeded(task.id, attempt),
                ex.ExecutionFailed(task.id, attempt),
                ex.ExecutionLost(task.id, attempt, "silent"),
                ex.ExecutionCancelled(task.id, attempt, "so"),
                TaskPaused(task.id),
            )
        )
        return event
    if task.ready and folded.last_worker and number < 6:
        return ex.ExecutionAssigned(
            task.id, folded.last_execution + 1, 1 + drawn.number(folded.last_worker), task.batch
        )
    if task.ended:
        if number % 2:
            return TaskRelaunched(task.id, task.version + 1, task.batch, 0, task.retry_limit)
        return TaskRetried(task.id, task.retry - 1) if task.retry else TaskDeleted(task.id, task.stage)
    waits = drawn.some(tuple(t.id for t in folded.tasks.values() if t.id < task.id and t.stage != "succeeded")[:3])
    event = drawn.of(
        (
            TaskEdited(task.id, {"batch": "b", "priority": number}),
            TaskRequirementsChanged(task.id, waits, waits),
            TaskPaused(task.id),
            TaskResumed(task.id),
            TaskReleased(task.id, True),
            TaskBlocked(task.id, task.waits_for[0], "failed") if task.waits_for else TaskResumed(task.id),
            TaskDeleted(task.id, task.stage),
        )
    )
    return event


@settings(max_examples=500, deadline=None)
@given(choices(60, 240))
def test_a_rollback_restores_every_fact_exactly(drawn: Choices) -> None:
    """Stretches of events are folded, and some taken back, also those within those: as if they had never been."""
    folded, untouched, made = State(), State(), Log()
    folded.begin()
    saved: list[tuple[Any, Any, int]] = []
    while drawn.left:
        match drawn.number(12):
            case 0:
                saved.append((folded.savepoint(), deepcopy(folded.facts()), len(made.recorded)))
            case 1 if saved:
                savepoint, facts, length = saved.pop()
                folded.rollback(savepoint)
                kept, made = made.recorded[:length], Log()
                for one in kept:
                    made.add(one.event, one.mark, one.stream)
                assert folded.facts() == facts
            case 2 if not saved:
                folded.merge()
                folded.begin()
            case 3 if folded.last_worker and (task := folded.pop_ready("a")) is not None:
                folded.apply(made.add(ex.ExecutionAssigned(task.id, folded.last_execution + 1, 1, "a")))
            case _:
                event = any_event(folded, drawn)
                if event is not None:
                    mark = (
                        Mark(1, "spool", len(made.recorded)) if drawn.number(4) == 0 and folded.workers.get(1) else None
                    )
                    folded.apply(made.add(event, mark))
    assert folded.facts() == untouched.fold(made.recorded).facts()
    for batch in "ab":
        assert queue(folded, batch) == queue(untouched, batch)


def test_a_savepoint_belongs_to_a_turn() -> None:
    with pytest.raises(AssertionError, match="begun"):
        State().savepoint()


def test_a_follower_that_meets_an_erasure_in_the_middle_of_a_task_stands_where_all_others_stand() -> None:
    """It had folded the first events while they still said something."""
    events: list[Any] = [
        tasks.TaskCreated(1, "required"),
        tasks.TaskCreated(2, "waits", requires=(1,), waits_for=(1,)),
        tasks.TaskEdited(2, {"command": "secret"}),
        ex.ExecutionAssigned(1, 1, 1),
        ex.ExecutionSucceeded(1, 1),
        tasks.TaskReleased(2),
        ex.ExecutionAssigned(2, 2, 1),
        ex.ExecutionSucceeded(2, 2),
        PayloadErased(2, (2, 3), "asked to"),
    ]
    whole_log = [
        Recorded(at, "engine" if isinstance(one, PayloadErased) else f"task-{one.task}", 1, at, "a", 0, 0, None, one)
        for at, one in enumerate(events, 1)
    ]
    names = {2: "task-created", 3: "task-edited"}
    gone = [one._replace(event=Erased(names[one.position])) if one.position in names else one for one in whole_log]
    whole = State().fold(gone).facts()
    for seen in range(len(whole_log)):
        assert State().fold([*whole_log[:seen], *gone[seen:]]).facts() == whole, f"it had seen {seen} events"
