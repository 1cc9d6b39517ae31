"""Appends events to a golden journal: `python -m tests.golden.add v0.jsonl [STREAM NAME CONTENT …]`.

    python -m tests.golden.add v0.jsonl task-1 task-paused '{"task":1}'

Written is what the store would keep, sealed behind the journal's last event, and then the facts that come of it (with
no event: only these, after a fact was added to what the engine keeps; look at the difference before it is committed).
Lines that are there are never changed: they stand for logs that somebody has.
"""

from __future__ import annotations

import sys
from pathlib import Path

import orjson

from scitq.domain import wire
from scitq.domain.envelope import GENESIS, Envelope, Mark, seal
from tests.golden.journals import FOLDER, facts_file, facts_of, line, read, written


def append(path: Path, stream: str, name: str, content: object, mark: Mark | None = None) -> None:
    """One event more, a second after the one before."""
    log: list[Envelope] = read(path) if path.exists() else []
    previous = log[-1].hash if log else GENESIS
    envelope = seal(
        previous,
        position=len(log) + 1,
        stream=stream,
        version=1 + sum(one.stream == stream for one in log),
        type=name,
        schema=wire.CURRENT[name][0],
        time=1_800_000_000_000_000 + len(log) * 1_000_000,
        actor="user:ada" if stream != "engine" else "engine",
        command=len(log) + 1 if stream != "engine" else 0,
        cause=0,
        epoch=1,
        mark=mark,
        payload=orjson.dumps(content),
    )
    with path.open("ab") as file:
        file.write(line(envelope) + b"\n")


def main() -> int:
    journal, *events = sys.argv[1:] or ["?"]
    path = FOLDER / journal
    if path.suffix != ".jsonl" or len(events) % 3:
        print(__doc__, file=sys.stderr)
        return 2
    for stream, name, content in zip(events[::3], events[1::3], events[2::3], strict=True):
        append(path, stream, name, orjson.loads(content))
    facts_file(path).write_bytes(written(facts_of(read(path))))
    return 0


if __name__ == "__main__":
    sys.exit(main())
