"""What workers tell of the moment is shown while it is new, and takes no more room than it needs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from scitq.bus.local import LocalBus
from scitq.domain.telemetry import MOST_EXECUTIONS, Live, Machine, Telemetry
from scitq.web import telemetry
from scitq.web.heard import Heard
from scitq.web.telemetry import Telemetries, pass_on
from tests.services.waiting import eventually
from tests.unit.web.whole import whole

MACHINE = Machine(load="1.0 / 0.0", memory=50.0, stats="{}")


def told(bus: LocalBus, said: list[Telemetry], look: Callable[[Telemetries], None]) -> None:
    """What is known when all of that was said."""

    async def follow() -> None:
        known = Telemetries(bus, Heard())
        await known.start()
        bus.publish("telemetry", b"no JSON")
        for one in [*said, Telemetry(999, "i", MACHINE)]:
            pass_on(bus, one)
        async with asyncio.timeout(20):
            while known.machine(999) is None:
                await known.news(0.1)
        look(known)
        await known.close()

    asyncio.run(follow())


def test_a_worker_is_as_it_said_last_and_not_as_it_was_long_ago(monkeypatch: pytest.MonkeyPatch) -> None:
    later = MACHINE.model_copy(update={"memory": 60.0})
    said = [Telemetry(1, "i", MACHINE, (Live(execution=5),)), Telemetry(1, "i", later)]

    def look(known: Telemetries) -> None:
        assert known.machine(1) == later and known.machine(2) is None
        assert known.live(1, 5) is not None and known.live(1, 6) is None and known.live(2, 5) is None
        monkeypatch.setattr(telemetry, "OLD_S", 0.0)
        assert known.machine(1) is None and known.live(1, 5) is None

    told(LocalBus(), said, look)


def test_a_worker_that_tells_of_everything_is_kept_within_bounds() -> None:
    said = [Telemetry(1, "i", None, tuple(Live(execution=at + n) for n in range(100))) for at in range(1, 1_000, 100)]

    def look(known: Telemetries) -> None:
        kept = [execution for execution in range(1, 1_001) if known.live(1, execution) is not None]
        assert kept == list(range(1_001 - MOST_EXECUTIONS, 1_001)), "the latest"

    told(LocalBus(), said, look)


def test_whoever_asks_has_the_agent_asked_and_one_that_says_nothing_keeps_nobody_waiting(tmp_path: Path) -> None:
    with whole(tmp_path) as server:
        agent = server.agent("node1")
        execution = agent.start(server.task())
        path = f"/executions/{execution}/live"
        for _ in range(2):
            shown = server.get(path).json()
            assert (shown["age_s"], shown["transfer"], shown["curve"]) == (None, None, [])
        eventually(lambda: agent.listen().looks, "the agent is asked")
        assert set(agent.looks) == {execution}
        point = (1.0, 0.5, 100, 0, 7)
        pass_on(
            server.bus,
            Telemetry(agent.worker, agent.incarnation, MACHINE, (Live(execution=execution, curve=(point,)),)),
        )
        (shown,) = eventually(lambda: server.get(path).json()["curve"], "what it tells is shown")
        assert [*shown.values()] == [*point]
        assert server.get("/workers/1").json()["load"] == MACHINE.load
        assert server.get("/executions/77/live").status_code == 404
