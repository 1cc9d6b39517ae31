"""The forms of tasks as clients send them, and the same as the engine's commands name them.

Field names are those of the first scitq; a null is a field that was not sent, as its library always meant it.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal, Required

from annotated_types import Ge, Le, MaxLen, MinLen
from pydantic import BeforeValidator, ConfigDict, with_config
from typing_extensions import TypedDict

from scitq.domain import requests
from scitq.domain.requests import MOST_TASKS
from scitq.domain.task import DEFAULT_BATCH
from scitq.projections.tasks import Task
from scitq.web import forms
from scitq.web.forms import whole

OURS: Final[Mapping[str, str]] = {
    "download_timeout": "download_timeout_s",
    "run_timeout": "run_timeout_s",
    "silence_timeout": "silence_timeout_s",
    "required_task_ids": "requires",
}
"""What is named otherwise inside."""


def _none_if_empty(text: Any) -> Any:
    return None if text == "" else text


def _user(value: Any) -> Any:
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else _none_if_empty(value)


Name = Annotated[requests.Name | None, BeforeValidator(_none_if_empty)]
Retry = Annotated[requests.Retry | None, BeforeValidator(whole)]
Priority = Annotated[requests.Priority | None, BeforeValidator(whole)]
Seconds = Annotated[requests.Seconds | None, BeforeValidator(whole)]
User = Annotated[requests.User | None, BeforeValidator(_user)]
Flag = Annotated[bool | None, BeforeValidator(forms.flag)]
Other = Annotated[int, BeforeValidator(whole), Ge(-MOST_TASKS), Le(forms.LARGEST_ID)]
STRICT: Final = ConfigDict(extra="forbid", strict=True)


@with_config(STRICT)
class NewTask(TypedDict, total=False):
    """A task to submit. In bulk, `required_task_ids` may hold -1, -2, …: the first, second, … task of the request."""

    command: Required[requests.CommandText]
    name: Name
    status: Literal["pending", "waiting", "paused"] | None
    batch: requests.BatchName | None
    input: requests.Text | None
    output: requests.Text | None
    container: Name
    container_options: requests.ContainerOptions | None
    resource: requests.Text | None
    required_task_ids: Annotated[list[Other], MaxLen(100_000)] | None
    retry: Retry
    download_timeout: Seconds
    run_timeout: Seconds
    silence_timeout: Seconds
    use_cache: Flag
    priority: Priority
    user: User


class Bulk(forms.Form):
    """Tasks to submit, all or none."""

    tasks: Annotated[list[NewTask], MinLen(1), MaxLen(MOST_TASKS)]


@with_config(STRICT)
class Changes(TypedDict, total=False):
    """What is to be changed of a task."""

    command: requests.CommandText | None
    name: Name
    status: forms.Word | None
    batch: requests.BatchName | None
    input: requests.Text | None
    output: requests.Text | None
    container: Name
    container_options: requests.ContainerOptions | None
    resource: requests.Text | None
    required_task_ids: Annotated[list[forms.Id], MaxLen(100_000)] | None
    retry: Retry
    download_timeout: Seconds
    run_timeout: Seconds
    silence_timeout: Seconds
    use_cache: Flag
    priority: Priority
    user: User


def spec(task: Mapping[str, Any]) -> dict[str, Any]:
    """One of the tasks of a `create-tasks`. A task waits by itself, for what it requires: no status makes it."""
    ours = {OURS.get(name, name): value for name, value in task.items() if value is not None and name != "status"}
    if task.get("status") == "paused":
        ours["paused"] = True
    return ours


def row(id: int, ours: Mapping[str, Any]) -> Task:
    """The task that such a spec makes, as far as it says."""
    now = time.time_ns() // 1000
    paused = bool(ours.get("paused"))
    values = {"batch": DEFAULT_BATCH, **ours, "requires": tuple(ours.get("requires", ()))}
    status: Literal["paused", "pending"] = "paused" if paused else "pending"
    return Task(id, status, "pending", created_at=now, modified_at=now, status_at=now, **values)


def changes(form: Mapping[str, Any]) -> dict[str, Any]:
    """The `changes` of an `edit-tasks`."""
    aside = ("status", "required_task_ids")
    return {OURS.get(name, name): value for name, value in form.items() if value is not None and name not in aside}
