"""An agent's decisions about what must come before a command and go after it, through crashes and slow news."""

from __future__ import annotations

import pytest

from scitq.agents.core import Agent, Exit
from scitq.agents.spool import Spool
from scitq.domain.execution import Accepted, Delivered, Exited, Failed, Gone, Ready, Refused, Started, Succeeded
from scitq.domain.messages import Assign, Cancel, Obey, SendOutputs, Settings, Welcome
from tests.unit.agents.machine import Machine, sent, tell


class Mover:
    """Stores that do nothing by themselves: what was asked of them is written down."""

    def __init__(self) -> None:
        self.did: list[str] = []
        self.fetches_for: set[int] = set()
        self.sends_for: set[int] = set()
        self.here: set[int] = set()

    def fetches(self, execution: int) -> bool:
        return execution in self.fetches_for

    def has_all(self, execution: int) -> bool:
        return execution in self.here

    def sends(self, execution: int) -> bool:
        return execution in self.sends_for

    def prepare(self, execution: int) -> None:
        self.did.append(f"fetch {execution}")

    def send(self, execution: int) -> None:
        self.did.append(f"send {execution}")

    def drop(self, execution: int) -> None:
        self.did.append(f"drop {execution}")


@pytest.fixture
def mover() -> Mover:
    return Mover()


def life(machine: Machine, mover: Mover, *, leave: bool = True, concurrency: int = 2) -> Agent:
    """A new life of the agent, welcomed."""
    agent = Agent("spool", Spool.reopen(machine.entries, machine.write), machine, stores=mover)
    agent.recover()
    tell(agent, Welcome(3, "spool", agent.spool.floor - 1, "", leave), Settings(1, concurrency, 2, False))
    return agent


def turn(agent: Agent) -> None:
    agent.prepare_what_waits()
    agent.start_what_fits()


def test_a_command_starts_when_all_it_needs_is_here(machine: Machine, mover: Mover) -> None:
    mover.fetches_for = {1}
    agent = life(machine, mover)
    tell(agent, Assign(1, 11))
    turn(agent)
    assert mover.did == ["fetch 1"] and machine.did == []
    agent.on_ready(1, 2, 2_000)
    turn(agent)
    assert machine.did == ["start 1"]
    assert sent(agent) == (Accepted(1), Ready(1, 2, 2_000), Started(1, 1001))


def test_what_needs_nothing_does_not_wait_behind_what_does(machine: Machine, mover: Mover) -> None:
    mover.fetches_for = {1}
    agent = life(machine, mover, concurrency=1)
    tell(agent, Assign(1, 11), Assign(2, 12))
    turn(agent)
    assert machine.did == ["start 2"] and mover.did == ["fetch 1"]


def test_the_next_ones_fetch_while_all_slots_are_taken(machine: Machine, mover: Mover) -> None:
    mover.fetches_for = {2, 3}
    agent = life(machine, mover, concurrency=1)
    tell(agent, Assign(1, 11), Assign(2, 12), Assign(3, 13))
    turn(agent)
    assert machine.did == ["start 1"] and mover.did == ["fetch 2", "fetch 3"]


def test_what_does_not_come_fails_the_attempt_in_words(machine: Machine, mover: Mover) -> None:
    mover.fetches_for = {1}
    agent = life(machine, mover)
    tell(agent, Assign(1, 11))
    turn(agent)
    agent.on_no_transfer(1, "download_failed", "there is no such file")
    turn(agent)
    assert machine.did == []
    assert sent(agent)[1:] == (Failed(1, None, "there is no such file", failure="download_failed"),)


def test_outputs_wait_for_leave_and_the_slot_does_not_wait_for_them(machine: Machine, mover: Mover) -> None:
    mover.sends_for = {1}
    agent = life(machine, mover, concurrency=1)
    tell(agent, Assign(1, 11), Assign(2, 12))
    turn(agent)
    machine.exit(1, 0)
    agent.on_exit(Exit(1, 0))
    turn(agent)
    assert machine.did == ["start 1", "start 2"] and mover.did == []
    assert agent.heartbeat().held == {1: "exited", 2: "running"}
    tell(agent, SendOutputs(1), SendOutputs(1))
    assert mover.did == ["send 1"] and agent.heartbeat().held[1] == "uploading"
    agent.on_sent(1, 3, 300)
    used = {"output_files": 3, "output_bytes": 300}
    assert sent(agent) == (Started(1, 1001), Exited(1, 0), Started(2, 1002), Succeeded(1, used=used))


def test_a_server_that_gives_no_leave_is_not_waited_for(machine: Machine, mover: Mover) -> None:
    mover.sends_for = {1}
    agent = life(machine, mover, leave=False)
    tell(agent, Assign(1, 11))
    turn(agent)
    machine.exit(1, 0)
    agent.on_exit(Exit(1, 0))
    assert mover.did == ["send 1"]


def test_an_agent_that_was_never_welcomed_waits_to_hear_whether_there_is_leave(machine: Machine, mover: Mover) -> None:
    mover.sends_for = {1}
    agent = life(machine, mover, leave=False)
    tell(agent, Assign(1, 11))
    turn(agent)
    machine.exit(1, 0)
    agent = Agent("spool", Spool.reopen(machine.entries, machine.write), machine, stores=mover)
    agent.recover()
    assert mover.did == [] and agent.heartbeat().held == {1: "exited"}
    tell(agent, Welcome(3, "spool", 0, "", False))
    assert mover.did == ["send 1"]


def test_outputs_that_cannot_be_stored_fail_what_did_well(machine: Machine, mover: Mover) -> None:
    mover.sends_for = {1, 2}
    agent = life(machine, mover)
    tell(agent, Assign(1, 11), Assign(2, 12))
    turn(agent)
    for execution, code in ((1, 0), (2, 7)):
        machine.exit(execution, code)
        agent.on_exit(Exit(execution, code))
        tell(agent, SendOutputs(execution))
        agent.on_no_transfer(execution, "upload_failed", "no space")
    ends = [report for report in sent(agent) if isinstance(report, Failed)]
    assert (ends[0].return_code, ends[0].reason, ends[0].failure) == (0, "no space", "upload_failed")
    assert (ends[1].return_code, ends[1].reason, ends[1].failure) == (7, "no space", "command_failed")


def test_after_a_restart_outputs_wait_for_leave_again_and_how_it_ended_is_known(machine: Machine, mover: Mover) -> None:
    mover.sends_for = {1}
    agent = life(machine, mover)
    tell(agent, Assign(1, 11))
    turn(agent)
    machine.exit(1, 3)
    agent.on_exit(Exit(1, 3))
    tell(agent, SendOutputs(1))
    agent = life(machine, mover)
    assert agent.heartbeat().held == {1: "exited"}
    tell(agent, SendOutputs(1))
    agent.on_sent(1, 1, 10)
    assert mover.did == ["send 1", "send 1"]
    assert sent(agent)[-1] == Failed(1, 3, None, 0, 0, "command_failed", {"output_files": 1, "output_bytes": 10})


@pytest.mark.parametrize("here", [True, False])
def test_after_a_restart_what_was_fetched_is_fetched_again_only_if_it_is_gone(
    machine: Machine, mover: Mover, here: bool
) -> None:
    mover.fetches_for = {1}
    agent = life(machine, mover, concurrency=0)
    tell(agent, Assign(1, 11))
    turn(agent)
    agent.on_ready(1, 1, 1)
    mover.here = {1} if here else set()
    agent = life(machine, mover)
    assert agent.heartbeat().held == {1: "ready"}
    turn(agent)
    assert mover.did == (["fetch 1"] if here else ["fetch 1", "fetch 1"])
    assert machine.did == (["start 1"] if here else []), "it does not start without what it needs"
    agent.on_ready(1, 1, 1)
    turn(agent)
    assert machine.did == ["start 1"]
    assert [report for report in sent(agent) if isinstance(report, Ready)] == [Ready(1, 1, 1)], "said once"


def test_what_is_taken_back_stops_moving(machine: Machine, mover: Mover) -> None:
    mover.fetches_for = {1}
    agent = life(machine, mover)
    tell(agent, Assign(1, 11))
    turn(agent)
    tell(agent, Cancel(1))
    agent.on_ready(1, 1, 1)
    turn(agent)
    assert mover.did == ["fetch 1", "drop 1"] and machine.did == [] and sent(agent) == (Accepted(1),)


def test_what_is_given_back_stops_moving_but_outputs_go_on(machine: Machine, mover: Mover) -> None:
    mover.fetches_for, mover.sends_for = {2}, {1}
    agent = life(machine, mover)
    tell(agent, Assign(1, 11), Assign(2, 12))
    turn(agent)
    machine.exit(1, 0)
    agent.on_exit(Exit(1, 0))
    tell(agent, SendOutputs(1))
    agent.give_back("stopped by hand")
    assert "drop 2" in mover.did and "drop 1" not in mover.did
    assert sent(agent)[-1] == Refused(2, "stopped by hand")


# What ends, and signals ---------------------------------------------------------------------------------------


def test_what_was_taken_back_is_said_to_be_gone_when_it_is_also_after_a_restart(machine: Machine, mover: Mover) -> None:
    agent = life(machine, mover)
    tell(agent, Assign(1, 11), Assign(2, 12))
    turn(agent)
    tell(agent, Cancel(1), Cancel(2))
    agent.on_exit(Exit(1, -9))
    assert Gone(1, 11) in sent(agent) and Gone(2, 12) not in sent(agent)
    agent = life(machine, mover)
    assert [report for report in sent(agent) if isinstance(report, Gone)] == [Gone(1, 11), Gone(2, 12)]


def test_a_signal_that_arrived_is_reported_while_it_runs(machine: Machine, mover: Mover) -> None:
    agent = life(machine, mover)
    tell(agent, Assign(1, 11))
    turn(agent)
    agent.on_signalled(1, 15)
    machine.exit(1, -15)
    agent.on_exit(Exit(1, -15))
    agent.on_signalled(1, 9)
    assert [report for report in sent(agent) if isinstance(report, Delivered)] == [Delivered(1, 15)]


# Orders ---------------------------------------------------------------------------------------------------------


def test_an_order_is_carried_out_once_however_often_it_comes(machine: Machine, mover: Mover) -> None:
    agent = life(machine, mover)
    tell(agent, Obey(5, "clean"), Obey(5, "clean"), Obey(7, "restart"))
    assert agent.orders == [(5, "clean"), (7, "restart")]
    agent.orders.clear()
    agent.obeyed = 7
    tell(agent, Obey(5, "clean"), Obey(7, "restart"))
    assert agent.orders == [] and agent.heartbeat().obeyed == 7
