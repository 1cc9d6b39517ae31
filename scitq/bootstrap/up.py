"""`scitq up`: a server and an agent beside it, for a laptop or a single machine."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Final

from scitq import tokens
from scitq.agents.runtime import Options
from scitq.bootstrap import logs
from scitq.bootstrap.claiming import claimed, leave_if_told
from scitq.bootstrap.local_agent import describe
from scitq.config import Settings

if TYPE_CHECKING:
    from scitq.bootstrap.server import Server

log = logging.getLogger(__name__)

GIVE_BACK_S: Final = 6.0
DETACH_S: Final = 3.0
FIRST_PAUSE_S: Final = 0.5
LONGEST_PAUSE_S: Final = 30.0
LIVED_WELL_S: Final = 60.0


def run(settings: Settings, concurrency: int, prefetch: int = 0, name: str | None = None) -> int:
    """Until Ctrl-C, which stops the tasks and gives them back, or SIGTERM, which leaves them running."""
    logs.set_up(settings, of="scitq.up")
    with claimed(settings) as sock:
        assert sock is not None, "it has all roles"
        token = settings.token or tokens.server_token(settings.data)
        host = "127.0.0.1" if settings.host in ("0.0.0.0", "::") else settings.host  # noqa: S104
        url = f"http://[{host}]" if ":" in host else f"http://{host}"
        worker = name or socket.gethostname()
        agent = LocalAgent(
            Options(
                url=f"{url}:{sock.getsockname()[1]}",
                token=token.reveal(),
                name=worker,
                concurrency=concurrency,
                prefetch=prefetch,
                hostname=socket.gethostname(),
                folder=settings.data / "workers" / "local" / worker,
                base=settings.base_workdir,
                give_back_on_interrupt=True,
            )
        )
        try:
            leave_if_told()
            agent.start()  # it loads while the server does
            from scitq.bootstrap.server import serve

            return serve(settings, sock, agent)
        finally:
            agent.leave()


class LocalAgent:
    """The agent's process: started, started again should it end, and told to end before the server does."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self._process: subprocess.Popen[bytes] | None = None
        self._leaving = False

    def start(self) -> None:
        """In a session of its own: Ctrl-C is ours, and we tell it in our own time."""
        self._began = time.monotonic()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "scitq.bootstrap.local_agent"],
            stdin=subprocess.PIPE, start_new_session=True, env={**os.environ, "SCITQ_TOKEN": ""},
        )  # fmt: skip
        assert self._process.stdin is not None
        self._process.stdin.write(describe(self.options))
        self._process.stdin.flush()

    async def run(self, server: Server) -> None:
        """Say when all is ready; then see to it that there is an agent."""
        await server.until_ready()
        shown = f"{self.options.url}/ui/#token={self.options.token}"
        print(f"scitq is ready: {shown}\nTry:  scitq-launch echo hello      End it with Ctrl-C.", flush=True)
        pause_s = FIRST_PAUSE_S
        while True:
            code = await self._ended()
            if self._leaving:
                return
            if time.monotonic() - self._began > LIVED_WELL_S:
                pause_s = FIRST_PAUSE_S
            log.error("the agent has ended; it is started again", extra={"code": code, "in_s": pause_s})
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
            if not self._leaving:
                self.start()

    async def before_stop(self, number: int) -> None:
        """Ctrl-C: it stops its tasks and gives them back, while there is a server to take them. Else it just leaves."""
        self._leaving = True
        if self._process is None or self._process.poll() is not None:
            return
        self._process.send_signal(signal.SIGINT if number == signal.SIGINT else signal.SIGTERM)
        wait_s = GIVE_BACK_S if number == signal.SIGINT else DETACH_S
        try:
            await asyncio.wait_for(self._ended(), wait_s)
        except TimeoutError:
            log.warning("the agent did not end in time; its tasks go on", extra={"pid": self._process.pid})

    def leave(self) -> None:
        """Whatever happened: the agent is not left behind."""
        self._leaving = True
        if self._process is not None:
            assert self._process.stdin is not None
            self._process.stdin.close()
            try:
                self._process.wait(DETACH_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()

    async def _ended(self) -> int:
        assert self._process is not None
        loop = asyncio.get_running_loop()
        ended = asyncio.Event()
        watched = os.pidfd_open(self._process.pid)
        loop.add_reader(watched, ended.set)
        try:
            await ended.wait()
        finally:
            loop.remove_reader(watched)
            os.close(watched)
        return self._process.wait()
