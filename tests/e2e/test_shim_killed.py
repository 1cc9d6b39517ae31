"""Agents and shims that are killed, machines that are restarted, disks that are full: what is found again."""

from __future__ import annotations

import asyncio
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import uvloop

from scitq.agents import processes
from scitq.agents.core import Exit
from scitq.agents.shim_client import ShimClient
from scitq.errors import ShimUnavailable
from scitq.journal import Journal
from tests.e2e.shims import Bench, code_of, codes, ends, kill_shim, lost, pids_of, printed, prints
from tests.services.waiting import eventually

WAITS = "echo ready; while [ ! -e go ]; do sleep 0.01; done; echo done; exit 3"


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path / "shim")
    yield made
    made.stop()


def go(bench: Bench) -> None:
    (bench.folder / "go").touch()


# The agent ----------------------------------------------------------------------------------------------------


def test_the_successor_of_a_killed_agent_finds_what_runs_and_what_has_ended(bench: Bench) -> None:
    program = """
import os, signal, sys
from pathlib import Path
from tests.e2e.shims import Bench, ends, prints
bench = Bench(Path(sys.argv[1]))
agent = bench.agent()
bench.start(agent, 1, sys.argv[2])
bench.start(agent, 2, "exit 6")
bench.start(agent, 3, "exit 0")
prints(agent, 1, "ready")
ends(agent, 3)
os.kill(os.getpid(), signal.SIGKILL)
"""
    died = subprocess.run([sys.executable, "-c", program, str(bench.folder), WAITS], check=False, timeout=60)
    assert died.returncode == -9
    successor = bench.agent()
    eventually(lambda: (successor.wait(0.01), 2 in codes(successor))[1])
    assert list(successor.running()) == [1] and codes(successor) == {2: 6, 3: 0}
    assert [successor.started(execution) for execution in (1, 2, 3, 4)] == [True, True, True, False]
    go(bench)
    assert code_of(successor, 1) == 3 and printed(successor, 1) == "ready\ndone\n"


def test_what_an_agent_asked_for_just_before_it_went_is_done(bench: Bench) -> None:
    first = bench.agent()
    bench.start(first, 1, "true")
    ends(first, 1)
    for execution in range(2, 50):
        bench.start(first, execution, "exit 1")
    first.close()
    successor = bench.agent()
    eventually(lambda: (successor.wait(0.01), len(codes(successor)) == 49)[1])


def test_two_agents_at_once_hear_the_same(bench: Bench) -> None:
    first, second = bench.agent(), bench.agent()
    bench.start(first, 1, "true")
    ends(first, 1)
    second = bench.agent()
    bench.start(second, 2, "exit 2")
    assert code_of(first, 2) == 2 and code_of(second, 2) == 2 and first.shim_pid() == second.shim_pid()


# The shim -----------------------------------------------------------------------------------------------------


def test_a_shim_is_started_when_it_is_needed_and_ends_when_it_is_not(tmp_path: Path) -> None:
    bench = Bench(tmp_path / "shim", patience_s=0.1)
    agent = bench.agent()
    assert agent.shim_pid() is None
    bench.start(agent, 1, WAITS)
    prints(agent, 1, "ready")
    pid = agent.shim_pid()
    agent.close()
    assert pid is not None and os.getsid(pid) not in (os.getsid(0), 0) and bench.agent().shim_pid() == pid
    for each in bench.agents:
        each.close()
    go(bench)
    eventually(lambda: processes.start_of(pid) is None, "the end of the shim")
    assert codes(bench.agent()) == {1: 3}, "the next one knows it from the journal"
    bench.stop()


def test_a_shim_whose_machine_goes_down_ends_with_the_last_command(bench: Bench) -> None:
    agent = bench.agent()
    bench.start(agent, 1, WAITS)
    prints(agent, 1, "ready")
    pid = agent.shim_pid()
    assert pid is not None
    os.kill(pid, signal.SIGINT)
    os.kill(pid, signal.SIGHUP)
    os.kill(pid, signal.SIGTERM)
    go(bench)
    assert code_of(agent, 1) == 3
    eventually(lambda: processes.start_of(pid) is None, "the end of the shim")


def test_a_killed_shim_is_replaced_and_what_is_lost_is_said(bench: Bench) -> None:
    agent = bench.agent()
    bench.start(agent, 1, WAITS)
    bench.start(agent, 2, "exit 5")
    bench.start(agent, 3, "echo ready; exec sleep 1000")
    bench.start(agent, 4, "echo $$ ready; exec sleep 1000")
    for execution in (1, 3, 4):
        prints(agent, execution, "ready")
    ends(agent, 2)
    gone = int(printed(agent, 4).split()[0])
    pid = agent.shim_pid()
    kill_shim(agent)
    os.kill(gone, signal.SIGKILL)
    eventually(lambda: processes.start_of(gone) is None)
    found = ends(agent, 4)
    assert agent.shim_pid() not in (pid, None) and sorted(agent.running()) == [1, 3] and codes(agent) == {2: 5}
    assert found[4].code is None and "nobody else has seen how it ended" in str(found[4].reason)
    agent.kill(3)
    go(bench)
    found = ends(agent, 1, 3)
    assert found[1].code is None and "its return code is lost" in str(found[1].reason)
    assert printed(agent, 1) == "ready\ndone\n", "it was left to finish"
    assert lost(agent).keys() == {1, 3, 4} and pids_of(agent, 3) == []
    bench.start(agent, 5, "exit 8")
    assert code_of(agent, 5) == 8


def test_a_shim_killed_in_the_moment_of_a_start_has_its_command_found_by_what_it_prints_into(bench: Bench) -> None:
    agent = bench.agent()
    bench.start(agent, 1, WAITS)
    prints(agent, 1, "ready")
    kill_shim(agent)
    agent.close()
    (bench.folder / "journal").write_bytes(b"")
    (bench.folder / "runs" / "2.out").touch()
    successor = bench.agent()
    bench.start(successor, 1, WAITS)
    assert list(successor.running()) == [1] and list(lost(successor)) == [2]
    successor.kill(1)
    ends(successor, 1)
    assert pids_of(successor, 1) == []


def test_what_the_shim_never_read_is_asked_of_the_next(bench: Bench) -> None:
    agent = bench.agent()
    bench.start(agent, 1, "true")
    ends(agent, 1)
    pid = agent.shim_pid()
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    bench.start(agent, 2, "echo once >> done; exit 9")
    kill_shim(agent)
    assert code_of(agent, 2) == 9 and (bench.folder / "done").read_text() == "once\n"


def test_a_process_that_was_given_the_number_of_ours_is_not_taken_for_it(bench: Bench) -> None:
    agent = bench.agent()
    bench.start(agent, 1, "echo ready; exec sleep 1000 > /dev/null 2>&1")
    prints(agent, 1, "ready")
    journal = bench.folder / "journal"
    eventually(journal.read_bytes, "its start is written down")
    kill_shim(agent)
    agent.close()
    (line,) = journal.read_bytes().splitlines()
    stranger = int(line.partition(b'"pid": ')[2].partition(b",")[0])
    journal.unlink()
    forged = Journal(str(journal))
    forged.append(line[9:].replace(b'"ticks": [', b'"ticks": [1, 2], "were": ['))
    forged.close()
    successor = bench.agent()
    assert list(lost(successor)) == [1] and list(successor.running()) == []
    assert processes.start_of(stranger) is not None, "it is not ours to end"
    os.kill(stranger, signal.SIGKILL)


def test_after_a_restart_of_the_machine_nothing_runs_and_the_ends_are_still_known(bench: Bench) -> None:
    agent = bench.agent()
    bench.start(agent, 1, "echo ready; exec sleep 1000")
    bench.start(agent, 2, "exit 4")
    prints(agent, 1, "ready")
    ends(agent, 2)
    pids = pids_of(agent, 1)
    kill_shim(agent)
    agent.close()
    again = bench.agent(boot="another")
    assert list(again.running()) == [] and codes(again) == {2: 4}
    assert lost(again) == {1: "the machine was restarted while it ran"}
    assert again.started(1), "it is not started again"
    for pid in pids:  # which this machine, not restarted, still has
        os.kill(pid, signal.SIGKILL)


def test_a_full_disk_loses_no_end(bench: Bench) -> None:
    """The journal may grow to 300 bytes, then there is no room; the ends are told all the same, and written later."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    agent = bench.agent()
    resource.setrlimit(resource.RLIMIT_FSIZE, (300, before[1]))
    try:
        bench.start(agent, 1, "exit 1")
        ends(agent, 1)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    for execution in range(2, 12):
        bench.start(agent, execution, "exit 1")
    ends(agent, *range(2, 12))
    journal = bench.folder / "journal"
    assert journal.stat().st_size <= 300 and "no space is left" in (bench.folder / "log").read_text()
    pid = agent.shim_pid()
    assert pid is not None
    resource.prlimit(pid, resource.RLIMIT_FSIZE, before)
    eventually(lambda: journal.read_bytes().count(b'"end"') == 11)
    kill_shim(agent)
    agent.close()
    assert codes(bench.agent()) == dict.fromkeys(range(1, 12), 1)


def test_a_shim_that_cannot_be_started_says_why(tmp_path: Path) -> None:
    bench = Bench(tmp_path / "shim")
    agent = bench.agent()
    (bench.folder / "journal").mkdir()
    with pytest.raises(ShimUnavailable, match="ended with 1 as it was started: IsADirectoryError"):
        bench.start(agent, 1, "true")
    (bench.folder / "journal").rmdir()
    bench.start(agent, 2, "true")
    assert sorted(ends(agent, 1, 2)) == [1, 2], "what could not be asked is asked when it can"
    bench.stop()


def test_a_folder_with_a_long_name_will_do(tmp_path: Path) -> None:
    bench = Bench(tmp_path / ("a" * 100) / ("ö" * 60) / "shim")
    bench.start(agent := bench.agent(), 1, "exit 2")
    assert code_of(agent, 1) == 2
    bench.stop()


# In a loop ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def test_in_a_loop_each_end_is_told_also_when_the_shim_is_killed(bench: Bench, make: type) -> None:
    async def live() -> dict[int, Exit]:
        told: dict[int, Exit] = {}
        came = asyncio.Event()

        def on_exit(one: Exit) -> None:
            assert one.execution not in told
            told[one.execution] = one
            came.set()

        async def until(*executions: int) -> None:
            async with asyncio.timeout(30):
                while not told.keys() >= set(executions):
                    await came.wait()
                    came.clear()

        agent: ShimClient = bench.agent()
        agent.watch(asyncio.get_running_loop(), on_exit)
        for execution in range(1, 301):  # more than the socket takes at once
            bench.start(agent, execution, "exit 0", env={"PATH": "/usr/bin:/bin", "BIG": "x" * 4_000})
        await until(*range(1, 301))
        bench.start(agent, 1000, WAITS)
        await asyncio.to_thread(prints, agent, 1000, "ready")
        pid = agent.shim_pid()
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        async with asyncio.timeout(30):
            while agent.shim_pid() in (pid, None):
                await asyncio.sleep(0.005)
        assert list(agent.running()) == [1000]
        go(bench)
        bench.start(agent, 1001, "exit 6")
        await until(1000, 1001)
        agent.close()
        return told

    with asyncio.Runner(loop_factory=make) as runner:
        told = runner.run(live())
    assert told[1001].code == 6 and told[1000].code is None and {told[n].code for n in range(1, 301)} == {0}
