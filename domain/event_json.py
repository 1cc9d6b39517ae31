"""An event as people and programs are shown it, the same from the command line and over HTTP."""

from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import orjson

from scitq.domain.envelope import Envelope, read_header

_EPOCH: Final = datetime.fromtimestamp(0, UTC)


def iso(time: int) -> str:
    """Microseconds since 1970 as a date and time, UTC."""
    return (_EPOCH + timedelta(microseconds=time)).isoformat().replace("+00:00", "Z")


def as_json(event: Envelope) -> dict[str, Any]:
    """Everything that is known of an event. What was erased has no payload, and says `erased`."""
    header = read_header(event.header)
    fields = {**event._asdict(), "time": iso(event.time), "epoch": header.epoch}
    fields["mark"] = None if header.mark is None else header.mark._asdict()
    del fields["header"], fields["payload"]
    fields |= {"digest": event.digest.hex(), "hash": event.hash.hex(), "erased": event.payload is None}
    try:
        fields["payload"] = None if event.payload is None else orjson.loads(event.payload)
    except orjson.JSONDecodeError:
        fields["payload_base64"] = base64.b64encode(event.payload or b"").decode()
    return fields
