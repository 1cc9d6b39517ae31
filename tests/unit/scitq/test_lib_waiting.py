"""Following the log and waiting for tasks, over connections that break wherever they like."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path
from random import Random
from typing import Any
from urllib.parse import parse_qs, urlsplit

import orjson
import pytest

from scitq.errors import Malformed, ServerError, TasksFailed
from scitq.lib import Server
from tests.unit.scitq.scripted import LOST, Asked, Said, serving

STREAM = {"Content-Type": "text/event-stream; charset=utf-8"}
CODES = ["paused", "waiting", "pending", "assigned", "accepted", "running", "failed", "succeeded"]


@pytest.fixture(autouse=True)
def surroundings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("SCITQ_SERVER", raising=False)
    monkeypatch.setattr("scitq.lib.events.FIRST_PAUSE_S", 0.001)
    monkeypatch.setattr("scitq.lib.events.LONGEST_PAUSE_S", 0.01)
    monkeypatch.setattr("scitq.lib.waiting.DOUBT_S", 0.0)


def event(position: int, task: int, type: str) -> dict[str, Any]:
    return {"position": position, "stream": f"task-{task}", "type": type, "payload": {"text": "ä\n\n"}}


def frames(events: list[dict[str, Any]]) -> bytes:
    return b"retry: 1000\n\n:\n\n" + b"".join(
        b"id: %d\ndata: %b\n\n" % (one["position"], orjson.dumps(one)) for one in events
    )


class World:
    """A server with a log that grows by one event with each question about it."""

    def __init__(self, log: list[dict[str, Any]], statuses: dict[int, str], random: Random | None = None) -> None:
        self.log, self.statuses, self.random = log, statuses, random
        self.rows: dict[int, dict[str, Any]] = {}
        self.streams = True
        self.relaunched: list[int] = []

    def __call__(self, asked: Asked) -> Said:
        parts = urlsplit(asked.path)
        if parts.path == "/events":
            return self._events({name: texts[0] for name, texts in parse_qs(parts.query).items()}, asked)
        if parts.path == "/tasks/status":
            ids = asked.json["task_id"]
            if any(id not in self.statuses for id in ids):
                return Said({"message": "there is no such task"}, 404)
            return Said([CODES.index(self.statuses[id]) for id in ids])
        if parts.path == "/tasks/":
            return Said([self._row(id) for id in asked.json["task_id"] if id in self.statuses])
        assert parts.path == "/tasks/actions" and asked.json["action"] == "relaunch"
        self.relaunched += asked.json["task_ids"]
        return Said({"done": asked.json["task_ids"], "refused": {}, "position": 0})

    def _row(self, id: int) -> dict[str, Any]:
        row = {"task_id": id, "status": self.statuses[id], "retry": 0, "blocked_by": [], "required_task_ids": []}
        return row | self.rows.get(id, {})

    def _events(self, query: Mapping[str, str], asked: Asked) -> Said:
        after = int(query["after"])
        found = [
            one for one in self.log if one["position"] > after and query.get("stream", one["stream"]) == one["stream"]
        ]
        if "limit" in query:
            return Said(found[: int(query["limit"])])
        if not self.streams:
            return Said(found, headers={"Content-Type": "application/json"})
        assert asked.headers["accept"] == "text/event-stream"
        if self.random is None:
            return Said(headers=STREAM, pieces=[frames(found)])
        if self.random.random() < 0.1:
            return LOST
        data = frames(found)
        return Said(headers=STREAM, pieces=_cut(data, self.random))


def _cut(data: bytes, random: Random) -> Iterator[bytes]:
    """In pieces that end anywhere, and not to the end."""
    end = random.randrange(min(len(data), 4_000) + 1)
    place = 0
    while place < end:
        size = random.randrange(1, 900)
        yield data[place : min(place + size, end)]
        place += size


@pytest.mark.parametrize("seed", range(5))
def test_however_often_the_stream_breaks_each_event_comes_once_and_in_order(seed: int) -> None:
    log = [event(position, position % 7, "task-paused") for position in range(3, 400)]
    with serving(World(log, {}, Random(seed))) as there, Server(there.url) as server:
        assert list(islice(server.events(2), len(log))) == log


@pytest.mark.parametrize("data", [b"<html>", b"[1]", b"{}", b'{"position":"x"}', b"null"])
def test_what_is_no_event_is_said_to_be_none(data: bytes) -> None:
    said = Said(pieces=[b"data: %b\n\n" % data], headers=STREAM)
    with serving(lambda asked: said) as there, pytest.raises(ServerError, match="not an event of the log"):
        next(Server(there.url).events())


def test_where_nothing_is_streamed_pages_are_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scitq.lib.events.PAGE", 10)
    world = World([event(position, 1, "task-paused") for position in range(1, 46)], {})
    world.streams = False
    with serving(world) as there, Server(there.url) as server:
        assert list(islice(server.events(), 45)) == world.log
        assert sum("limit" not in asked.path for asked in there.asked) == 1
        assert list(server.events(40, follow=False)) == world.log[40:]


def test_a_server_that_was_away_is_listened_to_again_and_not_asked_again_and_again() -> None:
    world = World([event(1, 1, "task-created")], {})

    def answer(asked: Asked) -> Said:
        return LOST if len(there.asked) <= 3 else world(asked)

    with serving(answer) as there, Server(there.url) as server:
        assert next(server.events())["position"] == 1
        assert {asked.headers["accept"] for asked in there.asked} == {"text/event-stream"}


def test_a_stream_that_somebody_keeps_back_is_given_up_for_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scitq.lib.events.SILENCE_S", 0.05)
    world = World([event(1, 1, "task-paused")], {})
    held: list[Any] = []

    def answer(asked: Asked) -> Said:
        if "limit" in asked.path:
            return world(asked)

        def silence() -> Iterator[bytes]:
            held.append(asked)
            deadline = time.monotonic() + 10
            while len(there.asked) == len(held) and time.monotonic() < deadline:
                yield b""
            yield b""

        return Said(headers=STREAM, pieces=silence())

    with serving(answer) as there, Server(there.url) as server:
        assert next(server.events()) == world.log[0]


def test_waiting_ends_when_each_task_has_ended() -> None:
    log = [event(1, 1, "execution-started"), event(2, 2, "execution-succeeded"), event(3, 9, "execution-succeeded"),
           event(4, 1, "execution-succeeded"), event(5, 3, "task-deleted")]  # fmt: skip
    told: list[dict[int, str]] = []
    world = World(log, {1: "pending", 2: "running", 3: "paused"}, Random(1))
    with serving(world) as there, Server(there.url) as server:
        ended = server.wait([3, 1, 2, 1], on_progress=lambda statuses: told.append(dict(statuses)))
    assert ended == {3: "deleted", 1: "succeeded", 2: "succeeded"} and list(ended) == [3, 1, 2]
    assert told[0] == {3: "paused", 1: "pending", 2: "running"} and told[-1] == ended


def test_one_task_alone_is_followed_alone() -> None:
    world = World([event(1, 1, "execution-succeeded"), event(2, 4, "execution-succeeded")], {4: "running"})
    with serving(world) as there, Server(there.url) as server:
        assert server.wait([4]) == {4: "succeeded"}
        assert "stream=task-4" in there.asked[-1].path


def test_a_failure_that_is_retried_is_not_the_end() -> None:
    """The views may stand between the failure and its retry, which were recorded together."""
    world = World([event(1, 4, "execution-failed"), event(2, 4, "execution-succeeded")], {4: "running"})

    def answer(asked: Asked) -> Said:
        if asked.path == "/tasks/status":
            times = sum(one.path == "/tasks/status" for one in there.asked)
            world.statuses[4] = {1: "running", 2: "failed"}.get(times, "pending")
            world.rows[4] = {"retry": 1}
        return world(asked)

    with serving(answer) as there, Server(there.url) as server:
        assert server.wait([4]) == {4: "succeeded"}


def test_a_failure_that_nothing_retries_is_the_end() -> None:
    world = World([event(1, 4, "execution-failed")], {4: "failed"})
    with serving(world) as there, Server(there.url) as server:
        assert server.wait([4]) == {4: "failed"}
        world.rows[4] = {"retry": 2}  # set after it had failed: it stays
        assert server.wait([4]) == {4: "failed"}


def test_a_task_that_nobody_knows_is_refused_and_one_that_is_deleted_meanwhile_is_not() -> None:
    world = World([event(1, 4, "task-paused")], {})
    with (
        serving(world) as there,
        Server(there.url) as server,
        pytest.raises(ServerError, match="there is no such task"),
    ):
        server.wait([4])

    world = World([event(1, 4, "task-paused"), event(2, 5, "execution-succeeded")], {4: "running", 5: "running"})

    def answer(asked: Asked) -> Said:
        if asked.path.startswith("/events"):
            world.statuses.pop(4, None)
        return world(asked)

    with serving(answer) as there, Server(there.url) as server:
        assert server.wait([4, 5]) == {4: "deleted", 5: "succeeded"}


def test_one_that_was_deleted_before_is_deleted_and_not_a_mistake() -> None:
    world = World([], {1: "succeeded", 2: "succeeded"})

    def answer(asked: Asked) -> Said:
        if urlsplit(asked.path).path == "/tasks/status":
            return Said({"message": "task 2 was deleted"}, 404)
        ids = [2] if asked.json.get("status") == ["deleted"] else [1]
        return Said([world._row(id) for id in ids if id in asked.json["task_id"]])

    with serving(answer) as there, Server(there.url) as server:
        assert server.wait([1, 2]) == {1: "succeeded", 2: "deleted"}
        with pytest.raises(ServerError):
            server.wait([1, 2, 3])


def test_waiting_is_over_in_time_also_when_the_server_went_away() -> None:
    world = World([], {1: "waiting"})

    def answer(asked: Asked) -> Said:
        return LOST if urlsplit(asked.path).path == "/tasks/" else world(asked)

    with serving(answer) as there, Server(there.url, get_timeout=1_000) as server:
        assert server.wait([1], timeout=0.2) == {1: "waiting"}


def test_waiting_goes_on_however_long_the_server_is_away() -> None:
    world = World([event(1, 1, "task-released")], {1: "waiting"})
    lost: list[Asked] = []

    def answer(asked: Asked) -> Said:
        if urlsplit(asked.path).path != "/tasks/" or len(lost) >= 5:
            return world(asked)
        lost.append(asked)
        world.statuses[1] = "succeeded"
        return LOST

    with serving(answer) as there, Server(there.url, patience_s=0.0) as server:
        assert server.wait([1]) == {1: "succeeded"}


def test_what_waits_in_vain_is_not_waited_for() -> None:
    """3 needs 2, which needs 1, which has failed."""
    world = World([], {1: "failed", 2: "waiting", 3: "waiting"})
    world.rows = {2: {"blocked_by": ["task 1 failed"], "required_task_ids": [1]}, 3: {"required_task_ids": [2]}}
    with serving(world) as there, Server(there.url) as server:
        assert server.wait([3]) == {3: "waiting"}
        assert server.wait([1, 2, 3]) == {1: "failed", 2: "waiting", 3: "waiting"}
        assert server.join([1, 2, 3], retry=0) == {"failed": 1, "waiting": 2}
        with pytest.raises(TasksFailed, match="3 of 3 tasks did not succeed: 1, 2, 3"):
            server.join([1, 2, 3], retry=0, check=True)


@pytest.mark.parametrize("ids", [[3], [3, 4]])
def test_what_comes_to_wait_in_vain_is_noticed_when_it_does(ids: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    """3 and 4 need 2, which was waiting for 1, which fails: no event tells of 3 or 4."""
    monkeypatch.setattr("scitq.lib.waiting.FIRST_LOOK_S", 1_000.0)
    world = World([event(1, 2, "task-blocked")], {2: "waiting", 3: "waiting", 4: "waiting"})
    world.rows = {2: {"required_task_ids": [1]}, 3: {"required_task_ids": [2]}, 4: {"required_task_ids": [2]}}

    def answer(asked: Asked) -> Said:
        if asked.path.startswith("/events"):
            world.rows[2]["blocked_by"] = ["task 1 failed"]
        return world(asked)

    with serving(answer) as there, Server(there.url) as server:
        assert server.wait(ids, timeout=30) == dict.fromkeys(ids, "waiting")
        assert not any("stream" in asked.path for asked in there.asked), "what happens to others would not be heard"


def test_what_has_waited_is_listened_to_alone_once_it_runs() -> None:
    world = World([event(1, 2, "execution-started"), event(2, 7, "execution-started")], {2: "waiting"})

    def answer(asked: Asked) -> Said:
        if "stream=task-2" in asked.path and len(world.log) == 2:
            world.log.append(event(3, 2, "execution-succeeded"))
        return world(asked)

    with serving(answer) as there, Server(there.url) as server:
        assert server.wait([2], timeout=30) == {2: "succeeded"}


def test_waiting_stops_when_its_time_is_over() -> None:
    with serving(World([], {1: "running"})) as there, Server(there.url) as server:
        assert server.wait([1], timeout=0.2) == {1: "running"}
        assert server.wait([1], timeout=0) == {1: "running"}


def test_joining_relaunches_what_fails_as_often_as_it_was_told() -> None:
    world = World([event(1, 2, "execution-succeeded")], {1: "failed", 2: "running"})

    def answer(asked: Asked) -> Said:
        if asked.path == "/tasks/actions":
            world.log.append(event(len(world.log) + 1, 1, "execution-failed"))
        return world(asked)

    with serving(answer) as there, Server(there.url) as server:
        assert server.join([1, 2], retry=2) == {"failed": 1, "succeeded": 1}
        assert world.relaunched == [1, 1]


def test_joining_nothing_is_a_mistake() -> None:
    with Server("localhost") as server, pytest.raises(Malformed, match="there is no task to wait for"):
        server.join([])


def test_lists_can_be_gone_through_page_by_page_and_left_at_any_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scitq.lib.verbs.PAGE", 10)

    def answer(asked: Asked) -> Said:
        after, limit = asked.json.get("after", 0), asked.json["limit"]
        key = asked.path.strip("/").removesuffix("s") + "_id"
        ids = range(100, 0, -1) if asked.json.get("reverse") else range(1, 101)
        left = [id for id in ids if not after or (id < after if asked.json.get("reverse") else id > after)]
        return Said([{key: id} for id in left[:limit]])

    with serving(answer) as there, Server(there.url) as server:
        assert [one["task_id"] for one in server.iter_tasks(batch="b")] == list(range(1, 101))
        assert len(there.asked) == 11 and all(one.json["batch"] == "b" for one in there.asked)
        assert [one["task_id"] for one in server.iter_tasks(limit=25, after=10)] == list(range(11, 36))
        assert [one["execution_id"] for one in server.iter_executions(reverse=True, limit=12)][-1] == 89
        before = len(there.asked)
        assert next(server.iter_tasks())["task_id"] == 1 and len(there.asked) == before + 1


def test_following_ends_in_the_time_that_was_given() -> None:
    log = [event(position, 1, "task-paused") for position in range(1, 5)]
    with serving(World(log, {})) as there, Server(there.url) as server:
        assert list(server.events(timeout=0.3)) == log
        assert list(server.events(since=2, timeout=0.3)) == log[2:]
