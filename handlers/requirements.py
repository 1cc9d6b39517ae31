"""Tasks that wait for others are released when all of them have succeeded, and say so when one never will by itself.

Releasing looks at what is. The others answer single events, after `retry`: a failed task that was queued again has not
failed for those who wait for it.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from typing import Final

from scitq.domain.execution import ExecutionFailed
from scitq.domain.state import State
from scitq.domain.task import BlockTask, ReleaseTask, TaskDeleted, TaskRelaunched, UnblockTask
from scitq.handlers.actions import Action, OnTask

MOST_AT_ONCE: Final = 5_000


def release(state: State) -> list[OnTask]:
    """Level-triggered: every waiting task whose requirements have succeeded, a turn's portion of them."""
    return [OnTask(task, ReleaseTask(by_hand=False)) for task in islice(state.releasable, MOST_AT_ONCE)]


def on_execution_failed(event: ExecutionFailed, state: State) -> Iterable[Action]:
    task = state.tasks.get(event.task)
    if task is not None and task.stage != "failed":
        return []  # it was queued again
    return [OnTask(other, BlockTask(event.task, "failed")) for other in state.dependants(event.task)]


def on_task_deleted(event: TaskDeleted, state: State) -> Iterable[Action]:
    if event.stage == "succeeded":
        return []  # it did what it was required for
    return [OnTask(other, BlockTask(event.task, "deleted")) for other in state.dependants(event.task)]


def on_task_relaunched(event: TaskRelaunched, state: State) -> Iterable[Action]:
    return [OnTask(other, UnblockTask(event.task)) for other in state.dependants(event.task)]
