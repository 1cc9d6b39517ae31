"""Tasks in containers from end to end: server, worker and a real engine, and all that people do to a task."""

from __future__ import annotations

import json
import os
import re
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from scitq.agents.spool_file import INCARNATION
from scitq.errors import ServerError
from tests.services.docker import IMAGE, PASSWORD, USER, PrivateDocker, PrivateRegistry
from tests.services.scitq import Embedded, embedded
from tests.services.waiting import eventually

ALONE = "--network none"


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory, docker_engine: PrivateDocker) -> Iterator[Embedded]:
    with embedded(tmp_path_factory.mktemp("system"), DOCKER_HOST=docker_engine.url) as one:
        one.server()
        one.worker(4, "--keep-failed", "0")
        yield one


def submit(system: Embedded, script: str, options: str = ALONE, **properties: Any) -> int:
    properties = {"container": IMAGE, "container_options": options, "shell": True, **properties}
    return int(system.client().task_create(script, **properties)["task_id"])


def run(system: Embedded, script: str, options: str = ALONE, **properties: Any) -> dict[str, Any]:
    """The execution in which it ended."""
    task = submit(system, script, options, **properties)
    system.client().wait([task])
    return latest(system, task)


def latest(system: Embedded, task: int) -> dict[str, Any]:
    return system.client().executions(task_id=task, latest=True)[0]


def running(system: Embedded, task: int) -> dict[str, Any]:
    eventually(lambda: system.client().task_get(task)["status"] == "running", "it runs")
    return latest(system, task)


def containers(system: Embedded, engine: PrivateDocker) -> list[Any]:
    """Those of this system's worker; tests share an engine."""
    (owner,) = (path.read_text() for path in (system.machine.data / "workers").rglob(INCARNATION))
    client = engine.client()
    try:
        return list(client.containers(all=True, filters={"label": f"scitq.owner={owner.strip()}"}))
    finally:
        client.close()


def test_a_task_has_its_data_and_its_outputs_are_stored(
    system: Embedded, docker_engine: PrivateDocker, tmp_path: Path
) -> None:
    data = tmp_path / "data"
    (data / "sub").mkdir(parents=True)
    (data / "sub" / "in put é").write_text("data")
    (tmp_path / "genome").write_text("ACGT")
    script = """
        cat "/input/sub/in put é" /resource/genome > "/output/ou t é"
        echo changed > "/input/sub/in put é"; touch /input/sub/new /tmp/new; echo $CPU $INPUT; id -u
        echo no > /resource/genome; echo "it's \\"quoted\\" \\$HOME"
    """
    done = run(
        system, script, f"{ALONE} --user 1234", input=f"file://{data}/", resource=f"file://{tmp_path}/genome",
        output=f"file://{tmp_path}/stored/",
    )  # fmt: skip
    assert done["status"] == "succeeded", done
    assert (tmp_path / "stored" / "ou t é").read_text() == "dataACGT"
    assert (data / "sub" / "in put é").read_text() == "data" and (tmp_path / "genome").read_text() == "ACGT"
    cores = max(1, len(os.sched_getaffinity(0)) // 4)
    assert done["output"] == f'{cores} /input\n1234\nit\'s "quoted" $HOME\n'
    assert "Read-only file system" in done["error"]
    assert done["image"].startswith("sha256:"), "an image that comes from nowhere has no digest of a registry"
    eventually(lambda: not containers(system, docker_engine), "its container is gone")


@pytest.mark.parametrize(
    ("options", "image", "failure", "why"),
    [
        ("--memory 1", IMAGE, "command_failed", "emory"),
        ("--pull never", "not/here:1", "image_failed", "is not on this machine"),
        (ALONE, "UPPER CASE", "image_failed", "UPPER CASE"),
    ],
)
def test_what_cannot_be_run_fails_in_words(system: Embedded, options: str, image: str, failure: str, why: str) -> None:
    done = run(system, "true", options, container=image)
    assert (done["status"], done["failure"], done["started_date"]) == ("failed", failure, None), done
    assert why in done["reason"]


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ("--gpu all", "did you mean --gpus?"),
        ("--name mine", "--hostname"),
        ("-v /etc:/input", "the task's own folder"),
        ("-e 'A=", "cannot be split into words"),
    ],
)
def test_options_that_docker_would_not_take_are_refused_before_anything_is_queued(
    system: Embedded, options: str, why: str
) -> None:
    client = system.client()
    before = len(client.tasks())
    with pytest.raises(ServerError, match=re.escape(why)):
        client.task_create("true", container=IMAGE, container_options=options)
    assert len(client.tasks()) == before
    task = submit(system, "true", status="paused")
    with pytest.raises(ServerError, match=re.escape(why)):
        client.task_update(task, container_options=options)
    client.task_delete(task)


def test_a_command_that_is_not_in_the_image_fails_like_in_a_shell(system: Embedded) -> None:
    done = run(system, "no-such-program", shell=False)
    assert (done["status"], done["return_code"], done["failure"]) == ("failed", 127, "command_failed")


def test_an_image_comes_from_a_registry_that_wants_a_password(
    system: Embedded, docker_engine: PrivateDocker, registry: PrivateRegistry
) -> None:
    image = registry.put(docker_engine, "tools/samtools:1.21", b"samtools")
    done = run(system, "true", container=image)
    assert done["failure"] == "image_failed" and "docker login" in done["reason"]
    folder = system.machine.folder / ".docker"
    folder.mkdir(exist_ok=True)
    auth = b64encode(f"{USER}:{PASSWORD}".encode()).decode()
    (folder / "config.json").write_text(json.dumps({"auths": {registry.address: {"auth": auth}}}))
    done = run(system, "cat /extra", container=image)
    assert (done["status"], done["output"]) == ("succeeded", "samtools")
    assert done["image"].startswith(f"{image.rpartition(':')[0]}@sha256:")


def test_it_is_held_and_goes_on_and_ends_by_a_signal(system: Embedded) -> None:
    client = system.client()
    task = submit(system, "trap 'echo asked; exit 7' TERM; i=0; while true; do i=$((i+1)); echo $i; sleep 0.1; done")
    execution = running(system, task)["execution_id"]
    client.execution_signal(execution, 20)
    delivered = {"type": "execution-signal-delivered"}
    eventually(lambda: _types(system, task).count(delivered["type"]) == 1, "the pause has reached it")
    client.execution_signal(execution, 18)
    eventually(lambda: _types(system, task).count(delivered["type"]) == 2, "so has that it goes on")
    client.execution_signal(execution, 15)
    client.wait([task])
    done = latest(system, task)
    assert (done["status"], done["return_code"]) == ("failed", 7) and done["output"].endswith("asked\n")


def test_it_ends_when_its_time_is_over_and_with_all_it_started(system: Embedded, docker_engine: PrivateDocker) -> None:
    done = run(system, "(trap '' TERM; sleep 1000) & trap '' TERM; sleep 1000", run_timeout=1)
    assert (done["status"], done["failure"]) == ("failed", "run_timeout") and "1 s" in done["reason"]
    done = run(system, "echo once; sleep 1000", silence_timeout=1)
    assert (done["status"], done["failure"], done["output"]) == ("failed", "silence_timeout", "once\n")
    eventually(lambda: not containers(system, docker_engine), "nothing is left")


def test_want_of_memory_is_named(system: Embedded) -> None:
    done = run(system, "tail /dev/zero", f"{ALONE} --memory 16m --memory-swap 16m")
    assert (done["status"], done["failure"]) == ("failed", "out_of_memory"), done
    assert "no memory left" in done["reason"]


def test_a_task_that_is_deleted_or_relaunched_leaves_no_container(
    system: Embedded, docker_engine: PrivateDocker
) -> None:
    client = system.client()
    one, other = submit(system, "sleep 1000"), submit(system, "echo $$; sleep 1000")
    first = running(system, other)["execution_id"]
    running(system, one)
    client.task_delete(one)
    client.tasks_action("relaunch", [other])
    eventually(lambda: running(system, other)["execution_id"] != first, "another attempt runs")
    client.task_delete(other)
    eventually(lambda: not containers(system, docker_engine), "nothing is left")


def _types(system: Embedded, task: int) -> list[str]:
    return [event["type"] for event in system.client().events(stream=f"task-{task}", follow=False)]
