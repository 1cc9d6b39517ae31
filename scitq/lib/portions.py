"""Many tasks, cut into requests that a server takes: by number and by size, each task encoded once."""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Mapping
from typing import Any, Final, NamedTuple

import orjson

from scitq.errors import Malformed
from scitq.lib.shapes import id_of, joined

MOST_TASKS: Final = 10_000
MOST_BYTES: Final = 6 * 1024 * 1024

_NAMES: Final = {
    "requires": "required_task_ids",
    "download_timeout_s": "download_timeout",
    "run_timeout_s": "run_timeout",
    "silence_timeout_s": "silence_timeout",
}
"""What `scitq.domain.commands.TaskSpec` calls otherwise than the wire."""


class Portion(NamedTuple):
    first: int  # the number of its first task in the whole list, from 0
    size: int
    body: bytes


IdAt = Callable[[int], Awaitable[int]]


async def portions(
    tasks: Iterable[Any], id_at: IdAt, most_tasks: int = MOST_TASKS, most_bytes: int = MOST_BYTES
) -> AsyncGenerator[Portion, None]:
    """Cut the list. `id_at(number)` tells the id of a task of an earlier portion, once that was answered."""
    first, size = 0, 0
    encoded: list[bytes] = []
    for number, task in enumerate(tasks):
        fields = form(task)
        text = orjson.dumps(await _placed(fields, number, first, id_at))
        if encoded and (len(encoded) == most_tasks or size + len(text) > most_bytes):
            yield _portion(first, encoded)
            first, size, encoded = number, 0, []
            text = orjson.dumps(await _placed(fields, number, first, id_at))
        encoded.append(text)
        size += len(text) + 1
    if encoded:
        yield _portion(first, encoded)


def form(task: Any) -> dict[str, Any]:
    """One task as the server takes it, from a dict or a dataclass; None says nothing about a field."""
    if isinstance(task, Mapping):
        fields = {name: value for name, value in task.items() if value is not None}
    else:
        fields = _of_object(task)
    shell = fields.pop("shell", None)
    if shell:
        fields["command"] = in_shell(fields.get("command", ""), shell)
    uid, gid = fields.pop("uid", None), fields.pop("gid", None)
    if uid is not None or gid is not None:
        fields["user"] = as_user(uid, gid)
    for name in ("input", "resource", "output"):
        if name in fields:
            fields[name] = joined(fields[name])
    required = fields.get("required_task_ids")
    if required is not None:
        fields["required_task_ids"] = (
            [id_of(one) for one in required] if isinstance(required, (list, tuple, set)) else [id_of(required)]
        )
    return fields


def in_shell(command: str, shell: bool | str) -> str:
    """The command line that has a shell run the command, whatever signs are in it.

    A command that begins like an option would be taken for one: a space before it says nothing to a shell.
    """
    text = f" {command}" if command[:1] in ("-", "+") else command
    return f"{'sh' if shell is True else shell} -c {shlex.quote(text)}"


def as_user(uid: Any, gid: Any) -> str:
    """UID, UID:GID or :GID; numbers, or names that the worker knows."""
    return f"{'' if uid is None else uid}{'' if gid is None else f':{gid}'}"


def _of_object(task: Any) -> dict[str, Any]:
    if not dataclasses.is_dataclass(task) or isinstance(task, type):
        raise Malformed(f"a task is a dict of its fields, or a dataclass, not {type(task).__name__}")
    fields = {_NAMES.get(field.name, field.name): getattr(task, field.name) for field in dataclasses.fields(task)}
    if fields.pop("paused", False):
        fields["status"] = "paused"
    return {name: value for name, value in fields.items() if value is not None}


async def _placed(fields: dict[str, Any], number: int, first: int, id_at: IdAt) -> dict[str, Any]:
    """With -1, -2, … (the first, second, … of the list) made numbers within the portion, or ids."""
    required = fields.get("required_task_ids")
    if not required or min(required) > 0:
        return fields
    placed = []
    for other in required:
        if other < 0:
            if -other > number:
                raise Malformed(
                    f"task {number + 1} of the list requires number {-other} of it, which does not come before it"
                )
            other = other + first if -other > first else await id_at(-other - 1)
        placed.append(other)
    return fields | {"required_task_ids": placed}


def _portion(first: int, encoded: list[bytes]) -> Portion:
    return Portion(first, len(encoded), b'{"tasks":[' + b",".join(encoded) + b"]}")
