"""Executions in containers, on a real engine: each has its effect once and its output whole, whoever is killed."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import time
from base64 import b64encode
from pathlib import Path
from typing import Any

import pytest

from scitq.agents.container_life import NEVER, REMOVED, Ended
from scitq.agents.usage import Usage
from tests.e2e.containers import Agent, run, until
from tests.services.docker import IMAGE, PASSWORD, USER, PrivateDocker, PrivateRegistry


@pytest.fixture
def agent(docker_engine: PrivateDocker, tmp_path: Path) -> Agent:
    return Agent(docker_engine, tmp_path, tmp_path.name)


def left(engine: PrivateDocker, agent: Agent) -> list[Any]:
    client = engine.client()
    found = list(client.containers(all=True, filters={"label": f"scitq.owner={agent.owner}"}))
    client.close()
    return found


def test_a_task_finds_its_folders_prints_and_ends(docker_engine: PrivateDocker, agent: Agent) -> None:
    async def scenario() -> None:
        job = agent.job(
            'cat /input/x; echo made > /output/y; echo no > /resource/z; echo "$CPU $OUTPUT $A"; id -u; exit 3',
            "-e A='b  c' --tmpfs /tmp",
            uid=1000,
        )
        Path(job.folder, "input/x").write_text("given\n")
        async with agent.life() as containers:
            containers.start(1, job)
            containers.start(1, job)
            assert (await agent.end(1))[:3] == (1, 3, None)
            assert list(containers.ends()) == [agent.ear.ended[1]]
            out, err = agent.printed(1)
            assert out == "given\n2 /output b  c\n1000\n"
            assert "Read-only file system" in err
            assert Path(job.folder, "output/y").read_text() == "made\n"
            await until(lambda: not left(docker_engine, agent), "the container is not removed")
            containers.start(1, job)
            assert containers.running() == []
            containers.forget([1])
            assert not list(agent.folder.glob("containers/1.*"))

    run(scenario())


@pytest.mark.parametrize(
    ("script", "options", "image", "expected"),
    [
        ("true", "--entrypoint /no/such", IMAGE, (127, None, "the command could not be started: .*/no/such")),
        ("true", "--entrypoint /tmp", IMAGE, (126, None, "the command could not be started: .*permission denied")),
        ("true", "--runtime nobodys", IMAGE, (None, "container", "the container cannot be made: .*nobodys")),
        ("true", "--device /dev/nobodys", IMAGE, (None, "container", "/dev/nobodys")),
        ("true", "--pull never", "nobody/nothing:1", (None, "image", "nobody/nothing:1 is not on this machine")),
        ("true", "", "No/Good:::", (None, "image", "is not the name of an image")),
        ("true", "", " ", (None, "image", "names no image")),
        ("true", "", "127.0.0.1:1/x:1", (None, "image", "127.0.0.1:1/x:1 cannot be had: .*refused")),
    ],
)
def test_what_cannot_be_run_ends_with_a_sentence(
    agent: Agent, script: str, options: str, image: str, expected: tuple[int | None, str | None, str]
) -> None:
    async def scenario() -> None:
        async with agent.life() as containers:
            containers.start(1, agent.job(script, options, image))
            await agent.end(1)

    run(scenario())
    ended, (code, failure, words) = agent.ear.ended[1], expected
    assert (ended.code, ended.failure) == (code, failure)
    assert ended.reason is not None and re.search(words, ended.reason), ended.reason


def test_a_container_is_held_goes_on_and_is_asked_before_it_is_killed(agent: Agent) -> None:
    async def scenario() -> None:
        async with agent.life() as containers:
            containers.start(1, agent.job("trap 'echo bye; exit 5' TERM; echo up; while :; do sleep 0.05; done"))
            containers.start(2, agent.job("sh -c 'sleep 1000; echo never' & wait; sleep 1000"))
            containers.start(3, agent.job("trap 'echo usr; exit 7' USR1; echo up; while :; do sleep 0.05; done"))
            await until(lambda: agent.output(1) == agent.output(3) == "up\n", "they do not run")
            await until(lambda: 2 in agent.ear.started, "it does not run")
            containers.signal(2, "pause")
            await until(lambda: agent.is_held(2), "it is not held")
            containers.kill(2, 0.2, "it was cancelled")
            containers.kill(1, 30.0)
            containers.signal(3, signal.SIGUSR1)
            assert (await agent.end(1)).code == 5
            assert (await agent.end(2))[:3] == (2, None, "it was cancelled")
            assert (await agent.end(3)).code == 7
            assert agent.printed(1) == ("up\nbye\n", "")
            containers.start(4, agent.job("echo never"))
            containers.kill(4)
            assert (await agent.end(4)).reason == "it was stopped before it had started"
            containers.kill(99)
            containers.signal(99, "pause")

    run(scenario())


def test_what_ran_out_of_memory_is_known(agent: Agent) -> None:
    async def scenario() -> None:
        async with agent.life() as containers:
            containers.start(1, agent.job("exec tail /dev/zero", "--memory 16m --memory-swap 16m"))
            containers.start(2, agent.job("tail /dev/zero; echo $?", "--memory 16m --memory-swap 16m"))
            assert (await agent.end(1))[1:3] == (137, None)
            assert (await agent.end(2)).code == 0
            assert agent.ear.ended[1].oom and agent.ear.ended[2].oom

    run(scenario())


@pytest.mark.parametrize("crash", [False, True])
def test_an_agent_that_is_restarted_again_and_again_loses_and_repeats_nothing(
    docker_engine: PrivateDocker, agent: Agent, crash: bool
) -> None:
    script = "echo once >> /output/runs; i=0; while [ $i -lt 3000 ]; do echo line $i; echo e$i >&2; i=$((i+1)); done"

    async def some_time(seconds: float) -> None:
        async with agent.life(crash=crash) as containers:
            for execution in range(1, 5):
                containers.start(execution, agent.job(f"{script}; sleep 0.{execution}; exit {execution}"))
            await asyncio.sleep(seconds)

    async def to_the_end() -> None:
        async with agent.life() as containers:
            for execution in {1, 2, 3, 4} - agent.ear.ended.keys():
                containers.start(execution, agent.job("true"))
                await agent.end(execution)
            await until(lambda: not left(docker_engine, agent), "a container is left behind")

    for round_ in range(12):
        run(some_time(0.05 * round_))
    run(to_the_end())
    assert Path(agent.folder, "work/output/runs").read_text() == "once\n" * 4
    for execution in range(1, 5):
        assert agent.ear.ended[execution].code == execution
        assert agent.printed(execution)[0] == "".join(f"line {i}\n" for i in range(3000))
        assert agent.printed(execution)[1] == "".join(f"e{i}\n" for i in range(3000))


def test_what_became_of_containers_while_nobody_looked_is_found_out(docker_engine: PrivateDocker, agent: Agent) -> None:
    client = docker_engine.client()

    async def scenario() -> None:
        async with agent.life() as containers:
            containers.start(1, agent.job("echo up; sleep 1000"))
            containers.start(2, agent.job("echo up; while [ ! -e /input/go ]; do sleep 0.02; done; echo end; exit 4"))
            await until(lambda: {1, 2} == agent.ear.started.keys(), "they do not run")
        client.remove_container(f"scitq-{agent.owner}-1", force=True)
        Path(agent.folder, "work/input/go").touch()
        client.wait(f"scitq-{agent.owner}-2")
        async with agent.life() as containers:
            assert (await agent.end(1))[1:] == (None, REMOVED, agent.ear.ended[1].at, False, "lost")
            assert (await agent.end(2)).code == 4
            assert agent.output(2) == "up\nend\n"
            containers.start(1, agent.job("echo again"))
            containers.start(3, agent.job("sleep 1000"))
            await until(lambda: 3 in agent.ear.started, "it does not run")
            client.remove_container(f"scitq-{agent.owner}-3", force=True)
            assert (await agent.end(3)).failure == "lost" or agent.ear.ended[3].code == 137
        async with agent.life() as containers:
            assert {one.execution for one in containers.ends()} == {1, 2, 3}
            assert containers.running() == []

    run(scenario())
    client.close()


def test_an_engine_that_is_killed_and_comes_back_changes_nothing(doomed_docker: PrivateDocker, tmp_path: Path) -> None:
    agent = Agent(doomed_docker, tmp_path, tmp_path.name)

    async def scenario() -> None:
        async with agent.life() as containers:
            wait = "while [ ! -e /input/go ]; do sleep 0.02; done"
            containers.start(
                1, agent.job(f"i=0; while [ $i -lt 50 ]; do echo $i; i=$((i+1)); done; {wait}; echo z; exit 6")
            )
            await until(lambda: agent.output(1).endswith("49\n"), "it does not print")
            await asyncio.to_thread(doomed_docker.kill)
            containers.start(2, agent.job("echo late"))
            await asyncio.to_thread(doomed_docker.start)
            Path(agent.folder, "work/input/go").touch()
            assert (await agent.end(1)).code == 6
            assert agent.output(1) == "".join(f"{i}\n" for i in range(50)) + "z\n"
            assert (await agent.end(2)).code == 0

    run(scenario())


def test_an_image_is_fetched_once_with_the_login_of_the_user(
    docker_engine: PrivateDocker,
    registry: PrivateRegistry,
    agent: Agent,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    reference = registry.put(docker_engine, "lab/tool:2", os.urandom(1_000_000))
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))

    async def scenario() -> None:
        async with agent.life() as containers:
            containers.start(1, agent.job("true", image=reference))
            refused = await agent.end(1)
            assert refused.failure == "image" and "docker login, as the worker's user" in str(refused.reason)
            login = {"auth": b64encode(f"{USER}:{PASSWORD}".encode()).decode()}
            (tmp_path / "config.json").write_text(json.dumps({"auths": {registry.address: login}}))
            for execution in (2, 3, 4):
                containers.start(execution, agent.job("true", image=reference))
            for execution in (2, 3, 4):
                assert (await agent.end(execution)).code == 0
                assert agent.ear.started[execution][1].startswith(reference.rpartition(":")[0] + "@sha256:")
            done, total = agent.ear.images[2][-1]
            assert done == total > 1_000_000
            assert agent.ear.images[2] == agent.ear.images[3] == agent.ear.images[4]

    run(scenario())


def test_an_image_that_nobody_waits_for_any_more_is_not_fetched_on(
    docker_engine: PrivateDocker,
    registry: PrivateRegistry,
    agent: Agent,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    reference = registry.put(docker_engine, "lab/large:1", os.urandom(40_000_000))
    login = {"auth": b64encode(f"{USER}:{PASSWORD}".encode()).decode()}
    (tmp_path / "config.json").write_text(json.dumps({"auths": {registry.address: login}}))
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))

    async def scenario() -> None:
        async with agent.life() as containers:
            for execution in (1, 2):
                containers.start(execution, agent.job("true", image=reference))
            await until(lambda: agent.ear.images.get(2), "nothing is fetched")
            containers.kill(1, reason="it was cancelled")
            assert (await agent.end(1)).reason == "it was cancelled"
            assert 2 in containers.running()
            containers.kill(2)
            assert (await agent.end(2)).reason == NEVER
            containers.start(3, agent.job("true", image=reference))
            assert (await agent.end(3)).code == 0

    run(scenario())


def test_what_a_container_used_is_read_from_its_control_group(agent: Agent) -> None:
    burn = "i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done; dd if=/dev/zero of=/output/f bs=1M count=5 conv=fsync"
    usage = Usage()

    async def scenario() -> None:
        async with agent.life() as containers:
            containers.start(1, agent.job(f"{burn}; while [ ! -e /input/go ]; do sleep 0.02; done"))
            pid, _ = await until(lambda: agent.ear.started.get(1), "it does not run")
            usage.begin(1, pid, container=True)
            due = usage.due()
            assert due is not None and due < time.monotonic() + 0.5, "it has no control group that can be seen"
            await until(lambda: "5+0 records out" in agent.printed(1)[1], "it does not burn")
            usage._watched[1].due = 0.0
            usage.look()
            Path(agent.folder, "work/input/go").touch()
            await agent.end(1)

    run(scenario())
    used, oom = usage.end(1, 0)
    assert used.cpu_s > 0.02 and used.memory_bytes > 10_000 and not oom
    assert used.written_bytes >= 5 * 1024 * 1024


def test_a_container_of_somebody_else_with_the_same_name_is_left_alone(
    docker_engine: PrivateDocker, agent: Agent
) -> None:
    client = docker_engine.client()
    other = client.create_container(IMAGE, ["echo", "other"], name=f"scitq-{agent.owner}-1")

    async def scenario() -> None:
        async with agent.life() as containers:
            containers.start(1, agent.job("echo mine"))
            await agent.end(1)

    run(scenario())
    assert agent.ear.ended[1].failure == "container" and "already in use" in str(agent.ear.ended[1].reason)
    assert client.inspect_container(other)["State"]["Status"] == "created"
    client.remove_container(other)
    client.close()


def test_an_end_is_told_again_after_a_restart_only_when_asked(agent: Agent) -> None:
    async def scenario() -> list[Ended]:
        async with agent.life() as containers:
            containers.start(1, agent.job("exit 1"))
            await agent.end(1)
        async with agent.life() as containers:
            return list(containers.ends())

    assert run(scenario()) == [agent.ear.ended[1]]
