"""RabbitMQ killed, wiped, cut off and short of room under a bus that carries messages: what was accepted arrives."""

from __future__ import annotations

import logging
import os
import signal
import threading
import time

import pika
import pytest

from scitq.bus import rabbit_consumer, rabbit_inboxes, rabbit_publisher, rabbit_topology
from scitq.bus.rabbit_topology import Names
from scitq.bus.rabbitmq import RabbitBus
from scitq.errors import BusUnavailable
from tests.services.buses import AMONG, AWAY, BACK, Traffic, opened, said, until_accepted
from tests.services.rabbitmq import PrivateRabbit
from tests.services.waiting import SOON_S, eventually

KILLS = 20 if os.environ.get("SCITQ_CAMPAIGN") else 2


def test_a_killed_broker_loses_nothing_that_was_accepted(
    doomed_rabbitmq: PrivateRabbit, caplog: pytest.LogCaptureFixture
) -> None:
    with opened(doomed_rabbitmq.url) as bus, bus.follow("events") as events, bus.mailbox() as box:
        box.bind("worker.7.abc")
        doomed_rabbitmq.settle()
        caplog.set_level(logging.INFO, "scitq.bus")
        with Traffic(bus) as traffic:
            for _ in range(KILLS):
                traffic.go_on_for(AMONG)
                doomed_rabbitmq.kill()
                eventually(lambda: bus.trouble, "the bus notices")
                doomed_rabbitmq.start()
                traffic.go_on_for(AMONG)
                eventually(lambda: bus.trouble is None, "both connections are back")
            traffic.end()
        bus.publish("events", b"after")
        bus.post("worker.7.abc", b"after")
        assert [message.body for message in events.take(9, SOON_S)] == [b"after"]
        assert [message.body for message in box.take(9, SOON_S)] == [b"after"]
    assert said(caplog) == [AWAY, BACK] * KILLS


def test_a_broker_that_was_wiped_clean_has_everything_again(
    doomed_rabbitmq: PrivateRabbit, caplog: pytest.LogCaptureFixture
) -> None:
    with opened(doomed_rabbitmq.url) as bus, bus.follow("events") as events, bus.mailbox() as box:
        box.bind("worker.7.abc")
        with bus.consume("output") as consumer:
            bus.send("output", b"lost with it")
            (taken,) = consumer.take(9, SOON_S)
            caplog.set_level(logging.INFO, "scitq.bus")
            doomed_rabbitmq.wipe()
            eventually(lambda: bus.trouble is None, "both connections are back")
            consumer.done([taken.token])  # of a delivery that no broker knows any more
            until_accepted(lambda: bus.send("output", b"after"))
            assert [one.message.body for one in consumer.take(9, SOON_S)] == [b"after"]
        bus.publish("events", b"after")
        bus.post("worker.7.abc", b"after")
        assert [message.body for message in events.take(9, SOON_S)] == [b"after"]
        assert [message.body for message in box.take(9, SOON_S)] == [b"after"]
    assert said(caplog) == [AWAY, BACK]


def test_a_bus_that_is_there_before_its_broker_waits_for_it(
    doomed_rabbitmq: PrivateRabbit, caplog: pytest.LogCaptureFixture
) -> None:
    doomed_rabbitmq.stop()
    caplog.set_level(logging.INFO, "scitq.bus")
    bus = RabbitBus([doomed_rabbitmq.url])
    try:
        eventually(lambda: bus.trouble == "connection refused", "it is known why")
        with pytest.raises(BusUnavailable, match="refused"):
            bus.send("reports", b"x")
        bus.publish("events", b"for nobody")
        with bus.consume("reports") as consumer:
            doomed_rabbitmq.start()
            assert bus.until_ready(SOON_S)
            bus.send("reports", b"x")
            assert [one.message.body for one in consumer.take(9, SOON_S)] == [b"x"]
    finally:
        bus.close()
    assert said(caplog) == [AWAY, BACK]


def test_closing_does_not_wait_for_a_broker_that_is_frozen(doomed_rabbitmq: PrivateRabbit) -> None:
    threads = threading.active_count()
    with opened(doomed_rabbitmq.url) as bus:
        consumer = bus.consume("reports")
        os.kill(doomed_rabbitmq.pid, signal.SIGSTOP)
        try:
            begin = time.monotonic()
            for _ in range(100):
                bus.send("reports", bytes(10_000))
            bus.close()
            assert time.monotonic() - begin < 3.0  # two, on a machine that is not busy
            assert consumer.take(1, SOON_S) == []
        finally:
            os.kill(doomed_rabbitmq.pid, signal.SIGCONT)
    assert threading.active_count() <= threads + 2  # those that still wait for the broker's answer end with it


def test_a_broker_that_answers_no_more_is_left_and_what_it_was_sent_arrives_when_it_does(
    doomed_rabbitmq: PrivateRabbit, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rabbit_publisher, "UNANSWERED_S", 1.0)
    monkeypatch.setattr(rabbit_publisher, "PROBE_EVERY_S", 0.2)
    caplog.set_level(logging.INFO, "scitq.bus")
    with opened(doomed_rabbitmq.url) as bus, Traffic(bus) as traffic:
        traffic.go_on_for(AMONG)
        os.kill(doomed_rabbitmq.pid, signal.SIGSTOP)
        try:
            eventually(lambda: bus.trouble == "it does not answer any more", "the bus notices")
        finally:
            os.kill(doomed_rabbitmq.pid, signal.SIGCONT)
        traffic.go_on_for(AMONG)
        traffic.end()
    assert said(caplog) == [AWAY, BACK]


def test_connections_that_the_broker_closes_are_made_anew_and_their_deliveries_come_again(
    rabbitmq: PrivateRabbit, bus: RabbitBus, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "scitq.bus")
    with bus.consume("commands") as consumer, bus.mailbox() as box:
        bus.send("commands", b"1")
        bus.send("commands", b"2")
        (first,) = consumer.take(1, SOON_S)
        rabbitmq.ctl("close_all_connections", "a test wants it")
        eventually(lambda: BACK in said(caplog), "both connections are back")
        consumer.done([first.token])  # void: it belongs to its queue again
        eventually(lambda: consumer.waiting == 2, "both come again")
        again = consumer.take(9, SOON_S)
        assert [one.message.body for one in again] == [b"1", b"2"]
        consumer.done(one.token for one in again)
        bus.post(box.address, b"still here")
        assert [message.body for message in box.take(9, SOON_S)] == [b"still here"]
    assert said(caplog) == [AWAY, BACK]


@pytest.mark.parametrize("alarm", ["memory", "disk"])
def test_a_broker_without_room_refuses_in_words_and_takes_again_afterwards(
    rabbitmq: PrivateRabbit, bus: RabbitBus, caplog: pytest.LogCaptureFixture, alarm: str
) -> None:
    set_, tight, normal = {
        "memory": ("set_vm_memory_high_watermark", ["0.000001"], ["absolute", "1GB"]),
        "disk": ("set_disk_free_limit", ["1000000GB"], ["50MB"]),
    }[alarm]
    caplog.set_level(logging.INFO, "scitq.bus")
    accepted = 0

    def refused() -> bool:
        nonlocal accepted
        begin = time.monotonic()
        try:
            bus.send("reports", b"%d" % accepted)
        except BusUnavailable as error:
            return alarm in str(error)
        finally:
            assert time.monotonic() - begin < SOON_S / 4, "it waited"
        accepted += 1
        return False

    with bus.consume("reports") as consumer:
        try:
            rabbitmq.ctl(set_, *tight)
            eventually(refused, "the bus says that nothing goes")
        finally:
            rabbitmq.ctl(set_, *normal)
        eventually(lambda: bus.trouble is None, "it goes again")
        until_accepted(lambda: bus.send("reports", b"last"))
        seen: set[bytes] = set()

        def seen_last() -> bool:
            seen.update(one.message.body for one in consumer.take(99, 0.1))
            return b"last" in seen

        eventually(seen_last, "the last")
        assert seen == {b"%d" % number for number in range(accepted)} | {b"last"}
    assert said(caplog) == [AWAY, BACK]


def test_what_somebody_deletes_on_the_broker_is_declared_again(
    rabbitmq: PrivateRabbit, bus: RabbitBus, prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rabbit_inboxes, "SING_EVERY_S", 0.2)
    monkeypatch.setattr(rabbit_inboxes, "DEAF_S", 2.0)
    names = Names(prefix)
    with bus.consume("reports") as consumer, bus.follow("views") as views, bus.mailbox() as box:
        bus.send("reports", b"before")
        consumer.done(one.token for one in consumer.take(9, SOON_S))
        assert bus.flush(SOON_S)
        with pika.BlockingConnection(pika.URLParameters(rabbitmq.url)) as connection:
            channel = connection.channel()
            channel.queue_delete(names.queue("reports"))
            until_accepted(lambda: bus.send("reports", b"into no queue"))
            assert [one.message.body for one in consumer.take(9, SOON_S)] == [b"into no queue"]
            for exchange in (names.posts, names.channels, names.inbound):
                channel.exchange_delete(exchange)
        until_accepted(lambda: bus.send("reports", b"into no exchange"))
        eventually(lambda: consumer.waiting, "it arrives all the same")

        def posted() -> bool:
            bus.post(box.address, b"again")
            bus.publish("views", b"again")
            return bool(box.take(9, 0.1) and views.take(9, 0.1))

        eventually(posted, "what is bound is bound again")


def test_a_queue_of_another_kind_under_our_name_is_said_in_one_sentence_and_healed_by_its_deletion(
    rabbitmq: PrivateRabbit, prefix: str, caplog: pytest.LogCaptureFixture
) -> None:
    name = Names(prefix).queue("commands")
    with pika.BlockingConnection(pika.URLParameters(rabbitmq.url)) as connection:
        channel = connection.channel()
        channel.queue_declare(name, durable=True)
        caplog.set_level(logging.INFO, "scitq.bus")
        bus = RabbitBus([rabbitmq.url], prefix=prefix)
        try:
            eventually(lambda: "of another kind" in (bus.trouble or ""), "it is known what is wrong")
            with pytest.raises(BusUnavailable, match=name):
                bus.send("commands", b"x")
            channel.queue_delete(name)
            assert bus.until_ready(SOON_S)
        finally:
            bus.close()
    assert said(caplog) == ["the broker refuses us; trying again", BACK]


def test_a_queue_that_confirms_nothing_is_made_anew_and_others_subscribe_to_it_again(
    rabbitmq: PrivateRabbit, bus: RabbitBus, prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rabbit_publisher, "UNCONFIRMED_S", 2.0)
    monkeypatch.setattr(rabbit_publisher, "PROBE_EVERY_S", 0.5)
    monkeypatch.setattr(rabbit_consumer, "SING_EVERY_S", 1.0)
    with opened(rabbitmq.url, prefix=prefix) as other, other.consume("reports") as consumer:
        bus.send("reports", b"before")
        consumer.done(one.token for one in consumer.take(9, SOON_S))
        rabbitmq.ctl("eval", f'sys:suspend(binary_to_atom(<<"%2F_{prefix}.reports">>, utf8)).')
        bus.send("reports", b"into a queue that is stuck")
        bus.send("output", b"into another one")
        with bus.consume("output") as output:
            assert [one.message.body for one in output.take(9, SOON_S)] == [b"into another one"]
        (found,) = consumer.take(9, SOON_S)
        assert found.message.body == b"into a queue that is stuck"


def test_a_queue_that_is_full_refuses_more_and_what_was_accepted_arrives(
    rabbitmq: PrivateRabbit, prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rabbit_topology, "MOST_BYTES", 1_000_000)
    accepted = 0
    with opened(rabbitmq.url, prefix=prefix) as bus:

        def refused() -> bool:
            nonlocal accepted
            try:
                bus.send("output", b"%d " % accepted + bytes(10_000))
            except BusUnavailable as error:
                return "full" in str(error)
            accepted += 1
            return False

        eventually(refused, "the queue is full")
        bus.send("reports", b"x")  # another queue has room of its own
        with bus.consume("output") as consumer:
            seen: set[int] = set()

            def all_seen() -> bool:
                for one in consumer.take(10, 1.0):
                    seen.add(int(one.message.body.split()[0]))
                    consumer.done([one.token])
                return seen == set(range(accepted))

            eventually(all_seen, "all that was accepted")
            until_accepted(lambda: bus.send("output", b"%d " % accepted))
            accepted += 1
            eventually(all_seen, "it takes again")


def test_a_channel_that_the_broker_closes_is_opened_again_and_its_deliveries_come_again(bus: RabbitBus) -> None:
    with bus.consume("reports") as consumer:
        assert isinstance(consumer, rabbit_consumer.RabbitConsumer)
        bus.send("reports", b"1")
        (taken,) = consumer.take(9, SOON_S)

        def offend() -> None:
            assert consumer._channel is not None
            consumer._channel.basic_ack(1_000_000)

        bus._in.call(offend)  # PRECONDITION_FAILED, as after a time in which nothing was acknowledged
        (again,) = consumer.take(9, SOON_S)
        assert again.message.body == b"1" and again.token != taken.token
        consumer.done([taken.token])
        consumer.done([again.token])
        bus.send("reports", b"2")
        assert [one.message.body for one in consumer.take(9, SOON_S)] == [b"2"]
    assert bus.trouble is None
