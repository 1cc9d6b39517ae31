"""How messages travel: RabbitMQ and the in-process bus under one contract (`bus.py`)."""

from scitq.bus.bus import Bus, Consumer, Delivery, Mailbox, Message
from scitq.bus.inbox import Inbox

__all__ = ["Bus", "Consumer", "Delivery", "Inbox", "Mailbox", "Message"]
