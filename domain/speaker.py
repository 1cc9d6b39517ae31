"""Who may say what: one rule for every way on which agents reach the server."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from pydantic import BaseModel

from scitq.domain.messages import AgentHello, FromAgent
from scitq.domain.telemetry import Telemetry
from scitq.errors import Malformed


@dataclass(frozen=True, slots=True)
class Speaker:
    """Whoever speaks, as far as that is certain: by a credential, a connection or a broker, never by what is said.

    `credential`: whose it is, in words; `may_be`: whether it may introduce itself under a name; `is_worker`: whether it
    has the place of that worker in that incarnation.
    """

    credential: str
    may_be: Callable[[str], bool]
    is_worker: Callable[[int, str], bool]

    def check(self, message: FromAgent | Telemetry) -> None:
        """Malformed, in words, when it may not say this."""
        if isinstance(message, AgentHello):
            if not self.may_be(message.hello.name):
                raise Malformed(f"this credential is for {self.credential}, not for {message.hello.name!r}")
        elif not self.is_worker(message.worker, message.incarnation):
            raise Malformed(f"this is said for worker {message.worker} by an agent that has not its place")


class BrokerAccount(BaseModel):
    """What the server gives a worker that wants to speak over the broker.

    `keys`: under which it writes to the exchange, by what it sends. The addresses have no user in them.
    """

    addresses: list[str]
    user: str
    password: str
    exchange: str
    queue: str
    keys: dict[str, str]
