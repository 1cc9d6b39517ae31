"""A day without a server, on a simulated clock: what was given is done, nothing grows, and all is told after it."""

from __future__ import annotations

from scitq.agents.core import Agent, Exit
from scitq.domain.execution import Exited, Started, Succeeded
from scitq.domain.messages import Applied, Assign, Settings, Welcome
from tests.unit.agents.machine import Machine, sent, tell, welcomed

HOUR_S, TICK_S = 3_600, 5
GIVEN, LASTS_S = 20, 1_800


def _pass(machine: Machine, agent: Agent, seconds: int, since: dict[int, int], now: int) -> int:
    """What the agent does by itself, every few seconds."""
    for at in range(now, now + seconds, TICK_S):
        for execution in [id for id in machine.runs if at - since.setdefault(id, at) >= LASTS_S]:
            machine.exit(execution, 0)
            agent.on_exit(Exit(execution, 0))
        agent.report_ends()
        agent.prepare_what_waits()
        agent.start_what_fits()
    return now + seconds


def test_a_day_without_a_server_grows_nothing_but_what_was_done(machine: Machine) -> None:
    agent = welcomed(machine, concurrency=2)
    tell(agent, *(Assign(id, id + 100, {"command": "work"}) for id in range(1, GIVEN + 1)))
    since: dict[int, int] = {}
    now = _pass(machine, agent, 6 * HOUR_S, since, 0)
    agent = machine.agent()  # it is restarted when all is done, and nobody is there yet
    entries, reports = len(machine.entries), len(agent.spool.reports)
    assert sorted(machine.marked) == list(range(1, GIVEN + 1)) and not machine.runs
    now = _pass(machine, agent, 18 * HOUR_S, since, now)
    assert now == 24 * HOUR_S
    assert (len(machine.entries), len(agent.spool.reports)) == (entries, reports), (
        "what waits to be told stays as it is"
    )
    assert agent.reports() is None, "nothing is said to nobody"

    tell(agent, Welcome(3, "spool", 0), Settings(1, 2, 1, False))
    told = sent(agent)
    assert not sent(agent), "it is said once"
    for kind in (Started, Succeeded):
        assert sorted(one.execution for one in told if isinstance(one, kind)) == list(range(1, GIVEN + 1)), kind
    assert not [one for one in told if not isinstance(one, Started | Succeeded | Exited)], "nothing is given back"
    tell(agent, Applied(agent.spool.last))
    assert not agent.spool.reports and not agent.spool.held


def test_what_ran_when_the_agent_was_restarted_in_the_dark_is_told_as_well(machine: Machine) -> None:
    agent = welcomed(machine, concurrency=2)
    tell(agent, *(Assign(id, id + 100) for id in (1, 2, 3)))
    agent.start_what_fits()
    for _ in range(5):
        agent = machine.agent()
        _pass(machine, agent, HOUR_S, {}, 0)
    assert machine.did == ["start 1", "start 2"], "what was not begun may be somebody else's by now: it is asked first"
    tell(agent, Welcome(3, "spool", 0), Settings(1, 2, 1, False))
    _pass(machine, agent, HOUR_S, {}, 0)
    told = sent(agent)
    assert [one.execution for one in told if isinstance(one, Succeeded)] == [1, 2, 3]
