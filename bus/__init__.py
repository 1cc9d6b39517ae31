"""How messages travel: RabbitMQ and the in-process bus under one contract (`bus.py`)."""

from scitq.bus.bus import Bus, Consumer, Delivery, Depth, Mailbox, Message
from scitq.bus.inbox import Inbox
from scitq.bus.parked import Parked, Shelf

__all__ = ["Bus", "Consumer", "Delivery", "Depth", "Inbox", "Mailbox", "Message", "Parked", "Shelf"]
