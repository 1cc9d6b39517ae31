"""The names of a server on a broker, and what stands under them. docs/decisions/0010-rabbitmq.md says why.

in       (topic)   ──reports.#─▶ queue reports       what comes for the server: quorum queues
                   ──commands──▶ queue commands
                   ──output.#──▶ queue output
parked   (fanout)  ───────────▶ queue parked         what could not be understood, or came too often
channels (topic)   ──events…──▶ one queue a follower
posts    (topic)   ──address──▶ one queue a process
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from pika.channel import Channel

from scitq.bus.parked import MOST_PARKED

QUEUES: Final = ("reports", "commands", "output")
SPOKEN: Final = ("reports", "output")
"""Into these agents may write that speak with the broker themselves, each under a key of its own behind the dot."""
DELIVERY_LIMIT: Final = 1_000
"""A fuse against what crashes its reader; every restart of a reader with it in hand counts, and is harmless."""
MOST_BYTES: Final = 1024**3
FOR_EVER: Final = 1_000_000_000
"""Who looks at what is parked takes it and gives it back, which counts; RabbitMQ 4 lets go of a message at 20."""


class Names:
    """Everything of one server begins with its prefix."""

    def __init__(self, prefix: str) -> None:
        self.inbound, self.parked = f"{prefix}.in", f"{prefix}.parked"
        self.channels, self.posts = f"{prefix}.channels", f"{prefix}.posts"
        self.prefix = prefix

    def queue(self, name: str) -> str:
        return f"{self.prefix}.{name}"


def declare(channel: Channel, names: Names, then: Callable[[], object]) -> None:
    """Make what is missing, and compare what is there. A difference closes the channel."""
    for exchange, kind in (
        (names.inbound, "topic"), (names.parked, "fanout"), (names.channels, "topic"), (names.posts, "topic")
    ):  # fmt: skip
        channel.exchange_declare(exchange, kind, durable=True)
    for queue in QUEUES:
        declare_queue(channel, names, queue)
    channel.queue_declare(
        names.parked,
        durable=True,
        arguments={
            "x-queue-type": "quorum",
            "x-delivery-limit": FOR_EVER,
            "x-max-length": MOST_PARKED,
            "x-max-length-bytes": MOST_BYTES,
            "x-overflow": "drop-head",
        },
    )
    channel.queue_bind(names.parked, names.parked, "", callback=lambda _: then())


def declare_queue(channel: Channel, names: Names, queue: str, then: Callable[[], object] | None = None) -> None:
    """One of those that lead into the server."""
    arguments: dict[str, Any] = {
        "x-queue-type": "quorum",
        "x-delivery-limit": DELIVERY_LIMIT,
        "x-max-length-bytes": MOST_BYTES,
        "x-overflow": "reject-publish",
        "x-dead-letter-exchange": names.parked,
        "x-dead-letter-strategy": "at-least-once",
    }
    channel.queue_declare(names.queue(queue), durable=True, arguments=arguments)
    key = f"{queue}.#" if queue in SPOKEN else queue
    channel.queue_bind(names.queue(queue), names.inbound, key, callback=None if then is None else lambda _: then())
