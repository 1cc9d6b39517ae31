"""Golden journals: logs as they were stored, one event a line, and beside each the facts that came of it then."""

from __future__ import annotations

from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import Any, Final

import orjson

from scitq.domain import wire
from scitq.domain.envelope import Envelope
from scitq.domain.state import State

FOLDER: Final = Path(__file__).parent
JOURNALS: Final = sorted(FOLDER.glob("*.jsonl"))


def line(envelope: Envelope) -> bytes:
    """A stored event as one line of JSON: its type and version beside its header, so that one can read along."""
    payload = envelope.payload.decode() if envelope.payload is not None else None
    return orjson.dumps(
        {
            "type": envelope.type,
            "schema": envelope.schema,
            "header": envelope.header.decode(),
            "payload": payload,
            "digest": envelope.digest.hex(),
            "hash": envelope.hash.hex(),
        }
    )


def read(path: Path) -> list[Envelope]:
    return [_envelope(orjson.loads(text)) for text in path.read_bytes().splitlines()]


def _envelope(row: dict[str, Any]) -> Envelope:
    header = row["header"].encode()
    position, stream, version, type_, schema, time, actor, command, cause, _, _ = orjson.loads(header)
    assert (type_, schema) == (row["type"], row["schema"])
    payload = row["payload"].encode() if row["payload"] is not None else None
    return Envelope(
        position, stream, version, type_, schema, time, actor, command, cause, header,
        bytes.fromhex(row["digest"]), bytes.fromhex(row["hash"]), payload,
    )  # fmt: skip


def facts_of(log: list[Envelope]) -> dict[str, Any]:
    """What the log means today."""
    return State().fold(wire.recorded(envelope) for envelope in log).facts()


def plain(value: Any) -> Any:
    """Facts as JSON, sorted where order means nothing."""
    if is_dataclass(value) and not isinstance(value, type):
        return plain(asdict(value))
    if isinstance(value, dict):
        return {str(name): plain(value[name]) for name in sorted(value, key=str)}
    if isinstance(value, list | tuple):
        return [plain(one) for one in value]
    return value


def written(facts: dict[str, Any]) -> bytes:
    """Facts in words that can be compared, and looked at when they differ."""
    return orjson.dumps(plain(facts), option=orjson.OPT_INDENT_2) + b"\n"


def facts_file(journal: Path) -> Path:
    return journal.with_suffix(".facts.json")
