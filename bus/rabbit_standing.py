"""How we stand with the broker: said once when it goes away, once when it is back, and in words to who asks."""

from __future__ import annotations

import errno
import logging
import os
import socket
import ssl
from threading import Condition
from typing import Final

from pika import exceptions
from pika.adapters.utils import connection_workflow as workflow

log = logging.getLogger(__name__)


class Standing:
    """Of all connections of one bus together. From any thread."""

    def __init__(self, parts: set[str]) -> None:
        self._changed = Condition()
        self._missing = dict.fromkeys(parts, "it has not answered yet")
        self._told: str | None = None
        self._refusals: set[str] = set()

    @property
    def trouble(self) -> str | None:
        """Why nothing goes at present."""
        with self._changed:
            return next(iter(self._missing.values()), None)

    def wait(self, timeout_s: float) -> bool:
        """Until all is well."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._missing, timeout_s)

    def away(self, part: str, where: str, reason: str, *, refused: bool = False) -> None:
        """`refused`: it is there and says no, which does not mend itself."""
        with self._changed:
            self._missing[part] = reason
            first, again = self._told is None, reason in self._refusals
            self._told = reason
            if refused:
                self._refusals.add(reason)
            self._changed.notify_all()
        if refused and not again:
            log.error("the broker refuses us; trying again", extra={"broker": where, "reason": reason})
        elif first:
            log.warning("the broker is away; trying again", extra={"broker": where, "reason": reason})

    def back(self, part: str, where: str) -> None:
        with self._changed:
            self._missing.pop(part, None)
            well = not self._missing
            told = self._told
            if well:
                self._told = None
                self._refusals.clear()
            self._changed.notify_all()
        if well and told is not None:
            log.info("the broker is back", extra={"broker": where})


def sentence(error: BaseException, user: str, vhost: str, *, secure: bool = False) -> tuple[str, bool]:
    """What has happened, in words, and whether somebody has to do something about it."""
    error = _innermost(error)
    match error:
        case exceptions.ProbableAuthenticationError():
            return f"it does not accept the password of the user {user!r}", True
        case exceptions.ProbableAccessDeniedError() if "connection limit" in str(error):
            return f"the user {user!r} has as many connections as it may", False
        case exceptions.ProbableAccessDeniedError():
            return f"it has no virtual host {vhost!r}, or the user {user!r} may not use it", True
        case exceptions.ChannelClosedByBroker() if error.reply_code == 406:
            return f"it has something of another kind under one of our names: {_text(error)}", True
        case exceptions.ConnectionClosedByBroker() | exceptions.ChannelClosedByBroker() if error.reply_code == 403:
            return f"the user {user!r} may not do what is needed: {_text(error)}", True
        case exceptions.ConnectionClosed() | exceptions.ChannelClosed():
            return f"it closed the connection: {_text(error)}", False
        case exceptions.IncompatibleProtocolError() if secure:
            return f"it ends the connection before the first word: {OUR_CERTIFICATE}", True
        case exceptions.IncompatibleProtocolError():
            return "what answers is no AMQP broker, or speaks TLS only: then its address begins with amqps://", True
        case exceptions.AMQPHeartbeatTimeout():
            return "it has not been heard of for too long", False
        case exceptions.ConnectionBlockedTimeout():
            return "it takes nothing at present", False
        case workflow.AMQPConnectorStackTimeout() | TimeoutError():
            return "it does not answer", False
        case ssl.SSLCertVerificationError():
            return _distrusted(error), True
        case ssl.SSLError():
            return _insecure(error), True
        case socket.gaierror():
            return "its name is not known", False
        case OSError() if error.errno:
            return os.strerror(error.errno).lower(), error.errno == errno.EACCES
        case exceptions.StreamLostError() | exceptions.AMQPConnectionError():
            return "the connection was lost", False
    return str(error) or type(error).__name__, False


OTHER_NAME: Final = frozenset({62, 64})  # of X509_verify_cert: the host, or the IP address, is not in it
EXPIRED: Final = 10
OUR_CERTIFICATE: Final = "it may ask for a certificate of ours, signed by somebody whom it trusts: amqps://…?certfile=/path/our.pem&keyfile=/path/our.key"


def _distrusted(error: ssl.SSLCertVerificationError) -> str:
    said = f"its certificate is not to be trusted: {error.verify_message.rstrip('.')}"
    if error.verify_code in OTHER_NAME:
        return f"{said}; write the address with the name that the certificate is for"
    if error.verify_code == EXPIRED:
        return f"{said}; it needs a new one"
    return f"{said}; say who has signed it: amqps://…?cafile=/path/of/authority.pem"


def _insecure(error: ssl.SSLError) -> str:
    match error.reason:
        case "WRONG_VERSION_NUMBER" | "RECORD_LAYER_FAILURE" | "HTTP_REQUEST":
            return "what answers does not speak TLS: give the port that does (mostly 5671), or begin with amqp://"
        case reason if reason and "ALERT" in reason:
            return f"it refuses a secure connection ({reason}): {OUR_CERTIFICATE}"
    return f"no secure connection can be made: {error.reason or error}"


def _innermost(error: BaseException) -> BaseException:
    while True:
        match error:
            case workflow.AMQPConnectionWorkflowFailed(exceptions=[*_, inner]):
                error = inner
            case workflow.AMQPConnectorPhaseErrorBase(exception=BaseException() as inner):
                error = inner
            case exceptions.StreamLostError(args=[*_, BaseException() as inner]):
                error = inner
            case exceptions.AMQPConnectionError(args=[BaseException() as inner]):
                error = inner
            case _:
                return error


def _text(error: exceptions.ConnectionClosed | exceptions.ChannelClosed) -> str:
    return str(error.reply_text).removeprefix("PRECONDITION_FAILED - ").removeprefix("ACCESS_REFUSED - ")
