"""What every bus does: in the same process, and over RabbitMQ."""

from __future__ import annotations

import asyncio
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from typing import TypeVar

import pytest

from scitq.bus import Bus, Inbox, Message
from scitq.bus.local import MOST_FOLLOWED, LocalBus
from scitq.bus.rabbitmq import RabbitBus
from scitq.errors import BusUnavailable

T = TypeVar("T")
SOON_S = 20.0


@pytest.fixture(params=["local", "rabbitmq"])
def bus(request: pytest.FixtureRequest) -> Iterator[Bus]:
    bus: Bus = LocalBus() if request.param == "local" else rabbit_bus(request)
    yield bus
    bus.close()


def rabbit_bus(request: pytest.FixtureRequest) -> RabbitBus:
    """On the broker of the session, under names of the test's own."""
    broker = request.getfixturevalue("rabbitmq")
    bus = RabbitBus([broker.url], prefix=f"test.{secrets.token_hex(4)}")
    assert bus.until_ready(SOON_S), bus.trouble
    return bus


def settle(bus: Bus) -> None:
    """What was sent is where it belongs: at once in one process, and soon over a broker."""
    if isinstance(bus, RabbitBus):
        assert bus.flush(SOON_S), bus.trouble


def wait_for(true: Callable[[], bool], within_s: float = SOON_S) -> None:
    deadline = time.monotonic() + within_s
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.001)


def arrived(inbox: Inbox[T], count: int) -> Inbox[T]:
    """When so many messages are there to be taken."""
    wait_for(lambda: inbox.waiting >= count)
    return inbox


def in_background(do: Callable[[], object]) -> threading.Thread:
    thread = threading.Thread(target=do)
    thread.start()
    return thread


def test_reports_are_taken_before_commands(bus: Bus) -> None:
    bus.send("commands", b"c", {"actor": "ada"})
    bus.send("reports", b"r1")
    bus.send("reports", b"r2")
    with bus.consume("reports", "commands") as consumer:
        found = arrived(consumer, 3).take(10, SOON_S)
        assert [(one.queue, one.message.body) for one in found] == [
            ("reports", b"r1"),
            ("reports", b"r2"),
            ("commands", b"c"),
        ]
        assert found[2].message == Message(b"c", {"actor": "ada"})


def test_no_more_is_taken_than_was_asked_for(bus: Bus) -> None:
    for number in range(5):
        bus.send("reports", b"%d" % number)
    with bus.consume("reports") as consumer:
        arrived(consumer, 5)
        assert [one.message.body for one in consumer.take(2, SOON_S)] == [b"0", b"1"]
        assert [one.message.body for one in consumer.take(9, SOON_S)] == [b"2", b"3", b"4"]


def test_what_was_not_done_comes_again_in_its_order_when_the_consumer_is_gone(bus: Bus) -> None:
    for number in range(4):
        bus.send("reports", b"%d" % number)
    first = bus.consume("reports")
    taken = arrived(first, 4).take(3, SOON_S)
    first.done([taken[0].token])
    first.close()
    with bus.consume("reports") as second:
        assert [one.message.body for one in arrived(second, 3).take(9, SOON_S)] == [b"1", b"2", b"3"]


def test_what_is_said_of_a_message_after_the_consumer_was_closed_is_void(bus: Bus) -> None:
    bus.send("reports", b"once")
    first = bus.consume("reports")
    token = first.take(1, SOON_S)[0].token
    first.close()
    first.done([token])
    with bus.consume("reports") as second:
        (again,) = second.take(9, SOON_S)
        second.done([again.token])


def test_what_was_parked_does_not_come_again(bus: Bus) -> None:
    bus.send("commands", b"nonsense")
    first = bus.consume("commands")
    first.park(first.take(1, SOON_S)[0].token, "it is no JSON")
    first.close()
    bus.send("commands", b"sense")
    with bus.consume("commands") as second:
        assert [one.message.body for one in second.take(9, SOON_S)] == [b"sense"]


def test_a_thread_that_waits_is_woken(bus: Bus) -> None:
    with bus.consume("output") as consumer:
        sender = in_background(lambda: bus.send("output", b"x"))
        assert [one.message.body for one in consumer.take(1, SOON_S)] == [b"x"]
        sender.join()


def test_a_coroutine_that_waits_is_woken_from_another_thread(bus: Bus) -> None:
    async def receive() -> list[bytes]:
        with bus.mailbox() as box:
            sender = in_background(lambda: bus.post(box.address, b"x"))
            found = await box.receive(10, SOON_S)
            sender.join()
            return [message.body for message in found]

    assert asyncio.run(receive()) == [b"x"]


def test_a_coroutine_waits_no_longer_than_it_wants_to(bus: Bus) -> None:
    async def receive() -> list[Message]:
        with bus.follow("events") as events:
            return await events.receive(1, 0.01)

    assert asyncio.run(receive()) == []


def test_many_senders_and_a_coroutine_lose_nothing(bus: Bus) -> None:
    each, senders = 500, 4

    async def receive() -> set[bytes]:
        found: set[bytes] = set()
        with bus.consume("reports") as consumer:
            deadline = time.monotonic() + SOON_S
            while len(found) < each * senders and time.monotonic() < deadline:
                for one in await consumer.receive(7, 1.0):
                    found.add(one.message.body)
                    consumer.done([one.token])
        return found

    def send(sender: int) -> None:
        for number in range(each):
            bus.send("reports", b"%d-%d" % (sender, number))

    threads = [in_background(lambda sender=sender: send(sender)) for sender in range(senders)]  # type: ignore[misc]
    assert len(asyncio.run(receive())) == each * senders
    for thread in threads:
        thread.join()


def test_every_follower_gets_what_is_published_after_it_came(bus: Bus) -> None:
    bus.publish("events", b"before")
    settle(bus)
    with bus.follow("events") as one, bus.follow("events") as other, bus.follow("views") as stranger:
        bus.publish("events", b"now", {"last": "7"})
        assert one.take(9, SOON_S) == other.take(9, SOON_S) == [Message(b"now", {"last": "7"})]
        assert stranger.take(1, 0.0) == []


def test_a_follower_that_does_not_read_loses_the_oldest_and_costs_no_more_memory(bus: Bus) -> None:
    with bus.follow("events") as events:
        for number in range(MOST_FOLLOWED + 10):
            bus.publish("events", b"%d" % number)
        wait_for(lambda: events.dropped == 10)
        found = events.take(10 * MOST_FOLLOWED, SOON_S)
        assert [message.body for message in found] == [b"%d" % (number + 10) for number in range(MOST_FOLLOWED)]


def test_a_mailbox_has_its_address_and_those_it_was_bound_to(bus: Bus) -> None:
    with bus.mailbox() as box, bus.mailbox() as other:
        box.bind("worker.7.abc")
        bus.post("worker.7.abc", b"by name")
        bus.post(box.address, b"by address")
        bus.post("worker.8.abc", b"nobody")
        assert [message.body for message in arrived(box, 2).take(9, SOON_S)] == [b"by name", b"by address"]
        assert other.take(1, 0.0) == []


def test_a_closed_mailbox_gets_nothing_and_the_next_one_bound_to_the_address_does(bus: Bus) -> None:
    first = bus.mailbox()
    first.bind("worker.7.abc")
    first.close()
    with bus.mailbox() as second:
        second.bind("worker.7.abc")
        bus.post("worker.7.abc", b"x")
        assert [message.body for message in second.take(9, SOON_S)] == [b"x"]
    assert first.take(1, 0.0) == []


def test_closing_ends_the_waiting(bus: Bus) -> None:
    events = bus.follow("events")
    closer = in_background(events.close)
    assert events.take(1, SOON_S) == []
    assert events.closed
    closer.join()


def test_a_closed_bus_refuses_and_wakes_whoever_waits(bus: Bus) -> None:
    with bus.consume("reports") as consumer, bus.follow("events") as events, bus.mailbox() as box:
        closer = in_background(bus.close)
        assert consumer.take(1, SOON_S) == []
        assert events.take(1, SOON_S) == []
        assert box.take(1, SOON_S) == []
        assert consumer.closed and events.closed and box.closed
        closer.join()
    with pytest.raises(BusUnavailable, match="stopping"):
        bus.send("reports", b"x")
    bus.publish("events", b"for nobody")
    bus.post("nobody", b"for nobody")


def test_a_queue_that_nobody_empties_refuses_more_and_takes_again_when_it_has_room() -> None:
    bus = LocalBus(most_bytes=100)
    bus.send("output", bytes(60))
    with pytest.raises(BusUnavailable, match="full"):
        bus.send("output", bytes(60))
    bus.send("reports", bytes(60))  # another queue has room of its own
    with bus.consume("output") as consumer:
        taken = consumer.take(1, SOON_S)
        with pytest.raises(BusUnavailable):
            bus.send("output", bytes(60))  # taken and not done still counts
        consumer.done([taken[0].token])
        bus.send("output", bytes(60))
    bus.close()
    with pytest.raises(BusUnavailable, match="stopping"):
        bus.send("output", b"x")
