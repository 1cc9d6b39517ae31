"""A log like that of a busy server, for measuring what reads it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from scitq.domain import batch as bt
from scitq.domain import execution as ex
from scitq.domain import task as tk
from scitq.domain import wire
from scitq.domain import worker as wk
from scitq.domain.envelope import GENESIS, Envelope, Mark
from scitq.domain.wire import Event, Recorded

UNDER_WAY = 100
WORKERS = 10
START = 1_800_000_000_000_000
COMMAND = "kneaddata --input /data/sample_{0}_1.fastq.gz --input /data/sample_{0}_2.fastq.gz --output /output -t 8"


def history(tasks: int) -> list[Recorded]:
    """The log of a run of so many tasks."""
    log: list[Recorded] = []

    def add(stream: str, event: Event) -> None:
        position = len(log) + 1
        log.append(Recorded(position, stream, 1, START + position * 1_000, "engine", 0, 0, None, event))

    for worker in range(1, WORKERS + 1):
        batches = (f"samples-{worker % 3}",)
        add(wk.stream(worker), wk.WorkerDeclared(worker, f"node{worker}", "0f3c", 8, 2, batches, f"node{worker}.lan"))
    add(bt.stream("old"), bt.BatchStopped("old"))
    steps: tuple[Callable[[int], Event], ...] = (
        lambda id: tk.TaskCreated(
            id,
            COMMAND.format(id),
            f"samples-{id % 3}",
            f"sample {id}",
            container="example/kneaddata:0.12",
            input=f"s3://bucket/raw/sample_{id}_1.fastq.gz s3://bucket/raw/sample_{id}_2.fastq.gz",
            output=f"s3://bucket/clean/sample_{id}/",
            retry=2,
        ),
        lambda id: ex.ExecutionAssigned(id, id, id % WORKERS + 1),
        lambda id: ex.ExecutionAccepted(id, id),
        lambda id: ex.ExecutionStarted(id, id, 4_000 + id % 1_000),
        lambda id: ex.ExecutionSucceeded(id, id, 0, 5_123, 80),
    )
    for first in range(1, tasks + 1, UNDER_WAY):
        for step in steps:
            for id in range(first, min(first + UNDER_WAY, tasks + 1)):
                add(tk.stream(id), step(id))
    return log


def sealed(log: Sequence[Recorded]) -> list[Envelope]:
    """The log as it is stored, with a mark on all that workers reported."""
    versions: dict[str, int] = {}
    numbered: list[Recorded] = []
    for one in log:
        version = versions[one.stream] = versions.get(one.stream, 0) + 1
        reported = isinstance(one.event, ex.ExecutionAccepted | ex.ExecutionStarted | ex.ExecutionSucceeded)
        mark = Mark(1, "0f3c", one.position) if reported else None
        numbered.append(one._replace(version=version, command=one.position, mark=mark))
    return wire.seal_all(GENESIS, numbered, [wire.encode(one.event) for one in log], 1)  # type: ignore[arg-type]
