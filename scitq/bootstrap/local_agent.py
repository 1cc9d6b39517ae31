"""The agent that `scitq up` starts: a process of its own, told what to do on standard input, where no list of processes
shows it. When that input ends, `scitq up` is gone, and the agent leaves its tasks to the shim and ends too."""

from __future__ import annotations

import os
import signal
import sys
import threading
from dataclasses import asdict
from pathlib import Path

import orjson

from scitq.agents.runtime import Options, run
from scitq.bootstrap import logs
from scitq.config import for_fetch, load


def describe(options: Options) -> bytes:
    """What `main` reads."""
    return orjson.dumps({**asdict(options), "on_connected": None}, default=str) + b"\n"


def main() -> int:
    told = orjson.loads(sys.stdin.buffer.readline())
    paths = {name: Path(told[name]) for name in ("folder", "base")}
    options = Options(**{**told, **paths, "batches": tuple(told["batches"])})
    settings = load()
    logs.set_up(settings, of="scitq.worker")
    for_fetch(settings)
    threading.Thread(target=_watch_input, daemon=True).start()
    return run(options)


def _watch_input() -> None:
    while os.read(sys.stdin.fileno(), 4_096):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    sys.exit(main())
