from __future__ import annotations

import pytest

from scitq.domain import execution as ex
from scitq.domain import task as tk
from scitq.domain.engine_log import PayloadErased
from scitq.domain.wire import Erased, Event
from scitq.errors import Malformed
from scitq.projections.executions import PROJECTION, Execution
from tests.unit.projections.given import SECOND, shown

ASSIGNED = ex.ExecutionAssigned(1, 5, 3)
STARTED = (ASSIGNED, ex.ExecutionAccepted(1, 5), ex.ExecutionStarted(1, 5, 4711))


def the_execution(*events: Event | Erased) -> Execution:
    return shown(PROJECTION, *events).executions[5]


def test_every_step_of_an_attempt_has_its_time() -> None:
    done = the_execution(*STARTED, ex.ExecutionSucceeded(1, 5, 0, 12, 3))
    assert done == Execution(
        5, 1, 3, "succeeded", 1, SECOND, 4 * SECOND, 2 * SECOND, 3 * SECOND, 4 * SECOND, 4711, 0, None, 12, 3, "done"
    )


def test_phases_have_their_times_and_what_they_moved() -> None:
    used = {"cpu_s": 1.5, "memory_bytes": 2**30}
    steps = (
        ASSIGNED,
        ex.ExecutionReady(1, 5, 2, 4_000),
        ex.ExecutionStarted(1, 5, 4711, "sha256:00ff"),
        ex.ExecutionExited(1, 5, 0, None, 12, 3, None, used),
        ex.ExecutionSucceeded(1, 5, 0, 12, 3, {"output_files": 1, "output_bytes": 9}),
    )
    phases = [the_execution(*steps[:count]).phase for count in range(1, 6)]
    assert phases == ["assigned", "ready", "running", "uploading", "done"]
    done = the_execution(*steps)
    assert (done.ready_at, done.started_at, done.exited_at, done.ended_at) == (
        2 * SECOND, 3 * SECOND, 4 * SECOND, 5 * SECOND
    )  # fmt: skip
    assert (done.input_files, done.input_bytes, done.image) == (2, 4_000, "sha256:00ff")
    assert (done.cpu_s, done.memory_bytes, done.output_files, done.output_bytes) == (1.5, 2**30, 1, 9)


def test_of_what_was_taken_back_is_known_when_nothing_of_it_ran_any_more() -> None:
    ended = the_execution(*STARTED, ex.ExecutionCancelled(1, 5, "so"), ex.ExecutionGone(1, 5))
    assert (ended.status, ended.ended_at, ended.gone_at) == ("cancelled", 4 * SECOND, 5 * SECOND)


def test_a_failed_attempt_has_a_return_code_or_the_reason_why_there_is_none() -> None:
    assert the_execution(*STARTED, ex.ExecutionFailed(1, 5, 137)).return_code == 137
    failed = the_execution(ASSIGNED, ex.ExecutionFailed(1, 5, None, "no such image"))
    assert (failed.status, failed.return_code, failed.reason) == ("failed", None, "no such image")


@pytest.mark.parametrize("kind", [ex.ExecutionCancelled, ex.ExecutionRefused, ex.ExecutionLost])
def test_an_attempt_that_was_taken_back_says_why(kind: type[ex.ExecutionLost]) -> None:
    ended = the_execution(*STARTED, kind(1, 5, "because"))
    assert (ended.reason, ended.ended_at) == ("because", 4 * SECOND)


def test_a_recovered_attempt_goes_on_with_the_times_it_had() -> None:
    back = the_execution(*STARTED, ex.ExecutionLost(1, 5, "silent"), ex.ExecutionRecovered(1, 5, "running"))
    assert (back.status, back.ended_at, back.reason, back.started_at) == ("running", None, None, 3 * SECOND)


def test_steps_that_a_lost_attempt_took_unheard_have_the_time_of_its_return() -> None:
    back = the_execution(ASSIGNED, ex.ExecutionLost(1, 5, "silent"), ex.ExecutionRecovered(1, 5, "running"))
    assert (back.accepted_at, back.started_at) == (3 * SECOND, 3 * SECOND)


def test_a_signal_changes_no_status() -> None:
    assert the_execution(*STARTED, ex.ExecutionSignalled(1, 5, 15)).status == "running"


def test_an_erasure_leaves_attempts_alone_because_they_hold_no_text_of_the_task() -> None:
    live = the_execution(tk.TaskCreated(1, "secret"), ASSIGNED, PayloadErased(1, (1,), "asked to"))
    assert live == the_execution(Erased("task-created"), ASSIGNED)


def test_a_report_that_was_erased_cannot_be_done_without() -> None:
    with pytest.raises(Malformed, match="'execution-failed' of 'task-1'"):
        shown(PROJECTION, ASSIGNED, Erased("execution-failed"))


def test_a_report_about_no_attempt_is_a_damaged_log() -> None:
    with pytest.raises(Malformed, match="never said had begun"):
        shown(PROJECTION, ex.ExecutionStarted(1, 5))
