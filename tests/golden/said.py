"""What agents and servers of every release have said to each other, a line for each: `python -m tests.golden.said`.

    {"way": "from-agent", "bytes": "{\"type\": …}", "means": {"AgentHello": {…}}}

That command adds lines for what today's code says and no line has yet. Lines that are there are never changed:
somewhere an agent still says that. The bytes of output and confirmations are in hexadecimal.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, Final

import orjson
from pydantic import BaseModel

from scitq.domain.agent_wire import encode_from_agent, encode_post, parse_from_agent, parse_post
from scitq.domain.execution import Accepted, Delivered, Exited, Failed, Gone, Ready, Refused, Started, Succeeded
from scitq.domain.messages import (
    AgentHello,
    Applied,
    Assign,
    Cancel,
    FromAgent,
    GiveBack,
    Goodbye,
    Heartbeat,
    Look,
    Obey,
    Reports,
    Resend,
    SayHello,
    SendOutputs,
    Settings,
    Signal,
    ToAgent,
    Unwelcome,
    Welcome,
)  # fmt: skip
from scitq.domain.output_wire import Chunk, Confirm, encode_chunk, encode_confirms, parse_chunk, parse_confirms
from scitq.domain.telemetry import FileMoving, Live, Machine, Telemetry, Transfer
from scitq.domain.worker import Hello
from tests.golden.journals import plain

FOLDER: Final = Path(__file__).parent / "wire"
TODAY: Final = FOLDER / "v0.jsonl"
TEXTS: Final = {"name": "s1", "command": "echo 'é'", "shell": False, "run_timeout": 60}
FROM_AGENT: Final[tuple[FromAgent, ...]] = (
    AgentHello(Hello("node1", "spool-1", 8, 2, ("a", "b"), "node1.lan", True), "", "00ff"),
    AgentHello(Hello("node1", "spool-1")),
    AgentHello(Hello("node1", "spool-1"), "", "00ff", (5, 6)),
    Heartbeat(3, "spool-1", {1: "pending", 2: "accepted", 3: "running", 4: "paused", 5: "ended"}, 4),
    Reports(3, "spool-1", 17, 16, (Accepted(5), Started(5, 77), Succeeded(5, 10, 20))),
    Heartbeat(3, "spool-1", {}, 4, 9),
    Heartbeat(3, "spool-1", {1: "ready", 2: "exited", 3: "uploading"}, 4),
    Reports(3, "spool-1", 17, 16, (Ready(5, 2, 10_000), Started(5, 77, "sha256:00ff"), Exited(5, 0, None, 10, 20))),
    Reports(3, "spool-1", 20, 17, (Exited(6, 137, "killed", 1, 2, "out_of_memory", {"memory_bytes": 2**35}),)),
    Reports(3, "spool-1", 21, 17, (Succeeded(5, 10, 20, {"cpu_s": 1.5}), Failed(6, failure="upload_failed"))),
    Reports(3, "spool-1", 23, 17, (Delivered(7, 15), Gone(8, 50))),
    Reports(3, "spool-1", 20, 17, (Failed(6, -9, "killed", 1, 2), Failed(7), Refused(8, "the disk is full"))),
    Reports(3, "spool-1", 25, 17, (Refused(9, "this worker does not run as root", True),)),
    Goodbye(3, "spool-1"),
)
MOMENTS: Final = (
    Telemetry(3, "spool-1", Machine(load="12.5↑ / 0.3", memory=41.7, stats="{}")),
    Telemetry(
        3,
        "spool-1",
        None,
        (
            Live(execution=5, curve=((1.0, 0.9, 2**30, 0, 4_096), (2.0, 1.9, 2**31, 0, 8_192))),
            Live(
                execution=6,
                transfer=Transfer(
                    what="downloading",
                    done_bytes=10,
                    total_bytes=40,
                    done_files=1,
                    total_files=3,
                    rate=2.5,
                    part=1,
                    parts=2,
                    files=(FileMoving(name="a/é", done_bytes=5, total_bytes=None),),
                ),
            ),
            Live(execution=7, transfer=Transfer(what="pulling", done_bytes=2**33), ended=True),
        ),
    ),
)
TO_AGENT: Final[tuple[ToAgent, ...]] = (
    Welcome(3, "spool-1", 16, "00ff"), Welcome(3, "spool-1", 16, "00ff", True),
    Unwelcome("another agent is connected", True), Settings(4, 8, 2, True), SendOutputs(5), Obey(9, "clean"),
    Assign(5, 50, TEXTS), Assign(6, 51), Cancel(6), Signal(5, 15), Signal(5, "pause"), Signal(5, "resume"), Applied(17),
    Resend(18), SayHello(), Look(5, 10.0), GiveBack(6, "another worker has a slot free for it"),
)  # fmt: skip
CHUNKS: Final = (Chunk(5, 1, 2**40, 2**39, "é\n".encode()), Chunk(2**40, 2, 0, 0, bytes(range(256))))
CONFIRMS: Final = [Confirm(5, 1, 2**40), Confirm(6, 2, 1)]


def said_today() -> Iterator[tuple[str, bytes]]:
    for message in (*FROM_AGENT, *MOMENTS):
        yield "from-agent", encode_from_agent(message)
    for told in TO_AGENT:
        yield "to-agent", encode_post(2, 3, "spool-1", [told])
    for chunk in CHUNKS:
        yield "output", encode_chunk(chunk)
    yield "confirms", encode_confirms(CONFIRMS)


def meaning(way: str, said: bytes) -> Any:
    """What today's code understands."""
    if way == "from-agent":
        return named(parse_from_agent(said))
    if way == "to-agent":
        epoch, worker, incarnation, messages = parse_post(said)
        return {"epoch": epoch, "worker": worker, "incarnation": incarnation, "messages": named(messages)}
    if way == "output":
        return plain({**parse_chunk(said)._asdict(), "data": parse_chunk(said).data.hex()})
    return [one._asdict() for one in parse_confirms(said)]


def named(value: Any) -> Any:
    """Values as JSON, each message with the name of its kind."""
    if is_dataclass(value) and not isinstance(value, type):
        return {type(value).__name__: {one.name: named(getattr(value, one.name)) for one in fields(value)}}
    if isinstance(value, BaseModel):
        return {type(value).__name__: value.model_dump(mode="json")}
    return [named(one) for one in value] if isinstance(value, list | tuple) else plain(value)


def lines(path: Path) -> list[dict[str, Any]]:
    return [orjson.loads(line) for line in path.read_bytes().splitlines()] if path.exists() else []


def written(way: str, said: bytes) -> dict[str, str]:
    return {"way": way, "bytes": said.hex() if way in ("output", "confirms") else said.decode()}


def spoken(line: dict[str, Any]) -> bytes:
    said: str = line["bytes"]
    return bytes.fromhex(said) if line["way"] in ("output", "confirms") else said.encode()


def main() -> int:
    known = [{"way": line["way"], "bytes": line["bytes"]} for line in lines(TODAY)]
    with TODAY.open("ab") as file:
        for way, said in said_today():
            if (line := written(way, said)) not in known:
                file.write(orjson.dumps({**line, "means": meaning(way, said)}) + b"\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
