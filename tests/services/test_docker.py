"""The private engine and registry keep their promises, since the tests of containers stand on them."""

import psutil
import pytest
from docker.errors import APIError

from tests.services.docker import IMAGE, PASSWORD, USER, PrivateDocker, PrivateRegistry


def test_a_container_runs_and_what_it_says_is_kept(docker_engine: PrivateDocker) -> None:
    client = docker_engine.client()
    container = client.create_container(IMAGE, ["sh", "-c", "echo hello; exit 3"])
    client.start(container)
    assert client.wait(container)["StatusCode"] == 3
    assert client.logs(container) == b"hello\n"
    client.remove_container(container)
    client.close()


def test_the_registry_gives_nothing_without_the_password(
    docker_engine: PrivateDocker, registry: PrivateRegistry
) -> None:
    reference = registry.put(docker_engine, "some/tool:2")
    client = docker_engine.client()
    with pytest.raises(APIError, match="no basic auth credentials"):
        client.pull(reference)
    client.pull(reference, auth_config={"username": USER, "password": PASSWORD})
    client.remove_image(reference)
    client.close()


def test_a_killed_engine_comes_back_to_its_containers_and_in_the_end_nothing_is_left(
    doomed_docker: PrivateDocker,
) -> None:
    client = doomed_docker.client()
    container = client.create_container(IMAGE, ["sleep", "1000"])
    client.start(container)
    pid = client.inspect_container(container)["State"]["Pid"]
    doomed_docker.kill()
    assert psutil.pid_exists(pid)
    doomed_docker.start()
    assert client.inspect_container(container)["State"]["Pid"] == pid
    client.close()
    doomed_docker.close()
    assert not psutil.pid_exists(pid)
    assert not doomed_docker.socket.parent.exists()
