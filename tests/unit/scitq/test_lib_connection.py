"""What goes wrong on the way to a server, and what becomes of it."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest

from scitq.errors import Malformed, NotAllowed, ScitqError, ServerError, Unreachable
from scitq.lib import HTTPException, Server
from tests.unit.scitq.scripted import LOST, Asked, Said, in_turn, serving

TOKEN = "canary-0123456789abcdef"


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of the user who runs the tests is found."""
    for name in ("SCITQ_SERVER", "SCITQ_TOKEN", "XDG_CONFIG_HOME", "HTTP_PROXY", "http_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[float]]:
    """The pauses that were made, none of which took any time."""
    made: list[float] = []
    monkeypatch.setattr("scitq.lib.connection.time.sleep", made.append)
    yield made


def test_a_write_whose_answer_was_lost_is_sent_again_under_the_same_id(pauses: list[float]) -> None:
    with serving(in_turn(LOST, LOST, Said({"task_id": 7}, 201))) as there, Server(there.url) as server:
        assert server.task_create("echo")["task_id"] == 7
        keys = [asked.headers["idempotency-key"] for asked in there.asked]
    assert len(keys) == 3 and len(set(keys)) == 1 and len(pauses) == 2


def test_each_write_has_an_id_of_its_own() -> None:
    with serving(in_turn(Said({}))) as there, Server(there.url) as server:
        for _ in range(3):
            server.batch_stop("b")
        assert len({asked.headers["idempotency-key"] for asked in there.asked}) == 3


def test_a_server_that_asks_for_patience_gets_it(pauses: list[float]) -> None:
    busy = Said({"message": "no answer"}, 503, {"Retry-After": "7"})
    with serving(in_turn(busy, busy, Said([]))) as there, Server(there.url) as server:
        assert server.tasks() == []
    assert pauses == [7, 7]


@pytest.mark.parametrize("status", [400, 404, 405, 409, 413, 500])
def test_a_refusal_is_final(status: int, pauses: list[float]) -> None:
    with serving(in_turn(Said({"message": "No, because."}, status))) as there, Server(there.url) as server:
        with pytest.raises(ServerError, match="No, because") as refused:
            server.task_delete(1)
        assert len(there.asked) == 1 and not pauses
    assert refused.value.status == refused.value.status_code == status and refused.value.message == "No, because."
    assert HTTPException is ServerError


def test_the_fields_that_are_wrong_are_named() -> None:
    said = Said({"message": "Not so.", "errors": {"retry": "must be a number"}}, 400)
    with (
        serving(in_turn(said)) as there,
        Server(there.url) as server,
        pytest.raises(ServerError, match=r"Not so\. \(retry: must be a number\)"),
    ):
        server.tasks()


def test_a_message_that_says_all_is_not_said_twice() -> None:
    said = Said({"message": "retry: must be a number", "errors": {"retry": "must be a number"}}, 400)
    with serving(in_turn(said)) as there, Server(there.url) as server, pytest.raises(ServerError) as refusal:
        server.tasks()
    assert str(refusal.value) == "retry: must be a number"


def test_who_gives_no_token_is_told_what_to_set() -> None:
    with (
        serving(in_turn(Said({"message": "no"}, 401))) as there,
        Server(there.url) as server,
        pytest.raises(NotAllowed, match="asks for a token: set SCITQ_TOKEN"),
    ):
        server.tasks()


def test_a_token_is_sent_and_never_shown() -> None:
    with (
        serving(in_turn(Said({"message": "no"}, 401))) as there,
        Server(there.url.replace("://", f"://x:{TOKEN}@")) as server,
    ):
        with pytest.raises(NotAllowed, match="does not accept the token") as refused:
            server.tasks()
        assert there.asked[0].headers["authorization"] == f"Bearer {TOKEN}"
        assert TOKEN not in f"{refused.value!r} {server.url} {server!r}"


def test_a_token_is_not_shown_where_all_variables_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCITQ_TOKEN", "s3cret-s3cret-s3cret")
    server = Server("127.0.0.1:1")
    options = server._ends.options()
    assert options["headers"]["Authorization"] == "Bearer s3cret-s3cret-s3cret"
    assert "s3cret" not in repr((server._ends, options, vars(server), vars(server._connection)))


def test_when_nobody_is_there_the_address_and_the_remedy_are_named() -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{held.getsockname()[1]}"
        with Server(address, patience_s=0) as server:
            assert not server.ready()
            with pytest.raises(Unreachable, match=f"http://{address} .Connection refused.*`scitq up`"):
                server.tasks()


def test_a_server_that_never_answers_is_given_up_in_the_time_that_was_given(pauses: list[float]) -> None:
    with serving(in_turn(LOST)) as there, Server(there.url, patience_s=0) as server:
        with pytest.raises(Unreachable, match="no scitq server answers"):
            server.tasks()
        assert len(there.asked) == 1


@pytest.mark.parametrize(
    "said",
    [Said(b"<html>", 200), Said(b"<html>", 404), Said(b"", 302, {"Location": "http://elsewhere"}), Said(b"[1", 200),
     Said(b"\xff", 500), Said(["a list"], 400), Said({"message": 7}, 400),
     Said(b"none", 200, {"Content-Encoding": "gzip"})],
)  # fmt: skip
def test_what_is_no_scitq_server_is_said_to_be_none(said: Said) -> None:
    with serving(in_turn(said)) as there, Server(there.url) as server:
        with pytest.raises(ServerError, match=f"{there.url} answer.*is it a scitq server"):
            server.tasks()
        assert len(there.asked) == 1


def test_who_wrote_something_reads_it() -> None:
    """The views are behind: the read is made again, and each read says what it needs to see."""
    says = {"5": Said([], headers={"X-Scitq-Position": "5"})}

    def answer(asked: Asked) -> Said:
        if asked.method == "POST":
            return Said({"task_id": 1}, 201, {"X-Scitq-Position": "5"})
        reached = len([one for one in there.asked if one.method == "GET"]) + 2
        return says.get(str(reached), Said({"message": "there is no task 1"}, 404, {"X-Scitq-Position": str(reached)}))

    with serving(answer) as there, Server(there.url) as server:
        server.task_create("echo")
        assert server.tasks() == [] and server.position == 5
        assert [asked.headers.get("x-scitq-position") for asked in there.asked] == [None, "5", "5", "5"]


def test_what_a_store_that_is_gone_had_reached_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """A log never gets shorter: where it ends before what was seen, it is another one."""
    monkeypatch.setattr("scitq.lib.connection.DOUBT_S", 0.0)
    ends = {"engine": False, "position": 3, "lag": 1}

    def answer(asked: Asked) -> Said:
        if asked.path == "/ready":
            ends["engine"] = len([one for one in there.asked if one.path == "/ready"]) > 1
            return Said(dict(ends), 200)
        return Said([], headers={"X-Scitq-Position": "3"})

    with serving(answer) as there, Server(there.url) as server:
        server._connection.expect(100)
        assert server.tasks() == [] and server.position == 3
        asked = [one.headers.get("x-scitq-position") for one in there.asked if one.path != "/ready"]
        assert asked == ["100", "100", "3"], "while no engine leads nobody knows"


def test_filters_travel_as_json_and_none_is_none() -> None:
    with serving(in_turn(Said([]))) as there, Server(there.url) as server:
        server.tasks(batch="a,b", task_id=[1, 2], name=None)
        server.tasks()
        assert [asked.json for asked in there.asked] == [{"batch": "a,b", "task_id": [1, 2]}, None]


def test_dates_are_naive_datetimes_and_objects_have_attributes() -> None:
    row = {"status_date": "2026-11-20T18:36:21.153899", "name": "2026-11-20", "more": [{"x_date": None}], "y_date": "?"}
    with serving(in_turn(Said([row]))) as there:
        with Server(there.url) as server:
            (found,) = server.tasks()
        assert found["status_date"] == datetime(2026, 11, 20, 18, 36, 21, 153899)
        assert found["name"] == "2026-11-20" and found["y_date"] == "?"
        with Server(there.url, style="object") as objects:
            (thing,) = objects.tasks()
        assert thing.status_date == found["status_date"] and vars(thing)["more"][0].x_date is None


@pytest.mark.parametrize(
    ("help", "word"),
    [
        ("/docs/#key-used", "key-used"),
        (None, None),
        ("https://elsewhere/#key-used", None),
        (["x"], None),
        ("/docs/#\x1b[2J", None),
    ],
)
def test_a_refusal_names_the_entry_that_explains_it(help: object, word: str | None) -> None:
    said = Said({"message": "No.", "help": help}, 409)
    with serving(in_turn(said)) as there, Server(there.url) as server, pytest.raises(ServerError) as refusal:
        server.task_create("echo")
    assert refusal.value.word == word


def test_a_style_that_is_none_is_refused() -> None:
    with pytest.raises(Malformed, match="'xml' is not a style"):
        Server("localhost", style="xml")  # type: ignore[call-overload]


@pytest.mark.parametrize("address", ["http://", "a b", "host:99999", "ftp://host", "h/path"])
def test_an_address_that_is_none_is_refused(address: str) -> None:
    with pytest.raises(ScitqError, match="SCITQ_SERVER"):
        Server(address)


def test_names_of_batches_cannot_leave_their_place_in_a_path() -> None:
    with serving(in_turn(Said({}))) as there, Server(there.url) as server:
        server.batch_delete("../tasks/1?x#y %")
        assert there.asked[0].path == "/batch/..%2Ftasks%2F1%3Fx%23y%20%25"


def test_output_is_read_on_where_the_connection_broke(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scitq.lib.executions.PAUSE_S", 0.0)
    whole = bytes(range(256)) * 40

    def answer(asked: Asked) -> Said:
        if asked.path == "/executions/":
            return Said([{"status": "succeeded"}])
        start = int(asked.path.partition("offset=")[2].partition("&")[0])
        part = whole[start : start + 3_000]
        # It says how much there is, and breaks off before.
        return Said(headers={"Content-Length": str(len(whole) - start)}, pieces=[part])

    with serving(answer) as there, Server(there.url) as server:
        assert b"".join(server.output(3, "stderr", follow=True)) == whole
        assert there.asked[0].path == "/executions/3/stderr?offset=0&follow=true"


def test_following_goes_on_however_long_the_server_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scitq.lib.executions.PAUSE_S", 0.0)
    answers = iter([Said(status=503)] * 5 + [Said(pieces=[b"there it is"])])

    def answer(asked: Asked) -> Said:
        return Said([{"status": "succeeded"}]) if asked.path == "/executions/" else next(answers, Said(pieces=[]))

    with serving(answer) as there, Server(there.url, get_timeout=0.0) as server:
        with pytest.raises(Unreachable):
            list(server.output(3))
        assert b"".join(server.output(3, follow=True)) == b"there it is"


def test_output_may_begin_with_its_last_lines_and_says_what_is_missing(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("scitq.lib.executions.PAUSE_S", 0.0)
    whole = b"one\ntwo\nthree\n"

    def answer(asked: Asked) -> Said:
        if asked.path == "/executions/":
            return Said([{"status": "succeeded"}])
        query = dict(part.split("=") for part in asked.path.partition("?")[2].split("&"))
        start = 4 if "lines" in query else int(query["offset"])
        headers = {"X-Scitq-Offset": str(start)} | ({} if "follow" in query else {"X-Scitq-Missing": "7"})
        return Said(headers=headers, pieces=[whole[start : start + 6 if "follow" in query else None]])

    with serving(answer) as there, Server(there.url) as server:
        assert b"".join(server.output(3, follow=True, lines=2)) == b"two\nthree\n"
        assert [asked.path for asked in there.asked if "stdout" in asked.path] == [
            "/executions/3/stdout?offset=0&follow=true&lines=2", "/executions/3/stdout?offset=10",
        ]  # fmt: skip
    assert [record.getMessage() for record in caplog.records] == [
        "7 bytes of what execution 3 printed (stdout) are missing"
    ]
