"""Addresses of brokers, understood or refused in words."""

from __future__ import annotations

import ssl

import pika
import pytest

from scitq.bus.rabbit_address import Address
from scitq.errors import Malformed


def test_an_address_has_the_usual_port_user_and_virtual_host_unless_it_says_otherwise() -> None:
    plain = Address("amqp://broker.example")
    assert (plain.shown, plain.user, plain.vhost) == ("broker.example:5672", "guest", "/")
    full = Address("amqp://ada%40home:se%2Fcret@broker.example:5673/science%2Fone")
    assert (full.shown, full.user, full.vhost) == ("broker.example:5673", "ada@home", "science/one")
    credentials = full.parameters.credentials
    assert isinstance(credentials, pika.PlainCredentials) and credentials.password == "se/cret"
    assert Address("amqp://broker.example/%2F").vhost == "/"


def test_a_secure_address_checks_the_certificate_and_the_name_in_it() -> None:
    options = Address("amqps://broker.example").parameters.ssl_options
    assert options is not None
    assert options.server_hostname == "broker.example"
    assert options.context.verify_mode is ssl.CERT_REQUIRED and options.context.check_hostname
    assert Address("amqp://broker.example").parameters.ssl_options is None


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("http://broker.example", "begins with amqp"),
        ("amqp://", "names a host"),
        ("amqp://broker.example:many", "cannot be understood"),
        ("amqps://broker.example?verify=no", "'verify'"),
        ("amqp://broker.example?cafile=/tmp/x", "has none"),
        ("amqps://broker.example?cafile=/no/such/file", "/no/such/file"),
    ],
)
def test_what_is_no_address_is_refused_in_words(url: str, why: str) -> None:
    with pytest.raises(Malformed, match=why):
        Address(url)
