"""A task that failed with retries left is queued again; but not one whose workers were lost time and again."""

from __future__ import annotations

from collections.abc import Iterable

from scitq.domain.execution import ExecutionFailed
from scitq.domain.state import State
from scitq.domain.task import RetryTask
from scitq.handlers.actions import Action, OnTask


def on_execution_failed(event: ExecutionFailed, state: State) -> Iterable[Action]:
    if event.failure in ("worker_lost", "evicted"):
        return []
    task = state.tasks.get(event.task)
    return [OnTask(event.task, RetryTask())] if task is not None and task.retry else []
