"""What engine and agents say to each other, as bytes. An agent's words may be anybody's: they are checked first.

    {"type": "reports", "worker": 3, "incarnation": "…", "first": 17, "floor": 16,
     "reports": [{"type": "started", "execution": 5, "pid": 77}, {"type": "succeeded", "execution": 5}]}

Names here are protocol: agents of the release before must understand them, and be understood. What one side says beyond
what the other knows is left out: docs/decisions/0012-agents-of-other-versions.md has the rules, tests/golden/wire what
was ever said.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from typing import Annotated, Any, Final, Literal, get_args

import orjson
from annotated_types import Ge, Le, MaxLen, MinLen
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from scitq.domain import messages
from scitq.domain.execution import (
    USED,
    Accepted,
    Delivered,
    Exited,
    Failed,
    Failure,
    Gone,
    Ready,
    Refused,
    Report,
    Started,
    Succeeded,
)
from scitq.domain.messages import AgentHello, FromAgent, Goodbye, Heartbeat, Reports, ToAgent, Told, Unknown
from scitq.domain.requests import BatchName, Count, Id, Name, place_of
from scitq.domain.telemetry import MOST_EXECUTIONS, Live, Machine, Telemetry
from scitq.domain.telemetry import content as telemetry_content
from scitq.domain.worker import Hello
from scitq.errors import Malformed, UnknownMessage

PROTOCOLS: Final = ("scitq.1",)
"""What this release speaks, the best first: the subprotocols of the agents' WebSocket."""

MOST_BYTES: Final = 4 * 1024 * 1024
MOST_REPORTS: Final = 10_000
MOST_HELD: Final = 100_000

Number = Annotated[int, Ge(0), Le(2**62)]
Bytes = Annotated[int, Ge(0), Le(2**62)]
Reason = Annotated[str, MinLen(1), MaxLen(10_000), Field(pattern=r"^[^\x00]*$")]
Incarnation = Annotated[str, Field(min_length=1, max_length=100, pattern=r"^[A-Za-z0-9._:-]+$")]
WORD: Final = r"^[a-z][a-z-]{0,49}$"
Word = Annotated[str, Field(pattern=WORD)]
_FAILURES: Final = frozenset(get_args(Failure))
UNKNOWN_HELD: Final = "accepted"
"""What a newer agent holds in a way we do not know: it is there, and nothing follows from how far it is."""


MOST_NEWS: Final = 100


class News:
    """The words of the other side that we do not know: each is worth one line of the log."""

    def __init__(self) -> None:
        self._told: set[str] = set()

    def is_first(self, kind: str) -> bool:
        first = kind not in self._told and len(self._told) < MOST_NEWS
        if first:
            self._told.add(kind)
        return first


class _Form(BaseModel):
    model_config = ConfigDict(extra="ignore", strict=True, frozen=True)  # a newer agent may say more than we know


class _Execution(_Form):
    execution: Id


class _Accepted(_Execution):
    type: Literal["accepted"]

    def report(self) -> Report:
        return Accepted(self.execution)


class _Ready(_Execution):
    type: Literal["ready"]
    files: Number = 0
    bytes: Bytes = 0

    def report(self) -> Report:
        return Ready(self.execution, self.files, self.bytes)


class _Started(_Execution):
    type: Literal["started"]
    pid: Annotated[int, Ge(0), Le(2**31)] = 0
    image: Annotated[str, Field(max_length=500, pattern=r"^[^\x00-\x1f]+$")] | None = None

    def report(self) -> Report:
        return Started(self.execution, self.pid, self.image)


class _Ended(_Execution):
    stdout_bytes: Bytes = 0
    stderr_bytes: Bytes = 0
    used: Annotated[dict[str, int | float], MaxLen(100)] | None = None

    def _used(self) -> dict[str, int | float] | None:
        """What a newer agent measures beyond what we know is left out."""
        return {name: value for name, value in (self.used or {}).items() if name in USED and 0 <= value < 2**62} or None


class _Succeeded(_Ended):
    type: Literal["succeeded"]

    def report(self) -> Report:
        return Succeeded(self.execution, self.stdout_bytes, self.stderr_bytes, self._used())


class _EndedSomehow(_Ended):
    return_code: Annotated[int, Ge(-(2**31)), Le(2**31)] | None = None
    reason: Reason | None = None
    failure: Annotated[str, MaxLen(50)] | None = None

    def _said(self) -> tuple[Any, ...]:
        failure = self.failure if self.failure in _FAILURES else None  # a class that only a newer agent knows
        code, out, err = self.return_code, self.stdout_bytes, self.stderr_bytes
        return self.execution, code, self.reason, out, err, failure, self._used()


class _Exited(_EndedSomehow):
    type: Literal["exited"]

    def report(self) -> Report:
        return Exited(*self._said())


class _Failed(_EndedSomehow):
    type: Literal["failed"]

    def report(self) -> Report:
        return Failed(*self._said())


class _Delivered(_Execution):
    type: Literal["delivered"]
    signal: Annotated[int, Ge(0), Le(64)]

    def report(self) -> Report:
        return Delivered(self.execution, self.signal)


class _Gone(_Execution):
    type: Literal["gone"]
    task: Id

    def report(self) -> Report:
        return Gone(self.execution, self.task)


class _Refused(_Execution):
    type: Literal["refused"]
    reason: Reason
    unable: bool = False

    def report(self) -> Report:
        return Refused(self.execution, self.reason, self.unable)


class _Unknown(_Form):
    """What `_in_our_words` makes of a report of another kind."""

    type: Literal["?"]
    kind: Word

    def report(self) -> Told:
        return Unknown(self.kind)


_Report = Annotated[
    _Accepted | _Ready | _Started | _Exited | _Succeeded | _Failed | _Refused | _Delivered | _Gone | _Unknown,
    Field(discriminator="type"),
]


class _Reports(_Form):
    type: Literal["reports"]
    worker: Id
    incarnation: Incarnation
    first: Annotated[int, Ge(1), Le(2**62)]
    floor: Annotated[int, Ge(1), Le(2**62)]
    reports: Annotated[list[_Report], MaxLen(MOST_REPORTS)]

    def message(self, reply_to: str) -> FromAgent:
        reports = tuple(one.report() for one in self.reports)
        return Reports(self.worker, self.incarnation, self.first, self.floor, reports)


class _Heartbeat(_Form):
    type: Literal["heartbeat"]
    worker: Id
    incarnation: Incarnation
    held: Annotated[dict[str, Word], MaxLen(MOST_HELD)] = {}
    settings: Number = 0
    obeyed: Number = 0

    def message(self, reply_to: str) -> FromAgent:
        held: dict[int, messages.HeldStatus] = {}
        for id, status in self.held.items():
            if not id.isascii() or not id.isdecimal() or len(id) > 15:
                raise Malformed(f"held: {id[:50]!r} is not the id of an execution")
            held[int(id)] = _HELD.get(status, UNKNOWN_HELD)
        return Heartbeat(self.worker, self.incarnation, held, self.settings, self.obeyed)


class _Telemetry(_Form):
    type: Literal["telemetry"]
    worker: Id
    incarnation: Incarnation
    machine: Machine | None = None
    executions: Annotated[list[Live], MaxLen(MOST_EXECUTIONS)] = []

    def message(self, reply_to: str) -> Telemetry:
        return Telemetry(self.worker, self.incarnation, self.machine, tuple(self.executions))


class _Goodbye(_Form):
    type: Literal["goodbye"]
    worker: Id
    incarnation: Incarnation

    def message(self, reply_to: str) -> FromAgent:
        return Goodbye(self.worker, self.incarnation)


class _Hello(_Form):
    type: Literal["hello"]
    name: Name
    incarnation: Incarnation
    concurrency: Count = 1
    prefetch: Count = 0
    batches: Annotated[list[BatchName], MinLen(1), MaxLen(1_000)] = ["Default"]
    hostname: Name | None = None
    paused: bool = False
    log: Annotated[str, Field(max_length=64, pattern=r"^[0-9a-f]*$")] = ""
    held: Annotated[list[Id], MaxLen(MOST_HELD)] = []

    def message(self, reply_to: str) -> FromAgent:
        return AgentHello(
            Hello(
                self.name,
                self.incarnation,
                self.concurrency,
                self.prefetch,
                tuple(dict.fromkeys(self.batches)),
                self.hostname,
                self.paused,
            ),
            reply_to,
            self.log,
            tuple(self.held),
        )


_FROM_AGENT: Final[TypeAdapter[_Reports | _Heartbeat | _Hello | _Goodbye | _Telemetry]] = TypeAdapter(
    Annotated[_Reports | _Heartbeat | _Hello | _Goodbye | _Telemetry, Field(discriminator="type")]
)


def parse_from_agent(body: bytes, reply_to: str = "") -> FromAgent | Telemetry:
    """What an agent says; Malformed, in words that name the place, when it is nothing we know."""
    if len(body) > MOST_BYTES:
        raise Malformed(f"the message has {len(body)} bytes; {MOST_BYTES} are allowed")
    try:
        try:
            form = _FROM_AGENT.validate_json(body)
        except ValidationError as error:
            if all(one["type"] != "union_tag_invalid" for one in error.errors(include_input=False, include_url=False)):
                raise
            form = _FROM_AGENT.validate_json(_in_our_words(body))
        return form.message(reply_to)
    except ValidationError as error:
        raise Malformed(place_of(error, "the message")) from error


def _in_our_words(body: bytes) -> bytes:
    """A message that has a word which we do not know. UnknownMessage, when that is so of it as a whole."""
    try:
        content = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise Malformed(f"the message: {error}") from error
    if _is_new(content.get("type"), _KINDS):
        raise UnknownMessage(content["type"])
    if isinstance(content.get("reports"), list):
        content["reports"] = [_known_report(told) for told in content["reports"]]
    return orjson.dumps(content)


def _known_report(told: Any) -> Any:
    kind = told.get("type") if isinstance(told, dict) else None
    return {"type": "?", "kind": kind} if _is_new(kind, _REPORT_KINDS) else told


def _is_new(kind: Any, known: frozenset[str]) -> bool:
    return isinstance(kind, str) and kind not in known and re.fullmatch(WORD, kind) is not None


def encode_from_agent(message: FromAgent | Telemetry) -> bytes:
    """For the agent's side."""
    match message:
        case AgentHello(hello):
            content = {"type": "hello", **_fields(hello), "log": message.log, "held": message.held}
            del content["worker"]  # the engine's to give
        case Reports():
            told = [{"type": _REPORT_NAMES[type(one)], **_fields(one)} for one in message.reports]
            content = {"type": "reports", **_fields(message), "reports": told}
        case Heartbeat():
            content = {"type": "heartbeat", **_fields(message)}
        case Goodbye():
            content = {"type": "goodbye", **_fields(message)}
        case Telemetry():
            content = {"type": "telemetry", **telemetry_content(message)}
    return orjson.dumps(content, option=orjson.OPT_NON_STR_KEYS)


_REPORT_NAMES: Final[dict[type[Any], str]] = {
    Accepted: "accepted",
    Ready: "ready",
    Started: "started",
    Exited: "exited",
    Succeeded: "succeeded",
    Failed: "failed",
    Refused: "refused",
    Delivered: "delivered",
    Gone: "gone",
}
_REPORT_KINDS: Final = frozenset(_REPORT_NAMES.values())
_KINDS: Final = frozenset({"reports", "heartbeat", "hello", "goodbye", "telemetry"})
_HELD: Final[dict[str, messages.HeldStatus]] = {status: status for status in get_args(messages.HeldStatus)}

# To agents ------------------------------------------------------------------------------------------------------

TO_AGENT: Final[dict[str, type[Any]]] = {
    "welcome": messages.Welcome,
    "unwelcome": messages.Unwelcome,
    "settings": messages.Settings,
    "assign": messages.Assign,
    "cancel": messages.Cancel,
    "give-back": messages.GiveBack,
    "send-outputs": messages.SendOutputs,
    "signal": messages.Signal,
    "obey": messages.Obey,
    "applied": messages.Applied,
    "resend": messages.Resend,
    "say-hello": messages.SayHello,
    "look": messages.Look,
}
_NAMES: Final = {cls: name for name, cls in TO_AGENT.items()}


def encode_post(epoch: int, worker: int, incarnation: str, said: Sequence[ToAgent]) -> bytes:
    """All that one turn says to one agent."""
    told = [{"type": _NAMES[type(message)], **_fields(message)} for message in said]
    return orjson.dumps({"epoch": epoch, "worker": worker, "incarnation": incarnation, "messages": told})


def parse_post(
    body: bytes, on_unknown: Callable[[str], None] = lambda kind: None
) -> tuple[int, int, str, list[ToAgent]]:
    """For the agent's side: epoch, worker, incarnation, messages. What a newer engine says beyond ours is left out."""
    try:
        content: Mapping[str, Any] = orjson.loads(body)
        said: list[ToAgent] = []
        for told in content["messages"]:
            cls = TO_AGENT.get(told["type"])
            if cls is None:
                on_unknown(str(told["type"]))
            else:
                known = {f.name for f in fields(cls)}
                said.append(cls(**{name: value for name, value in told.items() if name in known}))
        return int(content["epoch"]), int(content["worker"]), str(content["incarnation"]), said
    except (orjson.JSONDecodeError, LookupError, TypeError, ValueError, AttributeError) as error:
        raise Malformed(f"what the engine says cannot be read: {error}") from error


def _fields(message: Any) -> dict[str, Any]:
    return {f.name: getattr(message, f.name) for f in fields(message)}
