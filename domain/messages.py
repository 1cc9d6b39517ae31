"""What engine and agents say to each other.

An agent numbers its reports and keeps them until the engine says `Applied`; the engine applies them in order. All the
engine says can be said again: it follows from the log, and an agent knows an execution by its id.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from scitq.domain.execution import Report
from scitq.domain.worker import Hello, Order

# From agents --------------------------------------------------------------------------------------------------

HeldStatus = Literal["pending", "accepted", "ready", "running", "paused", "exited", "uploading", "ended"]


@dataclass(frozen=True, slots=True)
class AgentHello:
    """An agent connects. `reply_to` is the address the gateway gave it; it knows no worker id yet.

    `log`: the log that what it holds is of; empty when it was never welcomed. `held`: executions that are not over
    there: should another agent have its place, it hears which of them others have by now.
    """

    hello: Hello
    reply_to: str = ""
    log: str = ""
    held: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Unknown:
    """A report of a kind that only a newer agent knows. It has its number, and changes nothing."""

    kind: str


Told = Report | Unknown


@dataclass(frozen=True, slots=True)
class Reports:
    """What happened, in order: the first one has number `first`; all below `floor` were confirmed as applied."""

    worker: int
    incarnation: str
    first: int
    floor: int
    reports: tuple[Told, ...]


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """The agent lives, and holds these executions.

    `paused`: it runs, held still; `exited`: its outputs wait for leave to be sent; `ended`: not all is applied yet.
    """

    worker: int
    incarnation: str
    held: dict[int, HeldStatus] = field(default_factory=dict)
    settings: int = 0  # the version of the settings it has
    obeyed: int = 0  # the last order that it has carried out


@dataclass(frozen=True, slots=True)
class Goodbye:
    """The agent ends, and holds nothing any more: it is not to be given more until it says hello again."""

    worker: int
    incarnation: str


FromAgent = AgentHello | Reports | Heartbeat | Goodbye

# To agents ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Welcome:
    """The agent is worker number `worker`; its reports up to `applied` are in the log."""

    worker: int
    incarnation: str
    applied: int
    log: str = ""  # which log that is: the same as long as the server's store is
    gives_leave: bool = False  # outputs are not sent before it says so; an older one never does


@dataclass(frozen=True, slots=True)
class Unwelcome:
    """The agent cannot connect: a sentence says why. It may try again; `begin_anew`: with nothing of what it holds."""

    reason: str
    begin_anew: bool = False


@dataclass(frozen=True, slots=True)
class Settings:
    """How much the agent runs at once, as of that version of the worker: an older one that comes late is void."""

    version: int
    concurrency: int
    prefetch: int
    paused: bool


@dataclass(frozen=True, slots=True)
class Assign:
    """Run this task, once, under this execution id. Its texts are added on the way out: deciding needs none."""

    execution: int
    task: int
    texts: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Cancel:
    """End this execution, whatever it does, and forget it: it is not yours any more."""

    execution: int


@dataclass(frozen=True, slots=True)
class GiveBack:
    """Give this execution back if its command has not begun, and answer with `Refused`; otherwise it stays yours."""

    execution: int
    reason: str


@dataclass(frozen=True, slots=True)
class SendOutputs:
    """The execution has ended as far as anybody else is concerned, and its outputs may be stored: it is still yours."""

    execution: int


@dataclass(frozen=True, slots=True)
class Signal:
    """Send a signal to a running command; `pause` and `resume` hold it and let it go on."""

    execution: int
    signal: int | Literal["pause", "resume"]


@dataclass(frozen=True, slots=True)
class Applied:
    """All reports up to this number are in the log: they need not be kept."""

    sequence: int


@dataclass(frozen=True, slots=True)
class Resend:
    """Reports are missing: send again from this number on."""

    first: int


@dataclass(frozen=True, slots=True)
class SayHello:
    """The engine does not know this worker, or not in this incarnation."""


@dataclass(frozen=True, slots=True)
class Obey:
    """Carry out an order, once: one whose number is not above the last one obeyed is void."""

    number: int
    order: Order


@dataclass(frozen=True, slots=True)
class Look:
    """Somebody looks at this execution, for so long: its telemetry is to be told each second. A web process says it,
    alone in a post and under epoch 0, which every agent that does not know it takes for that of a deposed engine."""

    execution: int
    for_s: float


ToAgent = (
    Welcome
    | Unwelcome
    | Settings
    | Assign
    | Cancel
    | GiveBack
    | SendOutputs
    | Signal
    | Obey
    | Applied
    | Resend
    | SayHello
    | Look
)
