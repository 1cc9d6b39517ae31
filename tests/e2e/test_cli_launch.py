"""scitq-launch as it is used, against `scitq up`."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.services.scitq import Embedded, embedded
from tests.services.waiting import eventually

LAUNCH = [sys.executable, "-m", "scitq.cli.launch"]


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Embedded]:
    with embedded(tmp_path_factory.mktemp("launch")) as system:
        system.up("--concurrency", "4")
        system.client()
        yield system


def launch(system: Embedded, *words: str, text: bool = True) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [*LAUNCH, *words], env=system.machine.environ, capture_output=True, text=text, timeout=60, check=False
    )
    assert "Traceback" not in str(done.stderr) + str(done.stdout)
    return done


def queued(done: subprocess.CompletedProcess[str]) -> int:
    assert done.returncode == 0 and not done.stderr, done.stderr
    found = re.fullmatch(r"Task queued with task id: (\d+)\n", done.stdout)
    assert found, done.stdout
    return int(found[1])


def test_a_task_is_queued_with_all_that_was_said_of_it(system: Embedded) -> None:
    first = queued(launch(system, "true"))
    id = queued(
        launch(
            system, "-n", "mine", "-b", "elsewhere", "-i", "s3://a 's3://b c'", "-i", "ftp://d", "-r", "s3://e|untar",
            "-o", "s3://f/", "-R", f"{first}", "--retry", "2", "--run-timeout", "30", "--download-timeout", "40",
            "--use-cache", "--priority", "-5", "-d", "debian:12", "-O", "--gpus all", "-u", "1", "-g", "2",
            "--", "-x", "it's $HOME", "a b",
        )
    )  # fmt: skip
    task = system.client().task_get(id)
    assert {name: task[name] for name in ("name", "batch", "input", "resource", "output", "required_task_ids")} == {
        "name": "mine", "batch": "elsewhere", "input": "s3://a 's3://b c' ftp://d", "resource": "s3://e|untar",
        "output": "s3://f/", "required_task_ids": [first],
    }  # fmt: skip
    assert (task["retry"], task["run_timeout"], task["download_timeout"], task["priority"]) == (2, 30, 40, -5)
    assert task["use_cache"] and (task["container"], task["container_options"]) == ("debian:12", "--gpus all")
    assert task["user"] == "1:2"
    assert task["command"] == """-x 'it'"'"'s $HOME' 'a b'"""


def test_waiting_shows_what_the_task_prints_and_ends_as_it_does(system: Embedded) -> None:
    words = ["%s|", "it's", 'a "b" $c', "", "ä\\n\t\n"]
    done = launch(system, "--wait", "printf", *words)
    assert done.returncode == 0 and done.stdout == 'it\'s|a "b" $c||ä\\n\t\n|'
    failed = launch(system, "--wait", "sh", "-c", "echo out; echo err >&2; exit 7")
    assert failed.returncode == 7 and failed.stdout == "out\n"
    assert "err\n" in failed.stderr and "its return code is 7" in failed.stderr
    assert launch(system, "--wait", "sh", "-c", "kill -9 $$").returncode == 137
    assert launch(system, "--wait", "no-such-program-anywhere").returncode != 0


def test_each_attempt_is_shown(system: Embedded, tmp_path: Path) -> None:
    script = f"echo try; test -e {tmp_path}/flag || {{ touch {tmp_path}/flag; exit 1; }}"
    done = launch(system, "--wait", "--retry", "1", "sh", "-c", script)
    assert done.returncode == 0 and done.stdout == "try\ntry\n"


def test_bytes_that_are_no_text_come_through(system: Embedded) -> None:
    done = subprocess.run(
        [*LAUNCH, "--wait", "printf", "\\377\\000\\033[1m"], env=system.machine.environ, capture_output=True,
        timeout=60, check=True,
    )  # fmt: skip
    assert done.stdout == b"\xff\0\x1b[1m"


def test_what_waits_in_vain_is_not_waited_for(system: Embedded) -> None:
    failed = launch(system, "--wait", "--json", "false")
    id = json.loads(failed.stdout)["task_id"]
    done = launch(system, "--wait", "-R", str(id), "true")
    assert failed.returncode == 1 and done.returncode == 1
    assert "waits in vain" in done.stderr and str(id) in done.stderr


def test_programs_get_the_task_as_json(system: Embedded) -> None:
    queued_ = json.loads(launch(system, "--json", "true").stdout)
    assert queued_["command"] == "true" and re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:.*", queued_["creation_date"])
    ended = json.loads(launch(system, "--wait", "--json", "true").stdout)
    assert ended["status"] == "succeeded"


def test_a_test_sends_nothing(system: Embedded) -> None:
    done = launch(system, "-t", "-s", "127.0.0.1:9", "echo", "a b")
    assert done.returncode == 0 and done.stdout == "Command that would be sent: echo 'a b'\n"


@pytest.mark.parametrize(
    "words",
    [(), ("-n", "a"), ("--nonsense", "echo"), ("-R", "x", "echo"), ("-O", "x", "echo"), ("-n", "a", "-n", "b", "echo"),
     ("--retry", "-1", "echo"), ("-s", "h", "--server", "i", "echo"), ("",),
     (" ", "x")],
)  # fmt: skip
def test_bad_use_exits_with_2_and_sends_nothing(system: Embedded, words: tuple[str, ...]) -> None:
    done = launch(system, *words)
    assert done.returncode == 2 and not done.stdout and " -h)" in done.stderr


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (("-R", "99999999", "true"), 1, "99999999"),
        (("-b", "a/b", "true"), 2, "batch"),
        (("-s", "127.0.0.1:9", "true"), 4, "no scitq server answers at http://127.0.0.1:9"),
        (("-s", "not a host", "true"), 2, "SCITQ_SERVER"),
    ],
)
def test_a_refusal_is_one_sentence(system: Embedded, words: tuple[str, ...], code: int, says: str) -> None:
    done = launch(system, *words)
    assert done.returncode == code and not done.stdout
    assert says in done.stderr and len(done.stderr.splitlines()) == 1 and done.stderr.startswith("scitq-launch: ")


def test_a_wrong_token_is_told_what_to_do(system: Embedded) -> None:
    done = subprocess.run(
        [*LAUNCH, "true"], env=system.machine.environ | {"SCITQ_TOKEN": "wrong-token-0123456789"}, capture_output=True,
        text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 1 and "set SCITQ_TOKEN" in done.stderr and "wrong-token" not in done.stderr


def test_one_word_with_spaces_is_pointed_out(system: Embedded) -> None:
    done = launch(system, "sleep 10")
    assert done.returncode == 0 and "is one word" in done.stderr


def test_ctrl_c_ends_the_waiting_and_not_the_task(system: Embedded, tmp_path: Path) -> None:
    process = subprocess.Popen(
        [*LAUNCH, "--wait", "sh", "-c", f"echo begun; sleep 2; touch {tmp_path}/done"], env=system.machine.environ,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None and process.stdout.readline() == "begun\n"  # it comes as it is printed
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=30)
    assert process.returncode == 130 and "goes on without us" in said and "Traceback" not in said
    eventually((tmp_path / "done").exists, "the task has gone on")


def test_in_a_terminal_no_task_steers_it(system: Embedded) -> None:
    leader, follower = pty.openpty()
    done = subprocess.run(
        [*LAUNCH, "--wait", "printf", "\\033]0;owned\\007\\033[2Jyes\\n"], env=system.machine.environ, stdout=follower,
        stderr=subprocess.DEVNULL, timeout=60, check=False,
    )  # fmt: skip
    os.close(follower)
    text = os.read(leader, 65_536)
    os.close(leader)
    assert done.returncode == 0 and b"yes" in text and b"\x1b" not in text and b"\x07" not in text


def test_who_reads_no_further_ends_it_quietly(system: Embedded) -> None:
    process = subprocess.Popen(
        [*LAUNCH, "--wait", "sh", "-c", "yes | head -c 3000000"], env=system.machine.environ, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None and process.stdout.read(100)
    process.stdout.close()
    assert process.stderr is not None
    said = process.stderr.read().decode()
    process.stderr.close()
    assert process.wait(60) == 141 and "Traceback" not in said and "Exception" not in said
