"""What is said of a broker: once, and in words."""

from __future__ import annotations

import errno
import logging

import pytest
from pika import exceptions
from pika.adapters.utils.connection_workflow import (
    AMQPConnectionWorkflowFailed,
    AMQPConnectorSocketConnectError,
    AMQPConnectorStackTimeout,
)  # fmt: skip

from scitq.bus.rabbit_standing import Standing, sentence


def test_a_broker_that_goes_away_is_reported_once_for_all_connections(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "scitq.bus")
    standing = Standing({"publish", "consume"})
    assert standing.trouble == "it has not answered yet"
    standing.back("publish", "broker:5672")
    standing.back("consume", "broker:5672")
    assert standing.wait(0.0)
    assert caplog.messages == []
    standing.away("publish", "broker:5672", "connection refused")
    standing.away("consume", "broker:5672", "connection refused")
    standing.away("consume", "other:5672", "it does not answer")
    assert standing.trouble == "connection refused"
    standing.back("publish", "broker:5672")
    assert not standing.wait(0.0)
    standing.back("consume", "broker:5672")
    assert standing.wait(0.0)
    assert caplog.messages == ["the broker is away; trying again", "the broker is back"]


def test_a_broker_that_refuses_us_is_an_error_said_once_for_each_reason(caplog: pytest.LogCaptureFixture) -> None:
    standing = Standing({"publish"})
    for reason in ("no such user", "no such user", "no such virtual host"):
        standing.away("publish", "broker:5672", reason, refused=True)
    assert [record.levelname for record in caplog.records] == ["ERROR", "ERROR"]


@pytest.mark.parametrize(
    ("error", "said", "refused"),
    [
        (OSError(errno.ECONNREFUSED, "x"), "connection refused", False),
        (AMQPConnectorStackTimeout("x"), "it does not answer", False),
        (exceptions.AMQPHeartbeatTimeout("x"), "it has not been heard of for too long", False),
        (exceptions.ProbableAuthenticationError("x"), "it does not accept the password of the user 'ada'", True),
        (exceptions.ProbableAccessDeniedError("x"), "it has no virtual host 'lab', or the user 'ada' may not use it",
         True),
        (exceptions.ConnectionClosedByBroker(320, "CONNECTION_FORCED - shutdown"),
         "it closed the connection: CONNECTION_FORCED - shutdown", False),
        (exceptions.StreamLostError("x", "y"), "the connection was lost", False),
    ],
)  # fmt: skip
def test_what_has_happened_is_said_in_words(error: BaseException, said: str, refused: bool) -> None:
    wrapped = AMQPConnectionWorkflowFailed([AMQPConnectorSocketConnectError(error)])
    assert sentence(error, "ada", "lab") == (said, refused)
    assert sentence(exceptions.AMQPConnectionError(wrapped), "ada", "lab") == (said, refused)
