"""What a reactor answers: commands, each with the object it is for, and questions to workers."""

from __future__ import annotations

from typing import NamedTuple

from scitq.domain.execution import ExecutionCommand
from scitq.domain.task import TaskCommand
from scitq.domain.worker import WorkerCommand


class OnTask(NamedTuple):
    task: int
    command: TaskCommand


class OnExecution(NamedTuple):
    execution: int
    command: ExecutionCommand


class OnWorker(NamedTuple):
    worker: int
    command: WorkerCommand


class AskBack(NamedTuple):
    """Nothing becomes true by it: the worker answers."""

    execution: int
    reason: str


Action = OnTask | OnExecution | OnWorker | AskBack
