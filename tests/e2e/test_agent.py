"""Agents as they are: commands run once, output comes exact, and killing the agent changes nothing of it."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import time
from collections.abc import Callable, Coroutine
from functools import partial, wraps
from pathlib import Path

import pytest

from scitq.agents import processes
from scitq.domain.execution import Failed, Refused, Started, Succeeded
from scitq.domain.messages import Cancel, Settings, Signal
from tests.e2e.agents import Machine, ended, machine

WAITS = "echo $$ ready; while [ ! -e {go} ]; do sleep 0.01; done; echo done; exit 3"


def in_a_loop(test: Callable[[Path], Coroutine[None, None, None]]) -> Callable[[Path], None]:
    @wraps(test)
    def run(tmp_path: Path) -> None:
        asyncio.run(test(tmp_path))

    return run


def sh(line: str) -> str:
    assert "'" not in line
    return f"sh -c '{line}'"


async def until_it_prints(one: Machine, execution: int, text: str) -> None:
    await one.gateway.until(lambda: one.prints(execution, text))


def lives(pid: int) -> bool:
    return processes.start_of(pid) is not None


# What runs ----------------------------------------------------------------------------------------------------


@pytest.fixture(autouse=True)
def without_an_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere/docker.sock")


@in_a_loop
async def test_commands_run_and_how_they_end_is_told(tmp_path: Path) -> None:
    async with machine(tmp_path) as one:
        gateway = one.gateway
        gateway.give(1, sh("echo $CPU; pwd; echo to err >&2"))
        gateway.give(2, sh("exit 7"))
        gateway.give(3, "no-such-command")
        gateway.give(4, "echo 'not closed")
        gateway.give(5, "true", container="alpine")
        gateway.give(
            6, sh("touch $OUTPUT/a $TEMP/b && mkdir -p deep/er && chmod 500 deep && test -d $INPUT && ls $RESOURCE")
        )
        gateway.give(7, "echo $HOME ; exit 3")  # no shell reads it
        one.start(concurrency=2)
        await gateway.until(lambda: len(gateway.ends) == 7)
        own = f"{one.works}/1"
        assert gateway.has(1).decode().splitlines()[1:] == [own] and gateway.has(1, 2) == b"to err\n"
        assert gateway.ends[1] == Succeeded(1, len(gateway.has(1)), 7)
        assert gateway.ends[2] == Failed(2, 7, failure="command_failed")
        no_such = "the command could not be started: no such command: no-such-command"
        assert gateway.ends[3] == Failed(3, 127, no_such, 0, len(gateway.has(3, 2)), "command_failed")
        unsplit = "the command cannot be split into words: no closing quotation"
        assert gateway.ends[4] == Failed(4, None, unsplit, failure="command_failed")
        assert isinstance(gateway.ends[5], Refused) and "there is no docker" in gateway.ends[5].reason
        assert isinstance(gateway.ends[6], Succeeded) and gateway.has(7) == b"$HOME ; exit 3\n"
        assert gateway.started.keys() == {1, 2, 6, 7} and all(gateway.started.values())
        await gateway.until(lambda: os.listdir(one.works) == [] and os.listdir(one.folder / "shim" / "runs") == [])
        assert gateway.frames[:2] == ["AgentHello", "Heartbeat"]
        assert "not closed" not in one.said()


@in_a_loop
async def test_output_comes_in_order_and_exact(tmp_path: Path) -> None:
    out, err = os.urandom(10_000_000), os.urandom(300_000)
    (tmp_path / "out").write_bytes(out)
    (tmp_path / "err").write_bytes(err)
    async with machine(tmp_path) as one:
        gateway = one.gateway
        gateway.give(1, sh(f"cat {tmp_path}/out; cat {tmp_path}/err >&2"))
        gateway.give(2, sh("for i in 1 2 3 4 5; do echo $i; sleep 0.05; done"))
        one.start()
        await gateway.until(lambda: len(gateway.ends) == 2)
        await gateway.until(lambda: len(gateway.has(1)) == len(out) and len(gateway.has(1, 2)) == len(err))
        assert gateway.has(1) == out and gateway.has(1, 2) == err and gateway.has(2) == b"1\n2\n3\n4\n5\n"
        assert gateway.ends[1] == Succeeded(1, len(out), len(err))


@in_a_loop
async def test_what_is_printed_is_there_while_the_command_runs(tmp_path: Path) -> None:
    async with machine(tmp_path) as one:
        one.gateway.give(1, sh(WAITS.format(go=tmp_path / "go")))
        one.start()
        await one.gateway.until(lambda: b"ready" in one.gateway.has(1))
        assert 1 not in one.gateway.ends
        (tmp_path / "go").touch()
        assert (await one.gateway.until(lambda: one.gateway.ends.get(1))).return_code == 3


@in_a_loop
async def test_no_more_runs_at_once_than_there_is_room_for(tmp_path: Path) -> None:
    async with machine(tmp_path, concurrency=2, prefetch=6) as one:
        for execution in range(1, 9):
            one.gateway.give(execution, sh(WAITS.format(go=tmp_path / "go")))
        one.start(concurrency=2)
        await one.gateway.until(lambda: len(one.gateway.started) == 2 and len(one.gateway.active) == 8)
        assert sorted(one.gateway.started) == [1, 2]
        await one.gateway.say(Settings(2, 4, 4, False))
        await one.gateway.until(lambda: len(one.gateway.started) == 4)
        (tmp_path / "go").touch()
        await one.gateway.until(lambda: len(one.gateway.ends) == 8)


# The agent is killed ------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_an_agent_killed_at_any_moment_does_all_once(tmp_path: Path, seed: int) -> None:
    async def live() -> None:
        chance = random.Random(seed)
        async with machine(tmp_path, concurrency=4, prefetch=8) as one:
            gateway, count = one.gateway, 120
            for id in range(1, count + 1):
                line = f"echo $$ >> {tmp_path}/did.{id}; seq 1 {chance.randint(1, 30_000)}; sleep {chance.random() / 8}"
                gateway.give(id, sh(line))
            one.start()
            for _ in range(8):
                now, then = time.monotonic(), chance.random()
                await gateway.until(lambda now=now, then=then: time.monotonic() - now > then)  # type: ignore[misc]
                one.restart()
            await gateway.until(lambda: len(gateway.ends) == count, 120)
            assert all(isinstance(end, Succeeded) for end in gateway.ends.values())
            for id in range(1, count + 1):
                assert (tmp_path / f"did.{id}").read_text().count("\n") == 1, "it ran once"
                end = gateway.ends[id]
                assert isinstance(end, Succeeded)
                await gateway.until(partial(gateway.has_all, end))
                lines = gateway.has(id).split()
                assert lines == [b"%d" % number for number in range(1, len(lines) + 1)] and lines
            await gateway.until(lambda: os.listdir(one.works) == [] and os.listdir(one.folder / "shim" / "runs") == [])

    asyncio.run(live())


@in_a_loop
async def test_what_runs_when_the_agent_is_killed_is_taken_over(tmp_path: Path) -> None:
    async with machine(tmp_path) as one:
        gateway = one.gateway
        gateway.give(1, sh(f"seq 1 50000; {WAITS.format(go=tmp_path / 'go')}"))
        one.start()
        await gateway.until(lambda: b"ready" in gateway.has(1))
        one.kill()
        (tmp_path / "go").touch()
        chunks = gateway.chunks
        one.start()
        end = await gateway.until(lambda: gateway.ends.get(1))
        assert isinstance(end, Failed) and end.return_code == 3
        await gateway.until(lambda: len(gateway.has(1)) == end.stdout_bytes)
        assert gateway.has(1).endswith(b"ready\ndone\n")
        assert gateway.has(1).startswith(b"1\n2\n") and gateway.chunks - chunks <= 6, "what is known is not sent again"
        assert [report for report in gateway.reports if isinstance(report, Started)] == [Started(1, gateway.started[1])]


@in_a_loop
async def test_output_that_is_not_confirmed_when_the_end_is_applied_still_comes(tmp_path: Path) -> None:
    async with machine(tmp_path) as one:
        gateway = one.gateway
        gateway.give(1, sh("seq 1 200000"))
        gateway.confirms = False
        one.start()
        await gateway.until(lambda: gateway.chunks >= 4)
        one.kill()
        gateway.confirms = True
        one.start()
        end = await gateway.until(lambda: gateway.ends.get(1))
        await gateway.until(lambda: len(gateway.has(1)) == end.stdout_bytes)
        assert gateway.has(1).split()[-1] == b"200000"


@in_a_loop
async def test_a_time_limit_holds_over_a_restart_of_the_agent(tmp_path: Path) -> None:
    async with machine(tmp_path) as one:
        gateway = one.gateway
        gateway.give(
            1, sh("trap 'exit 0' TERM; echo ready; while :; do sleep 0.01; done".replace("'", '"')), run_timeout_s=2
        )
        gateway.give(2, sh("sleep 1000 & sleep 1000"), run_timeout_s=1)
        gateway.give(3, sh("exit 0"), run_timeout_s=1000)
        one.start()
        began = time.monotonic()
        await gateway.until(lambda: len(gateway.started) == 3)
        one.kill()
        await gateway.until(lambda: time.monotonic() - began > 1.0)  # of the time that they have
        one.start()
        await gateway.until(lambda: len(gateway.ends) == 3)
        assert time.monotonic() - began >= 1.9, "not before its time"
        for id, limit_s in ((1, 2), (2, 1)):
            end = gateway.ends[id]
            assert isinstance(end, Failed) and end.return_code is None
            assert end.reason == f"it ran longer than {limit_s} s, its run timeout"
        assert gateway.ends[3] == Succeeded(3) and one.left() == []


@in_a_loop
async def test_a_command_whose_shim_was_killed_is_said_to_have_no_known_end(tmp_path: Path) -> None:
    async with machine(tmp_path) as one:
        gateway = one.gateway
        gateway.give(1, sh(WAITS.format(go=tmp_path / "go")))
        one.start()
        await until_it_prints(one, 1, "ready")
        await gateway.until(lambda: 1 in gateway.started)
        shim = one.shim()
        pid = shim.shim_pid()
        shim.close()
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        await gateway.until(lambda: "the shim is gone" in one.said())
        (tmp_path / "go").touch()
        end = await gateway.until(lambda: gateway.ends.get(1))
        assert end.return_code is None and "the shim was killed" in end.reason
        gateway.give(2, sh("exit 5"))
        await gateway.offer()
        assert (await gateway.until(lambda: gateway.ends.get(2))).return_code == 5


# The agent is ended -------------------------------------------------------------------------------------------


@in_a_loop
async def test_an_agent_that_is_asked_to_end_leaves_its_commands_to_the_next(tmp_path: Path) -> None:
    async with machine(tmp_path) as one:
        gateway = one.gateway
        gateway.give(1, sh(WAITS.format(go=tmp_path / "go")))
        agent = one.start(give_back_on_interrupt=True)
        await until_it_prints(one, 1, "ready")
        await gateway.until(lambda: 1 in gateway.started)
        assert await ended(agent) == 0
        assert lives(gateway.started[1]) and gateway.ends == {}
        one.start()
        (tmp_path / "go").touch()
        assert (await gateway.until(lambda: gateway.ends.get(1))).return_code == 3


@in_a_loop
async def test_an_agent_that_is_stopped_by_hand_ends_its_commands_and_gives_them_back(tmp_path: Path) -> None:
    async with machine(tmp_path, concurrency=2, prefetch=2) as one:
        gateway = one.gateway
        for execution in (1, 2, 3, 4):
            gateway.give(execution, sh("sleep 1000 & echo ready; wait"))
        agent = one.start(concurrency=2, give_back_on_interrupt=True)
        await until_it_prints(one, 1, "ready")
        await gateway.until(lambda: len(gateway.started) == 2 and len(gateway.active) == 4)
        gateway.give(5, sh("echo never"))
        assert await ended(agent, signal.SIGINT) == 130
        assert gateway.ends == {id: Refused(id, "the worker was stopped by hand") for id in (1, 2, 3, 4)}
        assert one.left() == [] and 5 not in gateway.started


@in_a_loop
async def test_an_agent_without_a_server_can_be_stopped_by_hand(tmp_path: Path) -> None:
    async with machine(tmp_path) as one:
        gateway = one.gateway
        gateway.give(1, sh("echo ready; exec sleep 1000"))
        agent = one.start(give_back_on_interrupt=True)
        await until_it_prints(one, 1, "ready")
        await gateway.until(lambda: 1 in gateway.started)
        await gateway.stop()
        assert await ended(agent, signal.SIGINT) == 130
        assert one.left() == [] and gateway.ends == {}
        await gateway.start(int(one.url.rpartition(":")[2]))
        one.start()
        await gateway.until(lambda: gateway.ends.get(1) == Refused(1, "the worker was stopped by hand"))


@in_a_loop
async def test_an_agent_that_gives_nothing_back_detaches_when_it_is_interrupted(tmp_path: Path) -> None:
    async with machine(tmp_path) as one:
        one.gateway.give(1, sh("echo ready; exec sleep 1000"))
        agent = one.start()
        await one.gateway.until(lambda: 1 in one.gateway.started)
        assert await ended(agent, signal.SIGINT) == 130
        assert lives(one.gateway.started[1])


@in_a_loop
async def test_an_agent_does_not_wait_for_a_server_that_is_stuck(tmp_path: Path) -> None:
    async with machine(tmp_path) as one:
        gateway = one.gateway
        gateway.give(1, sh("head -c 3000000 /dev/zero; echo ready; exec sleep 1000"))
        agent = one.start()
        await gateway.until(lambda: gateway.heartbeats)
        gateway.pause_s = 1000.0
        await until_it_prints(one, 1, "ready")
        agent.terminate()
        assert await asyncio.to_thread(agent.wait, 10) == 0


@in_a_loop
async def test_a_folder_whose_spool_is_damaged_is_left_for_inquiry(tmp_path: Path) -> None:
    async with machine(tmp_path) as one:
        one.gateway.give(1, sh("true"))
        agent = one.start()
        await one.gateway.until(lambda: one.gateway.ends)
        await ended(agent)
        spool = one.folder / "spool"
        damaged = b"x" + spool.read_bytes()[1:]
        spool.write_bytes(damaged)
        one.start()
        assert await one.code() == 1
        assert "is damaged in line 1" in one.said() and spool.read_bytes() == damaged


# Signals ------------------------------------------------------------------------------------------------------


@in_a_loop
async def test_commands_are_held_stopped_and_killed_with_all_they_started(tmp_path: Path) -> None:
    async with machine(tmp_path, concurrency=8) as one:
        gateway = one.gateway
        gateway.give(1, sh("echo $$ ready; exec sleep 1000"))
        gateway.give(2, sh('trap "echo stopped; exit 4" TERM; sleep 1000 & echo ready; wait'))
        gateway.give(3, sh('trap "" TERM; setsid sleep 1000 & (sleep 1000 & sleep 1000) & echo ready; wait'))
        gateway.give(4, sh("setsid sleep 1000 & echo ready; sleep 1000"))
        one.start(concurrency=8)
        for execution in (1, 2, 3, 4):
            await until_it_prints(one, execution, "ready")
        await gateway.until(lambda: len(gateway.started) == 4)
        stat = Path(f"/proc/{gateway.started[1]}/stat")

        def state() -> str:
            return stat.read_text().rpartition(")")[2].split()[0]

        await gateway.say(Signal(1, "pause"), Signal(2, 15), Signal(3, 9), Cancel(4))
        await gateway.until(lambda: state() == "T")
        await gateway.until(lambda: len(gateway.ends) == 2)
        assert gateway.ends[2] == Failed(2, 4, None, 14, 0, "command_failed") and gateway.ends[3] == Failed(
            3, -9, None, 6, 0, "command_failed"
        )
        await gateway.say(Signal(1, "resume"))
        await gateway.until(lambda: state() == "S")
        await gateway.say(Signal(1, "pause"))
        await gateway.until(lambda: state() == "T")
        await gateway.say(Signal(1, 9))
        await gateway.until(lambda: 1 in gateway.ends)
        await gateway.until(lambda: one.left() == [])
        assert 4 not in gateway.ends
        await gateway.until(lambda: os.listdir(one.works) == [] and os.listdir(one.folder / "shim" / "runs") == [])


# The server ---------------------------------------------------------------------------------------------------


@in_a_loop
async def test_two_agents_in_one_folder_are_one_too_many(tmp_path: Path) -> None:
    async with machine(tmp_path) as one:
        first = one.start()
        await one.gateway.until(lambda: one.gateway.heartbeats)
        one.start()
        assert await one.code() == 1
        assert f"another agent (process {first.pid}) works in" in one.said() and first.poll() is None


@in_a_loop
async def test_a_wrong_token_is_said_with_what_to_do(tmp_path: Path) -> None:
    async with machine(tmp_path) as one:
        one.start(token="a-token-of-another-server")
        assert await one.code() == 1
        assert "does not accept this worker" in one.said() and "SCITQ_TOKEN" in one.said()
        assert "a-token-of-another-server" not in one.said()


@in_a_loop
async def test_a_token_that_worked_once_is_tried_again(tmp_path: Path) -> None:
    async with machine(tmp_path) as one:
        gateway = one.gateway
        agent = one.start({"REFUSED_S": 0.05})
        await gateway.until(lambda: gateway.heartbeats)
        right, gateway.token = gateway.token, "another-token-for-now"
        await gateway.cut()
        await gateway.until(lambda: "does not accept this worker" in one.said())
        gateway.token = right
        await gateway.until(lambda: len(gateway.hellos) == 2)
        assert agent.poll() is None


@in_a_loop
async def test_an_agent_whose_place_is_taken_gives_up_after_a_while(tmp_path: Path) -> None:
    async with machine(tmp_path) as one:
        one.gateway.unwelcome = "another agent is connected as 'one'"
        one.start({"REFUSED_FOR_S": 0.2, "HELLO_S": 0.05})
        assert await one.code() == 1
        assert one.gateway.unwelcome in one.said() and len(one.gateway.hellos) > 2


@in_a_loop
async def test_an_agent_whose_place_becomes_free_works(tmp_path: Path) -> None:
    async with machine(tmp_path) as one:
        one.gateway.unwelcome = "another agent is connected as 'one'"
        one.start({"HELLO_S": 0.05})
        await one.gateway.until(lambda: len(one.gateway.hellos) > 2)
        one.gateway.unwelcome = None
        one.gateway.give(1, "true")
        await one.gateway.until(lambda: one.gateway.ends == {1: Succeeded(1)})


@in_a_loop
async def test_a_server_that_refuses_to_talk_ends_a_new_agent_in_its_words(tmp_path: Path) -> None:
    async with machine(tmp_path) as one:
        one.gateway.closes_with = (1008, "the credential is for worker 'two'")
        one.start()
        assert await one.code() == 1
        assert "the credential is for worker 'two'" in one.said()


@in_a_loop
async def test_a_connection_that_is_cut_every_few_frames_costs_nothing_but_time(tmp_path: Path) -> None:
    async with machine(tmp_path) as one:
        gateway = one.gateway
        data = os.urandom(1_000_000)
        (tmp_path / "data").write_bytes(data)
        for id in range(1, 41):
            gateway.give(id, sh(f"echo >> {tmp_path}/did.{id}; echo {id}"))
        gateway.give(41, f"cat {tmp_path}/data")
        gateway.cut_every = 4
        one.start({"FIRST_S": 0.01, "LONGEST_S": 0.05})
        await gateway.until(lambda: len(gateway.ends) == 41, 90)
        gateway.cut_every = None
        await gateway.until(lambda: len(gateway.has(41)) == len(data))
        assert gateway.has(41) == data
        assert all(gateway.has(id) == b"%d\n" % id for id in range(1, 41)) and len(gateway.hellos) > 10
        assert all((tmp_path / f"did.{id}").read_text() == "\n" for id in range(1, 41))


@in_a_loop
async def test_a_server_that_comes_back_after_a_while_is_found(tmp_path: Path) -> None:
    async with machine(tmp_path, prefetch=30) as one:
        gateway = one.gateway
        for id in range(1, 31):
            gateway.give(id, sh(f"sleep 0.05; echo {id}"))
        agent = one.start({"LONGEST_S": 0.1})
        await gateway.until(lambda: len(gateway.ends) > 3)
        await gateway.stop()
        await gateway.until(lambda: one.left() == [] or None)  # the rest is done without it
        await gateway.start(int(one.url.rpartition(":")[2]))
        await gateway.until(lambda: len(gateway.ends) == 30)
        assert agent.poll() is None and len(gateway.started) == 30


@pytest.mark.slow
@in_a_loop
async def test_a_flood_into_a_slow_server_does_not_grow_the_agent(tmp_path: Path) -> None:
    size = 200_000_000
    async with machine(tmp_path) as one:
        gateway = one.gateway
        gateway.pause_s, gateway.keeps_output = 0.002, False
        gateway.give(1, f"head -c {size} /dev/zero")
        agent = one.start()
        most = 0

        def look() -> bool:
            nonlocal most
            status = Path(f"/proc/{agent.pid}/status").read_text()
            most = max(most, int(status.partition("VmRSS:")[2].split()[0]))
            return gateway.seen.get((1, 1)) == size

        await gateway.until(look, 120)
        assert most < 150_000, f"{most} kB"
        await gateway.until(lambda: gateway.ends == {1: Succeeded(1, size, 0)})
