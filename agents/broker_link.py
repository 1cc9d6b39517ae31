"""Through the server's broker: an AMQP connection as a user of one's own, for which the server is asked over HTTP.

The user and its password are never written down. Whenever the broker does not know them (it was wiped, or the server
has removed them) the server is asked again, and says so if this worker is not wanted any more.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Callable
from typing import Any, Final
from urllib.parse import quote, urlsplit, urlunsplit

import httpx
import orjson
from pika.exceptions import ChannelClosed, ConnectionClosed, ProbableAccessDeniedError, ProbableAuthenticationError
from pydantic import ValidationError

from scitq import __version__
from scitq.agents.broker_connection import BrokerConnection
from scitq.agents.gateway_link import TOO_FAR_APART, GatewayLink
from scitq.agents.link import OPEN_S, OTHER_FOR_S, Connection, Link, NotOpened
from scitq.bus.rabbit_address import HANDSHAKE_S, Address
from scitq.bus.rabbit_standing import sentence
from scitq.domain.agent_wire import PROTOCOLS
from scitq.domain.speaker import BrokerAccount
from scitq.errors import Malformed

log = logging.getLogger(__name__)

PATH: Final = "/workers/broker"
LOOPBACK: Final = ("localhost", "127.0.0.1", "::1")


class NotGiven(NotOpened):
    """The server could not be asked, or did not answer that question: nothing is known of its broker."""


class BrokerLink(Link):
    """`token` is what opens the gateway too; see `GatewayLink`."""

    def __init__(self, url: str, token: str | Callable[[], str], name: str) -> None:
        super().__init__()
        self._url = url if "://" in url else f"http://{url}"
        self._token = token if callable(token) else lambda: token
        self._name = name
        self._account: BrokerAccount | None = None
        self._other_since: float | None = None

    async def open(self) -> Connection:
        account = self._account = self._account or await self._ask()
        error: NotOpened | None = None
        for url in random.sample(account.addresses, len(account.addresses)):
            try:
                connection = await self._connect(account, url)
            except NotOpened as found:
                error = found
            else:
                self._other_since = None
                return connection
        raise error or NotOpened("the server has named no broker")

    async def _connect(self, account: BrokerAccount, url: str) -> Connection:
        try:
            address = Address(_with_user(url, account))
        except Malformed as error:
            raise NotOpened(str(error), refused=True) from error
        connection = BrokerConnection(address, account.user, account.exchange, account.queue, account.keys)
        try:
            async with asyncio.timeout(OPEN_S + HANDSHAKE_S):
                await connection.opened
        except TimeoutError:
            await connection.close()
            raise NotOpened(f"the broker at {address.shown} does not answer") from None
        except asyncio.CancelledError:
            await connection.close()
            raise
        except Exception as error:  # whatever pika says that it is
            await connection.close()
            raise self._refused(error, address) from error
        return connection

    def _refused(self, error: Exception, address: Address) -> NotOpened:
        reason, _ = sentence(error, address.user, address.vhost)
        if isinstance(error, ChannelClosed) and "exclusive use" in error.reply_text:
            now = time.monotonic()
            self._other_since = now if self._other_since is None else self._other_since
            words = f"another agent is connected to the broker at {address.shown} as worker {self._name!r}"
            return NotOpened(words, fatal=now - self._other_since >= OTHER_FOR_S)
        known = (ChannelClosed, ConnectionClosed, ProbableAuthenticationError, ProbableAccessDeniedError)
        if isinstance(error, known) and "connection limit" not in str(error):
            self._account = None  # the server knows better what there is, or makes it
        return NotOpened(f"the broker at {address.shown} cannot be used: {reason}")

    async def _ask(self) -> BrokerAccount:
        shown, here = self._token(), urlsplit(self._url).hostname in LOOPBACK
        try:
            async with httpx.AsyncClient(timeout=OPEN_S, trust_env=not here) as client:
                answer = await client.post(
                    self._url.rstrip("/") + PATH,
                    json={"name": self._name, "protocols": PROTOCOLS},
                    headers={"Authorization": f"Bearer {shown}", "User-Agent": f"scitq/{__version__}"},
                )
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            reason = str(error) or "it does not answer"
            raise NotGiven(f"the server at {self._url} cannot be reached: {reason}") from error
        if answer.status_code == 201:
            try:
                return BrokerAccount.model_validate_json(answer.content)
            except ValidationError as error:
                raise NotGiven(f"what the server at {self._url} says of its broker cannot be understood") from error
        said = _message(answer)
        if answer.status_code == 401:
            refused = self._token() == shown
            raise NotGiven(
                f"the server at {self._url} does not accept this worker's token or credential{said}: set SCITQ_TOKEN "
                "to the server's token, or enrol the worker anew with an invitation (scitq worker invite)",
                refused=refused, fatal=refused,
            )  # fmt: skip
        if answer.status_code == TOO_FAR_APART:
            raise NotGiven(
                f"the server at {self._url} and this worker do not understand each other{said}",
                refused=True,
                fatal=True,
            )
        if answer.status_code in (404, 409):
            raise NotOpened(f"the server at {self._url} has no users of a broker to give{said}", fatal=True)
        raise NotGiven(f"the server at {self._url} answered {answer.status_code}{said}")


class AnyLink(Link):
    """Through the broker, when the server gives users of it and it can be reached from here; else through the gateway.
    Which of them is found out once, with the first answer of the server."""

    def __init__(self, url: str, token: str | Callable[[], str], name: str) -> None:
        super().__init__()
        self._gateway, self._broker = GatewayLink(url, token), BrokerLink(url, token, name)
        self._way: Link | None = None

    async def open(self) -> Connection:
        if self._way is not None:
            return await self._way.open()
        try:
            connection = await self._broker.open()
        except NotGiven:
            raise
        except NotOpened as error:
            log.info("the worker goes through the server's gateway", extra={"reason": str(error)})
            self._way = self._gateway
            return await self._way.open()
        self._way = self._broker
        return connection


def _with_user(url: str, account: BrokerAccount) -> str:
    parts = urlsplit(url)
    user = f"{quote(account.user, safe='')}:{quote(account.password, safe='')}"
    return urlunsplit(parts._replace(netloc=f"{user}@{parts.netloc.rpartition('@')[2]}"))


def _message(answer: httpx.Response) -> str:
    try:
        said: Any = orjson.loads(answer.content)
        message = str(said.get("message", ""))[:1_000]
    except (orjson.JSONDecodeError, AttributeError):
        return ""
    return f" ({message})" if message else ""
