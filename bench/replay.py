"""How fast a log becomes the engine's state: `python -m bench.replay`, events a second on one core.

Five events a task, a third of them with a worker's mark. Decoding is from stored bytes; folding is `evolve` and the
indexes beside it. A snapshot spares both.
"""

from __future__ import annotations

import argparse
import gc
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from bench.history import history, sealed
from scitq.domain import wire
from scitq.domain.snapshot import dump, load
from scitq.domain.state import State
from scitq.domain.task import TaskCreated
from scitq.domain.worker import WorkerDeclared


def timed(what: Callable[[], Any]) -> tuple[float, Any]:
    gc.collect()
    began = time.perf_counter()
    result = what()
    return time.perf_counter() - began, result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", type=int, default=40_000)
    log = history(parser.parse_args().tasks)
    count = len(log)
    print(f"{count:,} events; events a second")
    seconds, chain = timed(lambda: sealed(log))
    print(f"{'encode and seal':24}{count / seconds:12,.0f}")
    seconds, decoded = timed(lambda: [wire.recorded(envelope) for envelope in chain])
    print(f"{'decode':24}{count / seconds:12,.0f}")
    seconds, _ = timed(partial(State().fold, decoded))
    print(f"{'fold':24}{count / seconds:12,.0f}")
    seconds, state = timed(lambda: State().fold(wire.recorded(envelope) for envelope in chain))
    print(f"{'replay (decode and fold)':24}{count / seconds:12,.0f}")

    waiting = State().fold(one for one in log if isinstance(one.event, WorkerDeclared | TaskCreated))
    seconds, data = timed(lambda: dump(waiting))
    print(f"snapshot of {len(waiting.tasks):,} waiting tasks: {len(data):,} bytes, written in {seconds:.2f} s", end="")
    seconds, again = timed(lambda: load(data))
    assert again.facts() == waiting.facts() and state.position == count
    print(f", loaded in {seconds:.2f} s")


if __name__ == "__main__":
    main()
