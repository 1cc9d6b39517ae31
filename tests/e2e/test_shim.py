"""The shim with real processes: started once, seen to end, killed with all they started, and outliving the agent."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from scitq.agents import processes
from scitq.agents.shim_client import ShimClient
from scitq.agents.shim_run import Told
from scitq.agents.shim_runs import Runs
from tests.e2e.shims import ENV, Bench, code_of, codes, ends, pids_of, printed, prints
from tests.services.waiting import eventually

root_only = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path / "shim")
    yield made
    made.stop()


@pytest.fixture
def agent(bench: Bench) -> ShimClient:
    return bench.agent()


# Starting and ending ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("true", 0),
        ("exit 7", 7),
        ("exit 255", 255),
        ("kill -TERM $$", -15),
        ("kill -PIPE $$", -13),
        ("kill -INT $$", -2),
    ],
)
def test_how_a_command_ended_is_told(bench: Bench, agent: ShimClient, line: str, code: int) -> None:
    bench.start(agent, 1, line)
    assert code_of(agent, 1) == code
    assert codes(agent) == {1: code} and list(agent.running()) == [] and agent.started(1)


def test_what_a_command_used_is_told_also_to_the_next_agent(bench: Bench, agent: ShimClient) -> None:
    bench.start(
        agent, 1, f"{sys.executable} -c 'import time; x = bytearray(50 << 20)\nwhile time.process_time() < 0.3: pass'"
    )
    assert code_of(agent, 1) == 0
    (end,) = agent.ends()
    assert end.used is not None and end.used["cpu_s"] >= 0.3 and end.used["memory_bytes"] > 50 << 20
    agent.close()
    again = bench.agent()
    assert again.ends() == [end]
    again.forget([1])
    assert again.ends() == []


def test_a_command_has_its_own_folder_environment_session_and_an_empty_input(bench: Bench, agent: ShimClient) -> None:
    bench.start(agent, 1, "pwd; cat; env | sort; ps -o pid=,sid= -p $$ >&2", env={**ENV, "INPUT": "ä €"}, cwd="/usr")
    assert code_of(agent, 1) == 0
    lines = printed(agent, 1).splitlines()
    assert lines[0] == "/usr" and {"HOME=/", "INPUT=ä €"} <= set(lines)
    assert {line.split("=")[0] for line in lines[1:]} <= {"HOME", "INPUT", "PATH", "PWD", "_", "SHLVL", "OLDPWD"}
    pid, session = printed(agent, 1, "err").split()
    assert pid == session


@pytest.mark.parametrize(
    ("argv", "options", "code", "words"),
    [
        (("no-such-command", "x"), {}, 127, "no such command: no-such-command"),
        (("/etc/passwd", "x"), {}, 126, "Permission denied: /etc/passwd"),
        (("/bin/true", "x"), {"cwd": "/no/such/folder"}, 127, "No such file or directory: /no/such/folder"),
        (("/bin/true", "x" * 200_000), {}, 126, "Argument list too long"),
        (("/bin/true", "a\0b"), {}, 126, "embedded null"),
    ],
)
def test_a_command_that_cannot_be_started_ends_in_the_words_and_codes_of_a_shell(
    bench: Bench, agent: ShimClient, argv: tuple[str, ...], options: dict[str, Any], code: int, words: str
) -> None:
    bench.start(agent, 1, *argv, **options)
    assert code_of(agent, 1) == code
    assert words in printed(agent, 1, "err")


def test_a_second_start_of_an_execution_does_nothing_whoever_asks(bench: Bench, agent: ShimClient) -> None:
    line = "echo once >> done"
    bench.start(agent, 1, line)
    bench.start(agent, 1, line)
    ends(agent, 1)
    other = bench.agent()
    bench.start(other, 1, line)
    other._ended.clear()  # an agent that has forgotten
    bench.start(other, 1, line)
    bench.start(other, 2, "true")
    ends(other, 2)
    assert (bench.folder / "done").read_text() == "once\n"


def test_a_thousand_commands_end_each_once(bench: Bench, agent: ShimClient) -> None:
    for execution in range(1, 1001):
        bench.start(agent, execution, "/bin/true", "x")
    found = ends(agent, *range(1, 1001))
    assert len(found) == 1000 and {one.code for one in found.values()} == {0}
    assert codes(bench.agent()) == codes(agent)


def test_what_is_forgotten_leaves_no_file(bench: Bench, agent: ShimClient) -> None:
    bench.start(agent, 1, "echo text")
    bench.start(agent, 2, "sleep 1000")
    ends(agent, 1)
    agent.forget([1, 2])
    eventually(lambda: not agent.output(1, "out").exists() and not agent.output(1, "err").exists())
    assert agent.output(2, "out").exists() and list(bench.agent().ends()) == []


def test_what_a_command_leaves_behind_may_finish_before_the_end_is_told(bench: Bench, agent: ShimClient) -> None:
    bench.start(agent, 1, "(sleep 0.3; echo late) & exit 3")
    assert code_of(agent, 1) == 3
    assert printed(agent, 1) == "late\n"


def test_what_a_command_leaves_behind_for_good_is_ended(bench: Bench, agent: ShimClient) -> None:
    bench.start(agent, 1, "sleep 1000 & echo $!; exit 0")
    assert code_of(agent, 1) == 0
    assert processes.start_of(int(printed(agent, 1))) is None


# Signals ------------------------------------------------------------------------------------------------------


def test_a_signal_reaches_the_whole_group(bench: Bench, agent: ShimClient) -> None:
    child = "(trap 'echo child; exit' USR1; echo ready; while :; do sleep 0.01; done) &"
    bench.start(agent, 1, f"trap 'wait; echo parent; exit 5' USR1; {child} wait")
    prints(agent, 1, "ready")
    agent.signal(1, signal.SIGUSR1)
    assert code_of(agent, 1) == 5
    assert printed(agent, 1).split() == ["ready", "child", "parent"]


def test_a_command_is_held_and_goes_on(bench: Bench, agent: ShimClient) -> None:
    bench.start(agent, 1, "echo $$ ready; exec sleep 1000")
    prints(agent, 1, "ready")
    stat = Path(f"/proc/{printed(agent, 1).split()[0]}/stat")

    def is_held() -> bool:
        return stat.read_text().rpartition(")")[2].split()[0] == "T"

    agent.signal(1, "pause")
    eventually(is_held)
    agent.signal(1, "resume")
    eventually(lambda: not is_held())
    agent.signal(1, "pause")
    agent.kill(1)
    assert code_of(agent, 1) == -15, "who is held can still end in an orderly way"


FAMILIES = {
    "children and grandchildren": "sleep 1000 & (sleep 1000 & sleep 1000) & echo ready; wait",
    "who does not listen": "trap '' TERM HUP; echo ready; while :; do sleep 1; done",
    "a child that does not listen": "(trap '' TERM; while :; do sleep 1; done) & echo ready; wait",
    "groups of their own": "set -m; sleep 1000 & sleep 1000 & echo ready; wait",
    "a session of its own that prints here": "setsid sleep 1000 & echo ready; wait",
    "a daemon": "setsid sh -c 'sleep 1000 & sleep 1000 &' ; echo ready; sleep 1000",
    "who goes on multiplying": "echo ready; while :; do sleep 1000 & sleep 0.005; done",
}


@pytest.mark.parametrize("family", FAMILIES)
def test_a_killed_command_is_over_when_nobody_is_left(bench: Bench, agent: ShimClient, family: str) -> None:
    bench.start(agent, 1, FAMILIES[family])
    bench.start(agent, 2, "sleep 1000")
    prints(agent, 1, "ready")
    assert pids_of(agent, 1)
    agent.kill(1)
    found = ends(agent, 1)
    assert found[1].code in (-15, -9) and pids_of(agent, 1) == []
    assert list(agent.running()) == [2] and pids_of(agent, 2), "the others are left alone"


def test_the_killing_signal_waits_for_nobody_and_is_confirmed_alike(bench: Bench, agent: ShimClient) -> None:
    bench.start(agent, 1, "trap '' TERM; sleep 1000 & echo ready; wait")
    prints(agent, 1, "ready")
    agent.signal(1, 9)
    assert code_of(agent, 1) == -9 and pids_of(agent, 1) == []


def test_signals_to_what_does_not_run_are_nobodys(bench: Bench, agent: ShimClient) -> None:
    agent.kill(77)
    agent.signal(77, "pause")
    bench.start(agent, 1, "true")
    ends(agent, 1)
    agent.kill(1)
    agent.signal(1, 15)
    bench.start(agent, 2, "exit 4")
    assert code_of(agent, 2) == 4


def test_what_is_killed_for_a_reason_ends_for_it_whatever_code_it_gives(bench: Bench, agent: ShimClient) -> None:
    bench.start(agent, 1, "trap 'exit 0' TERM; echo ready; while :; do sleep 0.01; done")
    prints(agent, 1, "ready")
    agent.kill(1, reason="it ran too long")
    end = ends(agent, 1)[1]
    assert (end.code, end.reason) == (None, "it ran too long")


def test_starts_that_wait_are_made_with_the_flush_and_what_is_killed_before_never_is(bench: Bench) -> None:
    agent = bench.agent(coalesce=True)
    for execution in (1, 2, 3):
        bench.start(agent, execution, "exit 4")
    agent.kill(2)
    assert sorted(agent.running()) == [1, 3] and not agent.started(2)
    found = ends(agent, 1, 3)
    assert {one.code for one in found.values()} == {4} and not agent.output(2, "out").exists()


# Users --------------------------------------------------------------------------------------------------------


@root_only
def test_a_command_runs_as_the_user_it_is_for_and_cannot_be_root_again(bench: Bench, agent: ShimClient) -> None:
    program = "grep -E 'Uid|Gid|Groups|CapEff' /proc/self/status; echo again > /dev/stderr; ls /root"
    bench.start(agent, 1, program, uid=65534, gid=65533, cwd="/")
    bench.start(agent, 2, "id -u; id -G")
    assert code_of(agent, 1) != 0, "it cannot read root's folder"
    lines = {line.split(":")[0]: line.split(":")[1].split() for line in printed(agent, 1).splitlines()}
    assert lines == {"Uid": ["65534"] * 4, "Gid": ["65533"] * 4, "Groups": ["65533"], "CapEff": ["0" * 16]}
    assert printed(agent, 1, "err").startswith("again\n")
    assert code_of(agent, 2) == 0 and printed(agent, 2).split()[0] == "0", "the shim is root again"


@root_only
def test_a_folder_that_the_user_may_not_enter_is_refused_to_him(bench: Bench, agent: ShimClient) -> None:
    closed = bench.folder / "closed"
    closed.mkdir(mode=0o700)
    bench.start(agent, 1, "true", uid=65534, gid=65534, cwd=str(closed))
    assert code_of(agent, 1) == 126 and "Permission denied" in printed(agent, 1, "err")


def test_who_is_not_root_can_be_nobody_else_and_is_told_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    told: list[Told] = []
    runs = Runs(str(tmp_path), "boot", told.append)
    runs.start(1, {"argv": ["/bin/true"], "cwd": "/", "env": {}, "uid": os.getuid(), "gid": None})
    assert told[0]["code"] is None, "the task is not to blame"
    assert "the agent does not run as root, so it cannot run a command as user" in told[0]["reason"]
