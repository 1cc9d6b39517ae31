"""What an event makes of the standing of a task and of an attempt: said once, for every projection that shows it.

    stage: as in `scitq.domain.task`, and `erased`: all that is left of a task whose record was erased
    visible status: the stage, or `paused` while a pause holds a task that has not ended

These are the rules of `task.evolve` and `execution.evolve` without what only deciding needs; a test holds them equal.
"""

from __future__ import annotations

from typing import Final, Literal, get_args

from scitq.domain import execution as ex
from scitq.domain import task as tk
from scitq.domain.engine_log import PayloadErased
from scitq.domain.wire import Erased, Event, Recorded
from scitq.errors import Malformed

Stage = tk.Stage | Literal["erased"]
Status = tk.Status | Literal["erased"]

COUNTED: Final[tuple[tk.Status, ...]] = (
    "paused",
    "waiting",
    "pending",
    "assigned",
    "accepted",
    "running",
    "succeeded",
    "failed",
)
"""The statuses that are counted and listed; a deleted or erased task is only found by its id."""

TASK_EVENTS: Final[frozenset[type]] = frozenset(get_args(tk.TaskEvent))
ATTEMPT_EVENTS: Final[frozenset[type]] = frozenset(get_args(ex.ExecutionEvent))

_STAGE: Final[dict[type, tk.Stage]] = {
    ex.ExecutionAssigned: "assigned",
    ex.ExecutionAccepted: "accepted",
    ex.ExecutionReady: "accepted",
    ex.ExecutionStarted: "running",
    ex.ExecutionExited: "running",
    ex.ExecutionSucceeded: "succeeded",
    ex.ExecutionFailed: "failed",
    ex.ExecutionLost: "pending",
    ex.ExecutionCancelled: "pending",
    ex.ExecutionRefused: "pending",
    tk.TaskReleased: "pending",
    tk.TaskRetried: "pending",
    tk.TaskDeleted: "deleted",
}
_ATTEMPT: Final[dict[type, ex.Status]] = {
    ex.ExecutionAssigned: "pending",
    ex.ExecutionAccepted: "accepted",
    ex.ExecutionReady: "accepted",
    ex.ExecutionStarted: "running",
    ex.ExecutionExited: "running",
    ex.ExecutionSucceeded: "succeeded",
    ex.ExecutionFailed: "failed",
    ex.ExecutionCancelled: "cancelled",
    ex.ExecutionRefused: "refused",
    ex.ExecutionLost: "lost",
}


def at_first(event: tk.TaskCreated | tk.TaskRequirementsChanged) -> tk.Stage:
    """Where a task stands that was just submitted or given other requirements."""
    return "waiting" if event.waits_for else "pending"


def after(stage: Stage, paused: bool, event: Event) -> tuple[Stage, bool]:
    """Stage and pause of a known task after an event about it. Erased is for ever."""
    if stage == "erased":
        return stage, paused
    known = _STAGE.get(type(event))
    if known is not None:
        return known, paused
    if isinstance(event, tk.TaskPaused):
        return stage, True
    if isinstance(event, tk.TaskResumed):
        return stage, False
    if isinstance(event, ex.ExecutionRecovered):
        return ex.TASK_STAGE[event.status], paused
    if isinstance(event, tk.TaskRelaunched):
        return "pending", False
    if isinstance(event, tk.TaskRequirementsChanged):
        return at_first(event), paused
    return stage, paused


def visible(stage: Stage, paused: bool) -> Status:
    """The one word people see."""
    if paused and stage not in tk.ENDED and stage != "deleted" and stage != "erased":
        return "paused"
    return stage


def attempt_after(status: ex.Status, event: Event) -> ex.Status:
    """The status of an attempt after an event about it."""
    if isinstance(event, ex.ExecutionRecovered):
        return ex.STATUS[event.status]
    return _ATTEMPT.get(type(event), status)


def erased_task(recorded: Recorded) -> int | None:
    """The task whose record this says is erased: live by `PayloadErased`, on a rebuild by the gap where a text was.

    The gap has lost the id with the content, but the stream still names it. What a worker reported is never erased:
    without it an attempt could not be told any more.
    """
    event = recorded.event
    if isinstance(event, PayloadErased):
        return event.task
    if not isinstance(event, Erased):
        return None
    kind, _, number = recorded.stream.partition("-")
    if kind != "task" or not number.isdecimal() or event.type.startswith("execution-"):
        raise Malformed(f"event {recorded.position} ({event.type!r} of {recorded.stream!r}) was erased, and is needed")
    return int(number)


def never_created(recorded: Recorded) -> Malformed:
    """A log in which something happens to what never began is damaged: to go on would show what is not true."""
    return Malformed(f"event {recorded.position} is about something that {recorded.stream!r} never said had begun")
