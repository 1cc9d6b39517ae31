"""Many tasks: cut into portions, each created once, and all of them as one list to whoever submits it."""

from __future__ import annotations

import shlex
import subprocess
from collections.abc import AsyncGenerator, Iterator
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scitq.domain.commands import TaskSpec
from scitq.errors import Malformed, PartlyDone, ServerError
from scitq.lib import Server
from scitq.lib.calling import at_once
from scitq.lib.portions import Portion, form, in_shell, portions
from tests.unit.scitq.scripted import LOST, Asked, Said, serving


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("SCITQ_SERVER", raising=False)


class Engine:
    """Creates tasks as the real one does: a request as a whole, the same request once."""

    def __init__(self) -> None:
        self.tasks: dict[int, dict[str, Any]] = {}
        self.answered: dict[str, list[int]] = {}

    def create(self, key: str, body: bytes) -> list[int]:
        if key not in self.answered:
            first = len(self.tasks) + 1
            tasks = orjson.loads(body)["tasks"]
            for number, task in enumerate(tasks):
                required = [one if one > 0 else first - one - 1 for one in task.get("required_task_ids", ())]
                assert all(0 < one < first + number for one in required)
                self.tasks[first + number] = task | {"required_task_ids": required}
            self.answered[key] = list(range(first, first + len(tasks)))
        return self.answered[key]


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 300), st.lists(st.floats(0, 1, exclude_max=True), max_size=3)), max_size=60),
    st.integers(1, 8),
    st.integers(50, 1_000),
)
def test_however_a_list_is_cut_each_task_requires_what_was_said(
    plan: list[tuple[int, list[float]]], most_tasks: int, most_bytes: int
) -> None:
    tasks: list[dict[str, Any]] = [
        {"command": "x" * (size + 1), "required_task_ids": [-(1 + int(place * number)) for place in places if number]}
        for number, (size, places) in enumerate(plan)
    ]
    engine = Engine()
    ids: list[int] = []

    async def id_at(number: int) -> int:
        return ids[number]

    for portion in _through(portions(tasks, id_at, most_tasks, most_bytes)):
        created = engine.create(str(portion.first), portion.body)
        assert portion.first == len(ids) and len(created) == portion.size <= most_tasks
        assert portion.size == 1 or len(portion.body) <= most_bytes + 20
        ids += created
    for number, task in enumerate(tasks):
        there = engine.tasks[ids[number]]
        assert there["command"] == task["command"]
        assert there["required_task_ids"] == [ids[-other - 1] for other in task["required_task_ids"]]


def test_a_task_cannot_require_one_that_comes_later() -> None:
    with pytest.raises(Malformed, match="task 2 of the list requires number 2 of it, which does not come before"):
        list(_through(portions([{"command": "a"}, {"command": "b", "required_task_ids": [-2]}], _unasked)))


async def _unasked(number: int) -> int:
    raise AssertionError(f"the id of {number} is not needed")


def _through(given: AsyncGenerator[Portion, None]) -> Iterator[Portion]:
    """Without an event loop: nothing here waits."""
    while True:
        try:
            yield at_once(given.__anext__())
        except StopAsyncIteration:
            return


def test_answers_that_are_lost_double_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scitq.lib.portions.portions.__defaults__", (7, 10**6))
    engine = Engine()
    seen: set[str] = set()

    def answer(asked: Asked) -> Said:
        with there.lock:
            key = asked.headers["idempotency-key"]
            ids = engine.create(key, asked.body)
            lost = key not in seen
            seen.add(key)
            return LOST if lost else Said({"task_ids": ids, "position": 1}, 201)

    told: list[int] = []
    with serving(answer) as there, Server(there.url) as server:
        ids = server.tasks_create(({"command": f"echo {n}"} for n in range(50)), told.append)
    assert [engine.tasks[id]["command"] for id in ids] == [f"echo {n}" for n in range(50)]
    assert len(engine.tasks) == 50 and told == [7, 14, 21, 28, 35, 42, 49, 50]


def test_two_portions_are_on_their_way_at_a_time_and_no_more_is_taken_from_a_generator(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("scitq.lib.portions.portions.__defaults__", (5, 10**6))
    both, taken = Event(), [0]

    def tasks() -> Any:
        for number in range(40):
            taken[0] += 1
            yield {"command": str(number)}

    most = [0]

    def answer(asked: Asked) -> Said:
        with there.lock:
            waiting = len(there.asked)
        if waiting >= 2:
            both.set()
        assert both.wait(10)  # the first is not answered before the second has come
        most[0] = max(most[0], taken[0] - 5 * (len(there.asked) - 2))
        first = 1 + int(asked.headers["idempotency-key"].rpartition(".")[2])
        return Said({"task_ids": list(range(first, first + len(asked.json["tasks"]))), "position": 1}, 201)

    with serving(answer) as there, Server(there.url) as server:
        assert server.tasks_create(tasks()) == list(range(1, 41))
    assert most[0] <= 4 * 5 + 1


def test_when_a_portion_is_refused_it_is_said_what_was_created(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scitq.lib.portions.portions.__defaults__", (2, 10**6))

    def answer(asked: Asked) -> Said:
        first = int(asked.headers["idempotency-key"].rpartition(".")[2])
        if first == 2:
            return Said({"message": "task 3 is nonsense"}, 400)
        return Said({"task_ids": [first + 101, first + 102], "position": 1}, 201)

    with serving(answer) as there, Server(there.url) as server:
        with pytest.raises(PartlyDone, match="task 3 is nonsense") as error:
            server.tasks_create([{"command": "a"}] * 10)
        assert error.value.task_ids.items() >= {0: 101, 1: 102}.items() and 2 not in error.value.task_ids
        assert len(there.asked) <= 4


def test_when_nothing_was_created_the_refusal_is_the_servers_own() -> None:
    with (
        serving(lambda asked: Said({"message": "no"}, 409)) as there,
        Server(there.url) as server,
        pytest.raises(ServerError, match=r"^no$"),
    ):
        server.tasks_create([{"command": "a"}])


def test_an_empty_list_asks_nothing() -> None:
    with serving(lambda asked: Said({}, 500)) as there, Server(there.url) as server:
        assert server.tasks_create([]) == [] and not there.asked


@dataclass
class Mine:
    command: str
    batch: str | None = None
    run_timeout: int | None = None


def test_dataclasses_are_tasks_as_well() -> None:
    assert form(Mine("a", run_timeout=5)) == {"command": "a", "run_timeout": 5}
    spec = form(TaskSpec("a", requires=(3, -1), run_timeout_s=7, paused=True))
    assert spec["required_task_ids"] == [3, -1] and spec["run_timeout"] == 7 and spec["status"] == "paused"
    with pytest.raises(Malformed, match="not str"):
        form("echo")


def test_lists_of_uris_are_one_text_and_none_is_not_said() -> None:
    task = form({"command": "a", "input": ["s3://a", Path("b")], "resource": "c d", "output": None})
    assert task == {"command": "a", "input": "s3://a b", "resource": "c d"}


@given(st.text(min_size=1))
def test_a_shell_gets_exactly_the_command(command: str) -> None:
    given = f" {command}" if command[0] in "-+" else command
    assert shlex.split(in_shell(command, True)) == ["sh", "-c", given]
    assert shlex.split(in_shell(command, "bash")) == ["bash", "-c", given]


_NASTY = st.text(st.sampled_from("'\"$`\\\n\t #!*?[]{}()<>|&;=~%^-+aé€😀\x01\x7f"), min_size=1, max_size=40)


@settings(max_examples=10, deadline=None)
@given(st.lists(_NASTY | st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1), min_size=25))
def test_real_shells_find_what_was_written(texts: list[str]) -> None:
    """One script that has each text printed: quoted for the shell, so that it must come out as it went in."""
    for shell in (True, "bash"):
        script = "\n".join(f"printf '%s\\0' {shlex.quote(text)}" for text in texts)
        argv = shlex.split(in_shell(script, shell))
        printed = subprocess.run(argv, capture_output=True, check=True, timeout=60).stdout
        assert printed.decode().split("\0")[:-1] == texts


@pytest.mark.parametrize("shell", [True, "bash"])
@pytest.mark.parametrize(
    "command", ["-x; echo it runs", "+x; echo it runs", "- ; echo it runs", "-c 'a' ; echo it runs"]
)
def test_what_begins_like_an_option_is_a_command(shell: bool | str, command: str) -> None:
    done = subprocess.run(shlex.split(in_shell(command, shell)), capture_output=True, text=True, timeout=60)
    assert done.stdout == "it runs\n" and "not found" in done.stderr


def test_users_and_groups_are_numbers_or_names() -> None:
    for given_, user in (
        ({"uid": 5}, "5"), ({"uid": 0, "gid": 0}, "0:0"), ({"gid": "lab"}, ":lab"), ({"uid": "ada", "gid": 7}, "ada:7"),
    ):  # fmt: skip
        assert form({"command": "a", **given_}) == {"command": "a", "user": user}
    assert form({"command": "a", "user": "5:6"}) == {"command": "a", "user": "5:6"}
