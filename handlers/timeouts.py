"""Executions that take longer than their task allows: ended here when the agent, which does it by itself, is gone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from scitq.domain.execution import TimeOutExecution
from scitq.domain.state import State
from scitq.handlers.actions import OnExecution

GRACE_S: Final = 10
"""How long the engine leaves it to the agent."""


def watch(state: State, now: int, jumps: Sequence[tuple[int, int]] = ()) -> Iterator[OnExecution]:
    """What is overdue. Time by which the calendar jumped while a command ran is no time that it took."""
    for execution in state.overdue(now - GRACE_S * 1_000_000):
        task = state.tasks[execution.task]
        allowed_s = task.run_timeout_s if execution.status == "running" else task.download_timeout_s
        began = state.deadlines[execution.id] - (allowed_s or 0) * 1_000_000
        due = state.deadlines[execution.id] + sum(by for at, by in jumps if at >= began) + GRACE_S * 1_000_000
        if now < due:
            state.remind(execution.id, due)
            continue
        if execution.status == "running":
            yield OnExecution(execution.id, TimeOutExecution("running", f"ran for more than {task.run_timeout_s} s"))
        elif execution.status == "accepted":
            reason = f"its inputs took more than {task.download_timeout_s} s"
            yield OnExecution(execution.id, TimeOutExecution("accepted", reason))
