"""Images that were fetched for tasks go when the disk fills; containers that a reboot has ended are given back."""

from __future__ import annotations

import json
from base64 import b64encode
from pathlib import Path

import pytest

from scitq.agents import containers as containers_module
from scitq.agents import image_cache
from scitq.agents.container_engine import Engine
from scitq.agents.container_life import REBOOTED
from scitq.agents.image_cache import ImageCache
from scitq.agents.images import Images
from tests.e2e.containers import Agent, run, until
from tests.services.docker import IMAGE, PASSWORD, USER, PrivateDocker, PrivateRegistry

FULL, ENOUGH = 95.0, 80.0


@pytest.fixture
def engine(docker_engine: PrivateDocker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> PrivateDocker:
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    return docker_engine


def there(docker: PrivateDocker, names: list[str]) -> list[str]:
    client = docker.client()
    try:
        known = {tag for image in client.images() for tag in image.get("RepoTags") or ()}
        return [name for name in names if name in known]
    finally:
        client.close()


def test_what_was_not_used_for_longest_goes_first_and_never_what_is_used_or_not_ours(
    engine: PrivateDocker, registry: PrivateRegistry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    login = {"auth": b64encode(f"{USER}:{PASSWORD}".encode()).decode()}
    (tmp_path / "config.json").write_text(json.dumps({"auths": {registry.address: login}}))
    names = [registry.put(engine, f"lab/cached:{number}", bytes([number])) for number in range(4)]
    monkeypatch.setattr(image_cache, "NOTE_AGAIN_S", 0.0)
    levels = [FULL, FULL, FULL, ENOUGH]
    monkeypatch.setattr(image_cache, "percent_used", lambda root: levels.pop(0) if levels else FULL)

    async def scenario() -> None:
        asked = await Engine.connect(str(engine.socket))
        assert Path(asked.root).is_dir()
        images = Images(asked, ImageCache(tmp_path))
        for name in names:
            await images.get(name)
        await images.get(names[0])  # used again: now 1 is the one that was not used for longest
        await images.get(IMAGE)
        client = engine.client()
        held = client.create_container(names[1], "true")
        try:
            # 1 is used by a container and stays; 2 goes, 3 goes, then there is room enough.
            again = ImageCache(tmp_path)  # as after a restart
            assert await again.make_room(asked, 90) == [names[2], names[3]]
            assert there(engine, [*names, IMAGE]) == [names[0], names[1], IMAGE]
            client.remove_container(held)
            assert await again.make_room(asked, 90) == [names[1], names[0]]
            assert there(engine, [*names, IMAGE]) == [IMAGE], "what was here before us stays, however full it is"
        finally:
            client.close()
            asked.close()

    run(scenario())


def test_what_a_restart_of_the_machine_has_ended_is_given_back(
    engine: PrivateDocker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    agent = Agent(engine, tmp_path, tmp_path.name)

    async def scenario() -> None:
        monkeypatch.setattr(containers_module, "boot_id", lambda: "the boot before")
        async with agent.life(crash=True) as containers:
            containers.start(1, agent.job("sleep 1000"))
            containers.start(2, agent.job("echo done"))
            await until(lambda: 1 in agent.ear.started, "it runs")
            assert (await agent.end(2)).code == 0
        client = engine.client()
        client.kill(agent_container(engine, agent))
        client.close()
        async with agent.life():
            ended = await agent.end(1)
            assert (ended.code, ended.reason, ended.failure) == (None, REBOOTED, "lost")

    run(scenario())


def agent_container(engine: PrivateDocker, agent: Agent) -> str:
    client = engine.client()
    try:
        (found,) = client.containers(filters={"label": f"scitq.owner={agent.owner}"})
        return str(found["Id"])
    finally:
        client.close()
