"""How events look on the wire and in the store: names and versions for ever, written by hand.

A name here is part of everybody's history. A class may be renamed or moved; its name in this table may not. An event
that changes gets a new version in `CURRENT`, one function in `UPCASTERS`, and a line in `tests/golden/`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import MISSING, dataclass, fields
from typing import Any, Final, NamedTuple

import orjson

from scitq.domain import batch, engine_log, execution, task, worker
from scitq.domain.envelope import Envelope, Mark, json_bytes, read_mark, seal
from scitq.errors import Malformed, UnknownEvent

Event = task.TaskEvent | worker.WorkerEvent | batch.BatchEvent | engine_log.EngineEvent

CURRENT: Final[dict[str, tuple[int, type[Any]]]] = {
    "task-created": (2, task.TaskCreated),
    "task-edited": (1, task.TaskEdited),
    "task-requirements-changed": (1, task.TaskRequirementsChanged),
    "task-paused": (1, task.TaskPaused),
    "task-resumed": (1, task.TaskResumed),
    "task-released": (1, task.TaskReleased),
    "task-blocked": (1, task.TaskBlocked),
    "task-unblocked": (1, task.TaskUnblocked),
    "task-retried": (1, task.TaskRetried),
    "task-relaunched": (1, task.TaskRelaunched),
    "task-deleted": (1, task.TaskDeleted),
    "execution-assigned": (1, execution.ExecutionAssigned),
    "execution-accepted": (1, execution.ExecutionAccepted),
    "execution-ready": (1, execution.ExecutionReady),
    "execution-started": (2, execution.ExecutionStarted),
    "execution-exited": (1, execution.ExecutionExited),
    "execution-succeeded": (2, execution.ExecutionSucceeded),
    "execution-failed": (2, execution.ExecutionFailed),
    "execution-cancelled": (1, execution.ExecutionCancelled),
    "execution-refused": (2, execution.ExecutionRefused),
    "execution-lost": (2, execution.ExecutionLost),
    "execution-recovered": (1, execution.ExecutionRecovered),
    "execution-signalled": (1, execution.ExecutionSignalled),
    "execution-signal-delivered": (1, execution.ExecutionSignalDelivered),
    "execution-gone": (1, execution.ExecutionGone),
    "worker-declared": (1, worker.WorkerDeclared),
    "worker-reincarnated": (1, worker.WorkerReincarnated),
    "worker-edited": (1, worker.WorkerEdited),
    "worker-paused": (1, worker.WorkerPaused),
    "worker-resumed": (1, worker.WorkerResumed),
    "worker-went-offline": (1, worker.WorkerWentOffline),
    "worker-returned": (1, worker.WorkerReturned),
    "worker-lost": (1, worker.WorkerLost),
    "worker-deleted": (1, worker.WorkerDeleted),
    "worker-ordered": (1, worker.WorkerOrdered),
    "worker-obeyed": (1, worker.WorkerObeyed),
    "batch-stopped": (1, batch.BatchStopped),
    "batch-started": (1, batch.BatchStarted),
    "engine-started": (1, engine_log.EngineStarted),
    "command-failed": (1, engine_log.CommandFailed),
    "report-failed": (1, engine_log.ReportFailed),
    "reactor-failed": (1, engine_log.ReactorFailed),
    "reactor-recovered": (1, engine_log.ReactorRecovered),
    "payload-erased": (1, engine_log.PayloadErased),
}


def _said_less(content: dict[str, Any]) -> dict[str, Any]:
    """The next version has more to say: what this one did not is not known."""
    return content


UPCASTERS: Final[dict[tuple[str, int], Callable[[dict[str, Any]], dict[str, Any]]]] = {
    ("task-created", 1): _said_less,
    ("execution-started", 1): _said_less,
    ("execution-succeeded", 1): _said_less,
    ("execution-failed", 1): _said_less,
    ("execution-lost", 1): _said_less,
    ("execution-refused", 1): _said_less,
}
"""(name, version) of an older form: the function that makes its content that of the next version."""


@dataclass(frozen=True, slots=True)
class Erased:
    """Stands for an event whose content was erased; `type` is its wire name."""

    type: str


class Recorded(NamedTuple):
    """An event with its circumstances, as those who fold the log see it."""

    position: int
    stream: str
    version: int
    time: int  # microseconds since 1970, UTC
    actor: str
    command: int
    cause: int
    mark: Mark | None
    event: Event | Erased


_NAMES: Final = {cls: (name, version) for name, (version, cls) in CURRENT.items()}
_DEFAULTS: Final = {cls: [(f.name, f.default) for f in fields(cls)] for _, cls in CURRENT.values()}
_TUPLES: Final = {cls: [f.name for f in fields(cls) if str(f.type).startswith("tuple")] for _, cls in CURRENT.values()}


def name_of(event: Event) -> tuple[str, int]:
    """The wire name and version under which an event is written today."""
    return _NAMES[type(event)]


def encode(event: Event) -> bytes:
    """The content of an event, without what is at its default."""
    content = {
        name: value
        for name, default in _DEFAULTS[type(event)]
        if (value := getattr(event, name)) != default or default is MISSING
    }
    return json_bytes(content)


def decode(type_: str, schema: int, payload: bytes | None, position: int | None = None) -> Event | Erased:
    """The event behind a stored name, version and content, brought up to today's version."""
    current, cls = CURRENT.get(type_, (0, Erased))
    if schema > current:
        raise UnknownEvent(type_, schema, position)
    if payload is None:
        return Erased(type_)
    try:
        content: dict[str, Any] = orjson.loads(payload)
        if schema < current:
            for version in range(schema, current):
                content = UPCASTERS[type_, version](content)
        for name in _TUPLES[cls]:
            if name in content:
                content[name] = tuple(content[name])
        event: Event = cls(**content)
    except (orjson.JSONDecodeError, TypeError, KeyError) as error:
        raise Malformed(f"the content of event {type_!r} version {schema} cannot be read: {error}") from error
    return event


def recorded(envelope: Envelope) -> Recorded:
    """What a stored event says."""
    position, stream, version, type_, schema, time, actor, command, cause, header, _, _, payload = envelope
    event = decode(type_, schema, payload, position)
    mark = None if header.endswith(b"null]") else read_mark(header)
    return Recorded(position, stream, version, time, actor, command, cause, mark, event)


def seal_all(previous: bytes, events: Iterable[Recorded], payloads: Iterable[bytes], epoch: int) -> list[Envelope]:
    """These events, encoded, as they are stored: chained one behind the other to the hash `previous`."""
    sealed: list[Envelope] = []
    for one, payload in zip(events, payloads, strict=True):
        assert not isinstance(one.event, Erased)
        name, schema = name_of(one.event)
        envelope = seal(
            previous, position=one.position, stream=one.stream, version=one.version, type=name, schema=schema,
            time=one.time, actor=one.actor, command=one.command, cause=one.cause, epoch=epoch, mark=one.mark,
            payload=payload,
        )  # fmt: skip
        previous = envelope.hash
        sealed.append(envelope)
    return sealed
