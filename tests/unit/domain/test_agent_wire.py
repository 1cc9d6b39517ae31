"""The protocol between engine and agents: what is said arrives, and nothing else does."""

from __future__ import annotations

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scitq.domain.agent_wire import (
    MOST_BYTES,
    MOST_NEWS,
    News,
    encode_from_agent,
    encode_post,
    parse_from_agent,
    parse_post,
)
from scitq.domain.execution import Started, Succeeded
from scitq.domain.messages import (
    AgentHello,
    Cancel,
    FromAgent,
    Heartbeat,
    Reports,
    Unknown,
)
from scitq.domain.worker import Hello
from scitq.errors import Malformed, UnknownMessage
from tests.golden.said import FROM_AGENT, TO_AGENT


@pytest.mark.parametrize("message", FROM_AGENT)
def test_what_an_agent_says_arrives(message: FromAgent) -> None:
    assert parse_from_agent(encode_from_agent(message)) == message


def test_who_introduces_itself_is_answered_where_the_gateway_heard_it() -> None:
    hello = AgentHello(Hello("node1", "spool-1"), "gateway-7")
    assert parse_from_agent(encode_from_agent(hello), "gateway-7") == hello


def test_what_the_engine_says_arrives() -> None:
    assert parse_post(encode_post(2, 3, "spool-1", TO_AGENT)) == (2, 3, "spool-1", list(TO_AGENT))


def test_what_a_newer_engine_or_agent_adds_is_passed_over() -> None:
    post = {
        "epoch": 1,
        "worker": 3,
        "incarnation": "i",
        "messages": [{"type": "dance"}, {"type": "cancel", "execution": 1}],
    }
    post["messages"][1]["why"] = "new"  # type: ignore[index]
    assert parse_post(orjson.dumps(post)) == (1, 3, "i", [Cancel(1)])
    heartbeat = {"type": "heartbeat", "worker": 3, "incarnation": "i", "held": {}, "temperature": 40}
    assert parse_from_agent(orjson.dumps(heartbeat)) == Heartbeat(3, "i")


def test_a_report_of_a_new_kind_keeps_its_number_and_a_new_way_to_hold_is_a_way_to_hold() -> None:
    reports = [
        {"type": "started", "execution": 5},
        {"type": "moved", "to": "elsewhere"},
        {"type": "succeeded", "execution": 5},
    ]
    said = {"type": "reports", "worker": 3, "incarnation": "i", "first": 8, "floor": 7, "reports": reports}
    assert parse_from_agent(orjson.dumps(said)) == Reports(3, "i", 8, 7, (Started(5), Unknown("moved"), Succeeded(5)))
    heartbeat = {"type": "heartbeat", "worker": 3, "incarnation": "i", "held": {"5": "fetching", "6": "running"}}
    assert parse_from_agent(orjson.dumps(heartbeat)) == Heartbeat(3, "i", {5: "accepted", 6: "running"})


def test_a_message_of_a_new_kind_says_which_and_each_is_told_once() -> None:
    with pytest.raises(UnknownMessage) as found:
        parse_from_agent(b'{"type": "gossip", "load": [1, 2]}')
    assert found.value.kind == "gossip"
    told: list[str] = []
    post = {
        "epoch": 1,
        "worker": 3,
        "incarnation": "i",
        "messages": [{"type": "dance"}, {"type": "dance"}, {"type": "sing"}],
    }
    assert parse_post(orjson.dumps(post), told.append)[3] == []
    assert told == ["dance", "dance", "sing"]
    news = News()
    assert [kind for kind in told if news.is_first(kind)] == ["dance", "sing"]
    assert sum(news.is_first(str(number)) for number in range(1_000)) == MOST_NEWS - 2


HEAD = '"worker": 1, "incarnation": "i"'


@pytest.mark.parametrize(
    ("said", "place"),
    [
        ("", "the message"),
        ("[]", "the message"),
        ('{"type": "nonsense"}', "'nonsense'"),
        ('{"type": "No Word"}', "the message"),
        ('{"type": 5}', "the message"),
        ('{"type": "reports"', "the message"),
        ('{"type": "reports", "worker": 0, "incarnation": "i", "first": 1, "floor": 1, "reports": []}', "worker"),
        (
            '{"type": "reports", "worker": 1, "incarnation": "a b", "first": 1, "floor": 1, "reports": []}',
            "incarnation",
        ),
        (f'{{"type": "reports", {HEAD}, "first": 1, "floor": 1, "reports": [{{"type": "No Word"}}]}}', "reports.0"),
        (
            f'{{"type": "reports", {HEAD}, "first": 1, "floor": 1, '
            '"reports": [{"type": "refused", "execution": 1, "reason": "a\\u0000b"}]}',
            "reason",
        ),
        (f'{{"type": "heartbeat", {HEAD}, "held": {{"x": "running"}}}}', "held"),
        (f'{{"type": "heartbeat", {HEAD}, "held": {{"1": "Dancing!"}}}}', "held"),
        ('{"type": "hello", "name": "n", "incarnation": "i", "batches": ["a/b"]}', "batches"),
        ('{"type": "hello", "name": "n", "incarnation": "i", "concurrency": 1e99}', "concurrency"),
        (" " * (MOST_BYTES + 1), "bytes"),
    ],
)
def test_what_is_no_message_is_refused_in_words_that_name_the_place(said: str, place: str) -> None:
    with pytest.raises(Malformed, match=place):
        parse_from_agent(said.encode())


@settings(max_examples=1_000, deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_are_a_message_or_refused(said: bytes) -> None:
    for parse in (parse_from_agent, parse_post):
        try:
            parse(said)
        except Malformed as refusal:
            assert str(refusal)
