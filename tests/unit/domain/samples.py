"""One event of every type, with every field set to something that is not its default."""

from __future__ import annotations

from dataclasses import MISSING, fields
from typing import Any, Final

from scitq.domain import wire

_VALUES: Final[dict[str, Any]] = {
    "int": 3,
    "int | None": 4,
    "str": "text",
    "str | None": "some",
    "bool": True,
    "tuple[int, ...]": (5, 6),
    "tuple[str, ...]": ("a", "b"),
    "Mapping[str, Any]": {"priority": 2},
    "Step": "ready",
    "Order": "clean",
    "Failure | None": "out_of_memory",
    "Used | None": {"cpu_s": 1.5},
}


def full(name: str) -> Any:
    """An event whose every field has a value of its own."""
    _, cls = wire.CURRENT[name]
    return cls(**{field.name: _VALUES[str(field.type)] for field in fields(cls)})


def bare(name: str) -> Any:
    """An event of which only that is given that has no default."""
    _, cls = wire.CURRENT[name]
    return cls(**{f.name: _VALUES[str(f.type)] for f in fields(cls) if f.default is MISSING})
