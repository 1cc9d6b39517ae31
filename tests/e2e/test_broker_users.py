"""What a worker's broker user may do, and all that it tries beyond that: refused by the broker, or by who reads it."""

from __future__ import annotations

import logging
import secrets
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pika
import pytest
from pika.adapters.blocking_connection import BlockingChannel
from pika.exceptions import (
    ChannelClosed,
    ChannelClosedByBroker,
    ConnectionClosed,
    ConnectionClosedByBroker,
    ProbableAccessDeniedError,
    ProbableAuthenticationError,
)

from scitq.bootstrap import effects
from scitq.bootstrap.effects import EffectsHost
from scitq.bus import Delivery
from scitq.bus.rabbit_admin import MOST_CHANNELS, MOST_CONNECTIONS, Account, BrokerUsers
from scitq.bus.rabbit_users import user_of
from scitq.bus.rabbitmq import RabbitBus
from scitq.domain import worker as wk
from scitq.errors import BusUnavailable
from tests.services.rabbitmq import PrivateRabbit
from tests.services.waiting import eventually
from tests.unit.web import site as web
from tests.unit.web.site import Site as WebSite

SOON_S = 20.0


class Site:
    """A server's side of a broker, with two workers that have users of it."""

    def __init__(self, rabbit: PrivateRabbit, prefix: str) -> None:
        self.rabbit, self.prefix = rabbit, prefix
        self.bus = RabbitBus([rabbit.url], prefix=self.prefix)
        assert self.bus.until_ready(SOON_S), self.bus.trouble
        self.users = self.admin()
        self.consumer = self.bus.consume("reports", "commands", "output")
        self.mine, self.other = self.users.make("mine"), self.users.make("node 7/é")
        self._open: list[pika.BlockingConnection] = []

    def admin(self, url: str | None = None, series: str = "") -> BrokerUsers:
        return BrokerUsers(url or self.rabbit.admin_url, [self.rabbit.url], prefix=self.prefix, series=series)

    def connect(self, account: Account) -> pika.BlockingConnection:
        where = pika.URLParameters(self.rabbit.url)
        where.credentials = pika.PlainCredentials(account.user, account.password)
        connection = pika.BlockingConnection(where)
        self._open.append(connection)
        return connection

    def channel(self) -> BlockingChannel:
        """Of the worker that tries things."""
        channel = self.connect(self.mine).channel()
        channel.confirm_delivery()
        return channel

    def name(self, name: str) -> str:
        return f"{self.prefix}.{name}"

    def arrived(self) -> Delivery:
        (found,) = self.consumer.take(1, SOON_S)
        self.consumer.done([found.token])
        return found

    def close(self) -> None:
        for connection in self._open:
            if connection.is_open:
                connection.close()
        self.bus.close()
        self.users.close()


@pytest.fixture(scope="module")
def site(managed_rabbitmq: PrivateRabbit) -> Iterator[Site]:
    site = Site(managed_rabbitmq, f"test-{secrets.token_hex(4)}")
    yield site
    site.close()


@pytest.fixture(autouse=True)
def closing(site: Site) -> Iterator[None]:
    """The connections of a test end with it: there may be no more than two."""
    yield
    for connection in site._open:
        if connection.is_open:
            connection.close()
    site._open.clear()


def say(
    channel: BlockingChannel, account: Account, body: bytes = b"x", queue: str = "reports", **properties: Any
) -> None:
    """As the account's user should."""
    given = {"user_id": account.user, **properties}
    channel.basic_publish(account.exchange, account.keys[queue], body, pika.BasicProperties(**given), mandatory=True)


def works(site: Site) -> None:
    """The worker's own work goes on."""
    channel = site.channel()
    for queue in ("reports", "output"):
        say(channel, site.mine, b"work", queue)
        found = site.arrived()
        assert (found.queue, found.message.body) == (queue, b"work")
        assert found.message.headers == {"user": site.mine.user}
    site.bus.post(site.mine.user, b"for you", {"kind": "confirm"})
    eventually(lambda: channel.basic_get(site.mine.queue, auto_ack=True)[2] == b"for you", "its post comes", SOON_S)
    channel.connection.close()


def test_a_worker_says_what_is_its_own_and_gets_what_is_posted_to_it(site: Site) -> None:
    works(site)
    assert site.mine.user == user_of(site.prefix, "mine") == f"{site.prefix}/mine"
    assert site.mine.addresses == (f"amqp://127.0.0.1:{site.rabbit.port}/%2F",), "without the server's own user"
    channel = site.connect(site.other).channel()
    channel.confirm_delivery()
    say(channel, site.other, reply_to="elsewhere", headers={"worker": "7", "name": "mine", "user": site.mine.user})
    assert site.arrived().message.headers == {"user": site.other.user}, "who it is, is not its to say"


Attack = Callable[[Site, BlockingChannel], object]
ATTACKS: dict[str, Attack] = {
    "reads another worker's queue": lambda site, channel: channel.basic_get(site.other.queue),
    "consumes from another worker's queue": lambda site, channel: channel.basic_consume(site.other.queue, print),
    "reads the commands": lambda site, channel: channel.basic_get(site.name("commands")),
    "reads the reports": lambda site, channel: channel.basic_get(site.name("reports")),
    "reads what was put aside": lambda site, channel: channel.basic_get(site.name("parked")),
    "says something as another worker": lambda site, channel: say(channel, site.other, user_id=site.mine.user),
    "says it is another user": lambda site, channel: say(channel, site.mine, user_id=site.other.user),
    "sends a command": lambda site, channel: channel.basic_publish(site.mine.exchange, "commands", b"x"),
    "sends a report as the server": lambda site, channel: channel.basic_publish(site.mine.exchange, "reports", b"x"),
    "sends straight to a queue": lambda site, channel: channel.basic_publish("", site.name("commands"), b"x"),
    "posts to an agent": lambda site, channel: channel.basic_publish(site.name("posts"), site.other.user, b"x"),
    "publishes events": lambda site, channel: channel.basic_publish(site.name("channels"), "events", b"x"),
    "puts something aside": lambda site, channel: channel.basic_publish(site.name("parked"), "", b"x"),
    "declares a queue": lambda site, channel: channel.queue_declare(""),
    "declares an exchange": lambda site, channel: channel.exchange_declare(site.name("own"), "topic"),
    "binds its queue to others' posts": lambda site, channel: channel.queue_bind(
        site.mine.queue, site.name("posts"), site.other.user
    ),
    "binds its queue to what comes in": lambda site, channel: channel.queue_bind(
        site.mine.queue, site.mine.exchange, "#"
    ),
    "unbinds another's queue": lambda site, channel: channel.queue_unbind(
        site.other.queue, site.name("posts"), site.other.user
    ),
    "deletes its queue": lambda site, channel: channel.queue_delete(site.mine.queue),
    "deletes the commands": lambda site, channel: channel.queue_delete(site.name("commands")),
    "empties the commands": lambda site, channel: channel.queue_purge(site.name("commands")),
    "deletes the exchange": lambda site, channel: channel.exchange_delete(site.mine.exchange),
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_what_a_worker_may_not_is_refused_and_its_own_work_goes_on(site: Site, attack: str) -> None:
    channel = site.channel()
    with pytest.raises((ChannelClosedByBroker, ConnectionClosedByBroker)) as refused:
        ATTACKS[attack](site, channel)
        channel.connection.process_data_events(time_limit=2)
        channel.basic_qos(prefetch_count=1)  # whatever the broker has to say of it, comes before the answer to this
    assert isinstance(refused.value, ChannelClosed | ConnectionClosed), "for the type checker"
    assert refused.value.reply_code in (403, 406), refused.value
    assert not site.consumer.take(1, 0.0)
    works(site)


@pytest.mark.parametrize("header", ["CC", "BCC"])
def test_a_copy_under_another_key_reaches_nobody(site: Site, header: str) -> None:
    """RabbitMQ 3.10 compares only the first key with what a user may; the readers compare it with their queue."""
    channel = site.channel()
    copies = ["commands", site.other.keys["reports"], "output"]
    try:
        say(channel, site.mine, b"twofold", headers={header: copies})
    except ChannelClosedByBroker as refused:
        assert refused.reply_code == 403, "a later release compares them all"
    else:
        found = site.arrived()
        assert (found.queue, found.message.headers) == ("reports", {"user": site.mine.user})
    assert not site.consumer.take(1, 0.5)
    works(site)


def test_what_is_said_without_the_brokers_word_for_it_is_put_aside(site: Site) -> None:
    say(site.channel(), site.mine, user_id=None)
    assert not site.consumer.take(1, 0.5)
    works(site)


class Raw(pika.BasicProperties):
    """Bytes as they are: what pika itself would not write."""

    def __init__(self, user: str, table: bytes) -> None:
        super().__init__(user_id=user)
        self._bytes = struct.pack(">HI", 1 << 13 | 1 << 4, len(table)) + table + bytes([len(user)]) + user.encode()

    def encode(self) -> list[bytes]:
        return [self._bytes]


def lists(depth: int) -> bytes:
    value = b"V"
    for _ in range(depth):
        value = b"A" + struct.pack(">I", len(value)) + value
    return b"\x01k" + value


UNREADABLE = {
    "a time that no calendar has": b"\x01kT" + struct.pack(">Q", 2**62),
    "a list in a list in a list": lists(3_000),
}


@pytest.mark.parametrize("headers", UNREADABLE)
def test_headers_that_cannot_be_read_are_put_aside_and_silence_nobody(site: Site, headers: str) -> None:
    channel = site.channel()
    evil = Raw(site.mine.user, UNREADABLE[headers])
    for queue in ("reports", "output"):
        channel.basic_publish(site.mine.exchange, site.mine.keys[queue], headers.encode(), evil)
    channel.connection.close()
    works(site)
    assert site.bus.trouble is None

    def put_aside() -> list[str]:
        with site.bus.parked() as shelf:
            return [one.queue for one in shelf if one.body == headers.encode()]

    eventually(lambda: put_aside() == ["", ""], "nobody can put them back", SOON_S)


def test_the_shelf_shows_what_the_broker_put_aside_with_headers_that_cannot_be_read(site: Site) -> None:
    straight = pika.BlockingConnection(pika.URLParameters(site.rabbit.url))
    evil = Raw("guest", UNREADABLE["a time that no calendar has"])
    straight.channel().basic_publish(site.name("parked"), "", b"from of old", evil)
    straight.close()

    def shown() -> bool:
        with site.bus.parked() as shelf:
            return ("", b"from of old") in [(one.queue, one.body) for one in shelf]

    eventually(shown, "it can be seen", SOON_S)


def test_a_worker_has_no_more_connections_and_channels_than_it_needs(site: Site) -> None:
    first = site.connect(site.mine)
    for _ in range(MOST_CONNECTIONS - 1):
        site.connect(site.mine)
    with pytest.raises(ProbableAccessDeniedError, match="connection limit"):
        site.connect(site.mine)
    with pytest.raises((ConnectionClosedByBroker, ChannelClosedByBroker), match="limit"):
        for _ in range(MOST_CHANNELS + 1):
            first.channel()
    works(site)


def test_the_management_is_not_for_workers(site: Site) -> None:
    base = site.rabbit.admin_url.partition("@")[2]
    for path in ("whoami", "users", "queues", "definitions"):
        answer = httpx.get(f"http://{base}/api/{path}", auth=(site.mine.user, site.mine.password), trust_env=False)
        assert answer.status_code == 401
    works(site)


# What the server's side does ----------------------------------------------------------------------------------------


def test_a_user_is_made_again_with_a_new_password_and_what_it_had_stays(site: Site) -> None:
    first = site.users.make("again")
    connection = site.connect(first)
    second = site.users.make("again")
    assert second._replace(password="") == first._replace(password="") and second.password != first.password
    connection.channel().basic_get(first.queue)
    with pytest.raises(ProbableAuthenticationError):
        site.connect(first)
    site.connect(second)


def test_a_removed_user_loses_its_connections_and_its_queue(site: Site) -> None:
    account = site.users.make("leaving")
    connection = site.connect(account)
    assert account.user in {one.user for one in site.users.present()}
    site.users.remove(account.user)
    site.users.remove(account.user)
    assert account.user not in {one.user for one in site.users.present()}
    with pytest.raises(ConnectionClosedByBroker):
        for _ in range(20):
            connection.process_data_events(time_limit=1)
    with pytest.raises(ProbableAuthenticationError):
        site.connect(account)


def test_users_of_others_are_neither_taken_over_nor_removed(site: Site) -> None:
    name = f"{site.prefix}/somebody"
    guest = httpx.Client(base_url=f"{site.rabbit.admin_url}/api/", trust_env=False)
    guest.put(f"users/{name.replace('/', '%2F')}", json={"password": "x", "tags": ""}).raise_for_status()
    with pytest.raises(BusUnavailable, match="not a worker's"):
        site.users.make("somebody")
    assert name not in {one.user for one in site.users.present()}
    stranger = Site(site.rabbit, f"{site.prefix}-2")
    mine = {stranger.mine.user, stranger.other.user}
    assert {one.user for one in stranger.users.present()} == mine
    assert not mine & {one.user for one in site.users.present()}
    stranger.close()
    guest.close()


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("http://guest:wrong-secret@127.0.0.1:{port}", "does not accept the user 'guest'"),
        ("http://guest:wrong-secret@127.0.0.1:1", "cannot be asked"),
    ],
)
def test_a_management_that_refuses_is_said_without_its_password(site: Site, url: str, words: str) -> None:
    port = site.rabbit.admin_url.rpartition(":")[2]
    users = site.admin(url.format(port=port))
    with pytest.raises(BusUnavailable, match=words) as refused:
        users.make("mine")
    assert "wrong-secret" not in str(refused.value)
    users.close()


# The effect that looks after them -----------------------------------------------------------------------------------


@contextmanager
def looking_after(server: WebSite, *each: BrokerUsers) -> Iterator[None]:
    """Processes with the role, which own what they are given."""
    hosts = [
        EffectsHost(users, server.store.views, server.bus, lambda _, error: server.failed.append(error))
        for users in each
    ]
    for host in hosts:
        host.start()
    yield
    for host in hosts:
        host.stop()
        assert host.join(SOON_S)


def names(site: Site) -> set[str]:
    return {one.user.rpartition("/")[2] for one in site.users.present()}


def test_the_user_of_a_deleted_worker_goes_also_when_nobody_was_there_to_see_it(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(web, "START", int(time.time() * 1_000_000) + 5_000_000)  # they are deleted after they were made
    users = [site.users.make(name) for name in ("one", "two", "three")]
    with web.running(tmp_path) as server:
        for number, name in enumerate(("one", "two", "three"), 1):
            server.record(wk.WorkerDeclared(number, name, "i", 1, 0, ("Default",)))
        server.record(wk.WorkerDeleted(1))
        server.shown()
        with looking_after(server, site.admin(), site.admin()):
            eventually(lambda: "one" not in names(site), "it goes at the start", SOON_S)
            assert {"two", "three"} <= names(site)
            server.record(wk.WorkerDeleted(2))
            eventually(lambda: "two" not in names(site), "it goes with the worker", SOON_S)
            site.connect(users[2])
    for gone in users[:2]:
        with pytest.raises(ProbableAuthenticationError):
            site.connect(gone)


def test_users_of_credentials_of_before_go_and_those_of_now_stay(site: Site, tmp_path: Path) -> None:
    before, now = site.admin(series="before"), site.admin(series="now")
    before.make("old")
    before.close()
    now.make("new")
    with web.running(tmp_path) as server:
        server.record(*(wk.WorkerDeclared(id, name, "i", 1, 0, ("Default",)) for id, name in ((1, "old"), (2, "new"))))
        server.shown()
        with looking_after(server, now):
            eventually(lambda: "old" not in names(site), "its credential holds no more", SOON_S)
            assert "new" in names(site)


def test_a_management_that_refuses_is_said_once_and_asked_again(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(effects, "FIRST_PAUSE_S", 0.01)
    host, port = site.rabbit.admin_url.rpartition("@")[2].removeprefix("http://").split(":")
    boss = site.admin(f"http://{site.prefix}:secret@{host}:{port}")
    with web.running(tmp_path) as server, caplog.at_level(logging.INFO), looking_after(server, boss):
        eventually(lambda: "cannot be looked after" in caplog.text, "it is said", SOON_S)
        told = {"password": "secret", "tags": "administrator"}
        httpx.put(f"{site.rabbit.admin_url}/api/users/{site.prefix}", json=told, trust_env=False).raise_for_status()
        eventually(lambda: "looked after again" in caplog.text, "it is back", SOON_S)
    assert caplog.text.count("cannot be looked after") == 1 and "secret" not in caplog.text
