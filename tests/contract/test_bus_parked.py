"""What was put aside, on every bus: seen, put back and thrown away, and never lost on the way."""

from __future__ import annotations

import logging
import os
import secrets
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Iterator

import pika
import psutil
import pytest

from scitq.bus import Bus, Consumer, Parked
from scitq.bus.local import LocalBus
from scitq.bus.rabbitmq import RabbitBus
from scitq.errors import BusUnavailable, Rejected
from tests.contract.test_bus import SOON_S, rabbit_bus, settle, wait_for
from tests.services.rabbitmq import PrivateRabbit


@pytest.fixture(params=["local", "rabbitmq"])
def bus(request: pytest.FixtureRequest) -> Iterator[Bus]:
    bus: Bus = LocalBus() if request.param == "local" else rabbit_bus(request)
    yield bus
    bus.close()


def put_aside(bus: Bus, bodies: Iterable[bytes], reason: str = "it is no JSON") -> None:
    """Sent as commands, and not understood."""
    with bus.consume("commands") as consumer:
        sent = taken = 0
        for body in bodies:
            bus.send("commands", body, {"actor": "ada"})
            sent += 1
            while sent - taken > 500:
                taken += park_all(consumer, reason)
        while taken < sent:
            taken += park_all(consumer, reason)
    settle(bus)


def park_all(consumer: Consumer, reason: str) -> int:
    found = consumer.take(500, SOON_S)
    for one in found:
        consumer.park(one.token, reason)
    return len(found)


def aside(bus: Bus) -> list[Parked]:
    """All of it, when nobody else looks."""
    found: list[Parked] = []

    def looked() -> bool:
        try:
            with bus.parked() as shelf:
                found[:] = sorted(shelf, key=lambda one: one.at)
        except BusUnavailable:
            return False
        return True

    wait_for(looked)
    return found


def until_aside(bus: Bus, count: int) -> list[Parked]:
    wait_for(lambda: len(aside(bus)) == count)
    return aside(bus)


def test_it_is_seen_in_its_order_as_often_as_one_looks(bus: Bus) -> None:
    before = time.time_ns() // 1000
    put_aside(bus, [b"1", b"2", b"3"])
    found = until_aside(bus, 3)
    assert [one.body for one in found] == [b"1", b"2", b"3"]
    assert {(one.queue, one.reason, one.headers["actor"]) for one in found} == {("commands", "it is no JSON", "ada")}
    assert all(before <= one.at <= time.time_ns() // 1000 for one in found)
    assert len({one.id for one in found}) == 3
    for _ in range(25):  # RabbitMQ 4 lets go of what came 20 times, unless it is told not to
        assert aside(bus) == found


def test_who_looks_at_a_part_leaves_all_of_it(bus: Bus) -> None:
    put_aside(bus, [b"%d" % number for number in range(10)])
    until_aside(bus, 10)
    with bus.parked() as shelf:
        assert shelf.count == 10
        assert next(iter(shelf)).body == b"0"
    assert [one.body for one in until_aside(bus, 10)] == [b"%d" % number for number in range(10)]


def test_one_is_put_back_and_another_thrown_away_by_their_ids(bus: Bus) -> None:
    put_aside(bus, [b"1", b"2", b"3", b"4"])
    ids = {one.body: one.id for one in until_aside(bus, 4)}
    with bus.parked() as shelf:
        for one in shelf:
            if one.id == ids[b"2"]:
                shelf.requeue(one)
            if one.id == ids[b"3"]:
                shelf.discard(one)
    assert shelf.left == 0
    assert [(one.body, one.id) for one in until_aside(bus, 2)] == [(b"1", ids[b"1"]), (b"4", ids[b"4"])]
    with bus.consume("commands") as consumer:
        (again,) = consumer.take(9, SOON_S)
        assert (again.message.body, dict(again.message.headers)) == (b"2", {"actor": "ada"})
        consumer.done([again.token])


def test_what_is_put_aside_again_at_once_is_not_gone_through_twice(bus: Bus) -> None:
    put_aside(bus, [b"poison"] * 3)
    until_aside(bus, 3)
    stop = threading.Event()

    def refuse() -> None:
        with bus.consume("commands") as consumer:
            while not stop.is_set():
                for one in consumer.take(9, 0.1):
                    consumer.park(one.token, "still not understood")

    thread = threading.Thread(target=refuse)
    thread.start()
    try:
        with bus.parked() as shelf:
            times = 0
            for one in shelf:
                shelf.requeue(one)
                times += 1
        assert times == 3
        assert {one.reason for one in until_aside(bus, 3)} == {"still not understood"}
    finally:
        stop.set()
        thread.join()


def test_how_full_the_queues_are_is_known(bus: Bus) -> None:
    wait_for(lambda: bus.depths().get("commands", (1,))[0] == 0)
    put_aside(bus, [b"1", b"2"])
    bus.send("output", b"x")
    wait_for(lambda: {name: depth.waiting for name, depth in bus.depths().items()}
             == {"reports": 0, "commands": 0, "output": 1, "parked": 2})  # fmt: skip
    wait_for(lambda: bus.depths()["output"].busy_s > 0.1)
    assert bus.depths()["reports"].busy_s == 0


# --- over a broker ---------------------------------------------------------------------------------------------------


@pytest.fixture
def rabbit(request: pytest.FixtureRequest) -> Iterator[RabbitBus]:
    bus = rabbit_bus(request)
    yield bus
    bus.close()


def test_two_who_look_at_once_do_not_take_a_part_for_the_whole(rabbit: RabbitBus) -> None:
    put_aside(rabbit, [b"1", b"2"])
    until_aside(rabbit, 2)
    with rabbit.parked() as shelf:
        next(iter(shelf))
        with pytest.raises(BusUnavailable, match="somebody else"), rabbit.parked():
            pass
    assert len(aside(rabbit)) == 2


DIES = """
import sys, time
from scitq.bus import rabbit_shelf
from scitq.bus.rabbitmq import RabbitBus
rabbit_shelf.RabbitShelf._settle = lambda self: None  # it dies before it has said that they are done
bus = RabbitBus([sys.argv[1]], prefix=sys.argv[2])
assert bus.until_ready(60)
with bus.parked() as shelf:
    for number, one in enumerate(shelf):
        if number == 10:
            break
        shelf.requeue(one)
    assert bus.flush(60)
    print("put back", flush=True)
    time.sleep(600)
"""


def test_whoever_is_killed_while_putting_back_loses_nothing(rabbit: RabbitBus, rabbitmq: PrivateRabbit) -> None:
    everything = {b"%d" % number for number in range(20)}
    put_aside(rabbit, everything)
    until_aside(rabbit, 20)
    process = subprocess.Popen(
        [sys.executable, "-c", DIES, rabbitmq.url, rabbit._names.prefix], stdout=subprocess.PIPE, text=True
    )
    with process:
        assert process.stdout is not None and process.stdout.readline() == "put back\n"
        process.kill()
    assert {one.body for one in until_aside(rabbit, 20)} == everything
    wait_for(lambda: rabbit.depths().get("commands", (0,))[0] == 10)


def test_what_nobody_said_the_origin_of_can_only_be_thrown_away(rabbit: RabbitBus, rabbitmq: PrivateRabbit) -> None:
    with pika.BlockingConnection(pika.URLParameters(rabbitmq.url)) as connection:
        connection.channel().basic_publish(rabbit._names.parked, "", b"by hand")
    (found,) = until_aside(rabbit, 1)
    assert (found.queue, found.reason, found.at) == ("", "nobody said why", 0)
    with rabbit.parked() as shelf:
        (one,) = shelf
        with pytest.raises(Rejected, match="only be discarded"):
            shelf.requeue(one)
        shelf.discard(one)
    until_aside(rabbit, 0)


def test_what_nobody_vouches_for_does_not_come_back_as_our_own(rabbit: RabbitBus, rabbitmq: PrivateRabbit) -> None:
    """Under the key of an agent, without its user: taken once, and put aside by us; or too often, and by the broker."""
    names = rabbit._names
    forged = pika.BasicProperties(headers={"parked-from": "commands", "parked-reason": "x", "worker": "7"})
    with pika.BlockingConnection(pika.URLParameters(rabbitmq.url)) as connection:
        channel = connection.channel()
        channel.basic_publish(names.inbound, "reports.scitq/node7", b"forged", forged)
        with rabbit.consume("reports"):
            (ours,) = until_aside(rabbit, 1)
        channel.basic_publish(names.inbound, "reports.scitq/node7", b"poison", forged)
        for method, _, _ in channel.consume(names.queue("reports"), inactivity_timeout=2.0):
            if method is None:
                break
            channel.basic_nack(method.delivery_tag or 0)
        channel.cancel()
    theirs = next(one for one in until_aside(rabbit, 2) if one.body == b"poison")
    assert "vouch" in ours.reason and "came back too often" in theirs.reason
    with rabbit.parked() as shelf:
        for one in shelf:
            assert one.queue == ""
            with pytest.raises(Rejected, match="nobody vouches"):
                shelf.requeue(one)


def test_however_many_there_are_they_are_gone_through_in_little_memory(
    rabbit: RabbitBus, caplog: pytest.LogCaptureFixture
) -> None:
    """A hundred thousand in the campaign."""
    caplog.set_level(logging.ERROR)  # each of them is told
    body, count = bytes(2_000), 100_000 if "SCITQ_CAMPAIGN" in os.environ else 5_000
    put_aside(rabbit, (body + b"%d" % number for number in range(count)))
    wait_for(lambda: rabbit.depths().get("parked", (0,))[0] == count, 10 * SOON_S)
    process = psutil.Process()
    before = process.memory_info().rss
    with rabbit.parked() as shelf:
        assert sum(1 for _ in shelf) == count
        grown = process.memory_info().rss - before
    assert grown < count * len(body) / 2, "it keeps what it has shown"


def test_a_broker_that_is_away_cannot_be_asked(rabbitmq: PrivateRabbit) -> None:
    bus = RabbitBus(["amqp://guest:guest@127.0.0.1:1/"], prefix=f"test.{secrets.token_hex(4)}")
    try:
        assert bus.depths() == {}
        with pytest.raises(BusUnavailable, match="cannot be asked what is parked: connection refused"), bus.parked():
            pass
    finally:
        bus.close()
