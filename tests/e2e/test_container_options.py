"""A real engine makes of our create request what it makes of the docker program's, for the same words."""

from __future__ import annotations

import shlex
import shutil
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest
from docker.errors import APIError

from scitq.domain.container_options import parse
from tests.conftest import miss
from tests.services.docker import IMAGE, PrivateDocker

WORDS = [
    "",
    "-e A=1 -e 'B=two words' -u 1000:1000 -w /work -h box --entrypoint /bin/sh",
    "--shm-size=64m --memory 1.5g --memory-reservation 1g --memory-swap -1 --cpus 0.25 --cpuset-cpus 0 -c 512",
    "-v /tmp:/there:ro -v /fresh -v ref:/ref --tmpfs /run:rw,size=64m",
    "--mount type=bind,src=/tmp,dst=/b,readonly,bind-propagation=rslave --mount type=tmpfs,target=/t,tmpfs-size=1m",
    "--mount source=ref,target=/ref,volume-nocopy",
    "--ulimit nofile=1024:2048 --ulimit core=-1 --pids-limit 100 --oom-score-adj 100",
    "--device /dev/null:/dev/other:r --device-cgroup-rule 'c 1:3 r' --device-read-bps /dev/null:1m --blkio-weight 300",
    "--device-write-iops /dev/null:5 --cpu-period 100000 --cpu-quota 50000",
    "--cap-add SYS_PTRACE --cap-drop ALL --security-opt seccomp=unconfined --security-opt no-new-privileges",
    "--security-opt systempaths=unconfined --group-add 5 --read-only --init --privileged=false",
    "--network host --ipc host --pid host --uts host --userns host --cgroupns host",
    "--network none --add-host db:10.0.0.1 --dns 9.9.9.9 --dns-search x.org --dns-opt ndots:2 --domainname y.org",
    "-l a=b --label c --stop-signal INT --stop-timeout 3 --sysctl net.ipv4.ip_forward=1 --runtime runc",
    "--gpus all",
    "--gpus '\"device=0,1\",capabilities=utility'",
    "-p 8080:80 -p 127.0.0.1::53/udp --expose 90 -P",
    "--health-cmd 'true x' --health-interval 1m30s --health-retries 3 --health-timeout 2s --health-start-period 500ms",
    "--no-healthcheck --volumes-from {other}:ro --volume-driver local --cgroup-parent /x",
    "--storage-opt size=1G",
    "--rm=false -it --quiet=false -a stdout",
]
NOT_COMPARED = {
    "AttachStderr", "AttachStdin", "AttachStdout", "OpenStdin", "StdinOnce", "Tty", "ConsoleSize", "LogConfig", "Cmd",
    "AutoRemove", "RestartPolicy",
}  # fmt: skip
"""What the worker decides, or the size of a terminal."""


@pytest.fixture(scope="module")
def client(docker_engine: PrivateDocker) -> Iterator[Any]:  # the stubs leave some of it without types
    client = docker_engine.client()
    yield client
    client.close()


@pytest.fixture(scope="module")
def program() -> str:
    found = shutil.which("docker")
    if found is None:
        miss("the docker program, which comes with docker.io or docker-cli, is not installed")
    return found


@pytest.mark.parametrize("words", WORDS)
def test_the_engine_is_asked_for_what_the_docker_program_asks_for(
    words: str, docker_engine: PrivateDocker, client: Any, program: str
) -> None:
    other = client.create_container(IMAGE, "true")["Id"]
    words = words.format(other=other)
    mine = theirs = ""
    try:
        said = subprocess.run(
            [program, "--host", docker_engine.url, "create", *shlex.split(words), IMAGE, "true"],
            capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip
        body = {"HostConfig": {}, **parse(words).body, "Image": IMAGE, "Cmd": ["true"]}
        if said.returncode:  # this engine cannot do it, and says the same to us
            with pytest.raises(APIError) as refused:
                client.create_container_from_config(body)
            assert str(refused.value.explanation) in said.stderr
            return
        theirs = said.stdout.strip()
        mine = client.create_container_from_config(body)["Id"]
        assert _seen(client.inspect_container(mine)) == _seen(client.inspect_container(theirs))
    finally:
        for one in filter(None, (mine, theirs, other)):
            client.remove_container(one, v=True)


def _seen(inspected: dict[str, Any]) -> dict[str, Any]:
    short = inspected["Id"][:12]
    seen = {f"{part}.{name}": value for part in ("Config", "HostConfig") for name, value in inspected[part].items()}
    return {
        name: None if value == short else _plain(value)
        for name, value in seen.items()
        if name.partition(".")[2] not in NOT_COMPARED
    }


def _plain(value: Any) -> Any:
    """Without what is empty, and in no order."""
    if isinstance(value, dict):
        return {name: plain for name, each in value.items() if (plain := _plain(each)) is not None} or None
    if isinstance(value, list):
        return sorted(map(_plain, value), key=repr) or None
    return value or None
