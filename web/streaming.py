"""Answers that go on and on: sent as fast as the client takes them, and never kept for it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import Final

from starlette.responses import StreamingResponse
from starlette.types import Send

from scitq.errors import ScitqError, StoreUnavailable

log = logging.getLogger(__name__)

PATIENCE_S: Final = 60.0


class CutOff(ScitqError):
    """What was being sent is not there any more. The client sees that the answer has no end."""


class Stream(StreamingResponse):
    """A body made piece by piece. A client that takes nothing for a minute is left; one that has gone ends it."""

    def __init__(
        self, pieces: AsyncGenerator[bytes, None], status: int, headers: Mapping[str, str], media_type: str
    ) -> None:
        super().__init__(pieces, status, headers, media_type)
        self._pieces = pieces

    async def stream_response(self, send: Send) -> None:
        async with aclosing(self._pieces) as pieces:
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            try:
                async for piece in pieces:
                    async with asyncio.timeout(PATIENCE_S):
                        await send({"type": "http.response.body", "body": piece, "more_body": True})
            except TimeoutError:
                log.info("a client takes nothing any more: it is left")
            except (CutOff, StoreUnavailable) as error:
                log.warning("an answer could not be sent to its end", extra={"reason": str(error)})
            else:
                await send({"type": "http.response.body", "body": b"", "more_body": False})
