"""What an attempt goes through besides running: inputs that come, outputs that go, signals that arrive, and its end."""

from __future__ import annotations

from scitq.domain import execution as ex
from scitq.domain import task as tasks
from scitq.domain import worker as workers
from scitq.domain.commands import SignalExecutions, TaskSpec
from scitq.domain.messages import Cancel, SendOutputs
from scitq.handlers.leases import MOST_LOSSES
from tests.unit.handlers.server import MINUTE, SECOND, Server, started

# Inputs and outputs -------------------------------------------------------------------------------------------


def test_inputs_that_have_come_are_a_fact_with_how_much_it_was(server: Server) -> None:
    worker = server.hello()
    (task,) = server.submit(TaskSpec("work", input="file:///data/a"))
    server.report(worker, ex.Accepted(1))
    assert server.report(worker, ex.Ready(1, 3, 4_000)) == [ex.ExecutionReady(task, 1, 3, 4_000)]
    assert server.status(task) == "accepted", "what people have always seen of it"
    assert server.report(worker, ex.Started(1, 77)) == [ex.ExecutionStarted(task, 1, 77)]


def test_a_download_timeout_does_not_count_the_time_in_which_it_waits_for_a_slot(server: Server) -> None:
    worker = server.hello()
    server.submit(TaskSpec("work", download_timeout_s=60))
    server.report(worker, ex.Accepted(1), ex.Ready(1))
    assert server.passes(60 * MINUTE, but_heard=(worker,)) == []


def test_a_command_that_has_ended_gives_its_slot_back_and_may_send_its_outputs(server: Server) -> None:
    task, execution = started(server, output="file:///data/out", run_timeout_s=60)
    (next_task,) = server.submit(TaskSpec("next"))
    assert server.status(next_task) == "pending"
    exited = server.report(1, ex.Exited(execution, 0, None, 10, 2))
    assert exited[0] == ex.ExecutionExited(task, execution, 0, None, 10, 2)
    assert SendOutputs(execution) in server.said(1)
    assert server.status(task) == "running" and server.status(next_task) == "assigned"
    assert server.passes(60 * MINUTE, but_heard=(1,)) == [], "what is sent runs no more: its time limit is over"
    assert server.report(1, ex.Succeeded(execution, 10, 2)) == [ex.ExecutionSucceeded(task, execution, 0, 10, 2)]


def test_uploads_that_do_not_keep_up_hold_the_next_tasks_back(server: Server) -> None:
    worker = server.hello(concurrency=2)
    server.submit(*(TaskSpec("work", output="file:///data/out") for _ in range(9)))
    given: list[int] = []
    for _ in range(5):
        new = [id for id in server.state.active[worker] if id not in given]
        given += new
        server.report(worker, *(report for id in new for report in (ex.Started(id), ex.Exited(id, 0))))
    assert len(server.state.active[worker]) == 4, "two that are sent besides two slots, and no more"


def test_leave_to_send_that_was_missed_is_given_again(server: Server) -> None:
    _, execution = started(server, output="file:///data/out")
    server.report(1, ex.Exited(execution, 0))
    server.beat(1, {execution: "exited"})
    assert server.said(1) == [SendOutputs(execution)]
    server.beat(1, {execution: "uploading"})
    assert server.said(1) == []


def test_outputs_of_an_attempt_that_was_taken_back_are_not_sent(server: Server) -> None:
    task, execution = started(server, output="file:///data/out")
    server.steer(task, tasks.RelaunchTask())
    assert server.report(1, ex.Exited(execution, 0)) == []
    server.beat(1, {execution: "exited"})
    assert Cancel(execution) in server.said(1) and SendOutputs(execution) not in server.said(1)


def test_an_attempt_found_again_while_it_sends_goes_on_sending(server: Server) -> None:
    task, execution = started(server, output="file:///data/out")
    server.report(1, ex.Exited(execution, 0))
    server.steer_worker(1, workers.PauseWorker())  # so that nobody else gets it
    server.passes(16 * MINUTE)
    assert server.all(ex.ExecutionLost)
    server.beat(1, {execution: "uploading"})
    assert server.all(ex.ExecutionRecovered)[-1] == ex.ExecutionRecovered(task, execution, "uploading")
    assert server.report(1, ex.Succeeded(execution)) == [ex.ExecutionSucceeded(task, execution)]


def test_a_command_that_ended_while_its_worker_was_lost_says_how_it_ended(server: Server) -> None:
    task, execution = started(server, output="file:///data/out")
    server.steer_worker(1, workers.PauseWorker())
    server.passes(16 * MINUTE)
    server.beat(1, {execution: "exited"})  # this came before the report that it ended
    assert server.report(1, ex.Exited(execution, 3)) == [ex.ExecutionExited(task, execution, 3)]
    assert SendOutputs(execution) in server.said(1)


# How it ended -------------------------------------------------------------------------------------------------


def test_the_class_of_a_failure_and_what_was_used_are_facts(server: Server) -> None:
    task, execution = started(server)
    failed = ex.Failed(execution, 137, "killed", 1, 2, "out_of_memory", {"memory_bytes": 2**35})
    assert server.report(1, failed)[0] == ex.ExecutionFailed(
        task, execution, 137, "killed", 1, 2, "out_of_memory", {"memory_bytes": 2**35}
    )


def test_a_download_that_failed_spends_a_retry(server: Server) -> None:
    worker = server.hello()
    (task,) = server.submit(TaskSpec("work", input="file:///nowhere", retry=1))
    server.report(worker, ex.Accepted(1))
    events = server.report(worker, ex.Failed(1, None, "there is no such file", failure="download_failed"))
    assert events[1] == tasks.TaskRetried(task, 0)


def test_a_task_that_brings_its_workers_down_fails_in_the_end_whatever_retries_it_has(server: Server) -> None:
    server.hello()
    (task,) = server.submit(TaskSpec("work", retry=3))
    for number in range(MOST_LOSSES):
        assert server.status(task) == "assigned", number
        server.hello(incarnation=f"life {number}") if server.passes(31 * SECOND) else None
    failed = server.all(ex.ExecutionFailed)
    assert [one.failure for one in failed] == ["worker_lost"] and f"{MOST_LOSSES} times" in str(failed[0].reason)
    assert server.status(task) == "failed" and not server.all(tasks.TaskRetried)
    server.steer(task, tasks.RelaunchTask())
    server.hello(incarnation="the last life")
    assert server.status(task) == "assigned", "by hand it begins anew"


# Signals ------------------------------------------------------------------------------------------------------


def test_that_a_signal_arrived_is_a_fact_of_its_own(server: Server) -> None:
    task, execution = started(server)
    server.ask(SignalExecutions((execution,), 15))
    assert server.events() == [ex.ExecutionSignalled(task, execution, 15)]
    delivered = server.report(1, ex.Delivered(execution, 15))
    assert delivered == [ex.ExecutionSignalDelivered(task, execution, 15)]


def test_what_was_taken_back_is_gone_when_its_worker_says_so(server: Server) -> None:
    task, execution = started(server)
    server.steer(task, tasks.DeleteTask())
    assert server.report(1, ex.Gone(execution, task)) == [ex.ExecutionGone(task, execution)]


def test_a_worker_cannot_say_that_of_what_it_never_had(server: Server) -> None:
    task, execution = started(server)
    other = server.hello("other")
    assert server.report(other, ex.Gone(execution, task)) == []
    assert server.report(1, ex.Gone(execution, task + 1), ex.Gone(execution + 1, task)) == []
