"""How full the queues of a broker are: asked when somebody wants to know, and never waited for."""

from __future__ import annotations

import time
from collections.abc import Mapping
from functools import partial
from threading import Lock
from typing import Final

from pika.channel import Channel
from pika.frame import Method
from pika.spec import Queue

from scitq.bus.bus import Depth
from scitq.bus.rabbit_link import Link, guarded
from scitq.bus.rabbit_topology import QUEUES, Names

ASK_EVERY_S: Final = 2.0
KNOWN_S: Final = 20.0
"""What was heard longer ago is not known any more. Whoever asks often, asks more often than that."""


class Depths:
    """On a channel of its own: a queue that somebody has deleted costs the channel."""

    def __init__(self, link: Link, names: Names) -> None:
        self._link = link
        self._queues = {name: names.queue(name) for name in QUEUES} | {"parked": names.parked}
        self._lock = Lock()
        self._asked = 0.0
        self._known: dict[str, tuple[float, int]] = {}
        self._empty: dict[str, float] = {}  # when it was seen empty
        self._channel: Channel | None = None  # in the link's thread only
        self._opening: object = None

    def now(self) -> Mapping[str, Depth]:
        """From any thread."""
        now = time.monotonic()
        with self._lock:
            ask = now - self._asked > ASK_EVERY_S
            if ask:
                self._asked = now
            found = {
                name: Depth(waiting, at - self._empty[name] if waiting else 0.0)
                for name, (at, waiting) in self._known.items()
                if now - at < KNOWN_S
            }
        if ask:
            self._link.call(self._ask)
        return found if len(found) == len(self._queues) else {}

    @guarded
    def _ask(self) -> None:
        connection = self._link.connection
        if connection is None:
            return
        channel = self._channel
        if channel is not None and channel.is_open and channel.connection is connection:
            self._declare(channel)
        elif self._opening is not connection:
            self._opening = connection
            connection.channel(on_open_callback=self._opened)

    @guarded
    def _opened(self, channel: Channel) -> None:
        self._channel, self._opening = channel, None
        channel.add_on_close_callback(lambda *_: None)
        self._declare(channel)

    def _declare(self, channel: Channel) -> None:
        for name, queue in self._queues.items():
            channel.queue_declare(queue, passive=True, callback=partial(self._told, name))

    def _told(self, name: str, frame: Method[Queue.DeclareOk]) -> None:
        now, waiting = time.monotonic(), frame.method.message_count or 0
        with self._lock:
            if not waiting or name not in self._empty:
                self._empty[name] = now
            self._known[name] = (now, waiting)
