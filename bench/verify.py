"""Events read, and events verified, each second: `python -m bench.verify [events]`."""

from __future__ import annotations

import sys
import time
from collections import deque

from rich.console import Console
from rich.table import Table

from bench.stores import Writer, stores
from scitq.store.chain import in_bulk, verify

ROUNDS = 3


def main(events: int) -> None:
    table = Table("store", "events", "read/s", "read and verified/s")
    with stores() as made:
        for name, url in made:
            writer = Writer(url)
            while writer.head.position < events:
                writer.write(writer.turn(5_000))
            count = writer.head.position
            reads, proofs = [], []
            for _ in range(ROUNDS):
                with in_bulk():
                    begin = time.perf_counter()
                    deque(writer.journal.stream(), maxlen=0)
                    middle = time.perf_counter()
                    assert verify(writer.journal.stream()) == writer.head
                proofs.append(count / (time.perf_counter() - middle))
                reads.append(count / (middle - begin))
            table.add_row(name, f"{count:,}", f"{max(reads):,.0f}", f"{max(proofs):,.0f}")
            writer.journal.close()
    Console().print(table)


if __name__ == "__main__":
    main(int(sys.argv[1]) if sys.argv[1:] else 300_000)
