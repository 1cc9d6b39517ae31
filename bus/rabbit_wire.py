"""The wire to a broker, which holds also when somebody sends headers that pika cannot read.

A broker passes headers on as they came: a time in the year 146 billion, a list in a list in a list. pika gives up the
whole connection over one, the broker delivers the message again, and so on without an end: one worker could so silence
the server. Such a message is taken as one that says nothing of itself. Then nobody vouches for its sender, and it is
put aside (`rabbit_users.speaker`).

And closing a connection that is still being made is no mistake: pika 1.4 tells its own workflow so with the class of an
exception instead of one, and then fails over it before we are told.
"""

from __future__ import annotations

import logging
import struct
from typing import Final

from pika import BasicProperties, SelectConnection
from pika.frame import Frame, Header, ProtocolHeader, decode_frame
from pika.spec import FRAME_HEADER

log = logging.getLogger(__name__)

_START: Final = struct.Struct(">BHL")  # kind, channel, size; then the class, nothing, and how long the body is
_CONTENT: Final = struct.Struct(">HHQ")
_END_BYTES: Final = 1


class Connection(SelectConnection):
    """Reads every frame whose ends can be found, and can be closed at any moment."""

    _frame_buffer: bytes

    def _on_connection_workflow_done(self, conn_or_exc: SelectConnection | Exception | type[Exception]) -> None:
        result = conn_or_exc() if isinstance(conn_or_exc, type) else conn_or_exc
        super()._on_connection_workflow_done(result)  # type: ignore[misc]  # the types of pika leave it out

    def _read_frame(self) -> tuple[int, Frame | ProtocolHeader | None]:
        try:
            return decode_frame(self._frame_buffer)
        except Exception as error:  # whatever pika stumbles over, out of what a stranger may have written
            bare = _without_properties(self._frame_buffer)
            if bare is None:
                raise
            log.warning("a message came with headers that cannot be read", extra={"reason": repr(error)[:200]})
            return bare


def _without_properties(data: bytes) -> tuple[int, Frame] | None:
    """The frame at the beginning, if it is one that begins a message; how long it is."""
    kind, channel, size = _START.unpack_from(data)
    length = _START.size + size + _END_BYTES
    if kind != FRAME_HEADER or size < _CONTENT.size or length > len(data):
        return None
    *_, body_bytes = _CONTENT.unpack_from(data, _START.size)
    return length, Header(channel, body_bytes, BasicProperties())
