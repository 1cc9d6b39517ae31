"""Requests as they come over the wire: bytes that anybody may have written, checked before anything is decided.

{"id": …, "deadline": …, "command": {"type": "create-tasks", "tasks": [{"command": "echo hello"}]}}
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Annotated, Any, Final

import orjson
from annotated_types import Ge, Le, MaxLen, MinLen
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from scitq.domain import batch as batches
from scitq.domain import task as tasks
from scitq.domain import worker as workers
from scitq.domain.commands import (
    Command,
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
from scitq.domain.container_options import parse as parse_options
from scitq.errors import Malformed, Rejected

MOST_TASKS: Final = 10_000
MOST_BYTES: Final = 8 * 1024 * 1024
LARGEST_USER: Final = 2**32 - 2
_WHO: Final = re.compile(r"([0-9]{1,10}|[^\W\d][^\s:/\\\x00-\x1f\x7f]{0,63}|)")
"""The number of a user or group, or a name; no name is one that looks like a number, an option or a path."""


def _no_nul(text: str) -> str:
    if "\x00" in text:
        raise ValueError("it contains a NUL character")
    return text


def _batch(name: str) -> str:
    try:
        return batches.check_name(name)
    except Rejected as refusal:
        raise ValueError(str(refusal)) from refusal


@lru_cache(1_000)
def _options(text: str) -> str:
    """Ten thousand tasks of a request have the same ones."""
    try:
        parse_options(text)
    except Rejected as refusal:
        raise ValueError(str(refusal)) from refusal
    return text


def _user(text: str) -> str:
    for one in text.split(":", 1) if text not in ("", ":") else [":"]:
        if not _WHO.fullmatch(one) or (one.isdigit() and int(one) > LARGEST_USER):
            raise ValueError("it is neither UID nor UID:GID, of numbers or of names that the worker knows")
    return text


Id = Annotated[int, Ge(1), Le(2**48 - 1)]
Ids = Annotated[tuple[Id, ...], MinLen(1), MaxLen(10_000)]
Name = Annotated[str, MinLen(1), MaxLen(1_000), AfterValidator(_no_nul)]
Text = Annotated[str, MaxLen(1_000_000), AfterValidator(_no_nul)]
ContainerOptions = Annotated[str, MaxLen(100_000), AfterValidator(_options)]
CommandText = Annotated[str, MinLen(1), MaxLen(1_000_000), AfterValidator(_no_nul)]
BatchName = Annotated[str, AfterValidator(_batch)]
User = Annotated[str, AfterValidator(_user)]
Seconds = Annotated[int, Ge(1), Le(10**9)]
Priority = Annotated[int, Ge(-1_000_000), Le(1_000_000)]
Retry = Annotated[int, Ge(0), Le(1_000_000)]
Signal = Annotated[int, Ge(1), Le(64)]
Count = Annotated[int, Ge(0), Le(10_000)]
Reason = Annotated[str, MinLen(1), MaxLen(1_000)]


class _Form(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class _Texts(_Form):
    container: Name | None = None
    container_options: ContainerOptions | None = None
    input: Text | None = None
    output: Text | None = None
    resource: Text | None = None
    download_timeout_s: Seconds | None = None
    run_timeout_s: Seconds | None = None
    silence_timeout_s: Seconds | None = None
    user: User | None = None
    use_cache: bool = False
    name: Name | None = None
    batch: BatchName = tasks.DEFAULT_BATCH
    priority: Priority = 0
    retry: Retry = 0


class _Spec(_Texts):
    command: CommandText
    requires: Annotated[tuple[Annotated[int, Ge(-MOST_TASKS), Le(2**48 - 1)], ...], MaxLen(100_000)] = ()
    paused: bool = False


class _Changes(_Texts):
    command: CommandText = "-"  # never read as a default: only what was given counts


class _CreateTasks(_Form):
    tasks: Annotated[list[_Spec], MinLen(1), MaxLen(MOST_TASKS)]


class _Tasks(_Form):
    tasks: Ids


class _EditTasks(_Tasks):
    changes: _Changes
    relaunch: bool = False


class _RequireTasks(_Form):
    task: Id
    requires: Annotated[tuple[Id, ...], MaxLen(100_000)]


class _Workers(_Form):
    workers: Ids


class _WorkerChanges(_Form):
    concurrency: Count = 1
    prefetch: Count = 0
    batches: Annotated[tuple[BatchName, ...], MinLen(1), MaxLen(1_000)] = (tasks.DEFAULT_BATCH,)
    lost_after_s: Annotated[int, Ge(31), Le(workers.LONGEST_LOST_AFTER_S)] = workers.LOST_AFTER_S


class _EditWorkers(_Workers):
    changes: _WorkerChanges


class _OrderWorkers(_Workers):
    order: workers.Order


class _Batch(_Form):
    batch: BatchName
    signal: Annotated[int, Ge(0), Le(64)] = 0


class _SignalExecutions(_Form):
    executions: Ids
    signal: Signal


class _EraseTask(_Form):
    task: Id
    reason: Reason


class _Request(_Form):
    id: Annotated[str, Field(min_length=8, max_length=64, pattern=r"^[A-Za-z0-9._:-]+$")]
    deadline: Annotated[int, Ge(0), Le(2**62)]
    command: dict[str, Any]


def _given(form: _Form) -> dict[str, Any]:
    return {name: getattr(form, name) for name in form.model_fields_set}


def _steer(do: Callable[[], Any]) -> tuple[type[_Form], Callable[[Any], Command]]:
    return _Tasks, lambda form: SteerTasks(form.tasks, do())


def _steer_worker(do: Callable[[], Any]) -> tuple[type[_Form], Callable[[Any], Command]]:
    return _Workers, lambda form: SteerWorkers(form.workers, do())


COMMANDS: Final[dict[str, tuple[type[_Form], Callable[[Any], Command]]]] = {
    "create-tasks": (_CreateTasks, lambda f: CreateTasks(tuple(TaskSpec(**_given(spec)) for spec in f.tasks))),
    "edit-tasks": (_EditTasks, lambda f: SteerTasks(f.tasks, tasks.EditTask(_given(f.changes), f.relaunch))),
    "pause-tasks": _steer(tasks.PauseTask),
    "resume-tasks": _steer(tasks.ResumeTask),
    "release-tasks": _steer(tasks.ReleaseTask),
    "relaunch-tasks": _steer(tasks.RelaunchTask),
    "delete-tasks": _steer(tasks.DeleteTask),
    "require-tasks": (_RequireTasks, lambda f: RequireTasks(f.task, f.requires)),
    "edit-workers": (_EditWorkers, lambda f: SteerWorkers(f.workers, workers.EditWorker(_given(f.changes)))),
    "pause-workers": _steer_worker(workers.PauseWorker),
    "resume-workers": _steer_worker(workers.ResumeWorker),
    "delete-workers": _steer_worker(workers.DeleteWorker),
    "order-workers": (_OrderWorkers, lambda f: SteerWorkers(f.workers, workers.OrderWorker(f.order))),
    "stop-batch": (_Batch, lambda f: SteerBatch(f.batch, batches.StopBatch(f.signal))),
    "start-batch": (_Batch, lambda f: SteerBatch(f.batch, batches.StartBatch(f.signal))),
    "signal-executions": (_SignalExecutions, lambda f: SignalExecutions(f.executions, f.signal)),
    "erase-task": (_EraseTask, lambda f: EraseTask(f.task, f.reason)),
}


def parse(body: bytes, actor: str) -> Request:
    """The request in `body`; Malformed, in words that name the place, when it is none."""
    if len(body) > MOST_BYTES:
        raise Malformed(f"the request has {len(body)} bytes; {MOST_BYTES} are allowed: send it in parts")
    try:
        request = _Request.model_validate(orjson.loads(body))
        type_ = request.command.get("type")
        if not isinstance(type_, str) or type_ not in COMMANDS:
            raise Malformed(f"{repr(type_)[:100]} is not a command; there are {', '.join(sorted(COMMANDS))}")
        form, build = COMMANDS[type_]
        content = {name: value for name, value in request.command.items() if name != "type"}
        # JSON has no tuples: what came from it is read as JSON again, by pydantic's own rules
        return Request(request.id, actor, request.deadline, build(form.model_validate_json(orjson.dumps(content))))
    except orjson.JSONDecodeError as error:
        raise Malformed(f"the request is not JSON: {error}") from error
    except orjson.JSONEncodeError as error:
        raise Malformed(f"the command is nested too deeply: {error}") from error
    except ValidationError as error:
        raise Malformed(place_of(error, "the request")) from error


def place_of(error: ValidationError, whole: str) -> str:
    """The first thing that is wrong, in words, and where it is."""
    first = error.errors(include_url=False, include_input=False)[0]
    place = ".".join(str(part)[:100] for part in first["loc"]) or whole
    return f"{place}: {first['msg'][:1000]}"
