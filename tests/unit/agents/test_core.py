"""An agent's decisions: what it starts, once; what it says; and how it picks up after a crash at any point."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import count
from typing import Any

import pytest

from scitq.agents.core import MOST_AT_ONCE, Agent, Exit
from scitq.agents.spool import Entry, Reported, Spool
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
    ToAgent,
    Unwelcome,
    Welcome,
)


class Crash(BaseException):
    """The agent dies here."""


class Machine:
    """A disk and a shim, which outlive the agent. `dies_at` counts the agent's touches of the world."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self.did: list[str] = []
        self.marked: set[int] = set()
        self.runs: set[int] = set()
        self.ended: dict[int, int | None] = {}
        self.reasons: dict[int, str] = {}
        self.knows_pids = True
        self.printed: dict[int, tuple[int, int] | None] = {}
        self.still: set[int] = set()
        self.dies_at = 0
        self._touches = count(1)

    def _touch(self) -> None:
        if next(self._touches) == self.dies_at:
            raise Crash

    def write(self, entry: Entry) -> None:
        self._touch()
        self.entries.append(entry)
        self._touch()

    def start(self, execution: int, task: int) -> None:
        self._touch()
        if execution not in self.marked:
            self.marked.add(execution)
            self.runs.add(execution)
            self.did.append(f"start {execution}")
        self._touch()

    def kill(self, execution: int) -> None:
        self._touch()
        if execution in self.runs:
            self.runs.remove(execution)
            self.ended[execution] = -9
            self.did.append(f"kill {execution}")
        self._touch()

    def signal(self, execution: int, signal: int | str) -> None:
        if signal != "resume" or execution in self.still:  # what runs anyway does not notice
            self.did.append(f"signal {execution} {signal}")
        if signal == "pause":
            self.still.add(execution)
        elif signal == "resume":
            self.still.discard(execution)

    def running(self) -> Iterable[int]:
        return set(self.runs)

    def ends(self) -> Iterable[Exit]:
        return [Exit(execution, code, self.reasons.get(execution)) for execution, code in self.ended.items()]

    def pid(self, execution: int) -> int | None:
        return 1000 + execution if self.knows_pids and execution in self.runs else None

    def started(self, execution: int) -> bool:
        return execution in self.marked

    def exit(self, execution: int, code: int) -> None:
        self.runs.remove(execution)
        self.ended[execution] = code

    def agent(self) -> Agent:
        """A new life of the agent on this machine, recovered."""
        agent = Agent(
            "spool", Spool.reopen(self.entries, self.write), self, lambda execution: self.printed.get(execution, (0, 0))
        )
        agent.recover()
        return agent


@pytest.fixture
def machine() -> Machine:
    return Machine()


def tell(agent: Agent, *messages: ToAgent, epoch: int = 1, worker: int = 3, incarnation: str = "spool") -> None:
    agent.on_post(epoch, worker, incarnation, messages)


def welcomed(machine: Machine, concurrency: int = 2, applied: int = 0) -> Agent:
    agent = machine.agent()
    tell(agent, Welcome(3, "spool", applied), Settings(1, concurrency, 1, False))
    return agent


def sent(agent: Agent) -> tuple[Any, ...]:
    reports = agent.reports()
    return reports.reports if reports is not None else ()


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


def running_many(machine: Machine, executions: int) -> Agent:
    agent = welcomed(machine, concurrency=executions)
    tell(agent, *(Assign(id, id) for id in range(1, executions + 1)))
    agent.start_what_fits()
    return agent


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


# After a crash ------------------------------------------------------------------------------------------------


def test_what_ran_on_while_the_agent_was_away_is_still_held(machine: Machine) -> None:
    running_many(machine, 1)
    again = welcomed(machine)
    assert again.spool.held == {1: "running"} and sent(again) == (Started(1, 1001),)


def test_what_ended_while_the_agent_was_away_is_reported(machine: Machine) -> None:
    running_many(machine, 2)
    machine.exit(1, 0)
    machine.exit(2, 7)
    assert sent(welcomed(machine)) == (
        Started(1, 1001),
        Started(2, 1002),
        Succeeded(1),
        Failed(2, 7, failure="command_failed"),
    )


def test_what_was_cut_off_by_a_reboot_is_given_back(machine: Machine) -> None:
    running_many(machine, 1)
    machine.runs.clear()
    assert sent(welcomed(machine))[1:] == (Refused(1, "the machine was restarted"),)


def test_what_had_not_started_when_the_machine_went_down_is_simply_started(machine: Machine) -> None:
    tell(welcomed(machine), Assign(1, 11))
    again = welcomed(machine)
    again.start_what_fits()
    assert machine.did == ["start 1"]


def test_recovering_twice_says_nothing_new(machine: Machine) -> None:
    running_many(machine, 2)
    machine.exit(1, 0)
    machine.runs.clear()
    agent = machine.agent()
    before = list(machine.entries)
    agent.recover()
    assert machine.entries == before


def live(machine: Machine) -> None:
    """A whole life: started, one taken back, one ended well and one badly, all of it confirmed as far as it goes."""
    agent = welcomed(machine, concurrency=3)
    tell(agent, *(Assign(id, 10 + id) for id in (1, 2, 3)))
    agent.start_what_fits()
    tell(agent, Cancel(3))
    for id, code in ((1, 0), (2, 4)):
        if id in machine.runs:
            machine.exit(id, code)
        agent.on_exit(Exit(id, code))
    reports = agent.reports()
    if reports is not None:
        tell(agent, Applied(reports.first + len(reports.reports) - 1))


def touches_of_a_life() -> int:
    machine = Machine()
    live(machine)
    return next(machine._touches) - 1


@pytest.mark.parametrize("at", range(1, touches_of_a_life() + 1))
def test_a_crash_at_any_point_starts_nothing_twice_and_loses_no_result(at: int) -> None:
    """The engine says again what it said; what was reported before counts as it was applied."""
    machine = Machine()
    machine.dies_at = at
    with pytest.raises(Crash):
        live(machine)
    machine.dies_at = 0
    live(machine)
    assert sorted(machine.did) in (
        ["kill 3", "start 1", "start 2", "start 3"],
        ["start 1", "start 2"],  # the third was known as taken back before it came again
    )
    ends: dict[int, Any] = {}
    for entry in machine.entries:
        if isinstance(entry, Reported) and not isinstance(entry.report, Started):
            ends.setdefault(entry.report.execution, entry.report)  # what is said of it later is history
    assert (ends[1], ends[2]) == (Succeeded(1), Failed(2, 4, failure="command_failed"))
    again = machine.agent()
    assert again.spool.held == {} and not machine.runs


def test_a_crash_between_starting_and_writing_it_down_is_completed_by_the_shim(machine: Machine) -> None:
    tell(welcomed(machine), Assign(1, 11))
    machine.start(1, 11)
    machine.exit(1, 0)
    assert sent(welcomed(machine)) == (Started(1), Succeeded(1))


def test_an_end_without_a_code_while_the_agent_was_away_is_a_failure(machine: Machine) -> None:
    running_many(machine, 1)
    machine.runs.clear()
    machine.ended[1], machine.reasons[1] = None, "the shim was killed"
    assert sent(welcomed(machine)) == (Started(1, 1001), Failed(1, None, "the shim was killed", failure="agent_error"))


def test_what_is_held_still_goes_on_after_a_restart_until_the_engine_says_otherwise(machine: Machine) -> None:
    """The agent does not remember; the engine does, and its next answer to a heartbeat holds it again."""
    tell(welcomed(machine), Assign(1, 11))
    machine.start(1, 11)
    first = welcomed(machine)
    tell(first, Signal(1, "pause"))
    assert first.heartbeat().held == {1: "paused"}
    assert welcomed(machine).heartbeat().held == {1: "running"} and machine.still == set()


# Giving back ----------------------------------------------------------------------------------------------------


def test_what_waits_long_for_a_slot_is_given_back_but_for_what_is_prefetched(machine: Machine) -> None:
    agent = welcomed(machine, concurrency=1)
    tell(agent, *(Assign(id, id) for id in (1, 2, 3, 4)))  # one runs, one is prefetched
    agent.start_what_fits()
    agent.return_what_waits(10.0)
    agent.return_what_waits(11.9)
    assert agent.spool.held == {1: agent.spool.held[1], 2: "pending", 3: "pending", 4: "pending"}
    agent.return_what_waits(12.0)
    assert [agent.spool.held[id] for id in (2, 3, 4)] == ["pending", "ended", "ended"]
    assert [type(report) for report in sent(agent)][-2:] == [Refused, Refused]


def test_what_came_a_moment_ago_is_not_given_back(machine: Machine) -> None:
    agent = welcomed(machine, concurrency=1)
    tell(agent, *(Assign(id, id) for id in (1, 2, 3)))
    agent.start_what_fits()
    agent.return_what_waits(10.0)
    tell(agent, Assign(4, 4))
    agent.return_what_waits(13.0)
    assert [agent.spool.held[id] for id in (2, 3, 4)] == ["pending", "ended", "pending"]
