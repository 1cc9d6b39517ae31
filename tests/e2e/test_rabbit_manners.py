"""RabbitMQ as it should be: who gets what, what is put aside, and how a bus tells what is wrong with its address."""

from __future__ import annotations

import contextlib
import logging
import secrets
import socket
import threading
from typing import cast

import pika
import pytest

from scitq.bus.rabbit_topology import Names
from scitq.bus.rabbitmq import RabbitBus
from tests.services.buses import BACK, opened, said
from tests.services.rabbitmq import PrivateRabbit
from tests.services.waiting import SOON_S, eventually


def test_the_consumer_of_the_highest_priority_gets_what_comes(rabbitmq: PrivateRabbit, prefix: str) -> None:
    name = Names(prefix).queue("commands")
    with (
        opened(rabbitmq.url, prefix=prefix) as frozen,
        opened(rabbitmq.url, prefix=prefix) as bus,
        frozen.consume("commands", priority=1) as deposed,
        bus.consume("commands", priority=2) as leader,
    ):
        eventually(lambda: rabbitmq.ctl("list_consumers", "queue_name").split().count(name) == 2, "both subscribe")
        for number in range(20):
            bus.send("commands", b"%d" % number)
        found: list[bytes] = []
        while len(found) < 20:
            taken = leader.take(99, SOON_S)
            assert taken
            found += [one.message.body for one in taken]
            leader.done(one.token for one in taken)
        assert deposed.take(1, 0.0) == []


def test_what_was_parked_is_kept_with_the_reason(rabbitmq: PrivateRabbit, bus: RabbitBus, prefix: str) -> None:
    bus.send("commands", b"nonsense", {"actor": "ada"})
    with bus.consume("commands") as consumer:
        consumer.park(consumer.take(1, SOON_S)[0].token, "it is no JSON")
    with pika.BlockingConnection(pika.URLParameters(rabbitmq.url)) as connection:
        found = next(connection.channel().consume(Names(prefix).parked, inactivity_timeout=SOON_S))
        _, properties, body = found
        assert body == b"nonsense" and properties is not None
        headers = dict(properties.headers or {})
        assert str(headers.pop("parked-at")).isdecimal()
        assert headers == {"actor": "ada", "parked-from": "commands", "parked-reason": "it is no JSON"}


def test_what_comes_too_often_is_parked_by_the_broker(
    rabbitmq: PrivateRabbit, bus: RabbitBus, prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = Names(prefix)
    bus.send("commands", b"poison")
    assert bus.flush(SOON_S)
    with pika.BlockingConnection(pika.URLParameters(rabbitmq.url)) as connection:
        channel = connection.channel()
        times = 0
        for method, _, _ in channel.consume(names.queue("commands"), inactivity_timeout=2.0):
            if method is None:
                break
            times += 1
            channel.basic_nack(method.delivery_tag or 0)
        channel.cancel()
        assert times == 1_001
        _, properties, body = next(channel.consume(names.parked, inactivity_timeout=SOON_S))
        assert body == b"poison" and properties is not None
        (death,) = cast("list[dict[str, object]]", (properties.headers or {})["x-death"])
        assert (death["reason"], death["queue"]) == ("delivery_limit", names.queue("commands"))


def test_a_mistake_in_a_thread_of_the_bus_is_said_and_costs_one_connection(
    bus: RabbitBus, caplog: pytest.LogCaptureFixture
) -> None:
    def mistake() -> None:
        raise ZeroDivisionError("a mistake of ours")

    caplog.set_level(logging.INFO, "scitq.bus")
    for link in (bus._out, bus._in):
        link.call(mistake)
    eventually(lambda: BACK in caplog.messages, "both connections are back")
    with bus.consume("reports") as consumer:
        bus.send("reports", b"x")
        assert [one.message.body for one in consumer.take(1, SOON_S)] == [b"x"]
    assert caplog.messages.count("the bus has stumbled") == 2


def test_a_wrong_password_is_said_in_words_without_the_password(
    rabbitmq: PrivateRabbit, caplog: pytest.LogCaptureFixture
) -> None:
    bus = RabbitBus([rabbitmq.url.replace(":guest@", ":secret-word@")])
    try:
        eventually(lambda: "password of the user 'guest'" in (bus.trouble or ""), "it is known why")
    finally:
        bus.close()
    assert said(caplog) == ["the broker refuses us; trying again"]
    assert "secret-word" not in caplog.text


def test_a_bus_closes_in_the_midst_of_making_its_connections(caplog: pytest.LogCaptureFixture) -> None:
    threads = threading.active_count()
    with contextlib.ExitStack() as open_ones:
        mute = open_ones.enter_context(socket.create_server(("127.0.0.1", 0)))  # takes connections, never says a word
        bus = RabbitBus([f"amqp://guest:guest@127.0.0.1:{mute.getsockname()[1]}/"])
        for _ in range(2):
            begun = open_ones.enter_context(mute.accept()[0])
            assert begun.recv(8).startswith(b"AMQP")
        bus.close()
        assert threading.active_count() == threads
    assert said(caplog) == []


def test_of_several_addresses_one_that_answers_is_found(rabbitmq: PrivateRabbit, prefix: str) -> None:
    dead = "amqp://guest:guest@127.0.0.1:1/"
    with opened(dead, dead, rabbitmq.url, dead, prefix=prefix) as bus, bus.consume("reports") as consumer:
        bus.send("reports", b"x")
        assert [one.message.body for one in consumer.take(1, SOON_S)] == [b"x"]


def test_servers_with_different_prefixes_share_a_broker(rabbitmq: PrivateRabbit, bus: RabbitBus) -> None:
    with (
        opened(rabbitmq.url, prefix=f"test.{secrets.token_hex(4)}") as other,
        bus.consume("reports") as ours,
        other.consume("reports") as theirs,
        other.follow("events") as events,
    ):
        bus.publish("events", b"ours")
        bus.send("reports", b"ours")
        other.send("reports", b"theirs")
        assert [one.message.body for one in ours.take(9, SOON_S)] == [b"ours"]
        assert [one.message.body for one in theirs.take(9, SOON_S)] == [b"theirs"]
        assert events.take(1, 0.0) == []


def test_what_two_processes_post_and_publish_reaches_both(rabbitmq: PrivateRabbit, bus: RabbitBus, prefix: str) -> None:
    with opened(rabbitmq.url, prefix=prefix) as other, other.follow("events") as events, other.mailbox() as box:
        box.bind("worker.7.abc")
        other.send("reports", b"I am bound", {"reply_to": box.address})
        with bus.consume("reports") as consumer:
            (found,) = consumer.take(1, SOON_S)
            bus.post(found.message.headers["reply_to"], b"welcome")
            bus.post("worker.7.abc", b"assigned")
            bus.publish("events", b"told")
        eventually(lambda: box.waiting == 2, "both posts")
        assert [message.body for message in box.take(9, SOON_S)] == [b"welcome", b"assigned"]
        assert [message.body for message in events.take(9, SOON_S)] == [b"told"]
