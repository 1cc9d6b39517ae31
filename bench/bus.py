"""Messages carried each second, and how long one takes, by both buses: `python -m bench.bus`.

Sender and taker are two threads of this process; over RabbitMQ, the broker runs on the same cores.
"""

from __future__ import annotations

import statistics
import threading
import time
from collections.abc import Callable, Iterator

from rich.console import Console
from rich.table import Table

from scitq.bus import Bus, Mailbox
from scitq.bus.local import LocalBus
from scitq.bus.rabbitmq import RabbitBus
from scitq.errors import BusUnavailable
from tests.services.rabbit_programs import RabbitMissing
from tests.services.rabbitmq import PrivateRabbit

SIZES = {"500 B": (500, 20_000), "64 KB": (64 * 1024, 2_000)}
ROUNDS = 3
SINGLE = 300
PACED = 500
"""Messages of a fan-out between two waits: a follower that is slow is meant to lose some, and here nobody is."""
SOON_S = 120.0


def main() -> None:
    table = Table("bus", "size", "what", "messages/s", "MB/s", "ms, one alone (median)", "ms (slowest of 300)")
    for name, bus in buses():
        for shown, (size, count) in SIZES.items():
            for what, way in (("queue", through_queue), ("mailbox", through_mailbox)):
                rates = [way(bus, bytes(size), count) for _ in range(ROUNDS)]
                alone = sorted(1e3 / way(bus, bytes(size), 1) for _ in range(SINGLE))
                rate = statistics.median(rates)
                table.add_row(
                    name, shown, what, f"{rate:,.0f}", f"{rate * size / 1e6:,.0f}",
                    f"{statistics.median(alone):.2f}", f"{alone[-1]:.1f}",
                )  # fmt: skip
    Console().print(table)


def buses() -> Iterator[tuple[str, Bus]]:
    local = LocalBus()
    yield "in process", local
    local.close()
    try:
        broker = PrivateRabbit()
    except RabbitMissing as missing:
        Console().print(f"{missing}")
        return
    with broker:
        rabbit = RabbitBus([broker.url])
        if not rabbit.until_ready(SOON_S):
            raise SystemExit(f"the broker: {rabbit.trouble}")
        yield "RabbitMQ", rabbit
        rabbit.close()


def through_queue(bus: Bus, body: bytes, count: int) -> float:
    """Sent, taken and done; messages a second."""
    with bus.consume("reports") as consumer:
        if isinstance(bus, RabbitBus):  # it has subscribed when the first message comes
            _send(bus, b"first", 1)
            consumer.done(one.token for one in consumer.take(1, SOON_S))
        begin = time.perf_counter()
        sender = _in_background(lambda: _send(bus, body, count))
        taken = 0
        while taken < count:
            found = consumer.take(1_000, SOON_S)
            consumer.done(one.token for one in found)
            taken += len(found)
        spent = time.perf_counter() - begin
        sender.join()
    return count / spent


def through_mailbox(bus: Bus, body: bytes, count: int) -> float:
    """Posted and received; messages a second."""
    with bus.mailbox() as box:
        bus.post(box.address, b"first")
        box.take(1, SOON_S)
        room = threading.Semaphore(PACED)
        begin = time.perf_counter()
        sender = _in_background(lambda: _post(bus, box.address, body, count, room))
        _receive(box, count, room)
        spent = time.perf_counter() - begin
        sender.join()
    return count / spent


def _send(bus: Bus, body: bytes, count: int) -> None:
    for _ in range(count):
        while True:
            try:
                bus.send("reports", body)
                break
            except BusUnavailable:
                time.sleep(0.001)


def _post(bus: Bus, address: str, body: bytes, count: int, room: threading.Semaphore) -> None:
    for _ in range(count):
        room.acquire()
        bus.post(address, body)


def _receive(box: Mailbox, count: int, room: threading.Semaphore) -> None:
    taken = 0
    while taken < count:
        found = len(box.take(1_000, SOON_S))
        taken += found
        room.release(found)


def _in_background(do: Callable[[], None]) -> threading.Thread:
    thread = threading.Thread(target=do)
    thread.start()
    return thread


if __name__ == "__main__":
    main()
