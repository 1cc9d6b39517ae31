"""What was put aside, over REST."""

from __future__ import annotations

import orjson
import pytest

from tests.services.waiting import eventually
from tests.unit.web.whole import BEARER, Whole


def aside(server: Whole, *bodies: bytes) -> dict[str, str]:
    """Commands that are none; their ids by what is in them."""
    for body in bodies:
        server.bus.send("commands", body, {"actor": "ada"})
    eventually(lambda: server.get("/bus/parked").json()["count"] == len(bodies))
    return {one.body.decode(errors="replace"): one.id for one in server.bus.parked()}


def test_it_is_listed_shown_and_exported(server: Whole) -> None:
    ids = aside(server, b"one", b"two", b"\xff\xfe")
    found = server.get("/bus/parked").json()
    assert [one["id"] for one in found["messages"]] == list(ids.values()) and found["count"] == 3
    first = found["messages"][0]
    assert (first["queue"], first["size_bytes"]) == ("commands", 3) and "not JSON" in first["reason"]
    newest = server.get("/bus/parked?limit=1&newest=1").json()
    assert [one["id"] for one in newest["messages"]] == [list(ids.values())[-1]] and newest["count"] == 3
    assert server.get("/bus/parked?queue=output").json()["messages"] == []
    whole = server.get(f"/bus/parked/{ids['one']}").json()
    assert (whole["body"], whole["headers"]["actor"], whole["body_base64"]) == ("one", "ada", None)
    lines = [orjson.loads(line) for line in server.get("/bus/parked/export").content.splitlines()]
    assert [one["id"] for one in lines] == list(ids.values())
    assert (lines[2]["body"], lines[2]["body_base64"]) == (None, "//4=")


def test_it_is_put_back_and_thrown_away_by_id_and_all_of_it(server: Whole) -> None:
    ids = aside(server, b"one", b"two", b"three")
    tried = server.post("/bus/parked/discard", {"ids": [ids["one"]], "dry_run": True}).json()
    assert tried == {"messages": 1, "missing": [], "left": 0, "refused": [], "dry_run": True}
    gone = server.post("/bus/parked/discard", {"ids": [ids["one"], "0" * 16]}).json()
    assert (gone["messages"], gone["missing"]) == (1, ["0" * 16])
    again = server.post("/bus/parked/requeue", {"ids": [ids["two"]]}).json()
    assert again["messages"] == 1
    eventually(lambda: ids["two"] not in {one.id for one in server.bus.parked()})
    eventually(lambda: server.get("/bus/parked").json()["count"] == 2)  # it is refused once more, and has another id
    assert server.post("/bus/parked/discard", {"all": True, "queue": "output"}).json()["messages"] == 0
    assert server.post("/bus/parked/discard", {"all": True}).json()["messages"] == 2
    assert server.get("/bus/parked").json() == {"count": 0, "messages": []}


def test_a_request_that_is_sent_again_is_done_once(server: Whole) -> None:
    ids = aside(server, b"one", b"two")
    key = {**BEARER, "Idempotency-Key": "the-same-key"}
    answers = [server.post("/bus/parked/discard", {"ids": [ids["one"]]}, headers=key).json() for _ in range(2)]
    assert answers[0] == answers[1] and answers[0]["messages"] == 1 and answers[0]["missing"] == []


@pytest.mark.parametrize(
    ("body", "said"),
    [({}, "say which"), ({"ids": ["x"], "all": False}, "ids"), ({"ids": ["0" * 16], "all": True}, "say which"),
     ({"all": True, "queue": "parked"}, "queue"), ({"everything": True}, "no such field")],
)  # fmt: skip
def test_what_makes_no_sense_does_nothing(server: Whole, body: dict[str, object], said: str) -> None:
    aside(server, b"one")
    for verb in ("requeue", "discard"):
        answer = server.post(f"/bus/parked/{verb}", body)
        assert answer.status_code == 400 and said in answer.text
    assert server.get("/bus/parked").json()["count"] == 1
    assert server.get("/bus/parked/nonsense").status_code == 404


def test_it_is_an_alert_and_the_server_is_ready_all_the_same(server: Whole) -> None:
    aside(server, b"one")
    ready = server.get("/ready", headers={})
    assert (ready.status_code, ready.json()["parked"]) == (200, 1)
    assert ready.json()["alerts"] == ["messages are put aside (1): scitq-manage bus parked list"]


def test_only_who_looks_after_the_server_may_see_it(server: Whole) -> None:
    for path in ("/bus/parked", "/bus/parked/export", "/status"):
        assert server.get(path, headers={}).status_code == 401
