"""What the documentation shows: one answer of each shape, and what stands for the parameters of a path.

They are of one small story: `samples` has a task, which node1 runs. tests/unit/web/test_examples.py asks every route
just as it is shown, in that very story, and holds the answers against these.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, get_args, get_origin

from scitq.domain import speaker
from scitq.web import enrol, events, live, outputs, parked, shapes, status, tasks

_THEN: Final = "2026-11-20T18:36:21.153899"
_LATER: Final = "2026-11-20T18:36:24.004211"
PARKED: Final = "3f1c5e0a9b7d2c48"
PARAMETERS: Final[Mapping[str, Any]] = {"task_id": 1, "worker_id": 1, "execution_id": 1, "status": "running"}
"""Of any path. A `name` means something else in each: that is `Route.named`."""

_TASK: Final[shapes.Task] = {
    "task_id": 1, "name": "s1", "status": "running", "command": "gzip -9 s1.fastq", "creation_date": _THEN,
    "modification_date": _LATER, "status_date": _LATER, "batch": "samples", "input": None, "output": None,
    "container": None, "container_options": None, "resource": None, "required_task_ids": [], "retry": 1,
    "download_timeout": None, "run_timeout": None, "silence_timeout": None, "use_cache": False, "priority": 0,
    "attempts": 1, "execution_id": 1, "worker_id": 1, "blocked_by": [], "user": None, "refused_by": [],
}  # fmt: skip
_EXECUTION: Final[shapes.Execution] = {
    "execution_id": 1, "worker_id": 1, "task_id": 1, "status": "running", "return_code": None, "pid": "4711",
    "creation_date": _THEN, "modification_date": _LATER, "output": "", "error": "", "output_files": None,
    "command": "gzip -9 s1.fastq", "freeze": None, "latest": True, "batch": "samples", "task_name": "s1",
    "reason": None, "started_date": _LATER, "ended_date": None, "stdout_bytes": None, "stderr_bytes": None,
    "phase": "running", "failure": None, "ready_date": None, "exited_date": None, "gone_date": None,
    "input_files": None, "input_bytes": None, "stored_files": None, "stored_bytes": None, "image": None, "cpu_s": None,
    "memory_bytes": None, "read_bytes": None, "written_bytes": None,
}  # fmt: skip
_WORKER: Final[shapes.Worker] = {
    "worker_id": 1, "name": "node1", "hostname": "node1.lab", "status": "running", "concurrency": 4, "prefetch": 0,
    "load": None, "memory": None, "stats": None, "task_properties": "{}", "creation_date": _THEN,
    "modification_date": _THEN, "last_contact_date": _LATER, "batch": "samples", "permanent": True, "flavor": None,
    "region": None, "provider": None, "batches": ["samples"], "assigned": 0, "accepted": 0, "running": 1,
    "succeeded": 0, "failed": 0,
}  # fmt: skip
_LIVE: Final[live.LiveExecution] = {
    "execution_id": 1, "task_id": 1, "worker_id": 1, "status": "running", "phase": "running", "age_s": 0.4,
    "transfer": None,
    "curve": [
        {"at_s": 1.0, "cpu_s": 0.9, "memory_bytes": 1_048_576, "read_bytes": 4_096, "written_bytes": 0},
        {"at_s": 2.0, "cpu_s": 1.9, "memory_bytes": 2_097_152, "read_bytes": 4_096, "written_bytes": 65_536},
    ],
}  # fmt: skip
_BATCH: Final[shapes.Batch] = {
    "batch": "samples", "pending": None, "accepted": None, "running": 1, "failed": None, "succeeded": None,
    "workers": "node1", "waiting": None, "paused": 1, "assigned": None, "stopped": False, "tasks": 2,
}  # fmt: skip
_EVENT: Final = {
    "position": 4, "time": _THEN, "stream": "task-1", "version": 1, "type": "task-created", "schema": 1,
    "actor": "user", "command": 4, "cause": 0,
    "payload": {"task": 1, "command": "gzip -9 s1.fastq", "batch": "samples"},
    "erased": False, "digest": "5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef",
    "hash": "2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae", "epoch": 1, "mark": None,
}  # fmt: skip
_FOLLOWING: Final = {"name": "tasks", "position": 12, "lag": 0, "behind_s": 0.0, "stopped": None}
_WAITING: Final = {"name": "commands", "waiting": 0, "busy_s": 0.0}
_READY: Final = {
    "ready": True, "engine": True, "epoch": 1, "standbys": 0, "position": 12, "lag": 0, "stopped": [],
    "projections": [_FOLLOWING], "queues": [_WAITING], "parked": 0, "alerts": [], "message": "ready",
}  # fmt: skip
_STATUS: Final = {
    "ready": True, "message": "ready", "alerts": [], "engine": {"leads": True, "epoch": 1, "holder": "node0:4711"},
    "standbys": 0, "head": 12, "bus": None, "projections": [_FOLLOWING], "queues": [_WAITING], "parked": 0,
    "processes": [
        {"host": "node0", "pid": 4711, "roles": ["engine", "projections", "web"], "version": "2.0.0",
         "started_date": _THEN, "engine": None},
    ],
}  # fmt: skip
_PUT_ASIDE: Final = {
    "id": PARKED, "queue": "commands", "reason": "it is not JSON", "date": _THEN, "size_bytes": 3,
}  # fmt: skip

EXAMPLES: Final[Mapping[Any, Any]] = {
    shapes.Task: _TASK,
    shapes.Execution: _EXECUTION,
    shapes.HeldExecution: {**_EXECUTION, "output": None, "error": None, "taskstatus": "running"},
    shapes.Worker: _WORKER,
    live.LiveExecution: _LIVE,
    shapes.Batch: _BATCH,
    shapes.Count: {"worker_id": 1, "status": "running", "count": 1},
    shapes.Done: {"result": "Ok"},
    tasks.Created: {"task_ids": [3, 4], "position": 14},
    tasks.Done: {"done": [2], "refused": {"1": "task 1 is already released"}, "position": 13},
    outputs.Texts: {"output": "half of it is done\n", "error": None},
    events.Event: _EVENT,
    status.Health: {"status": "ok", "version": "2.0.0", "time": 1_795_255_200.25},
    status.Ready: _READY,
    status.Status: _STATUS,
    status.Projection: {"name": "tasks", "version": 1, "position": 12, "lag": 0, "stopped": None},
    parked.ParkedMessage: _PUT_ASIDE,
    parked.ParkedList: {"count": 1, "messages": [_PUT_ASIDE]},
    parked.WholeMessage: {**_PUT_ASIDE, "headers": {"actor": "ada"}, "body": "one", "body_base64": None},
    parked.Settled: {"messages": 1, "missing": [], "left": 0, "refused": [], "dry_run": True},
    enrol.Invitation: {"invitation": "scitq1.eyJ1bnRpbCI6MTc5NX0.c2lnbmF0dXJl", "expires": "2026-11-20T19:36:21"},
    enrol.Credential: {"credential": "scitq1.eyJuYW1lIjoibm9kZTcifQ.c2lnbmF0dXJl", "name": "node7"},
    speaker.BrokerAccount: {
        "addresses": ["amqps://broker.example.org"], "user": "scitq.worker.node7", "password": "…",
        "exchange": "scitq.agents", "queue": "scitq.agent.node7", "keys": {"reports": "reports.node7"},
    },
}  # fmt: skip


def of_shape(shape: Any) -> Any:
    """An answer of that shape, or None where a shape says too little for one."""
    if get_origin(shape) is list:
        inner = of_shape(get_args(shape)[0])
        return [2, 5] if get_args(shape)[0] is int else None if inner is None else [inner]
    return EXAMPLES.get(shape)
