"""Events appended each second, by the size of a turn: `python -m bench.append`."""

from __future__ import annotations

import statistics
import time

from rich.console import Console
from rich.table import Table

from bench.stores import Writer, stores

TURNS = {1: 400, 10: 200, 100: 100, 1_000: 20, 5_000: 8}


def main() -> None:
    table = Table("store", "events a turn", "events/s", "ms a turn (median)", "ms (slowest)")
    with stores() as made:
        for name, url in made:
            writer = Writer(url)
            for size, repeats in TURNS.items():
                spent = []
                for _ in range(repeats):
                    turn = writer.turn(size)
                    begin = time.perf_counter()
                    writer.write(turn)
                    spent.append(time.perf_counter() - begin)
                median = statistics.median(spent)
                table.add_row(
                    name, f"{size:,}", f"{size / median:,.0f}", f"{median * 1e3:.2f}", f"{max(spent) * 1e3:.1f}"
                )
            writer.journal.close()
    Console().print(table)


if __name__ == "__main__":
    main()
