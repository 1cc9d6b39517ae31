"""Where there is no engine, or none for us, the sentence says what to do; and what a container is asked to be."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from pathlib import Path

import pytest

from scitq.agents.container_engine import Engine, find_socket
from scitq.agents.container_job import Job
from scitq.domain.container_options import parse
from scitq.errors import EngineUnavailable


def test_an_engine_elsewhere_is_refused_since_folders_are_here() -> None:
    with pytest.raises(EngineUnavailable, match=r"DOCKER_HOST is ssh://far, .* name a socket of it"):
        find_socket({"DOCKER_HOST": "ssh://far"})


def test_where_there_is_none_it_is_said_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(EngineUnavailable, match=r"at unix://.*none: install one .*apt-get install docker.io"):
        find_socket({"DOCKER_HOST": f"unix://{tmp_path}/none"})
    monkeypatch.setattr("scitq.agents.container_engine._SOCKETS", ("{runtime}/x.sock",))
    with pytest.raises(EngineUnavailable, match=r"no docker or podman engine on this machine: install one"):
        find_socket({"XDG_RUNTIME_DIR": str(tmp_path)})
    (tmp_path / "x.sock").touch()
    assert find_socket({"XDG_RUNTIME_DIR": str(tmp_path)}) == str(tmp_path / "x.sock")


def test_a_socket_that_we_may_not_use_is_said_to_be_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "socket").touch()
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(EngineUnavailable, match=r"usermod -aG docker .* and start the worker anew"):
        find_socket({"DOCKER_HOST": f"unix://{tmp_path}/socket"})


def test_without_the_python_package_it_is_said_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "docker", None)
    with pytest.raises(EngineUnavailable, match=r"pip install 'scitq\[docker\]'"):
        asyncio.run(Engine.connect("/nowhere"))


def test_a_socket_that_nobody_listens_at_is_an_engine_that_does_not_answer(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(str(tmp_path / "socket"))
    with pytest.raises(EngineUnavailable, match=r"the container engine at .* does not answer"):
        asyncio.run(Engine.connect(str(tmp_path / "socket")))


def test_a_job_has_its_folders_its_environment_and_its_labels(tmp_path: Path) -> None:
    body = Job("img", ["a", "b c"], "/w/5", cpu=4, uid=7, gid=8).body({"l": "1"}, shared=str(tmp_path))
    assert body["Image"] == "img" and body["Cmd"] == ["a", "b c"] and body["User"] == "7:8"
    assert body["Labels"] == {"l": "1"}
    assert body["Env"] == ["CPU=4", "INPUT=/input", "OUTPUT=/output", "TEMP=/tmp", "RESOURCE=/resource"]
    mounts = {(one["Source"], one["Target"], one["ReadOnly"]) for one in body["HostConfig"]["Mounts"]}
    assert mounts == {
        ("/w/5/input", "/input", False), ("/w/5/output", "/output", False), ("/w/5/temp", "/tmp", False),
        ("/w/5/resource", "/resource", True), (str(tmp_path), str(tmp_path), False),
    }  # fmt: skip


def test_what_an_option_says_goes_first() -> None:
    options = parse("-u 5 -e CPU=1 --tmpfs /tmp -v /mine:/data -l a=b --shm-size 1g --mount type=tmpfs,dst=/x")
    body = Job("img", [], "/w", options, uid=7).body({"l": "1"}, shared="/nowhere")
    assert body["User"] == "5" and "Cmd" not in body and body["HostConfig"]["ShmSize"] == 1024**3
    assert body["Env"][-1] == "CPU=1" and len(body["Env"]) == 5
    assert body["Labels"] == {"a": "b", "l": "1"}
    assert [one["Target"] for one in body["HostConfig"]["Mounts"]] == ["/input", "/output", "/resource", "/x"]


@pytest.mark.parametrize(("uid", "gid", "user"), [(5, None, "5"), (None, 6, "0:6"), (5, 6, "5:6")])
def test_user_and_group_are_as_docker_writes_them(uid: int | None, gid: int | None, user: str) -> None:
    assert Job("img", [], "/w", uid=uid, gid=gid).body({})["User"] == user
