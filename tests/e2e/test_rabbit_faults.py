"""RabbitMQ killed, wiped, cut off and short of room under a bus that carries messages: what was accepted arrives."""

from __future__ import annotations

import logging
import os
import secrets
import signal
import threading
import time
from collections.abc import Callable, Iterator
from typing import cast

import pika
import pytest

from scitq.bus import rabbit_consumer, rabbit_inboxes, rabbit_publisher, rabbit_topology
from scitq.bus.rabbit_topology import Names
from scitq.bus.rabbitmq import RabbitBus
from scitq.errors import BusUnavailable
from tests.services.rabbitmq import PrivateRabbit

KILLS = 20 if os.environ.get("SCITQ_CAMPAIGN") else 2
SOON_S = 60.0
AMONG = 200


def wait_for(true: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + SOON_S
    while not true():
        assert time.monotonic() < deadline, f"within {SOON_S} s: {what}"
        time.sleep(0.005)


def until_accepted(do: Callable[[], None]) -> None:
    """Try again for as long as it is refused."""
    deadline = time.monotonic() + SOON_S
    while True:
        try:
            return do()
        except BusUnavailable:
            assert time.monotonic() < deadline
            time.sleep(0.005)


@pytest.fixture
def prefix() -> str:
    return f"test.{secrets.token_hex(4)}"


@pytest.fixture
def bus(rabbitmq: PrivateRabbit, prefix: str) -> Iterator[RabbitBus]:
    """On the broker of the session, which is not killed."""
    with opened(rabbitmq.url, prefix=prefix) as bus:
        yield bus


class opened:
    """A bus that is ready, and closed in the end."""

    def __init__(self, *urls: str, prefix: str = "scitq") -> None:
        self.bus = RabbitBus(urls, prefix=prefix)

    def __enter__(self) -> RabbitBus:
        if not self.bus.until_ready(SOON_S):
            self.bus.close()
            raise AssertionError(self.bus.trouble)
        return self.bus

    def __exit__(self, *_: object) -> None:
        self.bus.close()


class Traffic:
    """Sends numbers and takes them, in threads of their own, until it is told to stop."""

    def __init__(self, bus: RabbitBus) -> None:
        self._bus = bus
        self._consumer = bus.consume("reports", "commands")
        self._stop = threading.Event()
        self.sent = 0
        self.seen: set[bytes] = set()
        self.times = 0
        self.failure: BaseException | None = None
        self._threads = [threading.Thread(target=self._guard, args=(do,)) for do in (self._send, self._take)]
        for thread in self._threads:
            thread.start()

    def __enter__(self) -> Traffic:
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._consumer.close()
        for thread in self._threads:
            thread.join(SOON_S)

    def go_on_for(self, messages: int) -> None:
        """Until so many more have arrived."""
        goal = len(self.seen) + messages
        wait_for(lambda: self.failure or len(self.seen) >= goal, f"{messages} more messages")
        assert self.failure is None

    def end(self) -> None:
        """Nothing more is sent; and all that was accepted is there."""
        self._stop.set()
        self._threads[0].join(SOON_S)
        expected = {b"%d" % number for number in range(self.sent)}
        wait_for(lambda: self.seen >= expected, "all that was accepted")
        assert self.seen == expected

    def _guard(self, do: Callable[[], None]) -> None:
        try:
            do()
        except BaseException as failure:
            self.failure = failure
            raise

    def _send(self) -> None:
        while not self._stop.wait(0.0005):
            body = b"%d" % self.sent
            try:
                self._bus.send("reports" if self.sent % 3 else "commands", body)
            except BusUnavailable:
                continue
            self.sent += 1

    def _take(self) -> None:
        while not self._consumer.closed:
            found = self._consumer.take(100, 1.0)
            self.seen.update(one.message.body for one in found)
            self.times += len(found)
            self._consumer.done(one.token for one in found)


def said(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What the bus has logged; there is never a traceback among it."""
    records = [record for record in caplog.records if record.name.startswith(("scitq.bus", "pika"))]
    assert not [record for record in records if record.exc_info]
    return [record.getMessage() for record in records if record.levelno >= logging.INFO]


AWAY, BACK = "the broker is away; trying again", "the broker is back"


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
                wait_for(lambda: bus.trouble, "the bus notices")
                doomed_rabbitmq.start()
                traffic.go_on_for(AMONG)
                wait_for(lambda: bus.trouble is None, "both connections are back")
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
            wait_for(lambda: bus.trouble is None, "both connections are back")
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
        wait_for(lambda: bus.trouble == "connection refused", "it is known why")
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
            wait_for(lambda: bus.trouble == "it does not answer any more", "the bus notices")
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
        wait_for(lambda: BACK in said(caplog), "both connections are back")
        consumer.done([first.token])  # void: it belongs to its queue again
        wait_for(lambda: consumer.waiting == 2, "both come again")
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
            wait_for(refused, "the bus says that nothing goes")
        finally:
            rabbitmq.ctl(set_, *normal)
        wait_for(lambda: bus.trouble is None, "it goes again")
        until_accepted(lambda: bus.send("reports", b"last"))
        seen: set[bytes] = set()

        def seen_last() -> bool:
            seen.update(one.message.body for one in consumer.take(99, 0.1))
            return b"last" in seen

        wait_for(seen_last, "the last")
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
        wait_for(lambda: consumer.waiting, "it arrives all the same")

        def posted() -> bool:
            bus.post(box.address, b"again")
            bus.publish("views", b"again")
            return bool(box.take(9, 0.1) and views.take(9, 0.1))

        wait_for(posted, "what is bound is bound again")


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
            wait_for(lambda: "of another kind" in (bus.trouble or ""), "it is known what is wrong")
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

        wait_for(refused, "the queue is full")
        bus.send("reports", b"x")  # another queue has room of its own
        with bus.consume("output") as consumer:
            seen: set[int] = set()

            def all_seen() -> bool:
                for one in consumer.take(10, 1.0):
                    seen.add(int(one.message.body.split()[0]))
                    consumer.done([one.token])
                return seen == set(range(accepted))

            wait_for(all_seen, "all that was accepted")
            until_accepted(lambda: bus.send("output", b"%d " % accepted))
            accepted += 1
            wait_for(all_seen, "it takes again")


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


def test_the_consumer_of_the_highest_priority_gets_what_comes(rabbitmq: PrivateRabbit, prefix: str) -> None:
    name = Names(prefix).queue("commands")
    with (
        opened(rabbitmq.url, prefix=prefix) as frozen,
        opened(rabbitmq.url, prefix=prefix) as bus,
        frozen.consume("commands", priority=1) as deposed,
        bus.consume("commands", priority=2) as leader,
    ):
        wait_for(lambda: rabbitmq.ctl("list_consumers", "queue_name").split().count(name) == 2, "both subscribe")
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
    wait_for(lambda: BACK in caplog.messages, "both connections are back")
    with bus.consume("reports") as consumer:
        bus.send("reports", b"x")
        assert [one.message.body for one in consumer.take(1, SOON_S)] == [b"x"]
    assert caplog.messages.count("the bus has stumbled") == 2


def test_a_wrong_password_is_said_in_words_without_the_password(
    rabbitmq: PrivateRabbit, caplog: pytest.LogCaptureFixture
) -> None:
    bus = RabbitBus([rabbitmq.url.replace(":guest@", ":secret-word@")])
    try:
        wait_for(lambda: "password of the user 'guest'" in (bus.trouble or ""), "it is known why")
    finally:
        bus.close()
    assert said(caplog) == ["the broker refuses us; trying again"]
    assert "secret-word" not in caplog.text


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
        wait_for(lambda: box.waiting == 2, "both posts")
        assert [message.body for message in box.take(9, SOON_S)] == [b"welcome", b"assigned"]
        assert [message.body for message in events.take(9, SOON_S)] == [b"told"]
