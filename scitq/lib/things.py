"""What a server tells of, as objects: the answers of `Server(style="object")`."""

from __future__ import annotations

from datetime import datetime
from types import SimpleNamespace


class Thing(SimpleNamespace):
    """One of them. A field that this release does not know is an attribute as well."""


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
    use_cache: bool
    priority: int
    attempts: int
    execution_id: int | None
    worker_id: int | None
    blocked_by: list[str]


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
