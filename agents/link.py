"""The way to the server, opened again and again for as long as the agent lives: through its gateway
(`gateway_link.py`), or through its broker (`broker_link.py`).

What can only be put right by somebody, and was never right, ends the agent with a sentence. What once worked is tried
again for ever: a server that is restarted, or whose token is about to be put back, must not cost a machine its work.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import AsyncGenerator
from typing import Final, NamedTuple, Protocol

from scitq.errors import AgentError

log = logging.getLogger(__name__)

FIRST_S, LONGEST_S, REFUSED_S = 0.1, 5.0, 30.0
OPEN_S: Final = 10.0
OTHER_FOR_S: Final = 35.0
"""For so long the place of an agent is asked for that seems to have another one: the broker, or the engine, learns that
an agent is dead when it has not been heard for that long."""


class Disconnected(Exception):
    """The connection is gone, and what was said last perhaps with it."""


class NotOpened(Exception):
    """There is no connection, for a reason in words. `refused`: it does not mend itself soon; `fatal`: nor by waiting,
    as far as one knows who never got in."""

    def __init__(self, words: str, *, refused: bool = False, fatal: bool = False) -> None:
        super().__init__(words)
        self.refused, self.fatal = refused, fatal


class Heard(NamedTuple):
    """What an engine posts, or how much of the output has come."""

    body: bytes
    confirms: bool = False


class Connection(Protocol):
    """One, until it ends: then everything raises Disconnected."""

    async def say(self, message: bytes) -> None: ...
    async def carry(self, chunk: bytes) -> None:
        """A piece of output."""

    async def hear(self) -> Heard: ...
    async def close(self) -> None: ...
    def end(self) -> End:
        """How it ended."""


class End(NamedTuple):
    reason: str
    fatal: bool = False  # for one who never got in
    overloaded: bool = False


class Link:
    """One connection after the other. `understood` is called by whoever talks over it, once he was."""

    def __init__(self) -> None:
        self.worked = False
        self._last_words = ""
        self._pause_s = FIRST_S

    async def open(self) -> Connection:
        """NotOpened when it cannot be."""
        raise NotImplementedError

    async def connections(self) -> AsyncGenerator[Connection, None]:
        """Each is to be used until it is closed. AgentError, with a sentence, when it is no use to try again."""
        while True:
            refused = False
            try:
                connection = await self.open()
            except NotOpened as error:
                refused = error.refused
                self._failed(error)
            else:
                self._last_words = ""
                try:
                    yield connection
                finally:
                    await connection.close()
                self._ended(connection.end())
            await asyncio.sleep(REFUSED_S if refused else self._pause_s * random.uniform(0.5, 1.0))
            self._pause_s = min(2 * self._pause_s, LONGEST_S)

    def understood(self) -> None:
        """The server listens to us: whatever comes later will pass."""
        self.worked = True
        self._pause_s = FIRST_S

    def _failed(self, error: NotOpened) -> None:
        words = str(error)
        if error.fatal and not self.worked:
            raise AgentError(words)
        if words != self._last_words:
            log.warning("there is no connection to the server; it is tried again", extra={"reason": words})
        self._last_words = words

    def _ended(self, end: End) -> None:
        if end.fatal and not self.worked:
            raise AgentError(end.reason)
        log.info("the connection to the server was closed", extra={"reason": end.reason})
        if end.overloaded:
            self._pause_s = LONGEST_S
