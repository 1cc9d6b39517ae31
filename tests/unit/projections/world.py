"""Histories as they could happen: every event comes from the real deciders, which are asked at random."""

from __future__ import annotations

from random import Random
from typing import Any

from scitq.domain import batch as bt
from scitq.domain import engine_log
from scitq.domain import execution as ex
from scitq.domain import task as tk
from scitq.domain import worker as wk
from scitq.domain.envelope import GENESIS, Envelope, Head, seal
from scitq.domain.wire import Event, Recorded, encode, name_of, recorded
from scitq.errors import Rejected

BATCHES = ("Default", "align", "assemble")
TEXTS = ("command", "container", "container_options", "input", "output", "resource", "name")
ERASABLE = ("task-created", "task-edited")


class World:
    """A whole system without clock or network. `log` is what was published; `journal` reads what is stored now."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.tasks: dict[int, tk.Task] = {}
        self.executions: dict[int, ex.Execution] = {}
        self.workers: dict[int, wk.Worker] = {}
        self.batches = {name: bt.Batch(name) for name in BATCHES}
        self.log: list[Recorded] = []
        self.stored: list[Envelope] = []
        self._ids = dict.fromkeys(("task", "execution", "worker"), 0)
        self._versions: dict[str, int] = {}

    # The journal -------------------------------------------------------------------------------------------------

    def read(self, after: int, limit: int) -> list[Envelope]:
        return self.stored[after : after + limit]

    def head(self) -> Head:
        return Head(len(self.stored), self.stored[-1].hash if self.stored else GENESIS)

    def read_recorded(self, after: int, limit: int) -> list[Recorded]:
        return [recorded(envelope) for envelope in self.read(after, limit)]

    def record(self, stream: str, event: Event) -> None:
        name, schema = name_of(event)
        self.store(stream, name, schema, encode(event))
        self.log.append(recorded(self.stored[-1]))

    def store(self, stream: str, type_: str, schema: int, payload: bytes) -> None:
        """Write what perhaps no decider would."""
        self._versions[stream] = version = self._versions.get(stream, 0) + 1
        position = len(self.stored) + 1
        self.stored.append(
            seal(
                self.head().hash,
                position=position,
                stream=stream,
                version=version,
                type=type_,
                schema=schema,
                time=1_000_000 * position,
                actor="somebody",
                command=position,
                cause=0,
                epoch=1,
                mark=None,
                payload=payload,
            )
        )

    # What happens ------------------------------------------------------------------------------------------------

    def live_through(self, steps: int) -> World:
        """Ask the deciders so many times. Most of what is asked of them is possible."""
        actions = (
            (self.create, 6), (self.assign, 14), (self.report, 22), (self.steer, 9), (self.edit, 3), (self.retry, 2),
            (self.require, 2), (self.block, 2), (self.lose, 3), (self.recover, 3), (self.machine, 4), (self.batch, 1),
            (self.erase, 1), (self.stumble, 1),
        )  # fmt: skip
        choices, weights = zip(*actions, strict=True)
        for action in self.random.choices(choices, weights, k=steps):
            try:
                action()
            except Rejected:
                continue
        return self

    def new_id(self, kind: str) -> int:
        self._ids[kind] += 1
        return self._ids[kind]

    def some(self, things: dict[int, Any]) -> Any:
        if not things:
            raise Rejected("there is none yet")
        return self.random.choice(list(things.values()))

    def decide_task(self, id: int, command: tk.TaskCommand) -> None:
        for event in tk.decide(self.tasks.get(id), command):
            self.happen(event)

    def decide_execution(self, execution: ex.Execution, command: ex.ExecutionCommand) -> None:
        task = self.tasks.get(execution.task)
        current = task is not None and task.execution == execution.id
        free = current and task is not None and task.stage == "pending"
        for event in ex.decide(execution if current else None, command, task_is_free=free):
            self.happen(event)

    def happen(self, event: tk.TaskEvent) -> None:
        after = tk.evolve(self.tasks.get(event.task), event)
        if after is not None:
            self.tasks[event.task] = after
        if isinstance(event, ex.ExecutionEvent):
            attempt = ex.evolve(self.executions.get(event.execution), event)
            assert attempt is not None
            self.executions[event.execution] = attempt
        self.record(tk.stream(event.task), event)

    def standing_of(self, requires: tuple[int, ...]) -> dict[str, tuple[int, ...]]:
        stages = {id: self.tasks[id].stage for id in requires}
        return {
            "requires": requires,
            "waits_for": tuple(id for id, stage in stages.items() if stage != "succeeded"),
            "failed": tuple(id for id, stage in stages.items() if stage == "failed"),
        }

    def create(self) -> None:
        id = self.new_id("task")
        others = self.random.sample(sorted(self.tasks), min(len(self.tasks), self.random.choice((0, 0, 0, 1, 2))))
        properties = {
            "command": f"run {id}",
            "batch": self.random.choice(BATCHES),
            "retry": self.random.randrange(3),
            "paused": self.random.random() < 0.1,
            "name": self.random.choice((None, "sample", "échantillon")),
            "input": self.random.choice((None, f"s3://bucket/{id}.fastq")),
        }
        self.decide_task(id, tk.CreateTask(id, properties, **self.standing_of(tuple(others))))

    def assign(self) -> None:
        ready = {id: task for id, task in self.tasks.items() if task.ready}
        task, worker = self.some(ready), self.some(self.workers)
        self.decide_task(task.id, tk.AssignTask(self.new_id("execution"), worker.id))

    def report(self) -> None:
        live = {id: execution for id, execution in self.executions.items() if execution.live}
        attempt = self.some(live)
        reports: tuple[ex.ExecutionCommand, ...] = (
            ex.Accepted(attempt.id), ex.Started(attempt.id, 77), ex.Succeeded(attempt.id, 10, 2, {"cpu_s": 1.5}),
            ex.Failed(attempt.id, 1, None, 5, 6), ex.Failed(attempt.id, None, "no space left"),
            ex.Refused(attempt.id, "too full"), ex.SignalExecution(15), ex.TimeOutExecution("running", "too long"),
            ex.Ready(attempt.id, 2, 4_000), ex.Exited(attempt.id, 0, None, 10, 2), ex.Delivered(attempt.id, 15),
            ex.Exited(attempt.id, 137, None, 3, 4, "out_of_memory", {"memory_bytes": 2**40}),
            ex.Failed(attempt.id, 0, "no space left", 1, 2, "upload_failed"),
        )  # fmt: skip
        self.decide_execution(attempt, self.random.choices(reports, (8, 8, 6, 3, 1, 1, 1, 1, 4, 3, 1, 2, 1))[0])

    def steer(self) -> None:
        command: tk.TaskCommand = self.random.choice(
            (tk.PauseTask(), tk.ResumeTask(), tk.ResumeTask(), tk.ReleaseTask(), tk.RelaunchTask(), tk.DeleteTask())
        )
        self.decide_task(self.some(self.tasks).id, command)

    def edit(self) -> None:
        task = self.some(self.tasks)
        changes: dict[str, Any] = {"batch": self.random.choice(BATCHES), "retry": self.random.randrange(4)}
        if self.random.random() < 0.7:
            changes |= {self.random.choice(TEXTS): f"new {len(self.log)}", "priority": 3}
        self.decide_task(task.id, tk.EditTask(changes, relaunch=self.random.random() < 0.5))

    def retry(self) -> None:
        self.decide_task(self.some(self.tasks).id, tk.RetryTask())

    def require(self) -> None:
        task = self.some(self.tasks)
        others = [id for id in self.tasks if id != task.id and self.tasks[id].stage != "deleted"]
        chosen = tuple(self.random.sample(others, min(len(others), self.random.randrange(3))))
        self.decide_task(task.id, tk.ChangeRequirements(**self.standing_of(chosen)))

    def block(self) -> None:
        task = self.some({id: task for id, task in self.tasks.items() if task.waits_for})
        other = self.random.choice(task.waits_for)
        block, unblock = tk.BlockTask(other, "deleted"), tk.UnblockTask(other)
        self.decide_task(task.id, self.random.choice((block, unblock)))

    def lose(self) -> None:
        order = ex.LoseExecution("silent", self.random.random() < 0.3, for_good=self.random.random() < 0.1)
        self.decide_execution(self.some(self.executions), order)
        gone = {id: execution for id, execution in self.executions.items() if execution.status == "cancelled"}
        if gone:
            attempt = self.some(gone)
            self.happen(ex.ExecutionGone(attempt.task, attempt.id))

    def recover(self) -> None:
        lost = {id: execution for id, execution in self.executions.items() if execution.status == "lost"}
        attempt = self.some(lost)
        back: tuple[ex.ExecutionCommand, ...] = (
            ex.RecoverExecution("pending"), ex.RecoverExecution("accepted"), ex.RecoverExecution("running"),
            ex.RecoverExecution("ready"), ex.RecoverExecution("uploading"), ex.Exited(attempt.id, 0),
            ex.Started(attempt.id), ex.Failed(attempt.id),
        )  # fmt: skip
        self.decide_execution(attempt, self.random.choice(back))

    def machine(self) -> None:
        if len(self.workers) < 2 or self.random.random() < 0.2:
            id = self.new_id("worker")
            hello = wk.Hello(f"node{id}", f"spool{id}", 2, 1, self.some_batches(), f"node{id}.lan", worker=id)
            return self.decide_worker(id, hello)
        worker: wk.Worker = self.some(self.workers)
        commands: tuple[wk.WorkerCommand, ...] = (
            wk.EditWorker({"concurrency": self.random.randrange(5), "batches": self.some_batches()}),
            wk.PauseWorker(), wk.ResumeWorker(), wk.NoteSilence(False), wk.NoteSilence(True), wk.NoteContact(),
            wk.Hello(worker.name, f"spool{len(self.log)}"), wk.DeleteWorker(),
        )  # fmt: skip
        return self.decide_worker(worker.id, self.random.choice(commands))

    def some_batches(self) -> tuple[str, ...]:
        return tuple(self.random.sample(BATCHES, self.random.choice((1, 1, 2))))

    def decide_worker(self, id: int, command: wk.WorkerCommand) -> None:
        worker = self.workers.get(id)
        if isinstance(command, wk.Hello) and worker is not None and worker.contact == "deleted":
            raise Rejected("a new worker has a new id")
        for event in wk.decide(worker, command):
            after = wk.evolve(self.workers.get(id), event)
            assert after is not None
            self.workers[id] = after
            self.record(wk.stream(id), event)

    def batch(self) -> None:
        name = self.random.choice(BATCHES)
        command: bt.BatchCommand = self.random.choice((bt.StopBatch(), bt.StartBatch()))
        for event in bt.decide(self.batches[name], command):
            self.batches[name] = bt.evolve(self.batches[name], event)
            self.record(bt.stream(name), event)

    def erase(self) -> None:
        """Empty what a task's events say, as the engine does: the event, and the payloads, in one transaction."""
        id: int = self.some(self.tasks).id
        del self.tasks[id]
        self.executions = {key: found for key, found in self.executions.items() if found.task != id}
        stream = tk.stream(id)
        positions = tuple(e.position for e in self.stored if e.stream == stream and e.type in ERASABLE)
        for position in positions:
            self.stored[position - 1] = self.stored[position - 1]._replace(payload=None)
        self.record(engine_log.STREAM, engine_log.PayloadErased(id, positions, "asked to"))

    def stumble(self) -> None:
        self.record(engine_log.STREAM, engine_log.CommandFailed("c1", "edit-task", "oops"))
