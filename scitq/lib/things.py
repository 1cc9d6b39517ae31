"""What a server tells of: dicts, or objects with `style="object"`; a notebook shows either as tables and cards."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, TypeVar

T = TypeVar("T")
SHORT = 60


if TYPE_CHECKING:

    class Fields:
        """To type checkers a thing has the fields that are declared: those of a SimpleNamespace may be misspelled."""

        def __init__(self, **fields: Any) -> None: ...
else:
    Fields = SimpleNamespace


class Thing(Fields):
    """One of them. A field that this release does not know is an attribute as well."""

    def __repr__(self) -> str:
        return _in_a_line(type(self).__name__, vars(self))

    def _repr_html_(self) -> str:
        return _card(type(self).__name__, vars(self))


class Task(Thing):
    """A command, and how it stands."""

    task_id: int
    name: str | None
    status: str
    command: str | None
    creation_date: datetime | None
    modification_date: datetime | None
    status_date: datetime | None
    batch: str | None
    input: str | None
    output: str | None
    container: str | None
    container_options: str | None
    resource: str | None
    required_task_ids: list[int]
    retry: int
    download_timeout: int | None
    run_timeout: int | None
    silence_timeout: int | None
    use_cache: bool
    priority: int
    attempts: int
    execution_id: int | None
    worker_id: int | None
    blocked_by: list[str]
    user: str | None
    refused_by: list[str]


class Execution(Thing):
    """An attempt at a task. `output` and `error`: the end of what it printed, where that was asked for."""

    execution_id: int
    worker_id: int
    task_id: int
    status: str
    return_code: int | None
    pid: str | None
    creation_date: datetime | None
    modification_date: datetime | None
    output: str | None
    error: str | None
    output_files: str | None
    command: str | None
    freeze: bool | None
    latest: bool
    batch: str | None
    task_name: str | None
    reason: str | None
    started_date: datetime | None
    ended_date: datetime | None
    stdout_bytes: int | None
    stderr_bytes: int | None
    phase: str
    failure: str | None
    ready_date: datetime | None
    exited_date: datetime | None
    gone_date: datetime | None
    input_files: int | None
    input_bytes: int | None
    stored_files: int | None
    stored_bytes: int | None
    image: str | None
    cpu_s: float | None
    memory_bytes: int | None
    read_bytes: int | None
    written_bytes: int | None


class Worker(Thing):
    """A machine, or a part of one, and how many executions of each status it has."""

    worker_id: int
    name: str
    hostname: str | None
    status: str
    concurrency: int
    prefetch: int
    load: str | None
    memory: float | None
    stats: str | None
    task_properties: str
    creation_date: datetime | None
    modification_date: datetime | None
    last_contact_date: datetime | None
    batch: str
    permanent: bool
    flavor: str | None
    region: str | None
    provider: str | None
    batches: list[str]
    assigned: int
    accepted: int
    running: int
    succeeded: int
    failed: int


class Batch(Thing):
    """How many of its tasks stand how (None where it is none), and which workers serve it."""

    batch: str
    pending: int | None
    accepted: int | None
    running: int | None
    failed: int | None
    succeeded: int | None
    workers: str | None
    waiting: int | None
    paused: int | None
    assigned: int | None
    stopped: bool
    tasks: int


class Row(dict[str, Any]):
    """One of them as a dict, which knows what it is."""

    def __init__(self, fields: Mapping[str, Any], kind: str) -> None:
        super().__init__(fields)
        self.kind = kind

    def __reduce__(self) -> tuple[type, tuple[dict[str, Any]]]:
        """As a plain dict: whoever reads it elsewhere needs nothing of ours."""
        return dict, (dict(self),)

    def _repr_html_(self) -> str:
        return _card(self.kind, self)


class Rows(list[T]):
    """Many of them, which know what they are."""

    def __init__(self, rows: Iterable[T], kind: str) -> None:
        super().__init__(rows)
        self.kind = kind

    def __reduce__(self) -> tuple[type, tuple[list[T]]]:
        return list, (list(self),)

    def _repr_html_(self) -> str:
        from scitq.lib.notebook import bars, table

        rows = [row if isinstance(row, Mapping) else vars(row) for row in self]
        return bars(rows) if self.kind == Batch.__name__ else table(self.kind, rows)


def _card(kind: str, fields: Mapping[str, Any]) -> str:
    from scitq.lib.notebook import bars, card

    return bars([fields]) if kind == Batch.__name__ else card(kind, fields)


def _in_a_line(kind: str, fields: Mapping[str, Any]) -> str:
    """What tells one from another: its id or name, how it stands, and what it runs."""
    told = [fields.get(f"{kind.lower()}_id", fields.get("batch")), fields.get("name"), fields.get("status")]
    words = " ".join(str(one) for one in told if one is not None)
    command = str(fields.get("command") or "")
    short = command if len(command) <= SHORT else command[: SHORT - 1] + "…"
    return f"<{kind} {words}{f': {short!r}' if short else ''}>"
