"""An agent of a newer release with today's server, and the reverse; those too far apart are told so in a sentence.

What was said by older releases is in tests/golden/wire. docs/decisions/0012-agents-of-other-versions.md has the rules.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

import scitq
from tests.e2e.future import VERSION
from tests.services.scitq import Embedded, Process, embedded
from tests.services.waiting import eventually

OURS = "scitq.1"
BOTH = f"scitq.2,{OURS}"


def future(system: Embedded, what: str, offer: str, *words: str) -> Process:
    """`scitq` of another release, with these words."""
    command = [sys.executable, "-m", "tests.e2e.future", what, offer, *words]
    process = Process(command, system.machine.environ, system.machine.folder / f"future-{what}.log")
    system.adopt(process)
    return process


def works(system: Embedded) -> None:
    """Tasks end as they should, with their output; also one that is looked at while it runs."""
    client = system.client()
    long = client.task_create("echo begun; sleep 6; echo ended", shell=True)["task_id"]  # longer than a heartbeat
    tasks = client.tasks_create({"command": f"echo {number}"} for number in range(20))
    bad = client.task_create("false")["task_id"]
    assert set(client.wait([long, *tasks], timeout=90).values()) == {"succeeded"}
    assert client.wait([bad], timeout=60) == {bad: "failed"}
    assert [one["output"] for one in client.executions(task_id=[long])] == ["begun\nended\n"]
    assert [one["output"] for one in client.executions(task_id=tasks)] == [f"{number}\n" for number in range(20)]


def test_a_newer_agent_works_for_todays_server(tmp_path: Path) -> None:
    with embedded(tmp_path) as system:
        server = system.server()
        system.client()
        future(system, "agent", BOTH, "worker", f"127.0.0.1:{system.port}", "2")
        works(system)
        said = server.said()
        assert said.count("a newer agent says what this release does not know") == 1
        assert "kind=gossip" in said and "Traceback" not in said and "ERROR" not in said


def test_todays_agent_works_for_a_newer_server(tmp_path: Path) -> None:
    with embedded(tmp_path) as system:
        future(system, "server", BOTH, "server")
        system.client()
        worker = system.worker(2)
        works(system)
        said = worker.said()
        assert said.count("a newer server says what this release does not know") == 2
        assert "kind=telepathy" in said and "kind=rain" in said and "Traceback" not in said and "ERROR" not in said


@pytest.mark.parametrize(
    ("what", "offer", "advice"),
    [("agent", "scitq.7,scitq.8", "update the server"), ("server", "scitq.3", "give the worker the server's version")],
)
def test_those_that_are_too_far_apart_are_told_so_in_one_sentence(
    tmp_path: Path, what: str, offer: str, advice: str
) -> None:
    with embedded(tmp_path) as system:
        words = ("worker", f"127.0.0.1:{system.port}", "2")
        server = future(system, "server", offer, "server") if what == "server" else system.server()
        client = system.client()
        worker = future(system, "agent", offer, *words) if what == "agent" else system.worker(2)
        assert worker.wait() == 1
        (line,) = [line for line in worker.said().splitlines() if "do not understand each other" in line]
        assert scitq.__version__ in line and VERSION in line and advice in line
        assert "Traceback" not in worker.said()
        assert "ERROR" not in server.said()
        assert client.workers() == []


def test_one_that_was_understood_once_waits_until_it_is_again(tmp_path: Path) -> None:
    with embedded(tmp_path) as system:
        server = system.server()
        client = system.client()
        worker = system.worker(1)
        assert client.wait([client.task_create("true")["task_id"]], timeout=60)
        server.end()
        later = future(system, "server", "scitq.3", "server")
        eventually(lambda: "do not understand each other" in worker.said(), "the worker says so")
        assert worker.running()
        later.end()
