"""The broker users of workers: their names, what each may write and read, and what the broker says of who speaks.

    scitq/node7 ──writes──▶ scitq.in, under the keys reports.scitq/node7 and output.scitq/node7 only
                ◀──reads─── scitq.posts/node7, its queue, made by the server and bound to the address scitq/node7

Everything of a user follows from the prefix and the worker's name. What is said under its keys was said by it: the
broker lets nobody else write there. docs/decisions/0011-agents-over-amqp.md says what is guarded against how.
"""

from __future__ import annotations

import hashlib
import re
from typing import Final

from scitq.bus.rabbit_topology import SPOKEN, Names

USER: Final = "user"
"""The header that names who spoke; set here from what the broker guarantees, never from what came."""
_SEPARATOR: Final = "/"
_PLAIN: Final = re.compile(r"[A-Za-z0-9._-]{1,100}")
_READABLE: Final = 40


def user_of(prefix: str, name: str) -> str:
    """The broker user of the worker of that name."""
    return f"{prefix}{_SEPARATOR}{_own_part(name)}"


def prefix_in(vhost: str, prefix: str) -> str:
    """What the users of a server begin with: on a broker they are there for all its virtual hosts."""
    return prefix if vhost == "/" else f"{prefix}@{_own_part(vhost)}"


def is_user(address: str) -> bool:
    """Whether posts to this address go to an agent that speaks with the broker itself."""
    return _SEPARATOR in address


def is_user_of(user: str, name: str) -> bool:
    return user.partition(_SEPARATOR)[2] == _own_part(name)


def queue_of(names: Names, user: str) -> str:
    """Where the agent finds what is posted to it."""
    return f"{names.posts}{_SEPARATOR}{user.partition(_SEPARATOR)[2]}"


def key_of(queue: str, user: str) -> str:
    """Under which the user, and nobody else, may write into a queue."""
    return f"{queue}.{user}"


def keys_pattern(user: str) -> str:
    """What the broker compares a key with that the user wants to write under."""
    return f"^({'|'.join(SPOKEN)})\\.{exactly(user)}$"


def exactly(name: str) -> str:
    """As a regular expression of Erlang's, which has all that Python escapes, and more that need not be."""
    return re.sub(r"([^A-Za-z0-9_/~-])", r"\\\1", name)


def speaker(queue: str, key: str, user_id: str | None) -> str | None:
    """The user that spoke; None: the server itself. ValueError, in words, when the broker does not say who it was.

    A message that was sent under one key can be delivered to other queues too (the header CC, whose keys RabbitMQ 3.10
    does not compare): so the key itself must be one of this queue's.
    """
    if key == queue:
        return None
    if queue in SPOKEN and user_id and key == key_of(queue, user_id):
        return user_id
    raise ValueError(f"the broker does not vouch for whoever sent this into {queue}")


def _own_part(name: str) -> str:
    """The name itself where it is a plain one; else what can be read of it, and what tells it from all others."""
    if _PLAIN.fullmatch(name):
        return name
    readable = re.sub(r"[^A-Za-z0-9._-]+", "_", name)[:_READABLE]
    return f"{readable}~{hashlib.sha256(name.encode('utf-8', 'surrogatepass')).hexdigest()[:32]}"
