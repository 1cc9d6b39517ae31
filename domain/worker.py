"""A worker: a machine's agent that runs tasks of the batches it serves.

    online → offline (silent for 30 s: no new work) → lost (silent for 15 min: its executions go back) → online
    independent of that, people pause and resume it, move it, and set its concurrency and prefetch

Stream `worker-<id>`. What people set is the server's: a worker that says hello again keeps it. The incarnation is the
id of the agent's spool folder: the same after a restart, new when the folder was wiped.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, assert_never

from scitq.domain.batch import check_name
from scitq.errors import Rejected

Contact = Literal["online", "offline", "lost", "deleted"]
LOST_AFTER_S = 900
LONGEST_LOST_AFTER_S = 86_400
Order = Literal["clean", "restart", "forget"]
"""What its agent can be told to do: remove the folders that failed tasks left, begin anew as a process (commands run
on), or fetch resources anew when they are next asked for."""
EDITABLE = frozenset({"concurrency", "prefetch", "batches", "lost_after_s"})


def stream(worker: int) -> str:
    return f"worker-{worker}"


# Events -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class WorkerDeclared:
    """An agent said hello under a name that was new."""

    worker: int
    name: str
    incarnation: str
    concurrency: int
    prefetch: int
    batches: tuple[str, ...]
    hostname: str | None = None
    paused: bool = False
    lost_after_s: int = LOST_AFTER_S


@dataclass(frozen=True, slots=True)
class WorkerReincarnated:
    """An agent said hello under a known name, but with an empty spool: what the one before held is gone."""

    worker: int
    incarnation: str


@dataclass(frozen=True, slots=True)
class WorkerEdited:
    """People set a worker's concurrency, prefetch, batches or patience."""

    worker: int
    changes: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class WorkerPaused:
    """A worker starts nothing more until somebody resumes it."""

    worker: int


@dataclass(frozen=True, slots=True)
class WorkerResumed:
    """A paused worker takes work again."""

    worker: int


@dataclass(frozen=True, slots=True)
class WorkerWentOffline:
    """A worker was silent for so long that it gets no new work."""

    worker: int


@dataclass(frozen=True, slots=True)
class WorkerReturned:
    """A worker that was offline or lost is heard again."""

    worker: int


@dataclass(frozen=True, slots=True)
class WorkerLost:
    """A worker was silent for so long that its work is given to others."""

    worker: int


@dataclass(frozen=True, slots=True)
class WorkerDeleted:
    """A worker was taken off the list."""

    worker: int


@dataclass(frozen=True, slots=True)
class WorkerOrdered:
    """Somebody wants a worker's agent to do something. The order has the number of this event in its stream."""

    worker: int
    order: Order


@dataclass(frozen=True, slots=True)
class WorkerObeyed:
    """A worker's agent has done what it was told by the order of that number."""

    worker: int
    number: int


WorkerEvent = (
    WorkerDeclared
    | WorkerReincarnated
    | WorkerEdited
    | WorkerPaused
    | WorkerResumed
    | WorkerWentOffline
    | WorkerReturned
    | WorkerLost
    | WorkerDeleted
    | WorkerOrdered
    | WorkerObeyed
)

# State --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Worker:
    """What deciding about a worker needs. When it was last heard is the engine's memory, not a fact."""

    id: int
    version: int
    name: str
    incarnation: str
    contact: Contact
    paused: bool
    concurrency: int
    prefetch: int
    batches: tuple[str, ...]
    lost_after_s: int
    orders: tuple[tuple[int, Order], ...] = ()  # that it has not obeyed yet, each with its number

    @property
    def takes_work(self) -> bool:
        return self.contact == "online" and not self.paused

    @property
    def capacity(self) -> int:
        """How many executions it may hold."""
        return self.concurrency + self.prefetch if self.takes_work and self.concurrency else 0


def evolve(worker: Worker | None, event: WorkerEvent) -> Worker | None:
    """The worker after the event."""
    if isinstance(event, WorkerDeclared):
        return Worker(
            event.worker,
            1,
            event.name,
            event.incarnation,
            "online",
            event.paused,
            event.concurrency,
            event.prefetch,
            event.batches,
            event.lost_after_s,
        )
    if worker is None:
        return None
    version = worker.version + 1
    match event:
        case WorkerReincarnated():
            return replace(worker, version=version, incarnation=event.incarnation, contact="online")
        case WorkerEdited():
            changes = dict(event.changes)
            if "batches" in changes:
                changes["batches"] = tuple(changes["batches"])
            return replace(worker, version=version, **changes)
        case WorkerPaused():
            return replace(worker, version=version, paused=True)
        case WorkerResumed():
            return replace(worker, version=version, paused=False)
        case WorkerWentOffline():
            return replace(worker, version=version, contact="offline")
        case WorkerReturned():
            return replace(worker, version=version, contact="online")
        case WorkerLost():
            return replace(worker, version=version, contact="lost")
        case WorkerDeleted():
            return replace(worker, version=version, contact="deleted")
        case WorkerOrdered():
            return replace(worker, version=version, orders=(*worker.orders, (version, event.order)))
        case WorkerObeyed():
            left = tuple(one for one in worker.orders if one[0] != event.number)
            return replace(worker, version=version, orders=left)
        case _:
            assert_never(event)


# Commands -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Hello:
    """An agent introduces itself; what it proposes counts only when its name is new."""

    name: str
    incarnation: str
    concurrency: int = 1
    prefetch: int = 0
    batches: tuple[str, ...] = ("Default",)
    hostname: str | None = None
    paused: bool = False
    worker: int = 0  # the id for a new name, from the engine's counter


@dataclass(frozen=True, slots=True)
class EditWorker:
    """Set a worker's concurrency, prefetch, batches or patience."""

    changes: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class PauseWorker:
    """Let a worker start nothing more."""


@dataclass(frozen=True, slots=True)
class ResumeWorker:
    """Let a paused worker take work again."""


@dataclass(frozen=True, slots=True)
class DeleteWorker:
    """Take a worker off the list; what it holds goes back."""


@dataclass(frozen=True, slots=True)
class NoteSilence:
    """The worker was not heard for long: `lost` says for how long."""

    lost: bool


@dataclass(frozen=True, slots=True)
class NoteContact:
    """The worker was heard."""


@dataclass(frozen=True, slots=True)
class OrderWorker:
    """Have a worker's agent do something; if it is away, when it is back."""

    order: Order


@dataclass(frozen=True, slots=True)
class NoteObeyed:
    """The agent says that it has obeyed all orders up to this number."""

    number: int


WorkerCommand = (
    (Hello | EditWorker | PauseWorker | ResumeWorker | DeleteWorker)
    | (NoteSilence | NoteContact | OrderWorker | NoteObeyed)
)  # fmt: skip


def decide(worker: Worker | None, command: WorkerCommand) -> list[WorkerEvent]:
    """What becomes true of a worker. Nothing, when it already is; Rejected, when it cannot."""
    if isinstance(command, Hello):
        return _hello(worker, command)
    if worker is None or worker.contact == "deleted":
        if worker is not None and isinstance(command, DeleteWorker):
            return []
        raise Rejected("there is no such worker")
    match command:
        case EditWorker():
            return _edit(worker, command.changes)
        case PauseWorker():
            return [] if worker.paused else [WorkerPaused(worker.id)]
        case ResumeWorker():
            return [WorkerResumed(worker.id)] if worker.paused else []
        case DeleteWorker():
            return [WorkerDeleted(worker.id)]
        case NoteSilence():
            if command.lost:
                return [] if worker.contact == "lost" else [WorkerLost(worker.id)]
            return [WorkerWentOffline(worker.id)] if worker.contact == "online" else []
        case NoteContact():
            return [] if worker.contact == "online" else [WorkerReturned(worker.id)]
        case OrderWorker(order):
            return [] if order in dict(worker.orders).values() else [WorkerOrdered(worker.id, order)]
        case NoteObeyed():
            return [WorkerObeyed(worker.id, number) for number, _ in worker.orders if number <= command.number]
        case _:
            assert_never(command)


def _hello(worker: Worker | None, hello: Hello) -> list[WorkerEvent]:
    if worker is None or worker.contact == "deleted":
        _check({"concurrency": hello.concurrency, "prefetch": hello.prefetch, "batches": hello.batches})
        return [
            WorkerDeclared(
                hello.worker,
                hello.name,
                hello.incarnation,
                hello.concurrency,
                hello.prefetch,
                hello.batches,
                hello.hostname,
                hello.paused,
            )
        ]
    if worker.incarnation == hello.incarnation:
        return [] if worker.contact == "online" else [WorkerReturned(worker.id)]
    if worker.contact == "online":
        raise Rejected(
            f"another agent is connected as {hello.name!r}; stop that one, or give this one another name "
            "(if that one is gone, its place is free 30 s after it was last heard)"
        )
    return [WorkerReincarnated(worker.id, hello.incarnation)]


def _check(wanted: Mapping[str, Any]) -> None:
    if wanted.get("concurrency", 1) < 0 or wanted.get("prefetch", 0) < 0:
        raise Rejected("concurrency and prefetch are 0 or more")
    if "batches" in wanted and not wanted["batches"]:
        raise Rejected("a worker serves at least one batch")
    for name in wanted.get("batches", ()):
        check_name(name)


def _edit(worker: Worker, changes: Mapping[str, Any]) -> list[WorkerEvent]:
    unknown = sorted(set(changes) - EDITABLE)
    if unknown:
        raise Rejected(f"a worker has no property {unknown[0]!r} that can be set")
    wanted: dict[str, Any] = {name: tuple(v) if name == "batches" else v for name, v in changes.items()}
    _check(wanted)
    if not 30 < wanted.get("lost_after_s", LOST_AFTER_S) <= LONGEST_LOST_AFTER_S:
        raise Rejected(f"a worker is given up after more than 30 s and at most {LONGEST_LOST_AFTER_S} s of silence")
    new = {name: value for name, value in wanted.items() if getattr(worker, name) != value}
    return [WorkerEdited(worker.id, new)] if new else []
