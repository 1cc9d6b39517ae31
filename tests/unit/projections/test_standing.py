"""The standing that projections show is the standing that the engine decides on."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from scitq.domain import execution as ex
from scitq.domain import task as tk
from scitq.projections import standing
from scitq.projections.catalog import ALL
from scitq.projections.memory import MemoryProjector
from tests.unit.projections.world import World

SEEDS = st.integers(0, 2**32)


@settings(max_examples=60, deadline=None)
@given(SEEDS)
def test_stage_pause_and_status_follow_every_event_as_the_engine_does(seed: int) -> None:
    tasks: dict[int, tk.Task | None] = {}
    shown: dict[int, tuple[standing.Stage, bool]] = {}
    for recorded in World(seed).live_through(150).log:
        event = recorded.event
        if not isinstance(event, tk.TaskEvent):
            continue
        after = tasks[event.task] = tk.evolve(tasks.get(event.task), event)
        assert after is not None
        if isinstance(event, tk.TaskCreated):
            shown[event.task] = standing.at_first(event), event.paused
        else:
            shown[event.task] = standing.after(*shown[event.task], event)
        assert shown[event.task] == (after.stage, after.paused)
        assert standing.visible(*shown[event.task]) == after.status


@settings(max_examples=60, deadline=None)
@given(SEEDS)
def test_the_status_of_an_attempt_follows_every_event_as_the_engine_does(seed: int) -> None:
    attempts: dict[int, ex.Execution | None] = {}
    shown: dict[int, ex.Status] = {}
    for recorded in World(seed).live_through(150).log:
        event = recorded.event
        if isinstance(event, ex.ExecutionEvent):
            after = attempts[event.execution] = ex.evolve(attempts.get(event.execution), event)
            shown[event.execution] = standing.attempt_after(shown.get(event.execution, "lost"), event)
            assert after is not None
            assert shown[event.execution] == ex.STATUS[after.status]


@settings(max_examples=40, deadline=None)
@given(SEEDS)
def test_counts_are_what_counting_the_rows_would_give(seed: int) -> None:
    world = World(seed).live_through(200)
    projectors = {projection.name: MemoryProjector(projection, world.read_recorded) for projection in ALL}
    for projector in projectors.values():
        projector.catch_up()
    tasks = projectors["tasks"].rows.tasks.values()
    for name, batch in projectors["batches"].rows.batches.items():
        counted = {status: sum(t.batch == name and t.status == status for t in tasks) for status in standing.COUNTED}
        assert counted == {status: getattr(batch, status) for status in standing.COUNTED}
        workers = projectors["workers"].rows.workers.values()
        assert batch.workers == sum(name in worker.batches and worker.status != "deleted" for worker in workers)
    latest = {task.execution for task in tasks if task.status not in ("deleted", "erased")}
    attempts = [row for row in projectors["executions"].rows.executions.values() if row.id in latest]
    for id, load in projectors["workers"].rows.loads.items():
        assert sum(load[1:]) == sum(attempt.worker == id for attempt in attempts)
        assert load.running == sum(attempt.worker == id and attempt.status == "running" for attempt in attempts)
    assert sum(sum(load[1:]) for load in projectors["workers"].rows.loads.values()) == len(attempts)


def test_histories_made_for_these_tests_contain_every_event_that_the_projections_fold() -> None:
    seen = {type(recorded.event) for seed in range(40) for recorded in World(seed).live_through(300).log}
    assert seen >= standing.TASK_EVENTS


def test_nothing_that_happens_to_an_erased_task_brings_it_back() -> None:
    for event in (tk.TaskReleased(1), tk.TaskRelaunched(1, 2, "Default", 0, 0), tk.TaskDeleted(1)):
        assert standing.after("erased", False, event) == ("erased", False)
