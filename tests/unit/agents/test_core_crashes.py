"""How an agent picks up after a crash at any point, and gives back what it holds."""

from __future__ import annotations

from typing import Any

import pytest

from scitq.agents.core import Exit
from scitq.agents.spool import Reported
from scitq.domain.execution import Failed, Refused, Started, Succeeded
from scitq.domain.messages import (
    Applied,
    Assign,
    Cancel,
    Signal,
)
from tests.unit.agents.machine import Crash, Machine, running_many, sent, tell, welcomed

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
