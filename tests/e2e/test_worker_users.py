"""Tasks that run as a user of their own, and tasks that a worker cannot run, on a real server and a real worker."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.services.scitq import Embedded, embedded
from tests.services.waiting import eventually

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
ONE, OTHER = 54_321, 54_322


@pytest.fixture(scope="module")
def place() -> Iterator[Path]:
    """What everybody may pass, as pytest's folders may not be."""
    folder = Path(tempfile.mkdtemp(prefix="scitq-users-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def system(place: Path) -> Iterator[Embedded]:
    (place / "work").mkdir(mode=0o700)
    with embedded(place / "home", BASE_WORKDIR=str(place / "work")) as system:
        system.server()
        system.client()
        system.worker(2, "--batch", "Default", "--keep-failed", "0")
        yield system


def test_a_task_has_its_users_rights_and_its_folders_and_leaves_nothing(system: Embedded, place: Path) -> None:
    reads, kept = place / "reads.txt", place / "kept"
    reads.write_text("ACGT")
    script = (
        "id -u; id -g; echo $HOME $USER; cat $INPUT/reads.txt $RESOURCE/reads.txt; echo more >> $INPUT/reads.txt;"
        " cat $INPUT/reads.txt > $OUTPUT/result; mkdir $TEMP/x; touch here; ls .. 2>&1; cat /etc/shadow 2>&1; true"
    )
    client = system.client()
    task = client.task_create(
        script, shell=True, uid=ONE, gid=OTHER, input=f"file://{reads}", resource=f"file://{reads}",
        output=f"file://{kept}/",
    )["task_id"]  # fmt: skip
    assert client.wait([task], timeout=60) == {task: "succeeded"}, client.executions(task_id=task)
    (execution,) = client.executions(task_id=task)
    uid, gid, home, seen, *denied = execution["output"].splitlines()
    folder = next((place / "work").glob("*"))
    assert (uid, gid, home) == (str(ONE), str(OTHER), f"{folder}/{execution['execution_id']} {ONE}")
    assert seen.startswith("ACGTACGT") and "Permission denied" in seen + denied[0] and "Permission denied" in denied[-1]
    assert (kept / "result").read_text() == "ACGTmore\n" and reads.read_text() == "ACGT"
    eventually(lambda: not list((place / "work").glob(f"*/{execution['execution_id']}")), "its folder goes")
    assert client.task_get(task)["user"] == f"{ONE}:{OTHER}"


def test_another_user_cannot_read_what_it_has(system: Embedded, place: Path) -> None:
    flag = place / "flag"
    client = system.client()
    one = client.task_create(
        f"echo secret > $OUTPUT/s; pwd; while ! test -e {flag}; do sleep 0.05; done", shell=True, uid=ONE
    )["task_id"]
    eventually(lambda: (client.executions(task_id=one) or [{"output": ""}])[0]["output"], "it runs")
    folder = client.executions(task_id=one)[0]["output"].strip()
    other = client.task_create(f"cat {folder}/output/s; ls {folder}; ls {place}/work/*", shell=True, uid=OTHER)
    assert client.wait([other["task_id"]], timeout=60) == {other["task_id"]: "failed"}
    (tried,) = client.executions(task_id=other["task_id"])
    assert tried["output"] == "" and tried["error"].count("Permission denied") >= 2
    flag.touch()
    assert client.wait([one], timeout=60) == {one: "succeeded"}


def test_what_only_the_worker_may_read_is_not_stored_for_a_user(system: Embedded, place: Path) -> None:
    (place / "secret").mkdir(mode=0o700)
    (place / "secret" / "key").write_text("secret")
    client = system.client()
    scripts = (f"rmdir $OUTPUT; ln -s {place}/secret $OUTPUT", f"ln -s {place}/secret/key $OUTPUT/k; touch $OUTPUT/x")
    whole, one = (
        client.task_create(script, shell=True, uid=ONE, output=f"file://{place}/stolen/")["task_id"]
        for script in scripts
    )
    assert client.wait([whole, one], timeout=60)[whole] == "failed"
    (execution,) = client.executions(task_id=whole)
    assert execution["failure"] == "upload_failed" and "made a link" in execution["reason"]
    assert not list((place / "stolen").glob("k*"))


def test_whoever_is_not_known_keeps_his_task_waiting_and_it_says_why(system: Embedded) -> None:
    launch = ["launch", "-u", "no-such-user", "--retry", "3", "--json", "id"]
    task = json.loads(system.machine.run(*launch))["task_id"]
    client = system.client()
    eventually(lambda: client.task_get(task)["refused_by"], "it is refused")
    shown = client.task_get(task)
    assert shown["status"] == "pending" and shown["retry"] == 3 and shown["attempts"] == 1
    assert shown["refused_by"] == [
        "worker 1: this worker does not know the user 'no-such-user': give a number, or add him there"
    ]
    assert "does not know the user" in system.machine.run("manage", "task", "show", "-i", str(task))
    plain = client.task_create("true")["task_id"]
    assert client.wait([plain], timeout=60) == {plain: "succeeded"}, "others are not held up"
    client.task_update(task, uid="daemon")
    assert client.wait([task], timeout=60) == {task: "succeeded"}
    (_, last) = sorted(client.executions(task_id=task), key=lambda one: one["execution_id"])
    assert "uid=1(daemon)" in last["output"] and client.task_get(task)["refused_by"] == []


@pytest.mark.parametrize("user", ["-1", "4294967295", "1:99999999999", "a b", "1:2:3", "../x", ":"])
def test_what_is_no_user_is_refused_when_it_is_queued(system: Embedded, user: str) -> None:
    said = system.machine.run("launch", f"--uid={user}", "id", code=2)
    assert said == ""
