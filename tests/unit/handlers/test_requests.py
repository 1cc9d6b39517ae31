"""Requests: one effect, one answer, all or nothing; and erasing what somebody wants forgotten."""

from __future__ import annotations

from scitq.domain import execution as ex
from scitq.domain import task as tasks
from scitq.domain import worker as workers
from scitq.domain.commands import (
    CreateTasks,
    EraseTask,
    SteerTasks,
    SteerWorkers,
    TaskSpec,
)
from scitq.domain.state import State
from tests.unit.handlers.server import MINUTE, SECOND, Server, ended, started

# Requests ------------------------------------------------------------------------------------------------------


def test_the_same_request_again_has_no_effect_and_the_same_answer(server: Server) -> None:
    first = server.ask(CreateTasks((TaskSpec("a"),)), "request-a")
    server.submit()
    assert server.ask(CreateTasks((TaskSpec("a"),)), "request-a") == first
    assert server.events() == []
    server.restart()
    assert server.ask(CreateTasks((TaskSpec("a"),)), "request-a") == first


def test_the_same_request_twice_in_one_turn_is_one_effect(server: Server) -> None:
    twice = server.request(CreateTasks((TaskSpec("a"),)))
    outcome = server.turn(twice, twice)
    assert len(outcome.events) == 1 and len(outcome.answers) == 1
    assert outcome.replies[0] == outcome.replies[1]


def test_an_answer_says_where_its_effect_stands_in_the_log(server: Server) -> None:
    server.hello()
    assert server.done(CreateTasks((TaskSpec("a"), TaskSpec("b")))) == {"first": 2, "last": 3, "tasks": [1, 2]}
    assert [one.command for one in server.outcome.events] == [2, 2, 0], "the assignment is nobody's command"
    assert server.outcome.events[0].actor == "user:ada" and server.outcome.events[-1].actor == "engine"


def test_what_changes_nothing_is_answered_too(server: Server) -> None:
    (task,) = server.submit()
    assert server.done(SteerTasks((task,), tasks.ResumeTask())) == {"first": 0, "last": 0, "tasks": [task]}


def test_a_request_that_comes_after_its_deadline_does_nothing(server: Server) -> None:
    reply = server.ask(CreateTasks((TaskSpec("a"),)), deadline=server.now - 1)
    assert reply.answer is None and "deadline" in (reply.refusal or "")
    assert server.log == []


def test_a_request_known_from_before_is_answered_even_after_its_deadline(server: Server) -> None:
    deadline = server.now + SECOND
    first = server.ask(CreateTasks((TaskSpec("a"),)), "request-a", deadline)
    server.steady += MINUTE
    assert server.ask(CreateTasks((TaskSpec("a"),)), "request-a", deadline) == first


def test_a_refusal_is_not_remembered(server: Server) -> None:
    assert server.ask(SteerTasks((1,), tasks.PauseTask()), "request-a").answer is None
    server.submit()
    assert server.ask(SteerTasks((1,), tasks.PauseTask()), "request-a").answer is not None


def test_of_several_tasks_those_that_cannot_be_steered_are_named_with_the_reason(server: Server) -> None:
    done = ended(server)
    (task,) = server.submit()
    answer = server.done(SteerTasks((task, done, 99), tasks.PauseTask()))
    assert answer["tasks"] == [task]
    assert set(answer["refused"]) == {str(done), "99"}
    assert answer["refused"]["99"] == "there is no task 99"


def test_a_request_of_which_nothing_can_be_done_is_refused(server: Server) -> None:
    server.refused(SteerTasks((98, 99), tasks.PauseTask()), "there is no task 98 (and 1 more were refused)")
    server.refused(SteerWorkers((7,), workers.PauseWorker()), "there is no such worker")


# Erasure -------------------------------------------------------------------------------------------------------


def test_the_texts_of_an_ended_task_are_erased_once(server: Server) -> None:
    task = ended(server)
    assert server.done(EraseTask(task, "asked to"))["erased"] == [2]
    server.refused(EraseTask(task, "asked to"), "was erased before")
    server.refused(SteerTasks((task,), tasks.RelaunchTask()), "was erased")


def test_a_task_that_ended_in_the_same_turn_is_erased_once_too(server: Server) -> None:
    task, execution = started(server)
    report = server.reports(1, ex.Succeeded(execution))
    erase, again = (server.request(EraseTask(task, "asked to")) for _ in range(2))
    relaunch = server.request(SteerTasks((task,), tasks.RelaunchTask()))
    outcome = server.turn(report, erase, again, relaunch)
    first, second, third = outcome.replies
    assert first.answer is not None and len(outcome.erasures) == 1
    assert "was erased before" in (second.refusal or "") and "was erased" in (third.refusal or "")


def test_a_task_that_has_not_ended_is_not_erased(server: Server) -> None:
    task, _ = started(server)
    server.refused(EraseTask(task, "asked to"), "only one that has ended")


def test_a_task_that_others_wait_for_is_not_erased(server: Server) -> None:
    failed = ended(server, well=False)
    server.submit(TaskSpec("b", requires=(failed,)))
    server.refused(EraseTask(failed, "asked to"), "required by tasks that still wait")


def test_after_an_erasure_the_log_still_folds_to_the_same_state(server: Server) -> None:
    required, execution = started(server)
    (first,) = server.submit(TaskSpec("b", requires=(required,)))
    server.report(1, ex.Failed(execution, 1))
    server.submit(TaskSpec("c", requires=(required,)))
    server.steer(first, tasks.DeleteTask())
    server.done(EraseTask(first, "asked to"))
    assert State().fold(server.log).facts() == server.state.facts()


def test_a_relaunched_task_whose_edited_retries_were_erased_does_not_come_back_to_the_next_engine(
    server: Server,
) -> None:
    task, _ = started(server, retry=1)
    server.steer(task, tasks.RelaunchTask())
    server.steer(task, tasks.EditTask({"retry": 0}))
    server.report(1, ex.Failed(server.execution(task), 1))
    server.done(EraseTask(task, "asked to"))
    assert State().fold(server.log).facts() == server.state.facts()
    server.restart()
    server.refused(SteerTasks((task,), tasks.RelaunchTask()), "was erased")


def test_a_failed_task_whose_retries_are_edited_is_forgotten_when_nobody_waits_for_it_any_more(
    server: Server,
) -> None:
    required, execution = started(server)
    (waiting,) = server.submit(TaskSpec("b", requires=(required,)))
    server.report(1, ex.Failed(execution, 1))
    server.steer(required, tasks.EditTask({"retry": 1}))
    server.steer(waiting, tasks.DeleteTask())
    assert required not in server.state.tasks
