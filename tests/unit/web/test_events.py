"""The log over HTTP: pages, and a stream that can be broken off and taken up anywhere without a gap or a repeat."""

import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from random import Random
from typing import Any

import httpx
import orjson
import pytest

from scitq.domain import task as tk
from scitq.domain.engine_log import PayloadErased
from scitq.domain.envelope import Erasure
from scitq.domain.event_json import as_json
from scitq.domain.wire import Event, Recorded, encode, seal_all
from scitq.web import events
from scitq.web.events import EventFeed
from tests.services.waiting import eventually
from tests.unit.web.site import OURS, START, Site, running

LIVE = {"Accept": "text/event-stream"}


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with running(tmp_path) as site:
        yield site


def created(*ids: int, command: str = "echo") -> list[Event]:
    return [tk.TaskCreated(id, command) for id in ids]


def get(site: Site, path: str, **headers: str) -> httpx.Response:
    with site.client() as client:
        return client.get(path, headers=headers)


class Live:
    """A client that reads events as a browser does; `position` is where it is."""

    def __init__(self, site: Site, query: str = "", last: int | None = None, **headers: str) -> None:
        if last is not None:
            headers["Last-Event-ID"] = str(last)
        self._client = httpx.Client(base_url=site.url, headers=OURS | LIVE | headers, timeout=20, trust_env=False)
        request = self._client.build_request("GET", f"/events{query}")
        self.answer = self._client.send(request, stream=True)
        assert self.answer.status_code == 200
        assert self.answer.headers["content-type"].startswith("text/event-stream")
        self._lines = self.answer.iter_lines()
        self.comments = 0

    def close(self) -> None:
        self.answer.close()
        self._client.close()

    def __iter__(self) -> Iterator[dict[str, Any]]:
        position, deadline = 0, time.monotonic() + 20
        for line in self._lines:
            assert time.monotonic() < deadline
            name, _, value = line.partition(": ")
            if name == "id":
                position = int(value)
            elif name == "data":
                event: dict[str, Any] = orjson.loads(value)
                assert event["position"] == position
                yield event
            elif line == ":":
                self.comments += 1

    def take(self, count: int) -> list[int]:
        """The positions of the next so many."""
        found = []
        for event in self:
            found.append(event["position"])
            if len(found) == count:
                return found
        raise AssertionError(f"the stream ended behind {found}")


# Pages -----------------------------------------------------------------------------------------------------------


def test_an_event_is_shown_with_everything_that_is_known_of_it(site: Site) -> None:
    (stored,) = site.record(tk.TaskCreated(1, "echo é", name="first"))
    (shown,) = get(site, "/events").json()
    assert shown == as_json(stored)
    assert shown["payload"] == {"task": 1, "command": "echo é", "name": "first"}
    assert (shown["position"], shown["stream"], shown["type"], shown["schema"]) == (1, "task-1", "task-created", 2)
    assert shown["time"] == "2026-09-21T14:13:20.000001Z"
    assert shown["hash"] == stored.hash.hex()
    assert shown["erased"] is False


def test_a_page_tells_where_the_next_one_begins(site: Site) -> None:
    site.record(*created(*range(1, 26)))
    after, pages = 0, []
    while True:
        answer = get(site, f"/events?limit=10&after={after}")
        pages.append([event["position"] for event in answer.json()])
        assert answer.headers["x-scitq-position"] == "25"
        if "x-next-after" not in answer.headers:
            break
        after = int(answer.headers["x-next-after"])
    assert pages == [list(range(1, 11)), list(range(11, 21)), list(range(21, 26))]


def test_the_newest_come_first_when_asked_for(site: Site) -> None:
    site.record(*created(*range(1, 26)))
    assert [event["position"] for event in get(site, "/events?newest=true&limit=3").json()] == [25, 24, 23]
    assert [event["position"] for event in get(site, "/events?newest=true&after=24").json()] == [25]


def test_a_page_may_be_of_one_stream_or_type(site: Site) -> None:
    site.record(*created(1, 2), tk.TaskPaused(1), *created(3))
    ask = {"?stream=task-1": [1, 3], "?type=task-paused": [3], "?type=task-*&after=2": [3, 4], "?type=worker-*": []}
    found = {query: [event["position"] for event in get(site, f"/events{query}").json()] for query in ask}
    assert found == ask


def test_a_page_of_long_events_is_cut_before_it_gets_too_long(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "PAGE_BYTES", 1_000)
    monkeypatch.setattr(events, "PAGE", 2)
    site.record(*created(*range(1, 10), command="x" * 400))
    answer = get(site, "/events?limit=9")
    assert [event["position"] for event in answer.json()] == [1, 2, 3, 4]
    assert answer.headers["x-next-after"] == "4"


@pytest.mark.parametrize(
    "query",
    ["after=-1", "after=x", "after=1.5", "limit=0", "limit=1001", "newest=perhaps", "straem=x", "after=1&after=2"],
)
def test_what_makes_no_sense_is_refused_in_words(site: Site, query: str) -> None:
    for headers in ({}, LIVE):
        answer = get(site, f"/events?{query}", **headers)
        assert answer.status_code == 400
        assert answer.json()["message"]


@pytest.mark.parametrize("last", ["-1", "x", "1" * 16, "1.0"])
def test_a_last_event_id_that_is_none_is_refused(site: Site, last: str) -> None:
    assert get(site, "/events", **LIVE, **{"Last-Event-ID": last}).status_code == 400


# Live ------------------------------------------------------------------------------------------------------------


def test_what_was_and_what_comes_is_one_sequence(site: Site) -> None:
    site.record(*created(1, 2, 3))
    with closing(Live(site)) as live:
        assert live.take(3) == [1, 2, 3]
        site.record(*created(4))
        assert live.take(1) == [4]
        site.record(*created(5, 6))
        assert live.take(2) == [5, 6]


def test_a_stream_begins_where_it_was_asked_to(site: Site) -> None:
    site.record(*created(1, 2, 3))
    for query, last, expected in (("?after=2", None, 3), ("?after=1", 2, 3), ("", 2, 3), ("?newest=true", None, 4)):
        with closing(Live(site, query, last)) as live:
            if expected == 4:
                site.record(*created(4))
            assert live.take(1) == [expected]


def test_a_stream_that_begins_ahead_of_the_log_waits_for_it(site: Site) -> None:
    site.record(*created(1))
    with closing(Live(site, "?after=2")) as live:
        site.record(*created(2, 3))
        assert live.take(1) == [3]


def test_a_stream_may_be_of_one_stream_or_type(site: Site) -> None:
    site.record(*created(1, 2), tk.TaskPaused(1))
    with closing(Live(site, "?stream=task-1")) as of_task, closing(Live(site, "?type=task-p*")) as of_type:
        site.record(*created(3), tk.TaskResumed(1), tk.TaskPaused(2), tk.TaskPaused(1))
        assert of_task.take(4) == [1, 3, 5, 7]
        assert of_type.take(3) == [3, 6, 7]


def test_whoever_reconnects_at_any_position_misses_nothing_and_gets_nothing_twice(site: Site) -> None:
    count, seen = 600, list[int]()

    def read() -> None:
        random = Random(8)
        while len(seen) < count:
            with closing(Live(site, last=seen[-1] if seen else None)) as live:
                seen.extend(live.take(min(random.randint(1, 40), count - len(seen))))

    reader = threading.Thread(target=read)
    reader.start()
    random, at = Random(7), 0
    while at < count:
        turn = min(random.randint(1, 9), count - at)
        site.record(*created(*range(at + 1, at + turn + 1)), publish=random.random() < 0.9)
        at += turn
        eventually(lambda: not reader.is_alive() or len(seen) > at - 60)  # noqa: B023
    site.record(*created(count + 1))
    reader.join(20)
    assert seen == list(range(1, count + 1))


def test_a_client_that_only_wants_to_know_that_there_is_more_is_told_positions(site: Site) -> None:
    site.record(*created(1, 2, 3))
    with closing(Live(site, "?brief=true&type=task-created")) as live:
        told = (line for line in live.answer.iter_lines() if line.startswith(("id", "data")))
        assert [next(told), next(told)] == ["id: 3", "data:"]
        site.record(*created(4, 5), tk.TaskPaused(1))
        assert [next(told), next(told)] == ["id: 5", "data:"]


def test_many_clients_see_the_same(site: Site) -> None:
    site.record(*created(1, 2))
    clients = [Live(site, f"?after={at % 3}") for at in range(20)]
    site.record(*created(3))
    site.record(*created(4))
    for at, client in enumerate(clients):
        with closing(client):
            assert client.take(4 - at % 3) == list(range(at % 3 + 1, 5))


def test_nothing_is_taken_from_the_store_for_those_who_are_up_to_date(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    with closing(Live(site)) as live:
        site.record(*created(1))
        assert live.take(1) == [1]
        feed = site.services.part(EventFeed)
        eventually(lambda: feed.since(1, 1) is not None)
        monkeypatch.setattr(events, "_read", None)
        for id in range(2, 50):
            site.record(*created(id))
            assert live.take(1) == [id]


def test_a_gap_in_what_is_published_is_filled_from_the_store(site: Site) -> None:
    with closing(Live(site)) as live:
        site.record(*created(1))
        assert live.take(1) == [1]
        site.record(*created(2, 3), publish=False)
        site.record(*created(4))
        assert live.take(3) == [2, 3, 4]


def test_what_was_never_published_comes_with_the_next_look(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "COMMENT_S", 0.1)
    with closing(Live(site)) as live:
        site.record(*created(1), publish=False)
        assert live.take(1) == [1]


def test_what_was_erased_is_not_shown_from_memory(site: Site) -> None:
    with closing(Live(site)) as live:
        site.record(*created(1, command="a secret"))
        assert live.take(1) == [1]
        event = Recorded(2, "audit", 1, START, "user", 2, 0, None, PayloadErased(1, (1,), "a secret"))
        turn = seal_all(site.head.hash, [event], [encode(event.event)], 1)  # type: ignore[arg-type]
        site.append(turn, erasures=[Erasure(1, 2)])
        assert live.take(1) == [2]
        with closing(Live(site, "?after=0")) as later:
            first, second = [one for _, one in zip(range(2), later, strict=False)]
    assert (first["payload"], first["erased"]) == (None, True)
    assert second["position"] == 2


def test_where_nothing_happens_a_comment_says_so(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "COMMENT_S", 0.05)
    site.record(*created(1))
    with closing(Live(site, "?type=task-paused")) as live:
        for line in live.answer.iter_lines():
            live.comments += line == ":"
            site.record(tk.TaskReleased(1))  # others happen all the time
            if live.comments == 3:
                break


def test_memory_keeps_only_the_newest(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "MOST_KEPT", 10)
    with closing(Live(site)) as live:
        for first in range(1, 101, 5):
            site.record(*created(*range(first, first + 5)))
        assert live.take(100) == list(range(1, 101))
        feed = site.services.part(EventFeed)
        assert len(feed._kept) <= 10
        with closing(Live(site, "?after=0")) as late:
            assert late.take(100) == list(range(1, 101))


def test_a_client_that_has_gone_is_forgotten(site: Site) -> None:
    with closing(Live(site)):
        feed = site.services.part(EventFeed)
        eventually(lambda: feed.bell.listeners == 1)
    eventually(lambda: feed.bell.listeners == 0)


def test_more_clients_than_can_be_served_are_told_to_come_later(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "MOST_CLIENTS", 1)
    with closing(Live(site)):
        eventually(lambda: site.services.part(EventFeed).bell.listeners == 1)
        answer = get(site, "/events", **LIVE)
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")


def test_a_server_that_stops_ends_the_stream(tmp_path: Path) -> None:
    with running(tmp_path) as site:
        live = Live(site)
        started = time.monotonic()
    assert list(live) == []
    assert time.monotonic() - started < 20
    live.close()


def test_a_stream_is_not_for_everybody(site: Site) -> None:
    answer = httpx.get(f"{site.url}/events", headers=LIVE, trust_env=False)
    assert answer.status_code == 401
