"""No-op tasks through a whole agent: `python -m bench.agent_rate`. What it and its shim can do, and what a task costs.

The server is a loop that assigns and confirms, no more; all folders are in memory. The rate depends on how many cores
are idle, the CPU time less so: it says what one core could do.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import orjson
from rich.console import Console
from rich.table import Table
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from scitq.agents.shim_client import ShimClient
from scitq.domain.agent_wire import encode_post
from scitq.domain.messages import Applied, Assign, Settings, ToAgent, Welcome
from scitq.domain.output_wire import Confirm, encode_confirms, parse_chunk

TICK_S = 1 / os.sysconf("SC_CLK_TCK")
PROGRAM = """
import sys
from pathlib import Path
from scitq.agents.runtime import Options, run
folder = Path(sys.argv[2])
sys.exit(run(Options(url=sys.argv[1], token="token", name="bench", concurrency=int(sys.argv[3]),
                     folder=folder / "agent", base=folder / "base")))
"""


class Server:
    """Gives out so many tasks, and notes when the last has ended."""

    def __init__(self, count: int, concurrency: int, prefetch: int, command: str) -> None:
        self.left, self.room = count, concurrency + prefetch
        self.settings = Settings(1, concurrency, prefetch, False)
        self.texts = {"command": command}
        self.begun = self.done = self.messages = 0
        self.ended = asyncio.Event()
        self.incarnation = ""
        self._count, self._applied = count, 0

    async def serve(self, connection: ServerConnection) -> None:
        try:
            while True:
                frame = await connection.recv()
                if isinstance(frame, bytes):
                    chunk = parse_chunk(frame)
                    seen = Confirm(chunk.execution, chunk.stream, chunk.offset + len(chunk.data))
                    await connection.send(encode_confirms([seen]))
                elif said := self._answer(orjson.loads(frame)):
                    await connection.send(encode_post(1, 1, self.incarnation, said), text=True)
        except ConnectionClosed:
            return

    def _answer(self, content: dict[str, Any]) -> list[ToAgent]:
        match content["type"]:
            case "hello":
                self.incarnation = content["incarnation"]
                return [Welcome(1, self.incarnation, 0)]
            case "heartbeat":
                return [self.settings, *self._assign()]
            case "reports":
                self.messages += 1
                last = content["first"] + len(content["reports"]) - 1
                for report in content["reports"][max(self._applied - content["first"] + 1, 0) :]:
                    self.done += report["type"] in ("succeeded", "failed")
                self._applied = max(self._applied, last)
                if self.done == self._count:
                    self.ended.set()
                return [Applied(self._applied), *self._assign()]
            case _:  # what it shows meanwhile, and nobody keeps
                return []

    def _assign(self) -> list[ToAgent]:
        many = min(self.left, self.room - (self.begun - self.done))
        self.left, self.begun = self.left - many, self.begun + many
        return [Assign(id, id, self.texts) for id in range(self.begun - many + 1, self.begun + 1)]


def cpu_s(pid: int) -> tuple[float, float]:
    """What a process has used itself, and its children."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    own, children = int(fields[11]) + int(fields[12]), int(fields[13]) + int(fields[14])
    return own * TICK_S, children * TICK_S


async def measure(folder: Path, count: int, concurrency: int, prefetch: int, command: str) -> tuple[float, ...]:
    """Tasks a second, and CPU seconds for 1,000 tasks: agent, shim, commands; and reports a message."""
    server = Server(count, concurrency, prefetch, command)
    async with serve(server.serve, "127.0.0.1", 0, subprotocols=[Subprotocol("scitq.1")], compression=None) as listener:
        url = f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}"
        arguments = ("-c", PROGRAM, url, str(folder), str(concurrency))
        agent = await asyncio.create_subprocess_exec(sys.executable, *arguments)
        while server.done == 0:
            await asyncio.sleep(0.001)
        shim = ShimClient(folder / "agent" / "shim", lambda execution, task: NotImplemented)
        shim_pid = shim.shim_pid()
        assert shim_pid is not None
        shim.close()
        begin, done, before = time.perf_counter(), server.done, [cpu_s(agent.pid), cpu_s(shim_pid)]
        async with asyncio.timeout(300):
            await server.ended.wait()
        took, after = time.perf_counter() - begin, [cpu_s(agent.pid), cpu_s(shim_pid)]
        agent.terminate()
        await agent.wait()
        ShimClient(folder / "agent" / "shim", lambda execution, task: NotImplemented).leave()
    thousands = (count - done) / 1_000
    used = [(now[of] - then[of]) / thousands for (now, then), of in zip(
        [(after[0], before[0]), (after[1], before[1]), (after[1], before[1])], (0, 0, 1), strict=True
    )]  # fmt: skip
    return ((count - done) / took, *used, server.done * 2 / max(server.messages, 1))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=4_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--concurrency", type=int, default=8)
    parser.add_argument("--prefetch", type=int, default=32)
    parser.add_argument("--command", default="/bin/true")
    given = parser.parse_args()
    found = []
    for _ in range(given.rounds):
        with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
            how = (given.count, given.concurrency, given.prefetch, given.command)
            found.append(asyncio.run(measure(Path(folder), *how)))
    table = Table("", "median", "lowest", "highest")
    names = ("tasks/s", "CPU s/1,000 tasks: agent", "shim", "commands", "reports a message")
    for name, values in zip(names, zip(*found, strict=True), strict=True):
        table.add_row(
            name,
            *(
                f"{value:,.0f}" if value > 100 else f"{value:.3f}"
                for value in (statistics.median(values), min(values), max(values))
            ),
        )
    Console().print(table)
    return 0


if __name__ == "__main__":
    sys.exit(main())
