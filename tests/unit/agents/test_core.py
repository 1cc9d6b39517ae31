"""An agent's decisions: what it starts, once, and what it says."""

from __future__ import annotations

import pytest

from scitq.agents.core import MOST_AT_ONCE, Exit
from scitq.domain.execution import Failed, Gone, Refused, Started, Succeeded
from scitq.domain.messages import (
    Applied,
    Assign,
    Cancel,
    GiveBack,
    Heartbeat,
    Reports,
    Resend,
    SayHello,
    Settings,
    Signal,
    Unwelcome,
    Welcome,
)
from tests.unit.agents.machine import Machine, running_many, sent, tell, welcomed

# Who we are ---------------------------------------------------------------------------------------------------


def test_an_agent_that_is_not_welcomed_yet_starts_and_reports_nothing(machine: Machine) -> None:
    agent = machine.agent()
    agent.concurrency = 5
    agent.spool.give(1, 1, None)
    agent.start_what_fits()
    assert agent.must_say_hello and machine.did == [] and agent.reports() is None


def test_a_welcome_says_who_we_are_and_confirms_what_is_applied(machine: Machine) -> None:
    welcomed(machine).spool.give(1, 1, None)
    first = welcomed(machine)
    first.start_what_fits()
    again = welcomed(machine, applied=1)
    assert (again.worker, again.must_say_hello, again.refused) == (3, False, None)
    assert again.spool.reports == {} and again.reports() is None


def test_an_agent_that_is_not_wanted_knows_why(machine: Machine) -> None:
    agent = machine.agent()
    tell(agent, Unwelcome("another agent is connected"), worker=0)
    assert agent.must_say_hello and agent.refused == "another agent is connected"


def test_a_stranger_to_the_engine_says_hello_again(machine: Machine) -> None:
    agent = welcomed(machine)
    tell(agent, SayHello())
    assert agent.must_say_hello


def test_an_engine_that_was_deposed_is_not_listened_to(machine: Machine) -> None:
    agent = welcomed(machine)
    tell(agent, Settings(2, 5, 0, False), epoch=4)
    tell(agent, Assign(1, 1), Settings(3, 9, 0, True), epoch=3)
    assert agent.spool.held == {} and (agent.concurrency, agent.paused) == (5, False)


def test_what_was_meant_for_another_incarnation_is_not_listened_to(machine: Machine) -> None:
    agent = welcomed(machine)
    tell(agent, Assign(1, 1), incarnation="the one before")
    assert agent.spool.held == {}


def test_what_was_meant_for_the_worker_we_were_before_is_not_listened_to(machine: Machine) -> None:
    agent = welcomed(machine)
    tell(agent, Assign(1, 1), worker=2)
    assert agent.spool.held == {}


def test_settings_that_come_late_are_void(machine: Machine) -> None:
    agent = welcomed(machine)
    tell(agent, Settings(5, 7, 0, True), Settings(4, 1, 0, False))
    assert (agent.concurrency, agent.paused, agent.heartbeat().settings) == (7, True, 5)
    tell(agent, Welcome(8, "spool", 0), Settings(1, 2, 0, False), worker=8)
    assert (agent.concurrency, agent.paused) == (2, False), "as another worker we begin anew"


# Starting -----------------------------------------------------------------------------------------------------


def test_what_is_assigned_is_started_as_far_as_there_is_room_oldest_first(machine: Machine) -> None:
    agent = welcomed(machine, concurrency=2)
    tell(agent, Assign(1, 11, {"command": "a"}), Assign(2, 12), Assign(3, 13))
    agent.start_what_fits()
    assert machine.did == ["start 1", "start 2"]
    assert agent.spool.held == {1: "running", 2: "running", 3: "pending"}
    assert sent(agent) == (Started(1, 1001), Started(2, 1002))
    machine.exit(1, 0)
    agent.on_exit(Exit(1, 0))
    agent.start_what_fits()
    assert machine.did[2:] == ["start 3"]


def test_an_assignment_that_comes_twice_is_one(machine: Machine) -> None:
    agent = welcomed(machine)
    tell(agent, Assign(1, 11))
    agent.start_what_fits()
    tell(agent, Assign(1, 11))
    agent.start_what_fits()
    assert machine.did == ["start 1"] and sent(agent) == (Started(1, 1001),)


def test_a_paused_agent_starts_nothing_and_ends_what_runs_as_usual(machine: Machine) -> None:
    agent = welcomed(machine)
    tell(agent, Assign(1, 11))
    agent.start_what_fits()
    tell(agent, Settings(2, 2, 0, True), Assign(2, 12))
    agent.start_what_fits()
    machine.exit(1, 3)
    agent.on_exit(Exit(1, 3))
    assert machine.did == ["start 1"] and sent(agent) == (Started(1, 1001), Failed(1, 3, failure="command_failed"))


def test_what_is_taken_back_is_killed_and_a_late_copy_of_its_assignment_starts_nothing(machine: Machine) -> None:
    agent = welcomed(machine)
    tell(agent, Assign(1, 11))
    agent.start_what_fits()
    tell(agent, Cancel(1))
    agent.on_exit(Exit(1, -9))
    tell(agent, Assign(1, 11))
    agent.start_what_fits()
    assert machine.did == ["start 1", "kill 1"] and agent.spool.held == {}
    over = Refused(1, "it is over here")
    ended = (Started(1, 1001), Gone(1, 11), over)
    assert sent(agent) == ended, "how it ended interests nobody any more; that it did is said"


def test_what_is_taken_back_before_it_comes_is_never_started(machine: Machine) -> None:
    agent = welcomed(machine)
    tell(agent, Cancel(1))
    tell(agent, Assign(1, 11))
    agent.start_what_fits()
    assert machine.did == [] and agent.heartbeat() == Heartbeat(3, "spool", {}, 1)


def test_what_waits_is_given_back_when_it_is_asked_for(machine: Machine) -> None:
    agent = welcomed(machine, concurrency=1)
    tell(agent, Assign(1, 11), Assign(2, 12))
    agent.start_what_fits()
    tell(agent, GiveBack(2, "elsewhere is room"), GiveBack(3, "never heard of"))
    machine.exit(1, 0)
    agent.on_exit(Exit(1, 0))
    agent.start_what_fits()
    assert machine.did == ["start 1"]
    assert sent(agent) == (Started(1, 1001), Refused(2, "elsewhere is room"), Succeeded(1))


def test_what_is_offered_and_asked_back_in_one_breath_never_begins(machine: Machine) -> None:
    agent = welcomed(machine)
    tell(agent, Assign(1, 11), GiveBack(1, "its batch was stopped"))
    agent.start_what_fits()
    assert machine.did == [] and sent(agent) == (Refused(1, "its batch was stopped"),)


@pytest.mark.parametrize("knows_pids", [True, False], ids=["has begun", "is about to begin"])
def test_what_begins_in_the_moment_it_is_asked_for_is_kept(machine: Machine, knows_pids: bool) -> None:
    machine.knows_pids = knows_pids
    agent = welcomed(machine)
    tell(agent, Assign(1, 11))
    agent.start_what_fits()
    tell(agent, GiveBack(1, "elsewhere is room"))
    again = machine.agent()
    tell(again, Welcome(3, "spool", 0), GiveBack(1, "elsewhere is room"))
    assert machine.did == ["start 1"] and 1 in agent.spool.held and 1 in again.spool.held
    assert not any(isinstance(report, Refused) for report in (*(sent(agent) or ()), *(sent(again) or ())))


def test_a_signal_goes_to_what_runs(machine: Machine) -> None:
    agent = welcomed(machine)
    tell(agent, Assign(1, 11))
    agent.start_what_fits()
    tell(agent, Signal(1, 15), Signal(1, "pause"))
    assert machine.did[1:] == ["signal 1 15", "signal 1 pause"]


# Reporting ----------------------------------------------------------------------------------------------------


def test_each_report_is_sent_once_until_it_is_asked_for_again(machine: Machine) -> None:
    agent = running_many(machine, 3)
    assert agent.reports() == Reports(3, "spool", 1, 1, (Started(1, 1001), Started(2, 1002), Started(3, 1003)))
    assert agent.reports() is None
    agent.send_again()
    assert len(sent(agent)) == 3


def test_what_is_applied_is_not_kept_and_the_floor_says_so(machine: Machine) -> None:
    agent = running_many(machine, 3)
    sent(agent)
    tell(agent, Applied(2))
    assert list(agent.spool.reports) == [3]
    agent.send_again()
    assert agent.reports() == Reports(3, "spool", 3, 3, (Started(3, 1003),))


def test_a_gap_is_filled_from_where_the_engine_asks_and_never_below_the_floor(machine: Machine) -> None:
    agent = running_many(machine, 3)
    sent(agent)
    tell(agent, Resend(2))
    assert sent(agent) == (Started(2, 1002), Started(3, 1003))
    tell(agent, Applied(2), Resend(1))
    assert agent.reports() == Reports(3, "spool", 3, 3, (Started(3, 1003),))


def test_a_confirmation_of_what_was_not_sent_again_yet_moves_on(machine: Machine) -> None:
    agent = running_many(machine, 3)
    sent(agent)
    agent.send_again()
    tell(agent, Applied(3))
    assert agent.reports() is None


def test_many_reports_are_sent_in_parts(machine: Machine) -> None:
    agent = running_many(machine, MOST_AT_ONCE + 5)
    first, second = agent.reports(), agent.reports()
    assert first is not None and second is not None and agent.reports() is None
    assert (len(first.reports), second.first, len(second.reports)) == (MOST_AT_ONCE, MOST_AT_ONCE + 1, 5)


def test_a_heartbeat_tells_what_is_held(machine: Machine) -> None:
    agent = running_many(machine, 2)
    tell(agent, Assign(9, 9))
    machine.exit(1, 0)
    agent.on_exit(Exit(1, 0))
    assert agent.heartbeat().held == {1: "ended", 2: "running", 9: "pending"}


def test_an_exit_is_reported_once(machine: Machine) -> None:
    agent = running_many(machine, 1)
    machine.exit(1, 0)
    agent.on_exit(Exit(1, 0))
    agent.on_exit(Exit(1, 0))
    agent.on_exit(Exit(77, 0))
    assert sent(agent) == (Started(1, 1001), Succeeded(1))


def test_a_start_is_reported_when_the_shim_says_that_it_happened(machine: Machine) -> None:
    machine.knows_pids = False
    agent = welcomed(machine, concurrency=1)
    tell(agent, Assign(1, 11), Assign(2, 12))
    agent.start_what_fits()
    agent.start_what_fits()
    assert machine.did == ["start 1"] and sent(agent) == () and agent.spool.held[1] == "pending"
    agent.on_start(1, 77)
    agent.on_start(9, 78)
    assert sent(agent) == (Started(1, 77),)


def test_an_end_without_a_code_is_a_failure_with_its_reason(machine: Machine) -> None:
    agent = running_many(machine, 1)
    sent(agent)
    agent.on_exit(Exit(1, None, "its return code is lost"))
    assert sent(agent) == (Failed(1, None, "its return code is lost", failure="agent_error"),)


def test_what_was_never_started_is_not_said_to_have_been(machine: Machine) -> None:
    agent = welcomed(machine)
    machine.knows_pids = False
    tell(agent, Assign(1, 11), Assign(2, 12))
    agent.start_what_fits()
    agent.on_exit(Exit(1, 127, "no such command"))
    agent.on_exit(Exit(2, 0))
    assert sent(agent) == (Failed(1, 127, "no such command", failure="command_failed"), Started(2), Succeeded(2))


def test_an_end_is_reported_when_all_that_was_printed_is_known_and_the_place_is_free_before(machine: Machine) -> None:
    agent = welcomed(machine, concurrency=1)
    tell(agent, Assign(1, 11), Assign(2, 12))
    agent.start_what_fits()
    machine.printed[1] = None
    machine.exit(1, 0)
    agent.on_exit(Exit(1, 0))
    assert agent.spool.held[1] == "running"
    agent.start_what_fits()
    agent.report_ends()
    assert machine.did == ["start 1", "start 2"] and sent(agent) == (Started(1, 1001), Started(2, 1002))
    machine.printed[1] = (10, 20)
    agent.report_ends()
    assert sent(agent) == (Succeeded(1, 10, 20),)


def test_what_is_given_back_by_hand_is_ended_first_and_nothing_more_is_taken(machine: Machine) -> None:
    agent = welcomed(machine, concurrency=1)
    tell(agent, Assign(1, 11), Assign(2, 12))
    agent.start_what_fits()
    sent(agent)
    agent.give_back("stopped by hand")
    agent.give_back("once more")
    tell(agent, Assign(3, 13))
    agent.start_what_fits()
    assert machine.did == ["start 1", "kill 1"] and sent(agent) == (Refused(2, "stopped by hand"),)
    agent.on_exit(Exit(1, -15))
    assert sent(agent) == (Refused(1, "stopped by hand"),) and 3 not in agent.spool.held
