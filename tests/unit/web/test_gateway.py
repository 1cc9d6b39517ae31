"""The gateway carries what an agent may say, in both directions, and tells it in words what it may not."""

import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest
from websockets.client import ClientProtocol
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Subprotocol
from websockets.uri import parse_uri

from scitq.bus import Consumer, Delivery
from scitq.bus.local import LocalBus
from scitq.credentials import Credentials
from scitq.domain.agent_wire import encode_from_agent, encode_post, parse_post
from scitq.domain.execution import Started
from scitq.domain.messages import AgentHello, Applied, Heartbeat, Reports, ToAgent, Welcome
from scitq.domain.output_wire import Chunk, Confirm, encode_chunk, encode_confirms, parse_confirms
from scitq.domain.telemetry import ENDED, Live, Machine, Telemetry, received
from scitq.domain.worker import Hello
from scitq.errors import BusUnavailable
from scitq.web import gateway
from tests.services.waiting import eventually
from tests.unit.web.site import TOKEN, Site, running

PROTOCOLS = [Subprotocol("scitq.1")]
HELLO = encode_from_agent(AgentHello(Hello("node", "i1", 2, 0, ("Default",))))
HEARTBEAT = encode_from_agent(Heartbeat(7, "i1"))
CHUNK = encode_chunk(Chunk(5, 1, 0, 0, b"hello\n"))


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with running(tmp_path_factory.mktemp("site")) as site:
        yield site


@pytest.fixture
def engine(site: Site) -> Iterator["Engine"]:
    with Engine(site.bus) as engine:
        yield engine


class Engine:
    """Takes what the gateway sends, and speaks to agents."""

    def __init__(self, bus: LocalBus) -> None:
        self.bus = bus
        self.consumers: dict[str, Consumer] = {"reports": bus.consume("reports"), "output": bus.consume("output")}

    def __enter__(self) -> "Engine":
        return self

    def __exit__(self, *_: object) -> None:
        for name, consumer in self.consumers.items():
            while self.taken(name, wait_s=0):  # nothing is left for the next test
                pass
            consumer.close()

    def taken(self, queue: str = "reports", wait_s: float = 20) -> list[Delivery]:
        found = self.consumers[queue].take(1_000, wait_s)
        self.consumers[queue].done(one.token for one in found)
        return found

    def one(self, queue: str = "reports") -> Delivery:
        (found,) = self.taken(queue)
        return found

    def say(
        self, address: str, *said: ToAgent, worker: int = 7, incarnation: str = "i1", welcome: bool = False
    ) -> None:
        headers = {"worker": str(worker), "incarnation": incarnation} | ({"welcome": "1"} if welcome else {})
        self.bus.post(address, encode_post(1, worker, incarnation, said), headers)

    def welcome(self, agent: ClientConnection, hello: bytes = HELLO) -> str:
        """From hello to welcome; the address of the connection."""
        agent.send(hello, text=True)
        address = self.one().message.headers["reply_to"]
        self.say(address, Welcome(7, "i1", 0), welcome=True)
        assert heard(agent) == [Welcome(7, "i1", 0)]
        return address


@contextmanager
def agent(site: Site, token: str = TOKEN, **options: Any) -> Iterator[ClientConnection]:
    headers = {"Authorization": f"Bearer {token}"}
    address = f"ws://127.0.0.1:{site.port}/workers/gateway"
    options = {"subprotocols": PROTOCOLS, "compression": None, "proxy": None, "open_timeout": 20} | options
    with connect(address, additional_headers=headers, **options) as connection:
        yield connection


def heard(connection: ClientConnection) -> list[ToAgent]:
    frame = connection.recv(timeout=20)
    assert isinstance(frame, str)
    return parse_post(frame.encode())[3]


def in_thread(work: Callable[[], object]) -> Callable[[], None]:
    """Begun; the answer waits for its end."""
    thread = threading.Thread(target=work)
    thread.start()
    return lambda: thread.join(20)


def send_all(connection: ClientConnection, frames: Sequence[bytes | str]) -> None:
    for frame in frames:
        connection.send(frame)


def closed(connection: ClientConnection) -> tuple[int, str]:
    """With which code and reason the server closed it."""
    with pytest.raises(ConnectionClosed) as caught:
        connection.recv(timeout=20)
    assert caught.value.rcvd is not None
    return caught.value.rcvd.code, caught.value.rcvd.reason


def credential(site: Site, name: str) -> str:
    return Credentials(site.token).for_worker(name)


# What is carried -------------------------------------------------------------------------------------------------


def test_what_is_told_of_the_moment_goes_to_those_who_look_and_not_to_the_engine(site: Site, engine: Engine) -> None:
    said = Telemetry(7, "i1", Machine(load="1.0 / 0.0", memory=50.0, stats="{}"), (Live(execution=5, ended=True),))
    with agent(site) as one, site.bus.follow("telemetry") as moments:
        engine.welcome(one)
        one.send(encode_from_agent(said), text=True)
        one.send(HEARTBEAT, text=True)
        (moment,) = moments.take(10, 20)
        assert received(moment.body) == said and moment.headers == {ENDED: "1"}
        assert engine.one().message.body == HEARTBEAT
        one.send(encode_from_agent(replace(said, worker=8)), text=True)
        assert closed(one)[0] == gateway.REFUSED
    with agent(site) as one:
        one.send(encode_from_agent(said), text=True)
        assert closed(one) == (gateway.REFUSED, "say hello first, and wait for the welcome")


def test_a_hello_reaches_the_engine_as_it_was_sent_and_its_answer_the_agent(site: Site, engine: Engine) -> None:
    with agent(site) as one:
        assert one.subprotocol == "scitq.1"
        one.send(HELLO, text=True)
        message = engine.one().message
        assert message.body == HELLO
        assert set(message.headers) == {"reply_to"}
        engine.say(message.headers["reply_to"], Welcome(7, "i1", 0), welcome=True)
        assert heard(one) == [Welcome(7, "i1", 0)]


def test_what_an_agent_reports_carries_the_id_it_was_welcomed_with(site: Site, engine: Engine) -> None:
    reports = encode_from_agent(Reports(7, "i1", 1, 1, (Started(5, 77),)))
    with agent(site) as one:
        address = engine.welcome(one)
        for body in (HEARTBEAT, reports):
            one.send(body, text=True)
            message = engine.one().message
            assert (message.body, message.headers) == (body, {"reply_to": address, "worker": "7"})


def test_what_is_said_to_the_worker_reaches_the_connection_it_was_welcomed_on(site: Site, engine: Engine) -> None:
    with agent(site) as one, agent(site) as other:
        engine.welcome(one)
        engine.say("worker.7.i1", Applied(3))
        assert heard(one) == [Applied(3)]
        with pytest.raises(TimeoutError):
            other.recv(timeout=0.05)


def test_output_goes_as_it_is_and_its_confirmation_comes_back(site: Site, engine: Engine) -> None:
    with agent(site) as one:
        address = engine.welcome(one)
        one.send(CHUNK)
        message = engine.one("output").message
        assert (message.body, message.headers) == (CHUNK, {"reply_to": address, "worker": "7"})
        engine.bus.post(address, encode_confirms([Confirm(5, 1, 6)]), {"kind": "confirm"})
        frame = one.recv(timeout=20)
        assert isinstance(frame, bytes)
        assert parse_confirms(frame) == [Confirm(5, 1, 6)]


def test_the_largest_chunk_passes(site: Site, engine: Engine) -> None:
    chunk = encode_chunk(Chunk(5, 2, 2**40, 0, bytes(64 * 1024)))
    with agent(site) as one:
        engine.welcome(one)
        one.send(chunk)
        assert engine.one("output").message.body == chunk


def test_every_frame_counts_as_having_been_heard(site: Site, engine: Engine) -> None:
    with agent(site) as one:
        engine.welcome(one)
        before = site.services.heard(7)
        assert before is not None
        one.send(HEARTBEAT, text=True)
        engine.one()
        eventually(lambda: (site.services.heard(7) or 0) > before)
    assert site.services.heard(8) is None


def test_an_agent_that_is_not_welcome_may_ask_again(site: Site, engine: Engine) -> None:
    with agent(site) as one:
        one.send(HELLO, text=True)
        engine.one()
        engine.welcome(one)


def test_a_worker_credential_speaks_under_its_name(site: Site, engine: Engine) -> None:
    with agent(site, credential(site, "node")) as one:
        one.send(HELLO, text=True)
        assert engine.one().message.headers["name"] == "node"


# What is refused -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("token", ["wrong-token-wrong-token", "scitq1.w.bm9kZQ.AAAA", ""])
def test_a_bad_token_is_told_so_in_the_answer_to_the_handshake(site: Site, token: str) -> None:
    with pytest.raises(InvalidStatus) as caught, agent(site, token):
        pass
    response = caught.value.response
    assert response.status_code == 401
    assert b'"message"' in response.body


def test_an_invitation_does_not_open_the_gateway(site: Site) -> None:
    with pytest.raises(InvalidStatus) as caught, agent(site, Credentials(site.token).invitation(60, int(time.time()))):
        pass
    assert caught.value.response.status_code == 401


def test_who_does_not_speak_the_protocol_is_told_which_it_is(site: Site) -> None:
    with pytest.raises(InvalidStatus) as caught, agent(site, subprotocols=None):
        pass
    assert caught.value.response.status_code == 426
    assert b"scitq.1" in caught.value.response.body


@pytest.mark.parametrize(
    ("offered", "advice"),
    [(["scitq.9"], "update the server"), (["scitq.0"], "give the worker the server's version"), (["x"], "offers x")],
)
def test_one_that_is_too_far_apart_is_told_both_versions_and_what_to_do(
    site: Site, offered: list[Subprotocol], advice: str
) -> None:
    options: dict[str, Any] = {"subprotocols": offered, "user_agent_header": "scitq/7.3.1"}
    with pytest.raises(InvalidStatus) as caught, agent(site, **options):
        pass
    said = orjson.loads(caught.value.response.body)["message"]
    assert "this server is scitq test and speaks scitq.1" in said
    assert f"scitq 7.3.1 offers {offered[0]}" in said
    assert advice in said


def test_one_that_offers_more_than_we_know_gets_what_we_know(site: Site) -> None:
    with agent(site, subprotocols=[Subprotocol("scitq.2"), *PROTOCOLS]) as one:
        assert one.subprotocol == "scitq.1"


def test_what_only_a_newer_agent_says_is_left_out_and_told_once(
    site: Site, engine: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    with agent(site) as one:
        engine.welcome(one)
        news = b'{"type": "dreams", "worker": 7, "incarnation": "i1"}'
        beat = b'{"type": "heartbeat", "worker": 7, "incarnation": "i1", "mood": "good"}'
        send_all(one, [frame.decode() for frame in (news, news, beat)])
        assert engine.one().message.body == beat
    assert [vars(record)["kind"] for record in caplog.records if hasattr(record, "kind")] == ["dreams"]


def test_one_that_says_something_new_before_its_hello_is_refused(site: Site, engine: Engine) -> None:
    with agent(site) as one:
        one.send('{"type": "dreams-before"}')
        assert closed(one) == (1008, "say hello first")


HOSTILE: dict[str, bytes | str] = {
    "nothing": "",
    "no JSON": "hello!",
    "JSON that is no object": "[1, 2]",
    "an unknown type that is no word": '{"type": "Welcome!", "worker": 7}',
    "a worker that is no number": '{"type": "heartbeat", "worker": "7", "incarnation": "i1"}',
    "a negative worker": '{"type": "heartbeat", "worker": -7, "incarnation": "i1"}',
    "an incarnation with a dot too many": '{"type": "heartbeat", "worker": 7, "incarnation": "i1/../*"}',
    "held executions that are none": '{"type": "heartbeat", "worker": 7, "incarnation": "i1", "held": {"x": "ended"}}',
    "nesting without an end": '{"type": "heartbeat", "held": ' + "[" * 100_000,
    "too many reports": '{"type": "reports", "worker": 7, "incarnation": "i1", "first": 1, "floor": 1, "reports": ['
    + ",".join(['{"type": "started", "execution": 5}'] * 10_001)
    + "]}",
    "a message of five megabytes": '{"type": "heartbeat", "worker": 7, "incarnation": "' + "i" * 5_000_000 + '"}',
    "a chunk without a head": b"x",
    "a chunk without data": CHUNK[: -len(b"hello\n")],
    "a chunk that is too long": CHUNK + bytes(64 * 1024),
    "a chunk of a third stream": struct.pack(">QBQQ", 5, 3, 0, 0) + b"x",
    "a chunk at the end of the world": struct.pack(">QBQQ", 5, 1, 2**63, 0) + b"x",
    "a chunk of execution 0": struct.pack(">QBQQ", 0, 1, 0, 0) + b"x",
}


@pytest.mark.parametrize("frame", HOSTILE.values(), ids=HOSTILE.keys())
def test_a_frame_that_cannot_be_understood_ends_the_connection_with_a_reason(
    site: Site, engine: Engine, frame: bytes | str
) -> None:
    with agent(site) as one:
        engine.welcome(one)
        one.send(frame)
        code, reason = closed(one)
    assert code == 1008
    assert len(reason) > 10
    assert not engine.taken(wait_s=0)
    assert not engine.taken("output", wait_s=0)


def test_a_frame_that_is_larger_than_any_message_ends_the_connection(site: Site, engine: Engine) -> None:
    with agent(site) as one:
        engine.welcome(one)
        with pytest.raises(ConnectionClosed):
            one.send(b"x" * (9 * 1024 * 1024))
            one.recv(timeout=20)
        assert one.protocol.close_rcvd is None or one.protocol.close_rcvd.code == 1009


@pytest.mark.parametrize(
    "body",
    [
        encode_from_agent(Heartbeat(8, "i1")),
        encode_from_agent(Heartbeat(7, "i2")),
        encode_from_agent(Reports(8, "i1", 1, 1, (Started(5),))),
    ],
    ids=["heartbeat", "incarnation", "reports"],
)
def test_an_agent_does_not_speak_for_another_worker(site: Site, engine: Engine, body: bytes) -> None:
    with agent(site) as one:
        engine.welcome(one)
        one.send(body, text=True)
        code, reason = closed(one)
    assert (code, "an agent that has not its place" in reason) == (1008, True)
    assert not engine.taken(wait_s=0)


@pytest.mark.parametrize("frame", [HEARTBEAT.decode(), CHUNK], ids=["heartbeat", "chunk"])
def test_nothing_is_said_before_the_welcome(site: Site, engine: Engine, frame: str | bytes) -> None:
    with agent(site) as one:
        one.send(HELLO, text=True)
        engine.one()
        one.send(frame)
        code, reason = closed(one)
    assert (code, "say hello first" in reason) == (1008, True)


def test_a_credential_is_good_for_its_own_name_only(site: Site, engine: Engine) -> None:
    with agent(site, credential(site, "another")) as one:
        one.send(HELLO, text=True)
        code, reason = closed(one)
    assert (code, reason) == (1008, "this credential is for worker 'another', not for 'node'")
    assert not engine.taken(wait_s=0)


def test_a_reason_is_cut_between_characters_to_what_a_close_frame_holds(site: Site, engine: Engine) -> None:
    with agent(site, credential(site, "é" * 150)) as one:
        one.send(HELLO, text=True)
        code, reason = closed(one)
    assert code == 1008
    assert reason.startswith("this credential is for worker 'éé")
    assert 120 <= len(reason.encode()) <= 123


def test_one_connection_is_one_agent(site: Site, engine: Engine) -> None:
    with agent(site) as one:
        engine.welcome(one)
        one.send(encode_from_agent(AgentHello(Hello("node", "i2", 2, 0, ("Default",)))), text=True)
        assert closed(one)[0] == 1008


def test_who_says_nothing_is_not_waited_for(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gateway, "HELLO_S", 0.1)
    with agent(site) as one:
        code, reason = closed(one)
    assert (code, "no hello" in reason) == (1008, True)


# Agents that vanish ----------------------------------------------------------------------------------------------


def test_a_connection_that_breaks_off_is_forgotten(site: Site, engine: Engine) -> None:
    with agent(site) as one:
        engine.welcome(one)
        one.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        one.socket.shutdown(socket.SHUT_RDWR)
        eventually(lambda: "worker.7.i1" not in site.bus._boxes)


def test_an_agent_that_answers_no_ping_is_forgotten(tmp_path: Path) -> None:
    with running(tmp_path, ping_s=0.1) as site, Engine(site.bus) as engine:
        protocol = ClientProtocol(parse_uri(f"ws://127.0.0.1:{site.port}/workers/gateway"), subprotocols=PROTOCOLS)
        with socket.create_connection(("127.0.0.1", site.port)) as silent:
            request = protocol.connect()
            request.headers["Authorization"] = f"Bearer {TOKEN}"
            protocol.send_request(request)
            silent.sendall(b"".join(protocol.data_to_send()))
            protocol.receive_data(silent.recv(10_000))
            protocol.send_text(HELLO)
            silent.sendall(b"".join(protocol.data_to_send()))
            address = engine.one().message.headers["reply_to"]
            assert address in site.bus._boxes
            eventually(lambda: address not in site.bus._boxes)


# When it is too much ---------------------------------------------------------------------------------------------


def test_an_agent_is_told_why_it_is_sent_away_when_the_bus_takes_nothing_for_long(
    site: Site, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise BusUnavailable("the broker is low on disk")

    monkeypatch.setattr(gateway, "PATIENCE_S", 0.1)
    monkeypatch.setattr(site.bus, "send", refuse)
    with agent(site) as one:
        one.send(HELLO, text=True)
        assert closed(one) == (1013, "the server cannot take this now: the broker is low on disk")


def test_while_the_bus_is_full_nothing_is_read_and_nothing_lost(tmp_path: Path) -> None:
    chunks = [encode_chunk(Chunk(5, 1, at * 60_000, 0, bytes(60_000))) for at in range(400)]
    with running(tmp_path, bus=LocalBus(most_bytes=500_000)) as site, Engine(site.bus) as engine, agent(site) as one:
        engine.welcome(one)
        found: list[bytes] = []
        sender = in_thread(lambda: send_all(one, chunks))
        while len(found) < len(chunks):
            taken = engine.taken("output")
            assert taken
            assert sum(len(each.message.body) for each in taken) <= 500_000 + 64 * 1024
            found += [each.message.body for each in taken]
        sender()
    assert found == chunks


def test_an_agent_that_is_too_slow_for_what_it_is_sent_is_sent_away(site: Site, engine: Engine) -> None:
    with agent(site, max_queue=1) as one:
        address = engine.welcome(one)
        for _ in range(30_000):
            engine.bus.post(address, bytes(5_000), {"kind": "confirm"})
        with pytest.raises(ConnectionClosed) as caught:
            while True:
                one.recv(timeout=20)
        assert caught.value.rcvd is not None
        assert caught.value.rcvd.code == 1013


def test_when_the_server_stops_the_agent_is_told_to_come_again(tmp_path: Path) -> None:
    with running(tmp_path) as site, Engine(site.bus) as engine, agent(site) as one:
        engine.welcome(one)
        site.bus.close()
        assert closed(one)[0] == 1013


def test_a_connection_leaves_nothing_behind(site: Site, engine: Engine) -> None:
    with agent(site) as one:
        engine.welcome(one)
        boxes = site.bus._boxes
        assert "worker.7.i1" in boxes
    eventually(lambda: "worker.7.i1" not in boxes)
    assert not [address for address in boxes if address.startswith("worker.")]
