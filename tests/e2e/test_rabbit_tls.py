"""Secure connections to a broker: only to one that is trusted, and what is wrong is said with what to do about it."""

from __future__ import annotations

import secrets
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from scitq.bus.rabbitmq import RabbitBus
from scitq.errors import Malformed
from tests.conftest import miss
from tests.services.rabbitmq import PrivateRabbit
from tests.services.waiting import eventually

SOON_S = 60.0
AWAITED = "it has not answered yet"
MOUNT = 'mount --bind "$0" /etc/hosts && exec "$@"'


@pytest.fixture(scope="module")
def choosy() -> Iterator[PrivateRabbit]:
    """A broker that asks its clients for a certificate too; its authority is another one."""
    with PrivateRabbit({"ssl_options.verify": "verify_peer", "ssl_options.fail_if_no_peer_cert": "true"}) as broker:
        yield broker


def trouble(url: str) -> str:
    """What a bus says of that address, which is of no use."""
    bus = RabbitBus([url], prefix=f"test.{secrets.token_hex(4)}")
    try:
        eventually(lambda: bus.trouble != AWAITED, "it is known what is wrong")
        assert bus.trouble is not None and "guest" not in bus.trouble
        return bus.trouble
    finally:
        bus.close()


def carries(url: str) -> bool:
    with_prefix = f"test.{secrets.token_hex(4)}"
    bus = RabbitBus([url], prefix=with_prefix)
    try:
        assert bus.until_ready(SOON_S), bus.trouble
        with bus.consume("reports") as consumer:
            bus.send("reports", bytes(1_000_000))
            return len(consumer.take(1, SOON_S)[0].message.body) == 1_000_000
    finally:
        bus.close()


def test_a_broker_is_trusted_whose_certificate_was_signed_by_the_authority_that_was_given(
    rabbitmq: PrivateRabbit, choosy: PrivateRabbit
) -> None:
    assert carries(f"{rabbitmq.tls_url}?cafile={rabbitmq.authority}")
    unknown = "say who has signed it: amqps://…?cafile="
    assert unknown in trouble(rabbitmq.tls_url)
    assert unknown in trouble(f"{rabbitmq.tls_url}?cafile={choosy.authority}")
    with pytest.raises(Malformed, match="no-such-file"):
        RabbitBus([f"{rabbitmq.tls_url}?cafile=/no-such-file"])


def test_a_certificate_for_another_name_is_not_trusted(rabbitmq: PrivateRabbit) -> None:
    elsewhere = rabbitmq.tls_url.replace("127.0.0.1", "localhost")
    said = trouble(f"{elsewhere}?cafile={rabbitmq.authority}")
    assert "write the address with the name that the certificate is for" in said and "localhost" in said


def test_the_wrong_kind_of_port_is_said_with_the_address_that_may_be_meant(rabbitmq: PrivateRabbit) -> None:
    plain = f"amqps://guest:guest@127.0.0.1:{rabbitmq.port}/?cafile={rabbitmq.authority}"
    assert "does not speak TLS: give the port that does (mostly 5671), or begin with amqp://" in trouble(plain)
    assert "its address begins with amqps://" in trouble(f"amqp://guest:guest@127.0.0.1:{rabbitmq.tls_port}/")


def test_a_broker_that_asks_for_a_certificate_gets_ours(rabbitmq: PrivateRabbit, choosy: PrivateRabbit) -> None:
    trusted = f"{choosy.tls_url}?cafile={choosy.authority}"
    assert carries(trusted + choosy.client_options)
    assert "certfile=" in trouble(trusted)
    assert "certfile=" in trouble(trusted + rabbitmq.client_options)  # of an authority that it does not know


def test_all_addresses_of_a_name_are_tried(rabbitmq: PrivateRabbit, tmp_path: Path) -> None:
    """In a mount namespace, whose /etc/hosts knows a name with three addresses; a broker is at the last."""
    hosts = tmp_path / "hosts"
    hosts.write_text("127.0.0.8 broker.test\n127.0.0.9 broker.test\n127.0.0.1 broker.test\n")
    url = rabbitmq.url.replace("127.0.0.1", "broker.test")
    look = "import socket, sys; from scitq.bus.rabbitmq import RabbitBus; "
    look += "print(len(socket.getaddrinfo('broker.test', 1, type=socket.SOCK_STREAM))); bus = RabbitBus(sys.argv[1:], "
    look += f"prefix='test.{secrets.token_hex(4)}'); print(bus.until_ready({SOON_S})); bus.close()"
    inside = ["unshare", "--mount", "sh", "-c", MOUNT, str(hosts), sys.executable, "-c", look, url]
    done = subprocess.run(inside, capture_output=True, text=True, timeout=2 * SOON_S, check=False)
    if "unshare" in done.stderr or "mount:" in done.stderr:
        miss(f"no mount namespace can be made here: {done.stderr.strip()}")
    assert done.stdout.split() == ["3", "True"], done.stderr
