"""docs/events.md: every event, what it says, and its fields. `make docs` writes it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import MISSING, fields
from typing import Any

from scitq.domain import wire

INTRODUCTION = """\
# Events

Facts are appended, everything else is a function of them. These are the facts: each is written once, in the log, and
never changes. The name is for ever; an event that changes gets a new version, and the old one is brought up to it when
it is read.

This page is written by `make docs`; the sentences are those of the classes in `domain/`.
"""
STREAMS = (
    ("Tasks", "task-", "Stream `task-<id>`, together with the events of the task's executions."),
    ("Executions", "execution-", "In the stream of their task: one stream tells all of it."),
    ("Workers", "worker-", "Stream `worker-<id>`."),
    ("Batches", "batch-", "Stream `batch-<name>`."),
    ("The engine", "", "Stream `engine`: what the engine says about itself."),
)


def page() -> str:
    parts = [INTRODUCTION]
    left = dict(wire.CURRENT)
    for title, prefix, where in STREAMS:
        mine = {name: left.pop(name) for name in list(left) if name.startswith(prefix)}
        parts.append(f"\n## {title}\n\n{where}\n")
        parts += [entry(name, version, cls) for name, (version, cls) in mine.items()]
    return "".join(parts)


def entry(name: str, version: int, cls: type[Any]) -> str:
    sentence = re.sub(r"\s+", " ", cls.__doc__ or "").strip()
    return f"\n### `{name}`, version {version}\n\n{sentence}\n\n{''.join(described(cls))}"


def described(cls: type[Any]) -> Iterator[str]:
    for field in fields(cls):
        default = "" if field.default is MISSING else f", else `{json.dumps(field.default)}`"
        kind = re.sub(r"tuple\[(\w+), \.\.\.\]", r"list of \1", str(field.type))
        kind = kind.replace("Mapping[str, Any]", "object").replace("None", "null").replace('"', "'")
        yield f"- `{field.name}`: {kind}{default}\n"
