"""What agents tell of the moment: how busy a machine is, how far transfers are, what commands use. Never a fact.

    {"type": "telemetry", "worker": 3, "incarnation": "…",
     "machine": {"load": "12.5↑ / 0.3", "memory": 41.7, "stats": "{…}"},
     "executions": [{"execution": 5, "curve": [[1.0, 0.9, 52428800, 0, 4096]],
                     "transfer": {"what": "downloading", "done_bytes": 10, "total_bytes": 40, "files": []}}]}

`machine` comes with heartbeats; `executions` are those that somebody looks at, and once those that have ended, with
`ended`. It may be lost, and is not sent again. An older server leaves all of it out, an older agent never says it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Final, Literal

import orjson
from annotated_types import Ge, Le, MaxLen
from pydantic import BaseModel, ConfigDict, Field

MOST_EXECUTIONS: Final = 200
MOST_POINTS: Final = 240
MOST_FILES: Final = 32
ENDED: Final = "ended"
"""The header of what is told of an execution for the last time."""

Number = Annotated[int, Ge(0), Le(2**62)]
Real = Annotated[float, Ge(0), Le(2.0**62)]
Text = Annotated[str, MaxLen(4_000), Field(pattern=r"^[^\x00]*$")]


class _Form(BaseModel):
    model_config = ConfigDict(extra="ignore", strict=True, frozen=True)


class Machine(_Form):
    """How busy it is; agents/statistics.py says how to read it."""

    load: Annotated[str, MaxLen(100)]
    memory: Annotated[float, Ge(0), Le(100)]
    stats: Annotated[str, MaxLen(20_000)]


class FileMoving(_Form):
    """One file on its way."""

    name: Text
    done_bytes: Number
    total_bytes: Number | None = None


class Transfer(_Form):
    """What an execution fetches or stores. `part`: of several URIs, which one this is; `rate`: bytes a second."""

    what: Literal["downloading", "uploading", "pulling"]
    done_bytes: Number = 0
    total_bytes: Number | None = None
    done_files: Number = 0
    total_files: Number | None = None
    rate: Real | None = None
    part: Number = 1
    parts: Number = 1
    files: Annotated[tuple[FileMoving, ...], Field(strict=False), MaxLen(MOST_FILES)] = ()


Point = Annotated[tuple[Real, Real, Number, Number, Number], Field(strict=False)]
"""Seconds since the start, and used by then: CPU seconds, memory (the most since the point before), read, written."""


class Live(_Form):
    """One execution at this moment."""

    execution: Annotated[int, Ge(1), Le(2**48)]
    transfer: Transfer | None = None
    curve: Annotated[tuple[Point, ...], Field(strict=False), MaxLen(MOST_POINTS)] = ()
    ended: bool = False


@dataclass(frozen=True, slots=True)
class Telemetry:
    """What one agent tells at one moment."""

    worker: int
    incarnation: str
    machine: Machine | None = None
    executions: tuple[Live, ...] = ()

    @property
    def has_ended(self) -> bool:
        return any(one.ended for one in self.executions)


def content(said: Telemetry) -> dict[str, object]:
    """As it is written."""
    return {
        "worker": said.worker,
        "incarnation": said.incarnation,
        "machine": None if said.machine is None else said.machine.model_dump(),
        "executions": [one.model_dump() for one in said.executions],
    }


class _Passed(_Form):
    worker: int
    machine: Machine | None = None
    executions: tuple[Live, ...] = Field(default=(), strict=False)
    incarnation: str = ""


def passed_on(said: Telemetry) -> bytes:
    """For those in the server who follow it; whoever passes it on has checked who says it."""
    return orjson.dumps(content(said))


def received(body: bytes) -> Telemetry:
    """What was passed on."""
    found = _Passed.model_validate_json(body)
    return Telemetry(found.worker, found.incarnation, found.machine, found.executions)
