"""Images that this worker has fetched; when the disk fills, the one goes that was not used for longest.

Only what was fetched for tasks is ever removed: what an administrator has put on the machine is his. An image of which
a container is made is refused by the engine itself.
"""

from __future__ import annotations

import json
import logging
import time
from pathlib import Path
from typing import Any, Final

from scitq.agents.cleaner import percent_used
from scitq.agents.container_engine import Engine, Refused
from scitq.agents.engine_stream import NotThere

log = logging.getLogger(__name__)

FILE: Final = "images"
NOTE_AGAIN_S: Final = 60.0
"""A use that follows another so soon is not written down."""


class ImageCache:
    """Of one agent, beside its containers' files."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / FILE
        self._used = self._read()

    def fetched(self, name: str) -> None:
        """By us: it may go again."""
        self._used[name] = time.time()
        self._write()

    def used(self, name: str) -> None:
        """It is one of ours, or not."""
        now = time.time()
        if name in self._used and not 0 <= now - self._used[name] < NOTE_AGAIN_S:
            self._used[name] = now
            self._write()

    async def make_room(self, engine: Engine, autoclean: int) -> list[str]:
        """While the engine's disk is as full as that: what went, the least recently used first."""
        gone: list[str] = []
        for name in sorted(self._used, key=lambda name: self._used[name]):
            if percent_used(engine.root) < autoclean:
                break
            try:
                await engine.remove_image(name)
            except Refused:  # a container is made of it
                continue
            except NotThere:
                log.info("an image was removed by somebody else", extra={"image": name})
            else:
                log.info("the disk is nearly full: an image goes", extra={"image": name})
                gone.append(name)
            del self._used[name]
            self._write()
        return gone

    def _read(self) -> dict[str, float]:
        try:
            said: Any = json.loads(self._path.read_text())
        except FileNotFoundError:
            return {}
        except (OSError, ValueError) as error:  # then they stay, as if they were somebody else's
            log.warning("which images were fetched is not readable", extra={"error": str(error)})
            return {}
        known = said.items() if isinstance(said, dict) else ()
        return {name: float(at) for name, at in known if isinstance(at, int | float)}

    def _write(self) -> None:
        fresh = self._path.with_suffix(".new")
        try:
            fresh.write_text(json.dumps(self._used))
            fresh.rename(self._path)
        except OSError as error:  # the disk is full: it is known until the agent ends
            log.warning("which images were fetched cannot be written down", extra={"error": str(error)})
