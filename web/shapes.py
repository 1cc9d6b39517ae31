"""What clients see: one shape for a task, a worker, an execution and a batch, with the field names of the first scitq.

The types are what the documentation describes; the functions beside them fill them in. A list has 100,000 of these, so
they are plain dicts, and a date costs one look-up in a cache of seconds.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Final, Literal

from typing_extensions import TypedDict

from scitq.domain import execution as ex
from scitq.domain.telemetry import Machine
from scitq.projections import batches as batch_views
from scitq.projections import tasks as task_views
from scitq.projections.executions import Attempt, Phase
from scitq.projections.standing import Status
from scitq.projections.workers import Loaded
from scitq.projections.workers import Status as WorkerStatus

Date = str  # naive UTC, with microseconds: 2026-11-20T18:36:21.153899

CODES: Final[Mapping[str, int]] = {
    "paused": 0,
    "waiting": 1,
    "pending": 2,
    "assigned": 3,
    "accepted": 4,
    "running": 5,
    "failed": 6,
    "succeeded": 7,
    "debug": 8,
}
"""The status of a task as a number, in the order of the first scitq."""


class Task(TypedDict):
    task_id: int
    name: str | None
    status: Status
    command: str | None
    creation_date: Date | None
    modification_date: Date | None
    status_date: Date | None
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


class Execution(TypedDict):
    execution_id: int
    worker_id: int
    task_id: int
    status: ex.Status
    return_code: int | None
    pid: str | None
    creation_date: Date | None
    modification_date: Date | None
    output: str | None
    error: str | None
    output_files: str | None
    command: str | None
    freeze: bool | None
    latest: bool
    batch: str | None
    task_name: str | None
    reason: str | None
    started_date: Date | None
    ended_date: Date | None
    stdout_bytes: int | None
    stderr_bytes: int | None
    phase: Phase
    failure: ex.Failure | None
    ready_date: Date | None
    exited_date: Date | None
    gone_date: Date | None
    input_files: int | None
    input_bytes: int | None
    stored_files: int | None
    stored_bytes: int | None
    image: str | None
    cpu_s: float | None
    memory_bytes: int | None
    read_bytes: int | None
    written_bytes: int | None


class HeldExecution(Execution):
    """One that a worker holds."""

    taskstatus: Status | None


class Worker(TypedDict):
    worker_id: int
    name: str
    hostname: str | None
    status: WorkerStatus
    concurrency: int
    prefetch: int
    load: str | None
    memory: float | None
    stats: str | None
    task_properties: str
    creation_date: Date | None
    modification_date: Date | None
    last_contact_date: Date | None
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


class Batch(TypedDict):
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


class Count(TypedDict):
    worker_id: int
    status: ex.Status
    count: int


class Done(TypedDict):
    result: Literal["Ok"]


DONE: Final[Done] = {"result": "Ok"}


@lru_cache(maxsize=20_000)
def _second(second: int) -> str:
    return datetime.fromtimestamp(second, UTC).replace(tzinfo=None).isoformat()


def date(at: int | None) -> Date | None:
    """Microseconds since 1970 as people read them; None where there is none (an erased task has no past)."""
    return f"{_second(at // 1_000_000)}.{at % 1_000_000:06d}" if at else None


def task(row: task_views.Task) -> Task:
    return {
        "task_id": row.id,
        "name": row.name,
        "status": row.status,
        "command": row.command,
        "creation_date": date(row.created_at),
        "modification_date": date(row.modified_at),
        "status_date": date(row.status_at),
        "batch": row.batch,
        "input": row.input,
        "output": row.output,
        "container": row.container,
        "container_options": row.container_options,
        "resource": row.resource,
        "required_task_ids": list(row.requires),
        "retry": row.retry,
        "download_timeout": row.download_timeout_s,
        "run_timeout": row.run_timeout_s,
        "silence_timeout": row.silence_timeout_s,
        "use_cache": row.use_cache,
        "priority": row.priority,
        "attempts": row.attempts,
        "execution_id": row.execution,
        "worker_id": row.worker,
        "blocked_by": [_blocked(*block) for block in row.blocked_by],
        "user": row.user,
        "refused_by": [f"worker {worker}: {reason}" for worker, reason in row.refused_by],
    }


def _blocked(requirement: int, reason: str) -> str:
    return f"it requires task {requirement}, which {'has' if reason == 'failed' else 'was'} {reason}"


def execution(attempt: Attempt, output: str | None = None, error: str | None = None) -> Execution:
    row = attempt.execution
    return {
        "execution_id": row.id,
        "worker_id": row.worker,
        "task_id": row.task,
        "status": row.status,
        "return_code": row.return_code,
        "pid": None if row.pid is None else str(row.pid),
        "creation_date": date(row.assigned_at),
        "modification_date": date(row.modified_at),
        "output": output,
        "error": error,
        "output_files": None,
        "command": attempt.command,
        "freeze": None,
        "latest": attempt.latest,
        "batch": attempt.batch,
        "task_name": attempt.task_name,
        "reason": row.reason,
        "started_date": date(row.started_at),
        "ended_date": date(row.ended_at),
        "stdout_bytes": row.stdout_bytes,
        "stderr_bytes": row.stderr_bytes,
        "phase": row.phase,
        "failure": row.failure,
        "ready_date": date(row.ready_at),
        "exited_date": date(row.exited_at),
        "gone_date": date(row.gone_at),
        "input_files": row.input_files,
        "input_bytes": row.input_bytes,
        "stored_files": row.output_files,
        "stored_bytes": row.output_bytes,
        "image": row.image,
        "cpu_s": row.cpu_s,
        "memory_bytes": row.memory_bytes,
        "read_bytes": row.read_bytes,
        "written_bytes": row.written_bytes,
    }


def held(attempt: Attempt) -> HeldExecution:
    return {**execution(attempt), "taskstatus": attempt.task_status}


def worker(loaded: Loaded, heard: int | None, machine: Machine | None = None) -> Worker:
    """`heard` and `machine` are no facts: what is known of them at the moment."""
    row, load = loaded
    return {
        "worker_id": row.id,
        "name": row.name,
        "hostname": row.hostname,
        "status": row.status,
        "concurrency": row.concurrency,
        "prefetch": row.prefetch,
        "load": None if machine is None else machine.load,
        "memory": None if machine is None else machine.memory,
        "stats": None if machine is None else machine.stats,
        "task_properties": "{}",
        "creation_date": date(row.created_at),
        "modification_date": date(row.modified_at),
        "last_contact_date": date(heard),
        "batch": ",".join(row.batches),
        "permanent": True,
        "flavor": None,
        "region": None,
        "provider": None,
        "batches": list(row.batches),
        "assigned": load.pending,
        "accepted": load.accepted,
        "running": load.running,
        "succeeded": load.succeeded,
        "failed": load.failed,
    }


def batch(served: batch_views.Served) -> Batch:
    """Counts of zero are null, as they always were."""
    row: Any = served.batch
    return {
        "batch": row.name,
        "pending": row.pending or None,
        "accepted": row.accepted or None,
        "running": row.running or None,
        "failed": row.failed or None,
        "succeeded": row.succeeded or None,
        "workers": ", ".join(served.workers) or None,
        "waiting": row.waiting or None,
        "paused": row.paused or None,
        "assigned": row.assigned or None,
        "stopped": row.stopped,
        "tasks": row.tasks,
    }
