"""Answers of a container engine that do not end by themselves: logs and events, read without a thread for each.

The docker package waits in the calling thread; for a hundred logs that would be a hundred threads. So these two
requests are made here: a GET over the engine's socket, and its chunks as they come.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress
from typing import Final
from urllib.parse import urlencode

from scitq.errors import EngineUnavailable

READ_BYTES: Final = 256 * 1024
ANSWER_S: Final = 60.0
"""Within this time the head of an answer has to be there; what follows may take as long as a task."""
_MOST_CHUNK: Final = 16 * 1024 * 1024


class NotThere(Exception):
    """The engine answers that there is no such thing."""


class Unchunk:
    """HTTP's chunked transfer, undone as it comes. `over` is true behind the last chunk, and only there."""

    def __init__(self) -> None:
        self._begun = b""  # a chunk, or the line before it, that has not come whole
        self.over = False

    def feed(self, data: bytes) -> bytes:
        """What the data holds of content, in whole chunks: the engine makes one of each line."""
        data, at, found = self._begun + data, 0, []
        while not self.over:
            end = data.find(b"\r\n", at)
            if end < 0:
                break
            size = int(data[at:end], 16)
            if not 0 <= size <= _MOST_CHUNK:
                raise ValueError(f"a chunk of {size} bytes")
            behind = end + 2 + size
            if behind + 2 > len(data):
                break
            found.append(data[end + 2 : behind])
            at, self.over = behind + 2, size == 0
        self._begun = data[at:]
        return b"".join(found)


async def pieces(socket: str, path: str, **query: str | int) -> AsyncGenerator[bytes, None]:
    """The content as it comes, until the engine says that it is whole; first nothing, when it has begun to answer.

    EngineUnavailable when it breaks off before.
    """
    try:
        reader, writer = await asyncio.open_unix_connection(socket, limit=READ_BYTES)
    except OSError as error:
        raise EngineUnavailable(f"the container engine at {socket} does not answer: {error.strerror}") from error
    try:
        writer.write(f"GET {path}?{urlencode(query)} HTTP/1.1\r\nHost: engine\r\nConnection: close\r\n\r\n".encode())
        async with asyncio.timeout(ANSWER_S):
            status, chunked = await _head(reader)
        if status == 404:
            raise NotThere(path)
        if status != 200:
            raise EngineUnavailable(f"the container engine answered {status} to {path}")
        yield b""
        unchunk = Unchunk()
        while data := await reader.read(READ_BYTES):
            if content := unchunk.feed(data) if chunked else data:
                yield content
            if unchunk.over:
                return
        if chunked:
            raise EngineUnavailable(f"the container engine broke off its answer to {path}")
    except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, ValueError, IndexError) as error:
        raise EngineUnavailable(f"the connection to the container engine broke off: {error}") from error
    finally:
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()


async def _head(reader: asyncio.StreamReader) -> tuple[int, bool]:
    """The status, and whether chunks follow."""
    lines = (await reader.readuntil(b"\r\n\r\n")).lower().split(b"\r\n")
    return int(lines[0].split()[1]), b"transfer-encoding: chunked" in lines


async def events(socket: str, prefix: str, label: str) -> AsyncGenerator[tuple[str, dict[str, str]], None]:
    """What happens to containers with the label: the word for it, and their labels. First "" when it listens."""
    filters = json.dumps({"type": ["container"], "label": [label], "event": ["die", "oom"]})
    rest = b""
    async with aclosing(pieces(socket, f"{prefix}/events", filters=filters)) as content:
        async for piece in content:
            if not piece:
                yield "", {}
            *lines, rest = (rest + piece).split(b"\n")
            for line in filter(None, lines):
                said = json.loads(line)
                yield said.get("Action", said.get("status", "")), said.get("Actor", {}).get("Attributes", {})
