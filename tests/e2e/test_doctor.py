"""`scitq worker doctor` on a real machine: with a server and an engine, with those that hang, and called off."""

from __future__ import annotations

import os
import signal
import socket
import sys
from glob import glob
from pathlib import Path
from typing import Any

import orjson
import pytest

from scitq.agents import doctor_engine
from scitq.agents.doctor_engine import containers
from tests.services.docker import PrivateDocker
from tests.services.scitq import Embedded, embedded, living_in
from tests.services.waiting import eventually


def images(engine: PrivateDocker) -> tuple[list[Any], list[Any]]:
    client = engine.client()
    try:
        return [one["RepoTags"] for one in client.images()], [one["Id"] for one in client.containers(all=True)]
    finally:
        client.close()


def found(system: Embedded, *words: str, code: int = 0, **settings: str) -> dict[str, list[dict[str, Any]]]:
    system.machine.environ |= settings
    said = orjson.loads(system.machine.run("worker", "doctor", "--json", *words, code=code))
    assert said["good"] is (code == 0)
    by_name: dict[str, list[dict[str, Any]]] = {}
    for one in said["findings"]:
        by_name.setdefault(one["name"], []).append(one)
    return by_name


def test_a_machine_with_all_it_needs(tmp_path: Path, docker_engine: PrivateDocker) -> None:
    before = images(docker_engine)
    with embedded(tmp_path) as system:
        system.server()
        system.client()
        seen = found(system, DOCKER_HOST=docker_engine.url)
        for name in ("server", "worker's folder", "working folder", "commands", "containers"):
            assert {one["state"] for one in seen[name]} == {"good"}, seen[name]
        engine, container = seen["containers"]
        assert engine["text"].startswith("docker ") and f"at {docker_engine.socket}, API 1." in engine["text"]
        assert container["text"] == "a container was run, and its task's folder was written to"
        assert system.client().workers() == []
    assert images(docker_engine) == before
    assert not list(tmp_path.rglob(".scitq-doctor-*"))
    assert not living_in(tmp_path)


def test_engine_and_server_that_hang_are_not_waited_for(tmp_path: Path) -> None:
    with (
        embedded(tmp_path) as system,
        socket.create_server(("127.0.0.1", 0)) as server,
        socket.socket(socket.AF_UNIX) as engine,
    ):
        engine.bind(str(tmp_path / "docker.sock"))
        engine.listen()
        address = f"127.0.0.1:{server.getsockname()[1]}"
        seen = found(system, address, code=1, DOCKER_HOST=f"unix://{tmp_path}/docker.sock")
        assert "does not answer within 5 s" in seen["server"][0]["text"]
        (hanging,) = seen["containers"]
        assert hanging["state"] == "broken" and not hanging["needed"]
        assert f"the engine at {tmp_path}/docker.sock does not answer" in hanging["text"]
        assert seen["commands"][0]["state"] == "good"


def test_ctrl_c_leaves_nothing(tmp_path: Path) -> None:
    with embedded(tmp_path) as system, socket.create_server(("127.0.0.1", 0)) as server:
        process = system.machine.start("worker", "doctor", f"127.0.0.1:{server.getsockname()[1]}")
        system.adopt(process)
        eventually(lambda: "scitq   " in process.said(), "it has begun")
        assert process.end(signal.SIGINT) == 130
        assert not list(tmp_path.rglob(".scitq-doctor-*")) and "Traceback" not in process.said()
        assert eventually(lambda: not living_in(tmp_path), "the shim ends as well")


def test_who_is_killed_leaves_no_process(tmp_path: Path) -> None:
    with embedded(tmp_path) as system, socket.create_server(("127.0.0.1", 0)) as server:
        process = system.machine.start("worker", "doctor", f"127.0.0.1:{server.getsockname()[1]}")
        system.adopt(process)
        runs = f"{tmp_path}/**/.scitq-doctor-*/shim/runs"  # unlike rglob, glob passes over what goes while it looks
        eventually(lambda: glob(runs, recursive=True), "it starts a command")
        process.kill()
        assert eventually(lambda: not living_in(tmp_path), "the shim ends as well")


def test_engines_that_are_not_there_not_for_us_or_far_away(
    docker_engine: PrivateDocker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def one(**environ: str) -> tuple[str, str]:
        (finding,) = containers(tmp_path, environ)
        assert not finding.needed
        return finding.state, finding.text

    state, text = one(DOCKER_HOST="ssh://far")
    assert state == "broken" and "name a socket of it" in text
    state, text = one(DOCKER_HOST=f"unix://{tmp_path}/none")
    assert state == "broken" and "apt-get install docker.io; or podman" in text
    with socket.socket(socket.AF_UNIX) as nobody:
        nobody.bind(str(tmp_path / "nobody"))
    state, text = one(DOCKER_HOST=f"unix://{tmp_path}/nobody")
    assert state == "broken" and "start it (systemctl start docker, or podman.socket)" in text
    with monkeypatch.context() as patch:
        patch.setattr(os, "access", lambda *_: False)
        state, text = one(DOCKER_HOST=docker_engine.url)
        assert state == "broken" and "usermod -aG docker" in text
    with monkeypatch.context() as patch:
        patch.setattr("scitq.agents.container_engine._SOCKETS", (str(tmp_path / "none"),))
        state, text = one()
        assert state == "absent" and text.endswith("only tasks with a container need it")
        patch.setitem(sys.modules, "docker", None)
        package, engine = containers(tmp_path, {})
        assert (package.state, engine.state) == ("absent", "absent")
        assert package.text.endswith("pip install 'scitq[docker]'")


def test_an_engine_that_runs_nothing_or_does_not_see_our_folders(
    docker_engine: PrivateDocker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, environ = images(docker_engine), {"DOCKER_HOST": docker_engine.url}
    with monkeypatch.context() as patch:
        patch.setattr(doctor_engine, "_OURS", ())
        about, run = containers(tmp_path, environ)
        assert about.state == "good"
        assert run.state == "broken" and "a container cannot be run: " in run.text and "/bin/sh" in run.text
    with monkeypatch.context() as patch:
        patch.setattr(doctor_engine, "_WRITES", "true {}")
        _, run = containers(tmp_path, environ)
        assert run.state == "broken" and f"the engine does not see {tmp_path}" in run.text
    assert images(docker_engine) == before and not os.listdir(tmp_path)
