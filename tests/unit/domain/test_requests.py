"""Requests from the wire: whatever the bytes, a request or a sentence that names the place."""

from __future__ import annotations

import json
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scitq.domain import batch as batches
from scitq.domain import task as tasks
from scitq.domain import worker as workers
from scitq.domain.commands import (
    CreateTasks,
    EraseTask,
    Request,
    RequireTasks,
    SignalExecutions,
    SteerBatch,
    SteerTasks,
    SteerWorkers,
    TaskSpec,
)
from scitq.domain.requests import COMMANDS, MOST_BYTES, MOST_TASKS, parse
from scitq.errors import Malformed
from tests.unit.domain.given import Choices, choices

VALID: dict[str, tuple[dict[str, Any], Any]] = {
    "create-tasks": (
        {"tasks": [{"command": "echo hello", "requires": [3, 4]}, {"command": "b", "requires": [-1], "paused": True}]},
        CreateTasks((TaskSpec("echo hello", requires=(3, 4)), TaskSpec("b", requires=(-1,), paused=True))),
    ),
    "edit-tasks": (
        {"tasks": [1, 2], "changes": {"container": None, "priority": 3}, "relaunch": True},
        SteerTasks((1, 2), tasks.EditTask({"container": None, "priority": 3}, relaunch=True)),
    ),
    "pause-tasks": ({"tasks": [1]}, SteerTasks((1,), tasks.PauseTask())),
    "resume-tasks": ({"tasks": [1]}, SteerTasks((1,), tasks.ResumeTask())),
    "release-tasks": ({"tasks": [1]}, SteerTasks((1,), tasks.ReleaseTask(by_hand=True))),
    "relaunch-tasks": ({"tasks": [1]}, SteerTasks((1,), tasks.RelaunchTask())),
    "delete-tasks": ({"tasks": [1]}, SteerTasks((1,), tasks.DeleteTask())),
    "require-tasks": ({"task": 5, "requires": [1, 2]}, RequireTasks(5, (1, 2))),
    "edit-workers": (
        {"workers": [1], "changes": {"concurrency": 4, "batches": ["a", "b"]}},
        SteerWorkers((1,), workers.EditWorker({"concurrency": 4, "batches": ("a", "b")})),
    ),
    "pause-workers": ({"workers": [1]}, SteerWorkers((1,), workers.PauseWorker())),
    "resume-workers": ({"workers": [1]}, SteerWorkers((1,), workers.ResumeWorker())),
    "delete-workers": ({"workers": [1]}, SteerWorkers((1,), workers.DeleteWorker())),
    "order-workers": ({"workers": [1], "order": "clean"}, SteerWorkers((1,), workers.OrderWorker("clean"))),
    "stop-batch": ({"batch": "b", "signal": 9}, SteerBatch("b", batches.StopBatch(9))),
    "start-batch": ({"batch": "b"}, SteerBatch("b", batches.StartBatch())),
    "signal-executions": ({"executions": [1, 2], "signal": 15}, SignalExecutions((1, 2), 15)),
    "erase-task": ({"task": 1, "reason": "asked to"}, EraseTask(1, "asked to")),
}


def body(type_: Any, content: dict[str, Any], **around: Any) -> bytes:
    return json.dumps({"id": "request-1", "deadline": 5, "command": {"type": type_, **content}} | around).encode()


def refusal(data: bytes) -> str:
    with pytest.raises(Malformed) as error:
        parse(data, "user:ada")
    sentence = str(error.value)
    assert sentence
    return sentence


def changed(type_: str, **content: Any) -> bytes:
    return body(type_, VALID[type_][0] | content)


def task(**content: Any) -> bytes:
    return body("create-tasks", {"tasks": [{"command": "a"}, {"command": "b"} | content]})


@pytest.mark.parametrize("type_", VALID)
def test_each_command_is_understood(type_: str) -> None:
    content, command = VALID[type_]
    assert parse(body(type_, content), "user:ada") == Request("request-1", "user:ada", 5, command)


def test_every_command_there_is_has_its_example_here() -> None:
    assert set(VALID) == set(COMMANDS)


def test_all_properties_of_a_task_may_be_given() -> None:
    given_: dict[str, Any] = {
        "command": "run",
        "batch": "b",
        "name": "n",
        "priority": -3,
        "retry": 2,
        "requires": [7],
        "container": "alpine",
        "container_options": "--gpus all",
        "input": "in",
        "output": "out",
        "resource": "res",
        "download_timeout_s": 60,
        "run_timeout_s": 3600,
        "use_cache": True,
        "paused": True,
    }
    command = parse(body("create-tasks", {"tasks": [given_]}), "a").command
    assert command == CreateTasks((TaskSpec(**given_ | {"requires": (7,)}),))


def test_an_edit_touches_only_what_was_given() -> None:
    command = parse(body("edit-tasks", {"tasks": [1], "changes": {"name": "n"}}), "a").command
    assert command == SteerTasks((1,), tasks.EditTask({"name": "n"}))


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (task(retry="x"), "tasks.1.retry"),
        (task(retry="3"), "tasks.1.retry"),
        (task(retry=1.5), "tasks.1.retry"),
        (task(retry=True), "tasks.1.retry"),
        (task(retry=-1), "tasks.1.retry"),
        (task(priority=10**30), "tasks.1.priority"),
        (task(command=""), "tasks.1.command"),
        (task(command=None), "tasks.1.command"),
        (task(command=["ls"]), "tasks.1.command"),
        (task(command="a\x00b"), "tasks.1.command: Value error, it contains a NUL"),
        (task(name="a\x00b"), "tasks.1.name"),
        (task(command="a" * 1_000_001), "tasks.1.command"),
        (task(requires=[0.5]), "tasks.1.requires.0"),
        (task(requires=[2**48]), "tasks.1.requires.0"),
        (task(requires=7), "tasks.1.requires"),
        (task(run_timeout_s=0), "tasks.1.run_timeout_s"),
        (task(download_timeout_s=-5), "tasks.1.download_timeout_s"),
        (task(use_cache="yes"), "tasks.1.use_cache"),
        (task(batch="a/b"), "tasks.1.batch"),
        (task(batch="a,b"), "cannot name a batch"),
        (task(batch=""), "tasks.1.batch"),
        (task(batch="a\nb"), "tasks.1.batch"),
        (task(batch="b" * 201), "tasks.1.batch"),
        (task(status="running"), "tasks.1.status"),
        (task(waits_for=[]), "tasks.1.waits_for"),
        (body("create-tasks", {"tasks": []}), "tasks"),
        (body("create-tasks", {"tasks": [{}]}), "tasks.0.command"),
        (body("create-tasks", {"tasks": "echo"}), "tasks"),
        (body("create-tasks", {"tasks": [{"command": "a"}], "when": "now"}), "when"),
        (body("create-tasks", {"tasks": [{"command": "a"}] * (MOST_TASKS + 1)}), "tasks: "),
        (changed("pause-tasks", tasks=[]), "tasks"),
        (changed("pause-tasks", tasks=[0]), "tasks.0"),
        (changed("pause-tasks", tasks=[-1]), "tasks.0"),
        (changed("pause-tasks", tasks=[1, "2"]), "tasks.1"),
        (changed("edit-tasks", changes={"command": ""}), "changes.command"),
        (changed("edit-tasks", changes={"requires": [1]}), "changes.requires"),
        (changed("edit-tasks", changes={"priority": None}), "changes.priority"),
        (changed("require-tasks", requires=[-1]), "requires.0"),
        (changed("edit-workers", changes={"concurrency": -1}), "changes.concurrency"),
        (changed("edit-workers", changes={"concurrency": None}), "changes.concurrency"),
        (changed("edit-workers", changes={"batches": []}), "changes.batches"),
        (changed("edit-workers", changes={"batches": ["a,b"]}), "changes.batches.0"),
        (changed("edit-workers", changes={"lost_after_s": 30}), "changes.lost_after_s"),
        (changed("edit-workers", changes={"status": "running"}), "changes.status"),
        (changed("stop-batch", signal=65), "signal"),
        (changed("stop-batch", batch="a/b"), "batch"),
        (changed("signal-executions", signal=0), "signal"),
        (changed("signal-executions", signal="KILL"), "signal"),
        (changed("erase-task", reason=""), "reason"),
        (body("create-task", {}), "'create-task' is not a command; there are create-tasks, "),
        (body(None, {}), "is not a command"),
        (body([], {}), "is not a command"),
        (body({"a": 1}, {}), "is not a command"),
        (body("pause-tasks", {"tasks": [1]}, id="short"), "id"),
        (body("pause-tasks", {"tasks": [1]}, id="with space"), "id"),
        (body("pause-tasks", {"tasks": [1]}, id="newline-at-the-end\n"), "id"),
        (body("pause-tasks", {"tasks": [1]}, id="x" * 65), "id"),
        (body("pause-tasks", {"tasks": [1]}, id=12345678), "id"),
        (body("pause-tasks", {"tasks": [1]}, deadline="soon"), "deadline"),
        (body("pause-tasks", {"tasks": [1]}, deadline=-1), "deadline"),
        (body("pause-tasks", {"tasks": [1]}, deadline=2**62 + 1), "deadline"),
        (body("pause-tasks", {"tasks": [1]}, actor="root"), "actor"),
        (b"{}", "id"),
        (b"[]", "the request"),
        (b"null", "the request"),
        (b"", "not JSON"),
        (b"{", "not JSON"),
        (b"\xff\xfe", "not JSON"),
        (b'{"id": NaN}', "not JSON"),
        (b'{"id": "request-1", "deadline": 5, "command": []}', "command"),
        (b'{"id": "request-1", "deadline": 5}', "command"),
        (b'{"id": "request-1", "deadline": 1e400, "command": {}}', ""),
        (b'{"id": "request-1", "deadline": ' + b"9" * 5_000 + b', "command": {}}', ""),
        (b'{"id": "\\ud800aaaaaaa", "deadline": 5, "command": {}}', ""),
        (b"[" * 100_000, "not JSON"),
    ],
    ids=lambda value: value[:40] if isinstance(value, str) else "",
)
def test_what_is_no_request_is_refused_in_words_that_name_the_place(data: bytes, words: str) -> None:
    assert words in refusal(data)


@pytest.mark.parametrize("depth", [100, 300, 900, 2_000])
def test_deep_json_is_refused_wherever_it_is(depth: int) -> None:
    nested = "[" * depth + "]" * depth
    for place in ("tasks", "signal"):
        refusal(f'{{"id":"request-1","deadline":5,"command":{{"type":"pause-tasks","{place}":{nested}}}}}'.encode())


def test_numbers_beyond_64_bits_are_refused_wherever_they_are() -> None:
    for number in ("9" * 30, "-" + "9" * 30, "9" * 400, "1e999"):
        refusal(f'{{"id":"request-1","deadline":5,"command":{{"type":"pause-tasks","tasks":[{number}]}}}}'.encode())


def test_the_most_tasks_allowed_are_taken() -> None:
    command = parse(body("create-tasks", {"tasks": [{"command": "a"}] * MOST_TASKS}), "a").command
    assert isinstance(command, CreateTasks) and len(command.tasks) == MOST_TASKS


def test_the_size_of_a_request_is_bounded() -> None:
    padded = body("pause-tasks", {"tasks": [1]})
    assert parse(padded + b" " * (MOST_BYTES - len(padded)), "a").id == "request-1"
    assert "send it in parts" in refusal(padded + b" " * (MOST_BYTES + 1 - len(padded)))


def test_a_refusal_does_not_repeat_what_it_refuses_at_full_length() -> None:
    assert len(refusal(body("x" * 1_000_000, {}))) < 10_000


def only_a_request_or_a_refusal(data: bytes) -> None:
    try:
        assert isinstance(parse(data, "user:ada"), Request)
    except Malformed as error:
        assert str(error)


@settings(max_examples=1_000, deadline=None)
@given(st.binary(max_size=300))
def test_any_bytes_are_a_request_or_refused(data: bytes) -> None:
    only_a_request_or_a_refusal(data)


def strange(drawn: Choices) -> Any:
    deep: Any = []
    for _ in range(drawn.of((1, 5, 260))):
        deep = [deep]
    return drawn.of(
        (
            None, True, 0, -1, 1, 2**48, 2**62, 2**63, 2**64 - 1, -(2**63), 0.5, 1e308, "", "x", "a" * 300, "a\x00b",
            "\n", "create-tasks", [], {}, [[]], [None], [1, 1], {"type": 1}, [{}], deep, {"command": "a"}, ["b", "b"],
        )
    )  # fmt: skip


def mutated(value: Any, drawn: Choices) -> Any:
    """The value with something strange somewhere inside, perhaps at the top."""
    if not isinstance(value, dict | list) or not value or drawn.number(4) == 0:
        return strange(drawn)
    if isinstance(value, list):
        place = drawn.number(len(value))
        return [mutated(one, drawn) if at == place else one for at, one in enumerate(value)]
    names = sorted(value)
    name = drawn.of(names)
    match drawn.number(8):
        case 0:
            return {other: one for other, one in value.items() if other != name}
        case 1:
            return value | {"extra": strange(drawn)}
        case _:
            return value | {name: mutated(value[name], drawn)}


@settings(max_examples=2_500, deadline=None)
@given(choices(12, 24))
def test_any_mutation_of_a_valid_request_is_a_request_or_refused(drawn: Choices) -> None:
    type_ = drawn.of(sorted(VALID))
    request = {"id": "request-1", "deadline": 5, "command": {"type": type_, **VALID[type_][0]}}
    for _ in range(1 + drawn.number(2)):
        request = mutated(request, drawn)
    only_a_request_or_a_refusal(_dumped(request))


def _dumped(value: Any) -> bytes:
    """As JSON, however deep."""
    if isinstance(value, dict):
        return b"{" + b",".join(orjson.dumps(name) + b":" + _dumped(one) for name, one in value.items()) + b"}"
    if isinstance(value, list):
        return b"[" + b",".join(_dumped(one) for one in value) + b"]"
    return orjson.dumps(value)
