"""What a container prints, from the engine's log into two files: each byte once, whatever is restarted meanwhile.

The engine's log has no offsets, but it begins at the beginning whenever it is asked. The two files are the memory: what
they hold is passed over, the rest is appended. So a killed agent, a lost connection and a restarted engine are the same
case. In the log each line is a frame: stream, three zeros, length, content.
"""

from __future__ import annotations

import asyncio
import logging
import os
from contextlib import aclosing
from pathlib import Path
from typing import Final

from scitq.agents.engine_stream import pieces
from scitq.agents.output import CAP_BYTES, STDERR, STDOUT
from scitq.errors import AgentError

log = logging.getLogger(__name__)

MOST_BYTES: Final = CAP_BYTES + 1024 * 1024
"""Of both streams together: a little more than is sent to the server, so that the cut is seen there."""
AGAIN_S: Final = 1.0
_NAMES: Final = {STDOUT: "out", STDERR: "err"}


class Frames:
    """The frames of a log, taken apart as they come."""

    def __init__(self) -> None:
        self._begun = b""

    def feed(self, data: bytes) -> dict[int, list[bytes]]:
        """What each stream has of them; the beginning of a frame waits for its end."""
        data, at = self._begun + data if self._begun else data, 0
        found: dict[int, list[bytes]] = {STDOUT: [], STDERR: []}
        length = len(data)
        while at + 8 <= length:
            end = at + 8 + int.from_bytes(data[at + 4 : at + 8], "big")
            if end > length:
                break
            stream = data[at]
            if stream not in found:
                raise ValueError(f"a frame of the stream {stream}")
            found[stream].append(data[at + 8 : end])
            at = end
        self._begun = data[at:]
        return found


class Log:
    """The two files of one container, `<name>.out` and `<name>.err`."""

    def __init__(self, base: Path | str, *, most_bytes: int = MOST_BYTES) -> None:
        self._paths = {stream: f"{base}.{name}" for stream, name in _NAMES.items()}
        self._most, self._told = most_bytes, False
        for path in self._paths.values():
            os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))

    @property
    def sizes(self) -> tuple[int, int]:
        """How much was printed, of standard output and error."""
        out, err = (os.stat(self._paths[stream]).st_size for stream in (STDOUT, STDERR))
        return out, err

    def is_full(self) -> bool:
        """Whether more than is kept was printed."""
        return sum(self.sizes) >= self._most

    async def read(self, socket: str, prefix: str, container: str, *, follow: bool) -> None:
        """Append what is new. Returns when the log ends: that of a container that runs does when the engine is stopped.

        Raises what `pieces` raises.
        """
        known = dict(zip(_NAMES, self.sizes, strict=True))
        room = self._most - sum(known.values())
        if room <= 0:
            return
        frames, path = Frames(), f"{prefix}/containers/{container}/logs"
        async with aclosing(pieces(socket, path, stdout=1, stderr=1, follow=int(follow))) as content:
            async for piece in content:
                for stream, parts in frames.feed(piece).items():
                    data = b"".join(parts)
                    new = data[known[stream] :]
                    known[stream] = max(known[stream] - len(data), 0)
                    if new:
                        await self._append(stream, new)
                        room -= len(new)
                if room <= 0:
                    return

    async def _append(self, stream: int, data: bytes) -> None:
        """On a full disk it is waited for room: the engine keeps the rest of the log so long."""
        while data:
            try:
                with open(self._paths[stream], "ab", buffering=0) as file:
                    data = data[file.write(data) :]
            except FileNotFoundError as error:
                raise AgentError(f"{self._paths[stream]} was removed while its container was running") from error
            except OSError as error:
                if not self._told:
                    log.error(
                        "output of a container cannot be kept; it is tried again each second",
                        extra={"path": self._paths[stream], "error": str(error)},
                    )
                self._told = True
                await asyncio.sleep(AGAIN_S)
            else:
                self._told = False
