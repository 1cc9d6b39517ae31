"""All that the engine decides on: the fold of the whole log.

What is kept per object is its aggregate's own `evolve`; this module keeps the objects and the indexes beside them.
Every change goes through `put` and `drop`, so that a savepoint can take it back: this is the overlay of a turn.
Entries of heaps and lists may be void: who reads them checks each against the objects.

A task that has ended is forgotten: its stream still knows it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from heapq import heapify, heappop, heappush
from typing import Any, Final, NamedTuple, get_args

from scitq.domain import batch as batches
from scitq.domain import engine_log
from scitq.domain import execution as executions
from scitq.domain import task as tasks
from scitq.domain import worker as workers
from scitq.domain.batch import Batch
from scitq.domain.envelope import Mark
from scitq.domain.execution import Execution
from scitq.domain.task import Task
from scitq.domain.wire import Erased, Recorded
from scitq.domain.worker import Worker

MISSING: Final = object()
PRIORITY_SHIFT: Final = 48
"""A place in the queue is one integer: the higher priority first, then the older task (its id is below 2^48)."""
_ID: Final = (1 << PRIORITY_SHIFT) - 1
FEW: Final = 10_000
"""So many void entries in a heap are not worth a thought."""


class Savepoint(NamedTuple):
    """Where a rollback goes back to."""

    undone: int
    counters: tuple[int, int, int, int, int, int]


class State:
    """The objects, by id, and what is derived from them."""

    def __init__(self) -> None:
        self.tasks: dict[int, Task] = {}
        self.executions: dict[int, Execution] = {}  # live, or lost and could come back
        self.workers: dict[int, Worker] = {}
        self.batches: dict[str, Batch] = {}
        self.marks: dict[int, Mark] = {}  # worker: its last report that left an event
        self.failing: dict[tuple[str, str], str] = {}  # (reactor, subject): error, since it was said
        self.deadlines: dict[int, int] = {}  # execution: when its present step has taken too long
        self.erased: dict[int, None] = {}  # tasks whose texts are gone: what the log still says of them is skipped
        self.served: dict[str, int] = {}  # batch: its last execution, for turns between batches
        # derived from the above
        self.names: dict[str, int] = {}  # worker name: id
        self.serving: dict[str, dict[int, None]] = {}  # batch: the workers that serve it
        self.active: dict[int, dict[int, int]] = {}  # worker: {live execution: task}
        self.uploading: dict[int, dict[int, None]] = {}  # worker: those of them that have given their slots back
        self.unmet: dict[int, int] = {}  # waiting task: how many of its requirements have not succeeded
        self.needed: dict[int, int] = {}  # task: how many waiting tasks require it
        self.met: dict[int, None] = {}  # of these: those that have succeeded
        self.releasable: dict[int, None] = {}  # waiting tasks whose requirements have all succeeded
        self.shy: dict[int, None] = {}  # tasks that some workers cannot run
        self._dependants: dict[int, list[int]] = {}
        self._left: dict[int, None] = {}  # required tasks in whose list are some that no longer wait for them
        self._ready: dict[str, list[int]] = {}  # batch: heap of places in its queue
        self._most_ready: dict[str, int] = {}  # batch: when the heap has so many, those that are void are thrown out
        self._most_due = FEW
        self._due: list[tuple[int, int]] = []  # heap of (deadline or reminder, execution)
        self._reminders: dict[int, int] = {}
        self.dirty: set[str] = set()  # batches that assigning should look at
        self.position = 0
        self.time = 0
        self.last_task = 0
        self.last_execution = 0
        self.last_worker = 0
        self.engine_version = 0
        self.just_ended: dict[int, Task] = {}  # forgotten in this very turn: its inputs may still speak of them
        self._undo: list[tuple[dict[Any, Any], Any, Any]] | None = None

    # Overlay --------------------------------------------------------------------------------------------------

    def begin(self) -> None:
        """From here on changes can be taken back, until `merge`."""
        self._undo = []

    def merge(self) -> None:
        """The changes since `begin` are in the log: they stay."""
        self._undo = None
        self.just_ended.clear()

    @property
    def settled(self) -> bool:
        """Whether all of it is in the log."""
        return self._undo is None

    def savepoint(self) -> Savepoint:
        assert self._undo is not None, "a savepoint needs a turn that has begun"
        counters = (
            self.position,
            self.time,
            self.last_task,
            self.last_execution,
            self.last_worker,
            self.engine_version,
        )
        return Savepoint(len(self._undo), counters)

    def rollback(self, to: Savepoint) -> None:
        """Take back everything since the savepoint."""
        assert self._undo is not None
        while len(self._undo) > to.undone:
            table, key, before = self._undo.pop()
            if before is MISSING:
                table.pop(key, None)
            else:
                table[key] = before
                if table is self.tasks and before.ready:
                    self._queue(before)  # its place may have been taken out of the heap meanwhile
            if table is self.needed:
                self._unlist(key)
        (
            self.position,
            self.time,
            self.last_task,
            self.last_execution,
            self.last_worker,
            self.engine_version,
        ) = to.counters

    def _unlist(self, required: int) -> None:
        """Somebody's wait for it was taken back: the list of its dependants is no longer exact."""
        if required in self.needed:
            self._left[required] = None
        else:
            self._dependants.pop(required, None)

    def put(self, table: dict[Any, Any], key: Any, value: Any) -> None:
        if self._undo is not None:
            self._undo.append((table, key, table.get(key, MISSING)))
        table[key] = value

    def drop(self, table: dict[Any, Any], key: Any) -> None:
        if key in table:
            if self._undo is not None:
                self._undo.append((table, key, table[key]))
            del table[key]

    # Fold -----------------------------------------------------------------------------------------------------

    def apply(self, recorded: Recorded) -> None:
        """Fold one event. The only way in which anything here changes."""
        self.position = recorded.position
        self.time = recorded.time
        if recorded.mark is not None:
            self.put(self.marks, recorded.mark.worker, recorded.mark)
        event = recorded.event
        if type(event) is Erased:
            self._on_erased(recorded)
        else:
            _FOLD[type(event)](self, event)

    def fold(self, log: Iterable[Recorded]) -> State:
        for recorded in log:
            self.apply(recorded)
        return self

    def _on_task(self, event: tasks.OwnEvent) -> None:
        old = self.tasks.get(event.task)
        new = tasks.evolve(old, event)
        if event.task > self.last_task:
            self.last_task = event.task
        if new is not None and event.task not in self.erased:
            self._put_task(old, new)

    def _on_execution(self, event: executions.ExecutionEvent) -> None:
        if isinstance(event, executions.ExecutionAssigned):
            self.last_execution = event.execution
            self.put(self.served, event.batch, event.execution)
        task = self.tasks.get(event.task)
        if task is None:
            return  # its record was erased
        new_task = tasks.evolve(task, event)
        assert new_task is not None
        old = self.executions.get(event.execution)
        new = executions.evolve(old, event)
        if new is not None:
            self._put_execution(old, new, new_task)
        self._put_task(task, new_task)

    def _put_execution(self, old: Execution | None, new: Execution, task: Task) -> None:
        if new.live or new.status == "lost":
            self.put(self.executions, new.id, new)
        else:
            self.drop(self.executions, new.id)
        mine = self.active.setdefault(new.worker, {})
        if new.live and new.id not in mine:
            self.put(mine, new.id, new.task)
        elif not new.live and new.id in mine:
            self.drop(mine, new.id)
            self._touch_worker(new.worker)
            if not mine and new.worker not in self.workers:
                self.drop(self.active, new.worker)
                self.drop(self.uploading, new.worker)
        if (new.status == "uploading") != (old is not None and old.status == "uploading"):
            self._put_uploading(new)
        if old is None or old.status != new.status:
            self._set_deadline(new, task, self.time)

    def _put_uploading(self, execution: Execution) -> None:
        """Its command has ended, and its slot is free; or it was that, and is over."""
        sending = self.uploading.setdefault(execution.worker, {})
        if execution.status == "uploading":
            self.put(sending, execution.id, None)
            self._touch_worker(execution.worker)
        else:
            self.drop(sending, execution.id)

    def load(self, worker: Worker) -> int:
        """How many slots and prefetch places are taken. Uploads take none, up to as many as there are slots."""
        held = len(self.active[worker.id])
        sending = self.uploading.get(worker.id)
        return held - min(len(sending), worker.concurrency) if sending else held

    def _set_deadline(self, execution: Execution, task: Task, began: int) -> None:
        allowed_s = {"accepted": task.download_timeout_s, "running": task.run_timeout_s}.get(execution.status)
        if allowed_s:
            deadline = began + allowed_s * 1_000_000
            self.put(self.deadlines, execution.id, deadline)
            self._remind_of(execution.id, deadline)
        else:
            self.drop(self.deadlines, execution.id)

    def _allow_longer(self, old: Task, new: Task) -> None:
        """A live task was given another time limit: its deadline moves by the difference."""
        execution = self.executions[new.execution]
        name = {"accepted": "download_timeout_s", "running": "run_timeout_s"}.get(execution.status)
        before, after = (getattr(old, name), getattr(new, name)) if name else (None, None)
        if before != after:
            began = self.deadlines[execution.id] - before * 1_000_000 if before else self.time
            self._set_deadline(execution, new, began)

    def _put_task(self, old: Task | None, new: Task) -> None:
        was = old.waits_for if old is not None else ()
        if was != new.waits_for:
            self._requirements_changed(new.id, was, new.waits_for)
        if new.id in self.needed:
            self._say_whether_met(new)
        if old is not None and old.execution and old.execution != new.execution:
            left = self.executions.get(old.execution)
            if left is not None and left.status == "lost":
                self.drop(self.executions, old.execution)
        if old is not None and old.live and old.execution == new.execution:
            self._allow_longer(old, new)
        if new.ready and (old is None or not old.ready or _queued_as(old) != _queued_as(new)):
            self._queue(new)
        if new.unable and not new.over:
            self.put(self.shy, new.id, None)
        elif old is not None and old.unable:
            self.drop(self.shy, new.id)
        if not new.over:
            self.put(self.tasks, new.id, new)
            return
        self.drop(self.tasks, new.id)
        if self._undo is not None:
            self.put(self.just_ended, new.id, new)

    def _say_whether_met(self, required: Task) -> None:
        """A required task has succeeded, or is run again after it had. That it is deleted changes nothing."""
        met = required.stage == "succeeded"
        if met == (required.id in self.met) or required.stage == "deleted":
            return
        if met:
            self.put(self.met, required.id, None)
        else:
            self.drop(self.met, required.id)
        for dependant in self.dependants(required.id):
            self._count_unmet(dependant, self.unmet[dependant] + (-1 if met else 1))

    def _count_unmet(self, task: int, unmet: int) -> None:
        self.put(self.unmet, task, unmet)
        if unmet:
            self.drop(self.releasable, task)
        else:
            self.put(self.releasable, task, None)

    def _requirements_changed(self, task: int, old: tuple[int, ...], new: tuple[int, ...]) -> None:
        for other in set(new).difference(old):
            self.put(self.needed, other, self.needed.get(other, 0) + 1)
            self._dependants.setdefault(other, []).append(task)
        for other in set(old).difference(new):
            left = self.needed[other] - 1
            if left:
                self.put(self.needed, other, left)
                self.put(self._left, other, None)
            else:
                for table in (self.needed, self.met, self._dependants, self._left):
                    self.drop(table, other)
        if new:
            self._count_unmet(task, len(set(new).difference(self.met)))
        else:
            self.drop(self.unmet, task)
            self.drop(self.releasable, task)

    def _on_worker(self, event: workers.WorkerEvent) -> None:
        old = self.workers.get(event.worker)
        new = workers.evolve(old, event)
        if new is None:
            return
        if old is None:
            self.last_worker = event.worker
            self.put(self.names, new.name, new.id)
            self.active.setdefault(new.id, {})
        served_before = old.batches if old is not None else ()
        serves = new.batches if new.contact != "deleted" else ()
        for name in set(served_before).difference(serves):
            self.drop(self.serving[name], new.id)
        for name in set(serves).difference(served_before):
            self.put(self.serving.setdefault(name, {}), new.id, None)
        if new.contact == "deleted":
            self.drop(self.names, new.name)
            self.drop(self.workers, new.id)
            if not self.active[new.id]:
                self.drop(self.active, new.id)
            self.drop(self.marks, new.id)
            return
        if old is not None and old.incarnation != new.incarnation:
            self.drop(self.marks, new.id)
        self.put(self.workers, new.id, new)
        self.dirty.update(new.batches)

    def _on_batch(self, event: batches.BatchEvent) -> None:
        self.put(self.batches, event.batch, batches.evolve(self.batch(event.batch), event))
        self.dirty.add(event.batch)

    def _on_engine(self, event: engine_log.EngineEvent) -> None:
        self.engine_version += 1
        match event:
            case engine_log.EngineStarted():
                self.mark_all_dirty()
            case engine_log.PayloadErased():
                self.put(self.erased, event.task, None)
            case engine_log.ReactorFailed():
                self.put(self.failing, (event.reactor, event.subject), event.error)
            case engine_log.ReactorRecovered():
                self.drop(self.failing, (event.reactor, event.subject))
            case _:
                pass  # recorded for people; nothing is decided on it

    def _on_erased(self, recorded: Recorded) -> None:
        """The first event of an erased task. It had ended: nothing of it matters any more but that its id was given."""
        kind, _, id = recorded.stream.partition("-")
        if kind == "task":
            self.last_task = max(self.last_task, int(id))
            self.put(self.erased, int(id), None)
            if int(id) in self.tasks:
                self._forget(self.tasks[int(id)])

    def _forget(self, task: Task) -> None:
        """A follower had folded the first events of a task before they were erased, and meets the gap in the middle."""
        execution = self.executions.get(task.execution)
        if execution is not None:
            self._put_execution(execution, replace(execution, status="cancelled"), task)
        self._put_task(task, replace(task, stage="deleted", execution=0, waits_for=(), blocked_by=()))

    # Snapshots (`snapshot.py`) ----------------------------------------------------------------------------------

    def restore_tasks(self, restored: Iterable[Task]) -> None:
        """Put tasks back as they were, with what is derived from them."""
        ready: dict[str, list[int]] = {}
        for task in restored:
            self.tasks[task.id] = task
            if task.unable:
                self.shy[task.id] = None
            if task.ready:
                ready.setdefault(task.batch, []).extend([] if task.unable else [_place(task)])
            if task.waits_for:
                self._requirements_changed(task.id, (), task.waits_for)
        for batch, heap in ready.items():
            heapify(heap)
            self._ready[batch], self._most_ready[batch] = heap, 2 * len(heap) + FEW
        self.dirty.update(ready)

    def restore_execution(self, execution: Execution) -> None:
        self.executions[execution.id] = execution
        if execution.live:
            self.active.setdefault(execution.worker, {})[execution.id] = execution.task
        if execution.status == "uploading":
            self.uploading.setdefault(execution.worker, {})[execution.id] = None

    def restore_worker(self, worker: Worker) -> None:
        self.workers[worker.id] = worker
        self.names[worker.name] = worker.id
        self.active.setdefault(worker.id, {})
        for name in worker.batches:
            self.serving.setdefault(name, {})[worker.id] = None

    def restore_deadlines(self, deadlines: Iterable[tuple[int, int]]) -> None:
        for execution, at in deadlines:
            self.deadlines[execution] = at
            heappush(self._due, (at, execution))

    # Questions ------------------------------------------------------------------------------------------------

    def batch(self, name: str) -> Batch:
        return self.batches.get(name) or Batch(name)

    def may_return(self, execution: Execution) -> bool:
        """Whether a lost execution may go on when it is found again: nobody else has its task."""
        return self.tasks[execution.task].stage == "pending"

    def dependants(self, task: int) -> list[int]:
        """The waiting tasks that require this one, oldest first."""
        if task not in self.needed:
            return []
        if task not in self._left:
            return self._dependants[task]
        listed = sorted(set(self._dependants[task]))
        return [other for other in listed if (known := self.tasks.get(other)) and task in known.waits_for]

    def mark_all_dirty(self) -> None:
        self.dirty.update(self._ready)

    def _touch_worker(self, worker: int) -> None:
        known = self.workers.get(worker)
        if known is not None:
            self.dirty.update(known.batches)

    def _queue(self, task: Task) -> None:
        if task.unable:  # not for everybody: assigning looks at those that are shy
            self._ready.setdefault(task.batch, [])
            self.dirty.add(task.batch)
            return
        heap = self._ready.setdefault(task.batch, [])
        heappush(heap, _place(task))
        if len(heap) > self._most_ready.get(task.batch, FEW):
            valid = {place for place in heap if self._at(place, task.batch) is not None}
            heap[:] = sorted(valid | {_place(task)})
            self._most_ready[task.batch] = 2 * len(heap) + FEW
        self.dirty.add(task.batch)

    def _remind_of(self, execution: int, deadline: int) -> None:
        heappush(self._due, (deadline, execution))
        if len(self._due) > self._most_due:
            self._reminders = {id: at for id, at in self._reminders.items() if id in self.deadlines}
            self._due = sorted((at, id) for dues in (self.deadlines, self._reminders) for id, at in dues.items())
            self._most_due = 2 * len(self._due) + FEW

    def has_ready(self, batch: str) -> bool:
        """Whether the batch has a task that could be assigned now."""
        return self.first_ready(batch) is not None

    def pop_ready(self, batch: str) -> Task | None:
        """Take the first task out of a batch's queue: highest priority, then oldest. `requeue` puts it back."""
        task = self.first_ready(batch)
        if task is not None:
            heappop(self._ready[batch])
        return task

    def soon(self, task: Task, most: int) -> list[int]:
        """Those of the next tasks that wait as this one did: they are likely to be taken out next. A hint."""
        near = (self.tasks.get(id) for id in range(task.id + 1, task.id + 1 + most))
        wanted = (True, task.batch, task.priority)
        return [one.id for one in near if one is not None and (one.ready, one.batch, one.priority) == wanted]

    def requeue(self, task: Task) -> None:
        self._queue(task)

    def first_ready(self, batch: str) -> Task | None:
        """The first task of a batch that any worker may have."""
        heap = self._ready.get(batch, ())
        while heap:
            task = self._at(heap[0], batch)
            if task is not None:
                return task
            heappop(self._ready[batch])
        return None

    def _at(self, place: int, batch: str) -> Task | None:
        """The task at that place in the queue of a batch, if it still stands there."""
        task = self.tasks.get(place & _ID)
        there = task is not None and task.ready and task.batch == batch and -task.priority == place >> PRIORITY_SHIFT
        return task if there and task is not None and not task.unable else None

    def overdue(self, now: int) -> Iterator[Execution]:
        """Executions whose present step has taken longer than their task allows. Each is said once."""
        before = (-1, 0)
        while self._due and self._due[0][0] <= now:
            at, id = entry = heappop(self._due)
            deadline = self.deadlines.get(id, now + 1)
            reminded = self._reminders.get(id) == at
            if reminded:
                del self._reminders[id]
            if deadline <= now and entry != before and (reminded or at == deadline):  # or it was moved since
                yield self.executions[id]
            before = entry

    def remind(self, execution: int, at: int) -> None:
        """Say again, later, that the execution is overdue: now was too early, or what was tried did not work."""
        self._reminders[execution] = at
        heappush(self._due, (at, execution))

    def facts(self) -> dict[str, Any]:
        """Everything the log determines, for comparing two states."""
        return {
            "tasks": self.tasks,
            "executions": self.executions,
            "workers": self.workers,
            "batches": self.batches,
            "marks": self.marks,
            "failing": self.failing,
            "deadlines": self.deadlines,
            "served": self.served,
            "erased": self.erased,
            "names": self.names,
            "active": {worker: held for worker, held in self.active.items() if held},
            "uploading": {worker: sorted(sent) for worker, sent in self.uploading.items() if sent},
            "unmet": self.unmet,
            "needed": self.needed,
            "met": self.met,
            "serving": {name: sorted(ids) for name, ids in self.serving.items() if ids},
            "counters": (self.position, self.time, self.last_task, self.last_execution, self.last_worker),
            "ready": {name: [t.id for t in self.queue(name)] for name in sorted(self._ready) if self.has_ready(name)},
        }

    def queue(self, batch: str) -> list[Task]:
        """The tasks of a batch that could be assigned now, first one first."""
        ready = (task for task in self.tasks.values() if task.ready and task.batch == batch)
        return sorted(ready, key=lambda task: (-task.priority, task.id))


def _queued_as(task: Task) -> tuple[str, int, bool]:
    return task.batch, task.priority, bool(task.unable)


def _place(task: Task) -> int:
    return (-task.priority << PRIORITY_SHIFT) + task.id


_FOLD: Final[dict[type[Any], Callable[[State, Any], None]]] = {
    **{cls: State._on_task for cls in get_args(tasks.OwnEvent)},
    **{cls: State._on_execution for cls in get_args(executions.ExecutionEvent)},
    **{cls: State._on_worker for cls in get_args(workers.WorkerEvent)},
    **{cls: State._on_batch for cls in get_args(batches.BatchEvent)},
    **{cls: State._on_engine for cls in get_args(engine_log.EngineEvent)},
}
