"""A process says again and again that it is there, and what it is: so every web process can tell the whole server."""

from __future__ import annotations

import asyncio
import os
import secrets
import socket
import time
from collections.abc import Collection, Iterable

import scitq
from scitq.bootstrap.engine import EngineHost
from scitq.bootstrap.roles import Role
from scitq.bootstrap.threads import Host
from scitq.bus import Bus
from scitq.web.processes import BEAT_S, CHANNEL, Process


class Presence:
    """Of this process."""

    def __init__(self, bus: Bus, roles: Collection[Role], hosts: Iterable[Host] = ()) -> None:
        self._bus = bus
        self._engine = next((host for host in hosts if isinstance(host, EngineHost)), None)
        self._process = Process(
            id=secrets.token_hex(8),
            host=socket.gethostname(),
            pid=os.getpid(),
            roles=sorted(roles),
            version=scitq.__version__,
            started=time.time_ns() // 1000,
        )

    async def run(self) -> None:
        """Until it is cancelled, which is told as well."""
        try:
            while True:
                engine = None if self._engine is None else self._engine.standing()
                self._say(self._process.model_copy(update={"engine": engine}))
                await asyncio.sleep(BEAT_S)
        finally:
            self._say(self._process.model_copy(update={"ended": True}))

    def _say(self, process: Process) -> None:
        self._bus.publish(CHANNEL, process.model_dump_json().encode())
