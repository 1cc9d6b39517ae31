"""What the log of a container costs an agent at 100,000 lines a second, which an engine seldom gets to.

The engine here is a process that sends each line by itself, as dockerd does: a frame in a chunk.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import socket
import statistics
import time
from multiprocessing.synchronize import Event
from pathlib import Path

import uvloop

from bench.agent_worked import Size
from bench.table import Findings
from scitq.agents.container_logs import Log

LINES, LINE_BYTES, A_SECOND, BURST = 200_000, 9, 100_000, 100
BAR = 0.30


def log(found: Findings, size: Size) -> None:
    """CPU of the process that reads, nothing else being in it."""
    rates, cores = list[float](), list[float]()
    for number in range(size.rounds):
        folder = size.folder / f"log{number}"
        folder.mkdir()
        ready = multiprocessing.Event()
        engine = multiprocessing.Process(target=_engine, args=(str(folder / "socket"), ready))
        engine.start()
        ready.wait()
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            took, cpu = runner.run(_read(folder))
        engine.join()
        rates.append(LINES / took)
        cores.append(cpu / took)
    core = statistics.median(cores)
    found.row(
        f"{statistics.median(rates):,.0f} lines a second in the log of a container, from an engine that does no more",
        "≤ 30 % of a core", f"{core:.1%}, {1e6 * core / statistics.median(rates):.2f} µs a line", core <= BAR,
    )  # fmt: skip


async def _read(folder: Path) -> tuple[float, float]:
    log = Log(folder / "1")
    begin, cpu = time.monotonic(), time.process_time()
    await log.read(str(folder / "socket"), "", "1", follow=True)
    took, cpu = time.monotonic() - begin, time.process_time() - cpu
    if log.sizes != (LINES * LINE_BYTES, 0):
        raise RuntimeError(f"{log.sizes} bytes were kept, not {LINES * LINE_BYTES}")
    return took, cpu


def _engine(path: str, ready: Event) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
        ready.set()
        connection, _ = listener.accept()
    with connection:
        connection.recv(10_000)
        connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        begin = time.monotonic()
        for number in range(LINES):
            line = b"%08d\n" % number
            frame = b"\1\0\0\0" + len(line).to_bytes(4, "big") + line
            connection.sendall(b"%x\r\n%b\r\n" % (len(frame), frame))
            if number % BURST == BURST - 1:
                time.sleep(max(0.0, begin + (number + 1) / A_SECOND - time.monotonic()))
        connection.sendall(b"0\r\n\r\n")
